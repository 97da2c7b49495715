package compare

import (
	"bytes"
	"slices"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// explanation finds the stage of a difference in two runs that were watched: the left one's
// functions are told by its trace, the right one's by its source.
type explanation struct {
	l, r    *recorder
	w, rw   *walk
	known   *lessons
	defines func(name string) bool // of the right side's source
	common  []deviation            // what both did
}

// active is a function of the left trace and how deep it was called.
type active struct {
	f     trace.Func
	depth int
}

// explain is the stage where two watched runs part, and false if the effects do not show it.
func explain(l, r *recorder, known *lessons, defines func(string) bool) (Stage, bool) {
	x := explanation{l: l, r: r, w: newWalk(l.buf), rw: newWalk(r.buf), known: known, defines: defines}
	if x.w == nil || x.rw == nil || l.buf.Lost()+r.buf.Lost() > 0 {
		return Stage{}, false
	}
	devs, common := deviations(l, r)
	if len(devs) == 0 {
		return Stage{}, false
	}
	x.common = common
	first := slices.MinFunc(devs, func(a, b deviation) int { return a.epoch - b.epoch }).epoch
	devs = slices.DeleteFunc(devs, func(d deviation) bool { return d.epoch != first })
	return x.decide(devs, first), true
}

// decide chooses between the function that did too much or something else on the left, and
// the one that did not do what the right side did.
func (x *explanation) decide(devs []deviation, epoch int) Stage {
	var did, missed *deviation
	for i := range devs {
		d := &devs[i]
		if d.l != nil && d.l.epoch == epoch && (did == nil || x.sooner(d.l, did.l)) {
			did = d
		}
		if d.r != nil && d.r.epoch == epoch && (missed == nil || x.later(missed.r, d.r)) {
			missed = d
		}
	}
	to := len(x.w.steps) - 1
	switch {
	case did != nil:
		to = did.l.step
	case epoch < len(x.l.marks):
		to = x.l.marks[epoch]
	}
	from := x.last(did, missed, to)
	st := Stage{Sure: true}
	var f trace.Func
	switch {
	case did != nil && missed != nil && (did.l.spot == missed.r.spot || x.sameMaker(did, epoch)):
		f, st.Sure = x.value(did, from, to), did.l.spot.field == FieldAccess
	case missed == nil:
		f = x.doer(did.l, from, len(x.r.places)).f
	case did == nil:
		f = x.misser(missed.r, from, to).f
	default:
		f = x.fork(did, missed, from, to)
	}
	st.Func, st.File = f.Name(), f.File()
	st.Between = x.between(from, to, missed)
	if up := x.callerOf(f, to); did != nil && up != "" && !slices.Contains(st.Between, up) {
		st.Between = append(st.Between, up) // what it wrote it may have been handed
	}
	return st
}

// last is the step of the left trace at which both sides did the same for the last time. What
// happened in a function that only carries out what others decided, as the effect did, does
// not count.
func (x *explanation) last(did, missed *deviation, to int) int {
	if did != nil {
		for _, a := range x.stack(did.l.step) {
			if carrier(a.f) {
				to = min(to, x.entered(a, did.l.step))
				break
			}
		}
	}
	from := -1
	for i := range x.common {
		c := &x.common[i]
		if c.l.step < to && (missed == nil || c.r.step <= missed.r.step && c.r.place <= missed.r.place) {
			from = max(from, c.l.step)
		}
	}
	return from
}

// entered is the step at which a function that is open at another one was entered.
func (x *explanation) entered(a active, at int) int {
	for i := at; i > 0; i-- {
		if s := &x.w.steps[i]; s.Kind == trace.KindEnter && s.Func == a.f && int(s.Depth) == a.depth {
			return i
		}
	}
	return 0
}

// sameMaker says that one function had an effect on both sides, with another outcome.
func (x *explanation) sameMaker(d *deviation, epoch int) bool {
	if d.r == nil || d.r.epoch != epoch {
		return false
	}
	stack := x.stack(d.l.step)
	f, ok := x.maker(d.r)
	return ok && len(stack) > 0 && stack[len(stack)-1].f == f
}

// callerOf is the function that called one which was open at a step, or before.
func (x *explanation) callerOf(f trace.Func, at int) string {
	for i := min(at, len(x.w.steps)-1); i >= 0; i-- {
		if s := &x.w.steps[i]; s.Kind == trace.KindEnter && s.Func == f && x.w.up[i] != f {
			return x.w.up[i].Name()
		}
	}
	return ""
}

func (x *explanation) sooner(a, b *effect) bool {
	if a.step != b.step {
		return a.step < b.step
	}
	return !a.spot.derived() && b.spot.derived()
}

func (x *explanation) later(a, b *effect) bool {
	if a.place != b.place {
		return a.place > b.place
	}
	return a.spot.derived() && !b.spot.derived()
}

// carrier says that a function only carries out what its caller has decided.
func carrier(f trace.Func) bool {
	switch f {
	case trace.SendTraceNotify, trace.SendDropNotify, trace.SendPolicyVerdictNotify, trace.CtxRedirect, trace.CtxRedirectPeer:
		return true
	default:
		return false
	}
}

// asks says that a function only asks a map for the key that it is handed.
func asks(f trace.Func) bool { return f == trace.LookupIP4Endpoint || f == trace.IPCacheLookup4 }

// void says that a function has no result.
func void(f trace.Func) bool {
	switch f {
	case trace.ARPValidate, trace.ResolveSrcIDIPv4, trace.InheritIdentityFromHost, trace.EncapWithNodeIDInner, trace.LB4LookupService:
		return true
	default:
		return carrier(f) || asks(f) || f == trace.SendDropNotifyInner
	}
}

// stack are the functions that are open at a step, the outermost first. What was noticed when
// a function was entered its caller did.
func (x *explanation) stack(at int) []active {
	var list []active
	for i := 0; i <= at && i < len(x.w.steps); i++ {
		s := &x.w.steps[i]
		switch {
		case s.Kind == trace.KindEnter && (i < at || s.Depth == 0):
			list = append(list[:min(len(list), int(s.Depth))], active{s.Func, int(s.Depth)})
		case s.Kind == trace.KindLeave && i < at && len(list) > 0:
			list = list[:len(list)-1]
		}
	}
	return list
}

// doer is the function of the left side that is to blame for something that the right side
// did not do: the innermost one that the right side was in, too, or that was open when both
// still did the same.
func (x *explanation) doer(e *effect, from, until int) active {
	stack := x.stack(e.step)
	if len(stack) == 0 {
		return active{x.w.at(max(0, min(e.step, len(x.w.steps)-1))), 0}
	}
	if e.spot.field == FieldReturn {
		return x.returned()
	}
	open := x.stack(from + 1)
	n := len(stack) - 1
	for n > 0 && (carrier(stack[n].f) || asks(stack[n].f) || !slices.Contains(open, stack[n]) && !x.visited(stack[n].f, from, until)) {
		n--
	}
	return stack[n]
}

// visited says that the right side was in a function since both did the same.
func (x *explanation) visited(f trace.Func, from, until int) bool {
	if x.defines != nil && !x.defines(f.Name()) {
		return true // it has another name there
	}
	return slices.Contains(x.r.places[min(x.rightPlace(from), len(x.r.places)):min(until, len(x.r.places))], f.Name())
}

// rightPlace is where the right side was at the last landmark before a step of the left.
func (x *explanation) rightPlace(from int) int {
	n, _ := slices.BinarySearch(x.l.marks, from+1)
	if n--; n < 0 || n >= len(x.r.marks) {
		return 0
	}
	return max(0, x.r.at[x.r.marks[n]].place-1)
}

// maker is the function of the right side that had an effect, as far as traces know it: the
// one itself, or the last one before it that is no carrier.
func (x *explanation) maker(e *effect) (trace.Func, bool) {
	var by []string // callers of the carrier that it was in
	name := e.fn
	for i := min(e.place, len(x.r.places)); i >= 0; i-- {
		if i < min(e.place, len(x.r.places)) {
			name = x.r.places[i]
		}
		f, ok := funcNamed(name)
		if name == "drop_at" {
			f, ok = trace.SendDropNotify, true // which is a macro there
		}
		switch {
		case !ok:
		case carrier(f):
			if by == nil {
				by = x.known.callersOf(f.Name())
			}
		case len(by) == 0 || slices.Contains(by, f.Name()):
			return f, true
		}
	}
	return 0, false
}

func funcNamed(name string) (trace.Func, bool) {
	for _, f := range trace.Funcs() {
		if f.Name() == name {
			return f, true
		}
	}
	return 0, false
}

// misser is the function of the left side that should have done what the right side did: the
// same one if it was entered, else the innermost that is known to call it.
func (x *explanation) misser(e *effect, from, to int) active {
	list := x.stack(from + 1)
	for i := max(from+1, 0); i <= to && i < len(x.w.steps); i++ {
		if s := &x.w.steps[i]; s.Kind == trace.KindEnter {
			list = append(list, active{s.Func, int(s.Depth)})
		}
	}
	f, ok := x.maker(e)
	if !ok || len(list) == 0 {
		if len(list) == 0 {
			return active{x.w.open[0], 0}
		}
		return list[len(list)-1]
	}
	again := e.spot.field == FieldAccess && x.finished(f, from)
	want := []string{f.Name()}
	for level := range 8 {
		best := -1
		for i, a := range list {
			if slices.Contains(want, a.f.Name()) && !(again && level == 0 && slices.Contains(x.stack(from+1), a)) && (best < 0 || a.depth >= list[best].depth) {
				best = i
			}
		}
		if best >= 0 {
			return list[best]
		}
		var up []string
		for _, name := range want {
			up = append(up, x.known.callersOf(name)...)
		}
		want = up
	}
	// No packet that was the same on both sides went there: whoever the right side was in before.
	for i := min(e.place, len(x.r.places)) - 1; i >= 0; i-- {
		for _, a := range slices.Backward(list) {
			if a.f.Name() == x.r.places[i] {
				return a
			}
		}
	}
	return list[0]
}

// finished says that a function asked its maps for the last time at a step, as far as other
// packets have shown.
func (x *explanation) finished(f trace.Func, at int) bool {
	n, enter := 0, -1
	for i := 0; i <= at && i < len(x.w.steps); i++ {
		if s := &x.w.steps[i]; s.Kind == trace.KindEnter && s.Func == f {
			n, enter = 0, i
		}
		if enter >= 0 && x.w.open[i] == f && slices.Contains(x.l.marks, i) {
			n++
		}
	}
	return enter >= 0 && n >= x.known.mostOf(f)
}

// value is the function that is to blame where both sides did the same with another outcome.
func (x *explanation) value(d *deviation, from, to int) trace.Func {
	st := x.stack(d.l.step)
	if len(st) == 0 {
		return x.w.open[0]
	}
	n := len(st) - 1
	inner := st[n].f
	switch d.l.spot.field {
	case FieldAccess:
		inner = x.w.open[d.l.step]
		a, b := &x.w.steps[d.l.step], &x.rw.steps[d.r.step]
		switch inner {
		case trace.CTLookupInner, trace.LookupIP4Endpoint, trace.IPCacheLookup4, trace.LB4LookupService:
			if a.Map == b.Map && a.Kind == b.Kind && !bytes.Equal(x.w.buf.Key(a), x.rw.buf.Key(b)) {
				return x.w.up[d.l.step] // it is handed the key
			}
		default:
		}
		if a.Kind != b.Kind || a.Map != b.Map || a.Slot != b.Slot {
			return x.fork(d, d, from, to)
		}
		return inner
	case FieldReturn:
		return x.returned().f
	case FieldTarget:
		if i := x.w.last(func(s *trace.Step) bool {
			return s.Kind == trace.KindEnter && (s.Func == trace.CtxRedirect || s.Func == trace.CtxRedirectPeer)
		}); i >= 0 {
			return x.w.up[i]
		}
		return x.returned().f
	case FieldScratch, FieldEvents:
		reason := d.l.spot.field == FieldScratch && d.l.spot.n == 2 || d.l.spot.field == FieldEvents && len(d.l.is) > 1 && len(d.r.is) > 1 && d.l.is[:2] != d.r.is[:2]
		if f, ok := x.raised(from, to); ok && reason && slices.ContainsFunc(st, func(a active) bool { return a.f == trace.SendDropNotify || a.f == trace.SendDropNotifyInner }) {
			return f
		}
	case FieldFrame:
		const macs = 12
		if inner == trace.IPv4L3 && d.l.spot.n < macs && n > 0 {
			return st[n-1].f // which it is handed
		}
		if inner == trace.L4ModifyPort && !d.l.spot.derived() && n > 0 {
			return st[n-1].f
		}
		return inner
	default:
	}
	return x.doer(d.l, from, len(x.r.places)).f
}

// raised is the function in which an error came up since both did the same.
func (x *explanation) raised(from, to int) (trace.Func, bool) {
	for i := max(from+1, 0); i <= to && i < len(x.w.steps); i++ {
		if s := &x.w.steps[i]; s.Kind == trace.KindLeave && s.Ret < 0 {
			return s.Func, true
		}
	}
	return 0, false
}

// returned is the function that gave back the run's result first: the innermost one that is
// not known to give it back, else the innermost.
func (x *explanation) returned() active {
	at, strange := len(x.w.steps)-1, -1
	for i := at; i >= 0; i-- {
		s, out := &x.w.steps[i], &x.w.steps[at]
		if s.Kind == trace.KindRewrite || s.Kind == trace.KindMark {
			continue
		}
		if s.Kind != trace.KindLeave || i < at && s.Depth != out.Depth+1 || s.Ret != out.Ret || void(s.Func) {
			break
		}
		if at = i; !x.known.gives(s.Func, s.Ret) {
			strange = i
		}
	}
	if strange >= 0 {
		at = strange
	}
	return active{x.w.open[at], int(x.w.steps[at].Depth)}
}

// fork chooses where the two sides went different ways.
func (x *explanation) fork(did, missed *deviation, from, to int) trace.Func {
	until := len(x.r.places)
	doer, misser := x.doer(did.l, from, until), x.misser(missed.r, from, to)
	bothDrop := missed.r.fn == "drop_at" || slices.Contains(x.r.places[x.rightPlace(from):min(missed.r.place, until)], "drop_at")
	bothDrop = bothDrop && slices.ContainsFunc(x.stack(did.l.step), func(a active) bool { return a.f == trace.SendDropNotify })
	if f, ok := x.raised(from, to); ok && !bothDrop && !x.known.absorbed(x.w, from, to) {
		m, _ := x.maker(missed.r)
		if m == f || !slices.ContainsFunc(x.stack(from+1), func(a active) bool { return a.f == m }) {
			return f
		}
	}
	if misser.depth > doer.depth {
		return misser.f
	}
	return doer.f
}

// between are the functions that ran since both did the same, the latest first: those of the
// left trace, and those of the right side's source.
func (x *explanation) between(from, to int, missed *deviation) []string {
	var list []string
	add := func(name string) {
		if name != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	for i := min(to, len(x.w.steps)-1); i >= max(from, 0); i-- {
		add(x.w.open[i].Name())
	}
	until := len(x.r.places)
	if missed != nil && missed.r != nil {
		add(missed.r.fn)
		until = min(until, missed.r.place)
	}
	for i := until - 1; i >= x.rightPlace(from) && i >= 0; i-- {
		add(x.r.places[i])
	}
	return list
}
