package journey

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/maps"
)

// world is a simulation that questions are put to.
type world struct {
	cluster *cluster.Cluster
	sim     *sim.Sim
	nodes   map[string]*nodeView // those that a frame has met
	made    *nodeView            // whose engine was made last, without its name
	rec     *recorder            // of the question that is being answered
	backend int                  // that it wants; 0: by chance
	pause   func(*Moment)        // of those who step; nil: nobody does
	state   State                // nil: as the agents write it
	hashed  bool                 // the state's hashes are wanted
	keeps   bool                 // what a question changes stays
}

// newWorld makes a world; pause, if it is not nil, is called at every moment.
func newWorld(c *cluster.Cluster, o *Options, pause func(*Moment)) (*world, error) {
	w := &world{cluster: c, nodes: map[string]*nodeView{}, pause: pause, state: o.State, hashed: o.State != nil || o.Keep, keeps: o.Keep}
	w.rec = newRecorder(w)
	settings := c.Settings()
	var onTrace func()
	if pause != nil {
		onTrace = func() { w.rec.pauseInside() }
	}
	s, err := sim.New(c, sim.Options{
		OnTrace: onTrace,
		Engine: func(m *maps.Set) (dataplane.Runner, error) {
			r, err := o.Engine(m)
			w.made = &nodeView{cluster: c, set: m, runner: r, opt: c.MapText(), devices: map[uint32]string{}}
			return r, err
		},
		// A node's chance is asked for when its engine has been made.
		Rand: func(node string) func() uint32 {
			h := fnv.New64a()
			h.Write([]byte(node))
			w.made.chance = &chance{draw: w.chance(rand.New(rand.NewPCG(settings.Seed, h.Sum64())).Uint32)}
			return w.nodeMade(node).chance.next
		},
		KubeProxy: w.kubeProxy(rand.New(rand.NewPCG(settings.Seed, 0)).IntN),
		Fill:      w.fill, Start: o.State.start(c),
		Observer: func(e *sim.Event) { w.rec.see(e) }, TraceSteps: stepsOfOneRun, AnswerWorld: true, RoutePods: true,
	})
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	w.sim = s
	return w, nil
}

func (w *world) close() error { return w.sim.Close() }

// chance draws a node's random numbers, which choose backends only: a backend's slot
// is what is left of the division by their number.
func (w *world) chance(draw func() uint32) func() uint32 {
	return func() uint32 {
		if w.backend > 0 {
			return uint32(w.backend - 1)
		}
		return draw()
	}
}

// kubeProxy chooses one of n backends, and notes that it had the choice.
func (w *world) kubeProxy(draw func(int) int) func(int) int {
	return func(n int) int {
		w.rec.choices = max(w.rec.choices, n)
		if w.backend > 0 {
			return (w.backend - 1) % n
		}
		return draw(n)
	}
}

// answer lets a question happen and writes the journey.
func (w *world) answer(q Question, send func(*world) error) (*Journey, error) {
	w.rec, w.backend = newRecorder(w), q.Backend
	w.rec.setCT, w.rec.clock = q.SetCT, w.sim.Clock
	if err := send(w); err != nil {
		if errors.Is(err, sim.ErrName) || errors.Is(err, sim.ErrMessage) {
			return nil, fmt.Errorf("%w: %w", ErrQuestion, err)
		}
		return nil, err
	}
	_, err := w.sim.RunUntilIdle(maxEvents)
	if err != nil && !errors.Is(err, sim.ErrBusy) && !errors.Is(err, sim.ErrEngine) {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	j := newJourney(w.cluster, q)
	j.Packets, j.choices = w.rec.finish(), w.rec.choices
	j.Assumed = append(w.stateText(), w.rec.assume()...)
	if w.hashed {
		j.State = w.stateHash(w.rec.before, w.keeps)
	}
	j.judge(err)
	return j, nil
}

// newJourney is a journey without packets.
func newJourney(c *cluster.Cluster, q Question) *Journey {
	s := c.Settings()
	return &Journey{
		Schema: Schema, Cluster: s.Name, Profile: string(s.Profile), Kernel: s.Kernel.String(), Question: q, Packets: []*Packet{}, cluster: c,
	}
}

// inject puts a frame in, several times a second apart.
func (w *world) inject(at sim.Point, frame []byte, times int) error {
	for i := range times {
		if i > 0 {
			if _, err := w.sim.Run(w.sim.Now() + time.Second); err != nil {
				return err
			}
		}
		if _, err := w.sim.Inject(at, frame); err != nil {
			return err
		}
	}
	return nil
}

// nodeMade notes whose engine has just been made.
func (w *world) nodeMade(name string) *nodeView {
	n := w.made
	n.name = name
	if spec, err := w.cluster.Node(name); err == nil {
		n.hostEndpoint = spec.HostID
	}
	for _, d := range w.cluster.Devices(name) {
		n.devices[d.Ifindex] = d.Name
	}
	w.nodes[name] = n
	return n
}
