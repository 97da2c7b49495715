package compare

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hooklab/hooklab/cluster"
)

// shrink makes the difference's scenario as small as it gets while its last packet
// still shows the same class and stage: fewer steps, fewer settings, a smaller cluster,
// plainer packets. Every attempt is a run on fresh engines; budget bounds them.
func (d *Difference) shrink(ctx context.Context, o *Options, seen *insight) error {
	if d.scenario == nil {
		return nil
	}
	s := &shrinker{ctx: ctx, o: o, d: d, best: d.scenario.clone(), budget: o.Shrink, seen: seen}
	defer s.close()
	// The stage is the one that is known now: a run without traces has told none, and what
	// other packets have shown since may have made it another one.
	res, err := s.run(s.best)
	if err != nil || res == nil || newDifference(res.fields, res.stage).Class != d.Class {
		// What depends on chance, or on what the engines kept from earlier rounds, is told
		// as it was found.
		return err
	}
	d.Stage, d.Fields, s.last = res.stage, res.fields, res
	for _, pass := range []func() error{s.steps, s.cluster, s.steps, s.settings, s.clock, s.packets} {
		if err := pass(); err != nil {
			return err
		}
	}
	d.Repro, d.Packets, d.Shrunk = s.best, s.best.packets(), true
	d.Fields, d.Stage = s.last.fields, s.last.stage
	return s.explain()
}

// explain runs the small scenario once more, watched, and takes the stage that this shows. A
// right side that does not trace is replaced by one that does.
func (s *shrinker) explain() error {
	if x := s.o.Explain; x != nil {
		s.close()
		o := *s.o
		o.Right, o.Explain = *x, nil
		s.o = &o
	}
	if s.o.Right.Function == nil || s.d.Stage.steps {
		return nil
	}
	ses, err := s.open(s.best)
	if err != nil || ses.left.steps == nil || ses.right.steps == nil {
		return err
	}
	s.watch = [2]*recorder{{}, {where: s.o.Right.Function}}
	if res, err := s.run(s.best); err != nil || res == nil {
		return err
	}
	if st, ok := explain(s.watch[0], s.watch[1], s.seen.lessons, s.o.Right.Defines); ok {
		s.d.Stage = st
	}
	return nil
}

type shrinker struct {
	ctx    context.Context //nolint:containedctx // Lives for one call of shrink.
	o      *Options
	d      *Difference
	best   *Scenario
	last   *result // of the best scenario's last packet
	budget int
	seen   *insight // of the run that found the difference

	watch   [2]*recorder // of both sides' last packet
	session *session     // of the world that was tried last, to be used again
	of      *Scenario
}

func (s *shrinker) close() {
	if s.session != nil {
		_ = s.session.close() // the engines are of no more use
		s.session = nil
	}
}

// open gives the engines a scenario's world, those of the last attempt if it had the
// same.
func (s *shrinker) open(x *Scenario) (*session, error) {
	if s.session != nil && sameWorld(s.of, x) {
		return s.session, s.session.reset()
	}
	s.close()
	w, err := x.Build()
	if err != nil {
		return nil, err
	}
	base := newInsight(s.seen)
	base.matched = s.d.Stage.steps
	if s.session, err = open(w, &s.o.Left, &s.o.Right, base, false); err != nil {
		return nil, err
	}
	s.session.right.maps.full = s.session.right.maps.set == nil
	s.of = x
	return s.session, nil
}

func sameWorld(a, b *Scenario) bool {
	return a.Node == b.Node && slices.Equal(a.Settings, b.Settings) && slices.EqualFunc(a.Cluster, b.Cluster, func(x, y cluster.Source) bool {
		return x.Name == y.Name && string(x.Data) == string(y.Data)
	})
}

// shows tells whether a scenario's last packet shows the difference.
func (s *shrinker) shows(x *Scenario) (bool, error) {
	s.budget--
	res, err := s.run(x)
	if err != nil || res == nil {
		return false, err
	}
	now := newDifference(res.fields, res.stage)
	if now.Class != s.d.Class || now.Stage.Func != s.d.Stage.Func {
		return false, nil
	}
	s.last = res
	return true, nil
}

// run is what came of a scenario's last packet, nil if nothing differs or the scenario does
// not fit its own world.
func (s *shrinker) run(x *Scenario) (res *result, err error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	ses, err := s.open(x)
	if errors.Is(err, ErrInput) || errors.Is(err, cluster.ErrInput) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range x.Steps {
		if i == len(x.Steps)-1 {
			ses.left.watch, ses.right.watch = s.watch[0], s.watch[1]
		}
		if res, err = ses.step(&x.Steps[i]); err != nil {
			if !ses.fits(&x.Steps[i]) || errors.Is(err, ErrInput) {
				return nil, nil
			}
			return nil, err
		}
		if len(res.fields) > 0 && i < len(x.Steps)-1 {
			if err := ses.agree(); err != nil { // as the run did that found the difference
				return nil, err
			}
		}
	}
	if res == nil || len(res.fields) == 0 {
		return nil, nil
	}
	return res, nil
}

