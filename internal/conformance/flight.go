package conformance

import (
	"fmt"
	"math"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// Path is a packet of a flow that is under way, taken from the recordings: what engines are
// measured with.
type Path struct {
	Name, About     string
	group, scenario string
	step            int
}

// Paths are one of each kind.
func Paths() []Path {
	return []Path{
		{"arp", "a pod asks for its gateway's MAC", "arp", "gateway-broadcast", 0},
		{"local", "TCP to a pod of the node", "pod-to-pod-local", "tcp-connection", 2},
		{"encap", "TCP to a pod of another node", "encap", "tcp-connection", 2},
		{"dnat", "TCP to a service with a backend on the node", "service", "local-backend-port-change", 2},
		{"reverse-nat", "a backend's UDP answer to a client of the service", "service-reply", "udp-local", 1},
		{"to-stack", "UDP from a pod to the world", "external", "world-udp", 0},
		{"overlay", "TCP from the overlay to a pod", "from-overlay", "tcp-to-pod", 2},
		{"from-host", "TCP from the node to its pod", "node", "to-local-pod-tcp", 2},
	}
}

// Flight is an engine with a packet that it may run again and again.
type Flight struct {
	Engine  dataplane.Runner
	Hook    dataplane.Hook
	Env     dataplane.Env
	Packet  dataplane.Packet  // as the last run left it
	Verdict dataplane.Verdict // of the last run
	Fresh   dataplane.Packet  // as each run begins
	frame   [512]byte
}

// Prepare brings a new engine to the path's step: aggregation medium, notifications taken.
func (pa *Path) Prepare(v *Vectors, e dataplane.Runner) (*Flight, error) {
	w := &v.World
	if err := w.Load(e, "medium"); err != nil {
		return nil, err
	}
	if err := w.add(e, w.Maps); err != nil {
		return nil, err
	}
	for _, g := range v.Groups {
		for _, s := range g.Scenarios {
			if g.Name != pa.group || s.Name != pa.scenario {
				continue
			}
			if err := w.add(e, s.Add); err != nil {
				return nil, err
			}
			return pa.fly(w, e, s.Steps[:pa.step+1])
		}
	}
	return nil, fmt.Errorf("no scenario %s/%s", pa.group, pa.scenario)
}

// add writes entries into an engine's maps.
func (w *World) add(e dataplane.Runner, entries []Entry) error {
	for _, en := range entries {
		m, err := e.Map(w.MapName(en.Map))
		if err != nil {
			return err
		}
		if err := m.Update(en.Key, en.Value, maps.Any); err != nil {
			return err
		}
	}
	return nil
}

// fly runs the steps up to the path's.
func (pa *Path) fly(w *World, e dataplane.Runner, steps []Step) (*Flight, error) {
	f := &Flight{Engine: e}
	for i := range steps {
		step := &steps[i]
		h, device, err := w.Hook(step)
		if err != nil {
			return nil, err
		}
		f.Hook, f.Fresh = h, *step.Packet(device)
		f.Env = dataplane.Env{KtimeNS: uint64(math.Round(step.Now * 1e9)), Rand: func() uint32 { return step.Rand }}
		f.Fresh.Events = trace.NewRing(64)
		if err := f.Run(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Run runs the packet once, from the same bytes each time.
func (f *Flight) Run() (err error) {
	f.Packet = f.Fresh
	f.Packet.Data = f.frame[:copy(f.frame[:], f.Fresh.Data)]
	f.Verdict, err = f.Engine.Run(f.Hook, &f.Packet, &f.Env)
	return err
}
