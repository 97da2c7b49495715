package compare

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// What two different engines both tell, in the same order: which maps they ask for what, which
// entries they write, which programs they jump to. Between two such steps each goes its own
// way. Where the steps part for the first time, the fault is in what ran since the last
// common one.

// landmarks are those steps of a trace. Conntrack is asked once for a key: the twin asks
// again before it writes into the entry that it has found.
func landmarks(b *trace.Buffer, list []int) []int {
	steps := b.Steps()
	asked := func(n int) bool {
		s := &steps[n]
		return (s.Map == trace.MapCT4 || s.Map == trace.MapCTAny4) && slices.ContainsFunc(list, func(i int) bool {
			return steps[i].Kind == trace.KindLookup && steps[i].Map == s.Map && bytes.Equal(b.Key(&steps[i]), b.Key(s))
		})
	}
	for i := range steps {
		switch steps[i].Kind {
		case trace.KindUpdate, trace.KindTailCall:
			list = append(list, i)
		case trace.KindLookup:
			if !asked(i) {
				list = append(list, i)
			}
		default:
		}
	}
	return list
}

func (w *walk) landmarks() []int { return landmarks(w.buf, nil) }

// alike tells whether landmarks of two traces are the same.
func alike(l *trace.Buffer, i int, r *trace.Buffer, j int) bool {
	a, b := &l.Steps()[i], &r.Steps()[j]
	return a.Kind == b.Kind && a.Map == b.Map && a.Endpoint == b.Endpoint && a.Slot == b.Slot && a.Ret == b.Ret &&
		bytes.Equal(l.Key(a), r.Key(b)) && bytes.Equal(l.Value(a), r.Value(b))
}

// accesses compares what two traced sides asked of maps and prog arrays, in its order.
func (c *contrasting) accesses(l, r *Outcome) {
	why := c.lim[FieldAccess]
	switch {
	case why != "":
	case l.trace == nil || r.trace == nil:
		why = "run without traces, as in production"
	case l.trace.Lost() > 0 || r.trace.Lost() > 0:
		why = "more than a trace holds"
	}
	if why != "" {
		c.tally.skipped[FieldAccess]++
		c.tally.why[FieldAccess] = why
		return
	}
	c.tally.compared[FieldAccess]++
	var room [2][64]int
	a, b := landmarks(l.trace, room[0][:0]), landmarks(r.trace, room[1][:0])
	for i := range max(len(a), len(b)) {
		if i < len(a) && i < len(b) && alike(l.trace, a[i], r.trace, b[i]) {
			continue
		}
		left, right := textNone, textNone
		if i < len(a) {
			left = accessText(l.trace, &l.trace.Steps()[a[i]])
		}
		if i < len(b) {
			right = accessText(r.trace, &r.trace.Steps()[b[i]])
		}
		c.list = append(c.list, FieldDiff{
			Class: ClassAccess, Field: fmt.Sprintf("map access %d", i+1), kind: "map access", field: FieldAccess, Left: left, Right: right,
		})
		return
	}
}

// accessText is a landmark in words.
func accessText(b *trace.Buffer, s *trace.Step) string {
	name := s.Map.Name(s.Endpoint)
	if s.Kind == trace.KindTailCall {
		if s.Ret.IsErr() {
			return fmt.Sprintf("tail call %s %d: empty", name, s.Slot)
		}
		return fmt.Sprintf("tail call %s %d", name, s.Slot)
	}
	verb := "lookup"
	if s.Kind == trace.KindUpdate {
		verb = "update"
	}
	value := textNone
	if v := b.Value(s); len(v) > 0 {
		value = valueText(name, v)
	}
	return fmt.Sprintf("%s %s %s: %s", verb, name, keyText(name, b.Key(s)), value)
}

// stretch is a part of both walks: from behind the last step that both did alike to the
// first that differs, or to the end.
type stretch struct {
	l, r         *walk
	from, to     int // of l: steps from+1 to to, which is len(steps) at the end
	rFrom, rTo   int // of r
	parted       bool
	sameButKey   bool // both asked the same map, for something else
	leftS, right *trace.Step
}

// parting finds where the landmarks of two walks first differ.
func parting(l, r *walk) stretch {
	a, b := l.landmarks(), r.landmarks()
	s := stretch{l: l, r: r, from: -1, rFrom: -1, to: len(l.steps), rTo: len(r.steps)}
	for i := range max(len(a), len(b)) {
		if i < len(a) && i < len(b) && alike(l.buf, a[i], r.buf, b[i]) {
			s.from, s.rFrom = a[i], b[i]
			continue
		}
		s.parted = true
		if i < len(a) {
			s.to, s.leftS = a[i], &l.steps[a[i]]
		}
		if i < len(b) {
			s.rTo, s.right = b[i], &r.steps[b[i]]
		}
		s.sameButKey = s.leftS != nil && s.right != nil && s.leftS.Kind == s.right.Kind && s.leftS.Map == s.right.Map &&
			s.leftS.Endpoint == s.right.Endpoint && !bytes.Equal(l.buf.Key(s.leftS), r.buf.Key(s.right))
		break
	}
	return s
}

// around is the stretch between landmarks in which a step of l is.
func around(l, r *walk, at int) stretch {
	s := parting(l, r)
	s.to, s.rTo, s.from, s.rFrom = len(l.steps), len(r.steps), -1, -1
	a, b := l.landmarks(), r.landmarks()
	for i := range a {
		if a[i] < at {
			s.from = a[i]
			if i < len(b) {
				s.rFrom = b[i]
			}
			continue
		}
		s.to = a[i]
		if i < len(b) {
			s.rTo = b[i]
		}
		break
	}
	return s
}

// functions are the functions that ran in a stretch, by their C names, the innermost and
// latest first: those that l tells, and those that r's steps were in by its source.
func (s *stretch) functions(where func(file string, line uint32) string) []string {
	var list []string
	add := func(name string) {
		if name != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	for i := min(s.to, len(s.l.steps)-1); i > s.from && i >= 0; i-- {
		add(s.l.open[i].Name())
	}
	if s.from >= 0 { // it goes on where the landmark was
		add(s.l.open[s.from].Name())
	}
	if where == nil {
		return list
	}
	for i := min(s.rTo, len(s.r.steps)-1); i > s.rFrom && i >= 0; i-- {
		if src := s.r.steps[i].Source; src != nil {
			add(where(src.File, src.Line))
		}
	}
	return list
}

// decider is the function that is to blame for a parting: who made up the key that was
// asked for, who gave up with an error of its own, or else the innermost function that
// was open all the time.
func (s *stretch) decider() (trace.Func, bool) {
	if len(s.l.steps) == 0 {
		return 0, false
	}
	last := min(s.to, len(s.l.steps)-1)
	if s.sameButKey {
		switch f := s.l.open[last]; f {
		case trace.CTLookupInner, trace.LookupIP4Endpoint, trace.IPCacheLookup4, trace.LB4LookupService:
			return s.l.up[last], true // it is handed the key
		default:
			return f, true
		}
	}
	for i := s.from + 1; i <= last; i++ {
		if st := &s.l.steps[i]; st.Kind == trace.KindLeave && st.Ret < 0 {
			return s.l.at(i), true
		}
	}
	depth, at := s.l.steps[last].Depth, last
	for i := max(s.from, 0); i <= last; i++ {
		if s.l.steps[i].Depth <= depth {
			depth, at = s.l.steps[i].Depth, i
		}
	}
	return s.l.at(at), true
}
