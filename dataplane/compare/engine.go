package compare

import (
	"fmt"
	"math"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
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
	// Fail makes helpers of one of its runners fail until it is called again; nil: that is
	// not possible.
	Fail func(r dataplane.Runner, f Failures)
	// Foreign says that its programs are not hooklab's: they may ask maps in another order.
	Foreign bool
	// Function names the C function at a line of the engine's source, as its traces have
	// lines; nil: unknown.
	Function func(file string, line uint32) string
	// Defines says that its source has a C function of that name.
	Defines func(name string) bool
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
	fail   func(r dataplane.Runner, f Failures) // Engine.Fail
	caps   dataplane.Caps
	maps   *tracked
	ring   *trace.Ring
	steps  *trace.Buffer // nil: the engine does not trace
	watch  *recorder     // of the run that comes next; nil: it is not watched
}

// start loads the world into a fresh engine and fills its maps as the node's agent
// does. With lines the engine notes which lines of its programs are reached.
func (w *World) start(e *Engine, lines bool) (*side, error) {
	r, err := e.New()
	if err != nil {
		return nil, err
	}
	if c, ok := r.(liner); ok && lines {
		c.Cover()
	}
	s := &side{runner: r, fail: e.Fail, caps: r.Caps(), ring: trace.NewRing(ringSize)}
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
	if err := w.reload(r); err != nil {
		return nil, closeAfter(r, err)
	}
	agent, err := cluster.NewAgent(w.Cluster, w.Node.Name, cluster.MapsFunc(r.Map))
	if err != nil {
		return nil, closeAfter(r, err)
	}
	if err := agent.Sync(); err != nil {
		return nil, closeAfter(r, err)
	}
	if s.maps, err = newTracked(r, w.compared(), w.ProgramArrays()); err != nil {
		return nil, closeAfter(r, err)
	}
	return s, nil
}

// reload checks what every engine refuses, and unloads and loads again the programs of
// devices that ask for that, as an agent does that regenerates an endpoint.
func (w *World) reload(r dataplane.Runner) error {
	nowhere := dataplane.Hook{Prog: dataplane.ToHost, Ifindex: math.MaxInt32}
	_, ran := r.Run(nowhere, &dataplane.Packet{Data: make([]byte, header.EthernetSize)}, &dataplane.Env{})
	for _, x := range []struct {
		what string
		err  error
	}{
		{"runs a program that is not loaded", ran},
		{"unloads a program that is not loaded", r.Unload(nowhere)},
		{"loads a program that there is not", r.Load(dataplane.Hook{Prog: math.MaxUint8, Ifindex: 1}, w.config)},
		{"loads a pod's program for no endpoint", r.Load(dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: 1}, w.config)},
		{"loads a pod's program with another's configuration", r.Load(dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: 1, Endpoint: 1}, w.config)},
	} {
		if x.err == nil {
			return fmt.Errorf("engine %s %s", r.Name(), x.what)
		}
	}
	for i := range w.Devices {
		if !w.Devices[i].reload {
			continue
		}
		for _, act := range []func(l *load) error{
			func(l *load) error { return r.Unload(l.hook) },
			func(l *load) error { return r.Load(l.hook, l.config) },
		} {
			for j := range w.loads {
				if l := &w.loads[j]; l.hook.Ifindex == w.Devices[i].Ifindex {
					if err := act(l); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}
