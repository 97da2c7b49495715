package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/journey"
)

// state is the maps that the question is about: those of --state, else of the running
// lab in its own profile; without either they are as the agents write them.
func (f *traceFlags) state(cmd *cobra.Command, t *target, c *cluster.Cluster) (*stateFiles, error) {
	if len(f.states) > 0 {
		return readState(c, f.states)
	}
	running, err := t.client()
	if err != nil || running == nil || len(f.profiles) > 0 {
		return &stateFiles{}, err
	}
	st, err := labState(cmd.Context(), running, c)
	return &stateFiles{state: st}, err
}

// answer answers the questions, or one of them in several profiles.
func (f *traceFlags) answer(c *cluster.Cluster, st *stateFiles, questions []asked) ([]*journey.Journey, error) {
	if len(f.profiles) == 0 {
		return f.ask(c, st, questions)
	}
	var out []*journey.Journey
	for _, p := range f.profiles {
		other, err := withProfile(c, p)
		if err != nil {
			return nil, err
		}
		js, err := f.ask(other, st, questions)
		if err != nil {
			return nil, err
		}
		out = append(out, js...)
	}
	return out, nil
}

// ask answers questions with the engine that was asked for.
func (f *traceFlags) ask(c *cluster.Cluster, st *stateFiles, questions []asked) (out []*journey.Journey, err error) {
	a, err := journey.NewAsker(c, journey.Options{
		Engine: f.objects.runners()[f.engine.value], Keep: f.commit, State: st.state,
	})
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
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
	return out, f.keep(a, st, out)
}

// keep writes what has changed into the files that the state came from, unless it
// rests on what is not known.
func (f *traceFlags) keep(a *journey.Asker, st *stateFiles, js []*journey.Journey) error {
	unknown := slices.ContainsFunc(js, func(j *journey.Journey) bool { return j.Verdict.Outcome == journey.Unknown })
	if !f.commit || unknown || len(st.files) == 0 {
		return nil
	}
	now, err := a.State()
	if err != nil {
		return err
	}
	return st.write(now)
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
