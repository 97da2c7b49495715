package compare

import (
	"bytes"
	"slices"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// Stage is the function of the datapath where two sides part, by its C name.
type Stage struct {
	Func string `json:"func"`
	File string `json:"file,omitempty"`
	// Sure says that both sides were traced and this is the first function in which
	// they did different things. Otherwise the function is the one that, on the side
	// that was traced, made what differs.
	Sure bool `json:"sure"`
	// Between are the functions that ran between the last step that both sides did alike
	// and the one that differs, the innermost and latest first, if both sides were traced.
	Between []string `json:"between,omitempty"`

	steps bool // all steps of both were compared
}

// String is the function with its file.
func (s Stage) String() string {
	switch {
	case s.Func == "":
		return "unknown: no side was traced"
	case s.File == "":
		return s.Func
	}
	return s.Func + " (" + s.File + ")"
}

// others are the functions of Between beside Func.
func (s Stage) others() []string {
	return slices.DeleteFunc(slices.Clone(s.Between), func(name string) bool { return name == s.Func })
}

func stageOf(f trace.Func, sure bool) Stage { return Stage{Func: f.Name(), File: f.File(), Sure: sure} }

// blame finds the stage of a difference. Two traces are compared if both engines tell the
// same things; with one, what differs is looked for in it, and the earliest function that
// made any of it is blamed.
func blame(fields []FieldDiff, l, r *Outcome, known *lessons, how likeness) Stage {
	lt, rt := newWalk(l.trace), newWalk(r.trace)
	switch {
	case lt != nil && rt != nil && how.steps:
		if f, ok := firstParting(lt, rt); ok {
			st := stageOf(f, true)
			st.steps = true
			return st
		}
	case lt == nil:
		lt = rt
	}
	if lt == nil {
		return Stage{}
	}
	at := maker(fields, lt, known)
	if rt == nil || lt == rt || !how.landmarks {
		if at < 0 {
			return Stage{}
		}
		return stageOf(lt.at(at), false)
	}
	// What a byte was written by counts if it was written before the sides part.
	s := parting(lt, rt)
	byBytes := -1
	for i := range fields {
		if f := fields[i].field; f == FieldFrame || f == FieldMark {
			if w, _ := lt.find(&fields[i], known); w >= 0 {
				byBytes = earlier(byBytes, w)
			}
		}
	}
	var st Stage
	switch f, ok := s.decider(); {
	case byBytes >= 0 && (!s.parted || byBytes <= s.from):
		s = around(lt, rt, byBytes)
		st = stageOf(lt.at(byBytes), false)
	case s.parted && ok:
		st = stageOf(f, true)
	case at >= 0:
		st = stageOf(lt.at(at), false)
	}
	st.Between = s.functions(how.where)
	return st
}

// likeness says what of two traces can be compared: all steps, or the landmarks; where
// names the function at a line of the right side's source.
type likeness struct {
	steps, landmarks bool
	where            func(file string, line uint32) string
}

// maker is the step that made what differs, -1 if the trace does not show it.
func maker(fields []FieldDiff, lt *walk, known *lessons) int {
	best, second := -1, -1
	for i := range fields {
		at, derived := lt.find(&fields[i], known)
		switch {
		case at < 0:
		case derived:
			second = earlier(second, at)
		default:
			best = earlier(best, at)
		}
	}
	if best < 0 {
		best = second
	}
	if best < 0 {
		best = lt.lastFunc()
	}
	return best
}

func earlier(a, b int) int {
	if a < 0 {
		return b
	}
	return min(a, b)
}

// walk is a trace with the function that was open at each step.
type walk struct {
	buf   *trace.Buffer
	steps []trace.Step
	open  []trace.Func // innermost at each step; of KindEnter and KindLeave the function itself
	up    []trace.Func // its caller at that time, or itself at the outermost level
}

func newWalk(b *trace.Buffer) *walk {
	if b == nil || len(b.Steps()) == 0 {
		return nil
	}
	w := &walk{buf: b, steps: b.Steps()}
	var stack []trace.Func
	for i := range w.steps {
		s := &w.steps[i]
		if s.Kind == trace.KindEnter {
			stack = append(stack, s.Func)
		}
		var f, up trace.Func
		if n := len(stack); n > 0 {
			f, up = stack[n-1], stack[n-1]
			if n > 1 {
				up = stack[n-2]
			}
		}
		w.open, w.up = append(w.open, f), append(w.up, up)
		if s.Kind == trace.KindLeave && len(stack) > 0 {
			stack = stack[:len(stack)-1]
		}
	}
	return w
}

// at is the function that is blamed for a step: helpers that only carry out what their
// caller decided pass it on.
func (w *walk) at(i int) trace.Func {
	f := w.open[i]
	switch f {
	case trace.SendTraceNotify, trace.SendDropNotify, trace.SendDropNotifyInner, trace.SendPolicyVerdictNotify,
		trace.CtxRedirect, trace.CtxRedirectPeer, trace.IPv4L3, trace.L4ModifyPort:
		return w.up[i]
	default:
		return f
	}
}

func (w *walk) lastFunc() int {
	return w.last(func(s *trace.Step) bool { return s.Kind == trace.KindEnter })
}

// firstParting is the function in which two traces first differ.
func firstParting(l, r *walk) (trace.Func, bool) {
	n := min(len(l.steps), len(r.steps))
	for i := range n {
		if l.same(r, i) {
			continue
		}
		// To enter different functions is the caller's decision.
		if l.steps[i].Kind == trace.KindEnter || r.steps[i].Kind == trace.KindEnter {
			if l.steps[i].Kind == trace.KindEnter && l.steps[i].Depth > 0 {
				return l.up[i], true
			}
			if r.steps[i].Kind == trace.KindEnter && r.steps[i].Depth > 0 {
				return r.up[i], true
			}
			if i > 0 {
				return l.open[i-1], true
			}
		}
		return l.open[i], true
	}
	if len(l.steps) == len(r.steps) {
		return 0, false
	}
	return l.open[n-1], n > 0
}

// same tells whether step i is the same in both.
func (w *walk) same(r *walk, i int) bool {
	a, b := &w.steps[i], &r.steps[i]
	return a.Kind == b.Kind && a.Depth == b.Depth && a.Func == b.Func && a.Map == b.Map && a.Endpoint == b.Endpoint &&
		a.Slot == b.Slot && a.Ret == b.Ret && bytes.Equal(w.buf.Key(a), r.buf.Key(b)) && bytes.Equal(w.buf.Value(a), r.buf.Value(b))
}

// find is the step that made what differs, -1 if the trace does not show it. derived
// says that the field follows from others, such as counters.
func (w *walk) find(d *FieldDiff, known *lessons) (at int, derived bool) {
	switch d.field {
	case FieldReturn, FieldDrop:
		return w.findReturn(d, known), false
	case FieldTarget, FieldFlags:
		return w.last(func(s *trace.Step) bool {
			return s.Kind == trace.KindEnter && (s.Func == trace.CtxRedirect || s.Func == trace.CtxRedirectPeer)
		}), false
	case FieldFrame:
		at := w.last(func(s *trace.Step) bool {
			return s.Kind == trace.KindRewrite && int(s.Slot) <= d.offset && d.offset < int(s.Slot)+len(w.buf.Value(s))
		})
		if at < 0 {
			at = known.writer(w, d.offset)
		}
		return at, false
	case FieldMark:
		return w.last(func(s *trace.Step) bool { return s.Kind == trace.KindMark }), false
	case FieldTunnel:
		return w.enter(trace.EncapWithNodeIDInner), false
	case FieldRandom:
		return w.enter(trace.LB4Local), false
	case FieldMaps:
		return w.findEntry(d.change)
	case FieldEvents:
		return w.findEvent(d.event), true
	default:
		return -1, true
	}
}

// findReturn is where the code came from that ended the packet's way. If the traced
// side did not end it, it is the function that ends packets with the other's code.
func (w *walk) findReturn(d *FieldDiff, known *lessons) int {
	if d.drop != 0 {
		return w.first(func(s *trace.Step) bool { return s.Kind == trace.KindLeave && s.Ret == d.drop })
	}
	if f, ok := known.enders(d.Right); ok {
		return w.enter(f)
	}
	return -1
}

// findEntry is where an entry was written last, else where it was first asked for. The
// counters of metrics follow from what happened elsewhere.
func (w *walk) findEntry(c *Change) (at int, derived bool) {
	named := func(s *trace.Step) bool {
		return s.Map.Name(s.Endpoint) == c.Map && bytes.Equal(w.buf.Key(s), c.Key)
	}
	if at = w.first(func(s *trace.Step) bool { return s.Kind == trace.KindUpdate && named(s) }); at >= 0 {
		return at, false
	}
	at = w.first(func(s *trace.Step) bool { return s.Kind == trace.KindLookup && named(s) })
	if at < 0 {
		at = w.first(func(s *trace.Step) bool {
			return (s.Kind == trace.KindLookup || s.Kind == trace.KindUpdate) && s.Map.Name(s.Endpoint) == c.Map
		})
	}
	return at, at < 0
}

// findEvent is the function that sent the notification of that index, or would have.
func (w *walk) findEvent(index int) int {
	last := -1
	for i := range w.steps {
		s := &w.steps[i]
		if s.Kind != trace.KindEnter {
			continue
		}
		switch s.Func {
		case trace.SendTraceNotify, trace.SendDropNotify, trace.SendPolicyVerdictNotify:
			last = i
			if index--; index < 0 {
				return i
			}
		default: // sends none
		}
	}
	return last
}

func (w *walk) enter(f trace.Func) int {
	return w.first(func(s *trace.Step) bool { return s.Kind == trace.KindEnter && s.Func == f })
}

func (w *walk) first(is func(*trace.Step) bool) int {
	for i := range w.steps {
		if is(&w.steps[i]) {
			return i
		}
	}
	return -1
}

func (w *walk) last(is func(*trace.Step) bool) int {
	for i := len(w.steps) - 1; i >= 0; i-- {
		if is(&w.steps[i]) {
			return i
		}
	}
	return -1
}

// lessons are what other packets of a comparison have shown about functions.
type lessons struct {
	base    *lessons              // of packets before, read only; may be nil
	returns map[string]trace.Func // by the text of a return code: where it comes from
	writers map[int]trace.Func    // by offset in the frame: who writes there
	callers map[call]struct{}     // who calls whom
	most    map[trace.Func]int    // how often a call of a function asks maps, at most
	absorbs map[call]struct{}     // whose errors are not those of its caller
	results map[given]struct{}
}

// given is what a function gave back.
type given struct {
	f   trace.Func
	ret code.Ret
}

// call is a function that another one calls.
type call struct{ caller, callee trace.Func }

func newLessons() *lessons {
	return &lessons{
		returns: map[string]trace.Func{}, writers: map[int]trace.Func{},
		callers: map[call]struct{}{}, most: map[trace.Func]int{}, absorbs: map[call]struct{}{}, results: map[given]struct{}{},
	}
}

// learnCalls takes what a walk shows about functions and their callers.
func (k *lessons) learnCalls(w *walk) {
	marks := w.landmarks()
	asked := map[trace.Func]int{} // in the call that is open
	for i := range w.steps {
		s := &w.steps[i]
		switch s.Kind {
		case trace.KindEnter:
			asked[s.Func] = 0
			if w.up[i] != s.Func {
				k.callers[call{w.up[i], s.Func}] = struct{}{}
			}
		case trace.KindLeave:
			k.most[s.Func] = max(k.most[s.Func], asked[s.Func])
			k.results[given{s.Func, s.Ret}] = struct{}{}
		default:
		}
		if slices.Contains(marks, i) {
			asked[w.open[i]]++
		}
	}
	for i := range w.steps {
		if s := &w.steps[i]; s.Kind == trace.KindLeave && s.Ret < 0 && w.up[i] != s.Func {
			if f := w.leave(i); f >= 0 && w.steps[f].Ret != s.Ret {
				k.absorbs[call{w.up[i], s.Func}] = struct{}{}
			}
		}
	}
}

// leave is the step at which the caller of the function that a step leaves was left itself.
func (w *walk) leave(i int) int {
	for j := i + 1; j < len(w.steps); j++ {
		if s := &w.steps[j]; s.Kind == trace.KindLeave && s.Depth < w.steps[i].Depth {
			return j
		}
	}
	return -1
}

// callersOf are the functions that are known to call one.
func (k *lessons) callersOf(name string) (list []string) {
	for ; k != nil; k = k.base {
		for c := range k.callers {
			if n := c.caller.Name(); c.callee.Name() == name && !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	slices.Sort(list)
	return list
}

// gives says that a function is known to give a result back.
func (k *lessons) gives(f trace.Func, ret code.Ret) bool {
	for ; k != nil; k = k.base {
		if _, ok := k.results[given{f, ret}]; ok {
			return true
		}
	}
	return false
}

// mostOf is how often one call of a function asks maps, at most; 1 if nobody knows.
func (k *lessons) mostOf(f trace.Func) int {
	n := 1
	for ; k != nil; k = k.base {
		n = max(n, k.most[f])
	}
	return n
}

// absorbed says that the first error between two steps is one that the function's caller is
// known not to pass on.
func (k *lessons) absorbed(w *walk, from, to int) bool {
	for i := max(from+1, 0); i <= to && i < len(w.steps); i++ {
		if s := &w.steps[i]; s.Kind == trace.KindLeave && s.Ret < 0 {
			for l := k; l != nil; l = l.base {
				if _, ok := l.absorbs[call{w.up[i], s.Func}]; ok {
					return true
				}
			}
			return false
		}
	}
	return false
}

// learn takes what a packet's trace shows, which is worthwhile for a way that was not
// gone before.
func (k *lessons) learn(o *Outcome) {
	w := newWalk(o.trace)
	if w == nil {
		return
	}
	for i := range w.steps {
		if s := &w.steps[i]; s.Kind == trace.KindRewrite {
			for n := range w.buf.Value(s) {
				k.writers[int(s.Slot)+n] = w.open[i]
			}
		}
	}
	k.learnCalls(w)
	reason := reasonOf(&o.Verdict)
	if reason == 0 {
		return
	}
	if at := w.first(func(s *trace.Step) bool { return s.Kind == trace.KindLeave && s.Ret == reason }); at >= 0 {
		k.returns[dropText(reason)] = w.open[at]
		if o.Verdict.Action < 0 {
			k.returns[retText(&o.Verdict)] = w.open[at]
		}
	}
}

// enders is the function from which a return code comes.
func (k *lessons) enders(ret string) (trace.Func, bool) {
	f, ok := k.returns[ret]
	if !ok && k.base != nil {
		f, ok = k.base.returns[ret]
	}
	return f, ok
}

// writer is where a walk passed the function that other packets had written this byte.
func (k *lessons) writer(w *walk, offset int) int {
	f, ok := k.writers[offset]
	if !ok && k.base != nil {
		f, ok = k.base.writers[offset]
	}
	if !ok {
		return -1
	}
	return w.enter(f)
}