// fits tells whether a step's packet has a hook in this world.
func (s *session) fits(st *Step) bool {
	if st.Packet == nil {
		return true
	}
	_, _, err := s.world.hook(st.Packet)
	return err == nil
}

// try keeps a smaller scenario if it still shows the difference.
func (s *shrinker) try(x *Scenario) error {
	if s.budget <= 0 {
		return nil
	}
	keep := s.last
	ok, err := s.shows(x)
	if ok {
		s.best = x
	} else {
		s.last = keep
	}
	return err
}

// steps removes steps, in halves at first and then one by one, but never the last.
func (s *shrinker) steps() error {
	for size := max(1, (len(s.best.Steps)-1)/2); size >= 1; size /= 2 {
		for end := len(s.best.Steps) - 1; end > 0; {
			from := max(0, end-size)
			x := s.best.clone()
			x.Steps = slices.Delete(x.Steps, from, end)
			if err := s.try(x); err != nil {
				return err
			}
			end = from
		}
	}
	return nil
}

// settings leaves out settings, which gives them their defaults.
func (s *shrinker) settings() error {
	for i := range slices.Backward(s.best.Settings) {
		x := s.best.clone()
		x.Settings = slices.Delete(x.Settings, i, i+1)
		if err := s.try(x); err != nil {
			return err
		}
	}
	return nil
}

// clock takes time away: all of it, or what lies before the first step.
func (s *shrinker) clock() error {
	for _, at := range []func(i int) time.Duration{
		func(int) time.Duration { return startTime },
		func(i int) time.Duration { return s.best.Steps[i].At - s.best.Steps[0].At + startTime },
		func(i int) time.Duration { return s.best.Steps[i].At.Truncate(time.Second) },
	} {
		x := s.best.clone()
		same := true
		for i := range x.Steps {
			x.Steps[i].At = at(i)
			same = same && x.Steps[i].At == s.best.Steps[i].At
		}
		if same {
			return nil
		}
		if err := s.try(x); err != nil {
			return err
		}
	}
	return nil
}

// cluster leaves out services, pods, nodes and properties. Only a cluster of one description with
// everything in it can be shrunk, which is what package generate makes.
func (s *shrinker) cluster() error {
	if len(s.best.Cluster) != 1 {
		return nil
	}
	attempt := func(data []byte, err error) error {
		if err != nil {
			return nil //nolint:nilerr // No description of ours: it stays as it is.
		}
		x := s.best.clone()
		x.Cluster = []cluster.Source{{Name: x.Cluster[0].Name, Data: data}}
		return s.try(x)
	}
	for _, kind := range []string{"services", "pods", "nodes", "external"} {
		for i := listLen(s.best.Cluster[0].Data, kind) - 1; i >= 0; i-- {
			if err := attempt(without(s.best.Cluster[0].Data, kind, i)); err != nil {
				return err
			}
		}
	}
	for _, keys := range [][]string{{"lifetimes"}, {"clock", "hz"}, {"aggregation"}, {"profile", "kernelVersion"}, {"health"}} {
		if err := attempt(withoutKeys(s.best.Cluster[0].Data, keys)); err != nil {
			return err
		}
	}
	return nil
}

// packets makes packets plainer: no metadata, no data.
func (s *shrinker) packets() error {
	for i := len(s.best.Steps) - 1; i >= 0; i-- {
		for _, plain := range plainer() {
			if s.best.Steps[i].Packet == nil {
				break
			}
			x := s.best.clone()
			in := *x.Steps[i].Packet
			if !plain(&in) {
				continue
			}
			x.Steps[i].Packet = &in
			if err := s.try(x); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainer are the ways to make a packet plainer; false if it is so already.
func plainer() []func(in *Input) bool {
	zero := func(v *uint32) bool { was := *v; *v = 0; return was != 0 }
	return []func(in *Input) bool{
		func(in *Input) bool { was := in.CB; in.CB = [5]uint32{}; return was != in.CB },
		func(in *Input) bool { was := in.Partial; in.Partial = false; return was },
		func(in *Input) bool { was := in.Fail; in.Fail = 0; return was != 0 },
		func(in *Input) bool { return zero(&in.Mark) },
		func(in *Input) bool { return zero(&in.Hash) },
		func(in *Input) bool { return zero(&in.Rand) },
		func(in *Input) bool { was := in.TCIndex; in.TCIndex = 0; return was != 0 },
		func(in *Input) bool { was := in.QueueMapping; in.QueueMapping = 0; return was != 0 },
		func(in *Input) bool { was := in.Tunnel.TOS; in.Tunnel.TOS = 0; return was != 0 },
		func(in *Input) bool { // cut off what is behind an unfragmented segment's header
			f, ok := parseFrame(in.Frame)
			if !ok || len(f.Data) == 0 {
				return false
			}
			f.Data, f.Options = nil, nil
			in.Frame = f.Bytes()
			return true
		},
		func(in *Input) bool {
			f, ok := parseFrame(in.Frame)
			if !ok || f.TOS == 0 && f.ID == 0 && f.TTL == 64 {
				return false
			}
			f.TOS, f.ID, f.TTL = 0, 0, 64
			in.Frame = f.Bytes()
			return true
		},
	}
}
