package compare

import (
	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// Engine is one of the two sides: how it is called, what exactly it runs, and how to
// make one.
type Engine struct {
	Name string // as on the command line
	// Source says what programs it runs: own ones, or a user's objects with their
	// SHA-256.
	Source string
	New    func() (dataplane.Runner, error)
	// Config puts the constants that are compiled into the engine's programs over a
	// configuration; nil where there are none.
	Config func(dataplane.Config) dataplane.Config
}

// String is the engine with what it runs.
func (e *Engine) String() string {
	if e.Source == "" {
		return e.Name
	}
	return e.Name + " (" + e.Source + ")"
}

// setHolder is an engine whose maps are ours, so that a journal tells every change.
type setHolder interface{ Maps() *maps.Set }

// Room for what one packet leaves: notifications and steps of its trace.
const (
	ringSize  = 64
	traceSize = 512
)

// side is one engine with a world loaded.
type side struct {
	runner dataplane.Runner
	caps   dataplane.Caps
	maps   *tracked
	ring   *trace.Ring
	steps  *trace.Buffer // nil: the engine does not trace
}

// start loads the world into a fresh engine and fills its maps as the node's agent
// does.
func (w *World) start(e *Engine) (*side, error) {
	r, err := e.New()
	if err != nil {
		return nil, err
	}
	s := &side{runner: r, caps: r.Caps(), ring: trace.NewRing(ringSize)}
	if s.caps.Trace {
		s.steps = trace.NewBuffer(traceSize)
	}
	for _, l := range w.loads {
		c := l.config
		if e.Config != nil {
			c = e.Config(c)
		}
		if err := r.Load(l.hook, c); err != nil {
			return nil, closeAfter(r, err)
		}
	}
	agent, err := cluster.NewAgent(w.Cluster, w.Node.Name, cluster.MapsFunc(r.Map))
	if err != nil {
		return nil, closeAfter(r, err)
	}
	if err := agent.Sync(); err != nil {
		return nil, closeAfter(r, err)
	}
	if s.maps, err = newTracked(r, w.compared()); err != nil {
		return nil, closeAfter(r, err)
	}
	return s, nil
}
