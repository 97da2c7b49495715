package sim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// ErrBusy is what RunUntilIdle wraps when it stops before the queue is empty.
var ErrBusy = errors.New("simulation is still busy")

// ErrEngine is wrapped when a node's engine cannot be made or filled.
var ErrEngine = errors.New("node cannot be set up")

// Options are the properties of a simulation. Engine is required.
type Options struct {
	// Engine makes the engine of one node around its maps.
	Engine func(*maps.Set) (dataplane.Runner, error)
	// Sizes are those of each node's maps; zero fields are Cilium's own. Memory grows
	// with the entries, not with the sizes.
	Sizes maps.Sizes
	// Seed decides about all that is left to chance; 0 takes the cluster's.
	Seed uint64
	// Rand draws the random numbers of a node's programs instead, such as the choice
	// of a backend.
	Rand func(node string) func() uint32
	// KubeProxy chooses one of n backends instead of chance, where a node's own packet
	// goes to a ClusterIP: from 0 to n-1.
	KubeProxy func(n int) int
	// Fill fills a node's maps in its agent's place, once its programs are loaded. Where
	// it says false the agent does it; else neither agent nor garbage collection touch
	// the maps.
	Fill func(node string, lookup func(name string) (maps.Store, error)) (bool, error)
	// Start is the time since boot at which the simulation begins; 0 is an hour.
	Start time.Duration
	// Observer sees every event. It must not call the Sim.
	Observer func(*Event)
	// TraceSteps makes the programs record their functions, at most so many for one
	// run: an observer finds them in Node.Packet.Trace of a node.EventAfter.
	TraceSteps int
	// OnTrace is called after each step that a program records, if TraceSteps is not 0.
	// Like the observer it must not call the Sim.
	OnTrace func()
	// Notifications makes the programs' notifications events of kind Notified, at most
	// so many for one run.
	Notifications int
	// AnswerWorld lets every address outside of the cluster answer as a host would
	// that runs nothing; without it, only the cluster's external hosts do.
	AnswerWorld bool
	// RoutePods gives the gateway and the hosts on the underlay routes to the nodes'
	// podCIDRs, so that traffic from outside can reach a pod's own address.
	RoutePods bool
	// WorldMTU is the MTU of the gateway's links to the world; 0 is the underlay's.
	WorldMTU int
	// Open opens further ports: of a pod, node or external host.
	Open func(at Place, proto uint8, port uint16) bool
}

// What a frame's way takes. Processing takes no time.
const (
	wireTime     = 5 * time.Microsecond // pod to node and back
	underlayTime = 100 * time.Microsecond
	worldTime    = 10 * time.Millisecond // gateway to external host
	startTime    = time.Hour
)

// Sim is a cluster in one process.
type Sim struct {
	cluster  *cluster.Cluster
	settings cluster.Settings
	opts     Options
	seed     uint64
	rand     *rand.Rand
	trace    *trace.Buffer
	ring     *trace.Ring

	lastHook    dataplane.Hook // of the program that ran last, with its verdict
	lastVerdict dataplane.Verdict

	now   time.Duration
	queue queue
	err   error // the first engine failure

	frames, events, conversations uint64

	version  int // of the cluster, counted by Refresh
	machines map[string]*machine
	pods     map[string]*pod // by Place name
	owners   map[[4]byte]owner
	ports    map[listener]bool
	services map[listener][]netip.AddrPort // active backends by frontend
	routes   podRoutes
	underlay underlay
	gateway  *station
	outside  map[[4]byte]*station // external hosts, and those of the world that were met
	mtu      int
}

// owner is whose address it is: one of the three.
type owner struct {
	pod     *pod
	machine *machine
	station *station
}

// New makes a simulation of a cluster. Nodes cost little until a frame meets them:
// only then they get an engine and maps.
func New(c *cluster.Cluster, o Options) (*Sim, error) {
	if c == nil || o.Engine == nil {
		return nil, fmt.Errorf("simulate without cluster or engine: %w", ErrEngine)
	}
	s := &Sim{cluster: c, settings: c.Settings(), opts: o, seed: o.Seed, now: o.Start}
	if s.seed == 0 {
		s.seed = s.settings.Seed
	}
	if s.now <= 0 {
		s.now = startTime
	}
	s.rand = s.chance("sockets")
	if o.TraceSteps > 0 {
		s.trace = trace.NewBuffer(o.TraceSteps)
		s.trace.OnStep(o.OnTrace)
	}
	if o.Notifications > 0 {
		s.ring = trace.NewRing(o.Notifications)
	}
	s.mtu = int(s.settings.MTU)
	s.machines, s.pods = make(map[string]*machine), make(map[string]*pod)
	s.outside = make(map[[4]byte]*station)
	s.underlay = underlay{sim: s, stations: make(map[[6]byte]attached), neighbours: make(map[[4]byte][6]byte)}
	s.Refresh()
	return s, nil
}

// Close closes the nodes' engines.
func (s *Sim) Close() error {
	var err error
	for _, n := range s.cluster.Nodes() {
		if m := s.machines[n.Name]; m != nil {
			err = errors.Join(err, m.close())
		}
	}
	return err
}

// Now is the virtual time since boot.
func (s *Sim) Now() time.Duration { return s.now }

// Run lets everything happen that is due by until, which is then the time. It
// returns the number of things that happened, and the first failure of an engine.
func (s *Sim) Run(until time.Duration) (int, error) {
	n := 0
	for {
		it, ok := s.queue.next(until)
		if !ok {
			break
		}
		s.step(it)
		n++
	}
	s.now = max(s.now, until)
	return n, s.err
}

// RunUntilIdle lets everything happen until nothing is left, or maxEvents things have
// happened, which is ErrBusy. The time is then that of the last one.
func (s *Sim) RunUntilIdle(maxEvents int) (int, error) {
	for n := range max(maxEvents, 0) {
		it, ok := s.queue.next(math.MaxInt64)
		if !ok {
			return n, s.err
		}
		s.step(it)
	}
	if s.queue.idle() {
		return maxEvents, s.err
	}
	return maxEvents, errors.Join(s.err, fmt.Errorf("after %d events: %w", maxEvents, ErrBusy))
}

func (s *Sim) step(it item) {
	s.now = max(s.now, it.at)
	it.run()
}

// after puts something into the queue.
func (s *Sim) after(d time.Duration, run func()) *timer {
	t := &timer{}
	s.queue.add(item{at: s.now + d, run: run, timer: t})
	return t
}

// chance is the source of randomness of one thing. Each has its own, so that they do
// not depend on each other.
func (s *Sim) chance(what string) *rand.Rand {
	h := uint64(0xcbf29ce484222325) // FNV-1a
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 0x100000001b3
	}
	return rand.New(rand.NewPCG(s.seed, h))
}

// fail keeps the first failure of an engine.
func (s *Sim) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}
