package main

import (
	"errors"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/maps"
)

// answer answers the questions, or one of them in several profiles.
func (f *traceFlags) answer(c *cluster.Cluster, questions []asked) ([]*journey.Journey, error) {
	if len(f.profiles) == 0 {
		return f.ask(c, questions)
	}
	var out []*journey.Journey
	for _, p := range f.profiles {
		other, err := withProfile(c, p)
		if err != nil {
			return nil, err
		}
		js, err := f.ask(other, questions)
		if err != nil {
			return nil, err
		}
		out = append(out, js...)
	}
	return out, nil
}

// ask answers questions with the emulated engine.
func (f *traceFlags) ask(c *cluster.Cluster, questions []asked) (out []*journey.Journey, err error) {
	a := journey.NewAsker(c, journey.Options{
		Engine: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }, Keep: f.commit,
	})
	defer func() { err = errors.Join(err, a.Close()) }()
	for i := range questions {
		x := &questions[i]
		if err := a.Wait(x.after); err != nil {
			return nil, err
		}
		js, err := f.askOne(a, x)
		if err != nil {
			return nil, err
		}
		out = append(out, js...)
	}
	return out, nil
}

// askOne answers one question. A packet of a capture that begins nowhere here is not
// decided, and the others are.
func (f *traceFlags) askOne(a *journey.Asker, x *asked) ([]*journey.Journey, error) {
	if x.why != "" {
		return []*journey.Journey{a.Undecided(x.q, x.why)}, nil
	}
	var js []*journey.Journey
	var err error
	if f.each {
		js, err = a.EachBackend(x.q)
	} else {
		js = make([]*journey.Journey, 1)
		js[0], err = a.Ask(x.q)
	}
	switch {
	case errors.Is(err, journey.ErrPlace) && x.q.Origin != "":
		return []*journey.Journey{a.Undecided(x.q, err.Error())}, nil
	case errors.Is(err, journey.ErrQuestion):
		return nil, exitWith(exitUsage, err)
	}
	return js, err
}
