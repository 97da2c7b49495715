package compare

import (
	"errors"
	"fmt"
	stdmaps "maps"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// session is one world loaded into both engines.
type session struct {
	world       *World
	left, right *side
	limits      limits
	tally       tally
	seen        *insight
}

// open starts a world on both sides.
func open(w *World, l, r *Engine, seen *insight, lines bool) (*session, error) {
	left, err := w.start(l, lines)
	if err != nil {
		return nil, err
	}
	right, err := w.start(r, lines)
	if err != nil {
		return nil, closeAfter(left.runner, err)
	}
	left.maps.full = left.maps.set == nil // one side must be able to tell
	s := &session{world: w, left: left, right: right, limits: limitsOf(l.Name, r.Name, left.caps, right.caps), seen: seen}
	if l.Foreign || r.Foreign {
		s.limits[FieldAccess] = "other programs may ask maps in another order"
	}
	return s, nil
}

func (s *session) close() error { return errors.Join(s.left.runner.Close(), s.right.runner.Close()) }

// reset gives both sides the maps that they started with.
func (s *session) reset() error {
	return errors.Join(
		s.left.maps.refill(), s.right.maps.refill(),
		s.left.maps.restore(s.left.maps.start), s.right.maps.restore(s.left.maps.start),
	)
}

// result is what came of one step.
type result struct {
	left, right *Outcome
	fields      []FieldDiff
	stage       Stage
	failed      []string // expectations
	unsupported string   // why a side could not run the packet; nothing was compared
}

// step runs one step on both sides.
func (s *session) step(st *Step) (*result, error) {
	if st.Edit != nil {
		if err := s.left.maps.edit(st.Edit); err != nil {
			return nil, err
		}
		return &result{}, s.right.maps.edit(st.Edit)
	}
	if why := s.cannot(st.Packet); why != "" {
		return &result{unsupported: why}, nil
	}
	res := &result{}
	for _, x := range []struct {
		side *side
		o    **Outcome
	}{{s.left, &res.left}, {s.right, &res.right}} {
		var err error
		*x.o, err = x.side.run(s.world, st)
		if errors.Is(err, dataplane.ErrNotSupported) {
			return &result{unsupported: err.Error()}, s.agree()
		}
		if err != nil {
			return nil, err
		}
	}
	var err error
	if res.right.changesUnknown {
		if res.right.Changes, err = s.right.maps.lookup(res.left.Changes); err != nil {
			return nil, err
		}
	}
	s.seen.note(res.left)
	if res.fields = contrast(res.left, res.right, &s.limits, &s.tally); len(res.fields) > 0 {
		res.stage = s.seen.blame(res)
	} else if s.seen.fresh {
		s.seen.lessons.learn(res.left)
	}
	s.seen.match(res)
	for i := range st.Expect {
		e := &st.Expect[i]
		for _, x := range []struct {
			side *side
			o    *Outcome
		}{{s.left, res.left}, {s.right, res.right}} {
			if got := e.check(s.world, x.o); got != "" {
				res.failed = append(res.failed, fmt.Sprintf("%d: expected %s; %s: %s", e.Line, e, x.side.runner.Name(), got))
			}
		}
	}
	return res, nil
}

// cannot says why a packet is none for both sides, "" if it is.
func (s *session) cannot(in *Input) string {
	for _, x := range []*side{s.left, s.right} {
		if in.Partial && !x.caps.PartialCsum {
			return x.runner.Name() + " cannot be given a checksum that is still to be completed"
		}
		if in.Fail != 0 && x.fail == nil {
			return x.runner.Name() + "'s helpers cannot be made to fail"
		}
	}
	return ""
}

// agree makes the right side's maps those of the left, so that one difference does not
// make others.
func (s *session) agree() error {
	want, err := s.left.maps.read()
	if err != nil {
		return err
	}
	return s.right.maps.restore(want)
}

// leftovers compares all entries of all maps.
func (s *session) leftovers() ([]Change, error) {
	l, err := s.left.maps.read()
	if err != nil {
		return nil, err
	}
	r, err := s.right.maps.read()
	if err != nil {
		return nil, err
	}
	return changesOf(l, r), nil
}

// insight is what the packets of a run have shown so far.
type insight struct {
	base  *insight // of the blocks before, read only; may be nil
	paths map[uint64]struct{}
	fresh bool // the last packet went a new way
	// matched says that the two sides' traces were the same for the packets so far that
	// did not differ; unlike says that they are not, because engines tell different
	// things.
	matched, unlike bool
	// stray says that the landmarks of two traces were not the same for a packet that did
	// not differ.
	stray   bool
	checked int // packets whose landmarks were compared
	where   func(file string, line uint32) string
	lessons *lessons
	reached *Decisions
}

func newInsight(base *insight) *insight {
	n := &insight{base: base, paths: map[uint64]struct{}{}, lessons: newLessons(), reached: newDecisions()}
	if base != nil {
		n.lessons.base = base.lessons
		n.where, n.stray = base.where, base.stray
	}
	return n
}

// note takes a packet's way into account.
func (n *insight) note(o *Outcome) {
	p := pathOf(o)
	_, known := n.paths[p]
	if n.base != nil && !known {
		_, known = n.base.paths[p]
	}
	if n.fresh = !known; known {
		return
	}
	n.paths[p] = struct{}{}
	n.reached.add(o)
}

// match finds out whether the two sides' traces can be compared.
func (n *insight) match(res *result) {
	n.matchLandmarks(res)
	if n.unlike || res.left.trace == nil || res.right.trace == nil || len(res.fields) > 0 {
		return
	}
	_, parted := firstParting(newWalk(res.left.trace), newWalk(res.right.trace))
	n.matched, n.unlike = !parted, parted
}

// blame finds the stage of a packet's difference.
func (n *insight) blame(res *result) Stage {
	return blame(res.fields, res.left, res.right, n.lessons, likeness{n.matched && !n.unlike, !n.stray, n.where})
}

// matchLandmarks finds out whether the landmarks of the two sides' traces are the same, by the first packets
// and those that go new ways.
func (n *insight) matchLandmarks(res *result) {
	const enough = 100
	if n.stray || res.left.trace == nil || res.right.trace == nil || len(res.fields) > 0 || n.checked > enough && !n.fresh {
		return
	}
	n.checked++
	if l, r := newWalk(res.left.trace), newWalk(res.right.trace); l != nil && r != nil {
		n.stray = parting(l, r).parted
	}
}

// merge adds what another run has shown.
func (n *insight) merge(o *insight) {
	for p := range o.paths {
		n.paths[p] = struct{}{}
	}
	stdmaps.Copy(n.lessons.returns, o.lessons.returns)
	stdmaps.Copy(n.lessons.writers, o.lessons.writers)
	stdmaps.Copy(n.lessons.callers, o.lessons.callers)
	stdmaps.Copy(n.lessons.absorbs, o.lessons.absorbs)
	stdmaps.Copy(n.lessons.results, o.lessons.results)
	for f, most := range o.lessons.most {
		n.lessons.most[f] = max(n.lessons.most[f], most)
	}
	n.reached.merge(o.reached)
}

// pathOf is a hash of a packet's way: the functions with their results, the map
// lookups with hit or miss, the tail calls. Without a trace it is the kind of outcome.
func pathOf(o *Outcome) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	mix := func(v uint64) { h = (h ^ v) * prime }
	mix(uint64(uint32(o.Verdict.Action)))
	if o.trace == nil {
		mix(uint64(uint32(o.Verdict.Drop)))
		for _, c := range o.Changes {
			mix(uint64(len(c.Map)) << 1)
		}
		for _, e := range o.Events {
			mix(uint64(e[0])<<8 | uint64(e[1]))
		}
		return h
	}
	steps := o.trace.Steps()
	for i := range steps {
		s := &steps[i]
		v := uint64(s.Kind) | uint64(s.Func)<<8 | uint64(s.Map)<<16 | uint64(uint32(s.Ret))<<24
		switch s.Kind {
		case trace.KindLookup, trace.KindUpdate:
			if len(o.trace.Value(s)) > 0 {
				v |= 1 << 60
			}
		case trace.KindTailCall:
			v |= uint64(s.Slot&0x3f) << 56 // endpoints' slots differ from cluster to cluster, which is no way of its own
		default:
		}
		mix(v)
	}
	return h
}
