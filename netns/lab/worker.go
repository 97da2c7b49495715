package lab

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

// Kinds of underlays, see Options.
const (
	underlayTAP    = "tap"
	underlaySocket = "socket"
)

const (
	gcBudget  = 256      // conntrack entries looked at between two batches
	ringSize  = 1024     // notifications
	frameRoom = 66 << 10 // the longest that any port hands over: an IP packet with its Ethernet header
)

// worker is a node at work: the goroutine of its loop owns all of it once it has joined.
type worker struct {
	name   string
	engine string // its name
	log    *slog.Logger
	node   *node.Node
	set    *maps.Set
	agent  *cluster.Agent
	gc     *cluster.GC
	clock  clock
	tunnel carrier
	host   *netns.Port
	pods   map[uint32]*podPort // by the ifindex of their lxc device

	loop    *loop     // nil: not started
	joined  bool      // the loop watches the sources
	sources []*source // the underlay is the first
	packet  dataplane.Packet
	gather  gatherer
	meta    netns.Meta
	outer   tunnel.Meta
	ring    *trace.Ring
	counts  EventCounts
	lost    uint64 // notifications, before the ring

	attached *attachment // of a kernel node, which has no tunnel, host and pods; else nil

	followers []*follower
	frameHead []byte // of the frame that followers get

	ended    chan struct{} // closed when everything is closed
	stopping atomic.Bool
}

// EventCounts says how many notifications the datapath has made.
type EventCounts struct {
	Drop    uint64 `json:"drop"`
	Trace   uint64 `json:"trace"`
	Verdict uint64 `json:"verdict"`
	Lost    uint64 `json:"lost"`
}

// seat is what a worker is made of.
type seat struct {
	cluster    *cluster.Cluster
	node       *cluster.Node
	ns         *netns.NS
	engineName string
	engine     Engine
	attacher   Attacher // of a kernel node; else nil
	endpoints  []cluster.NodeEndpoint
	pods       []*netns.Port // of endpoints; the worker's from now on
	log        *slog.Logger
	underlay   string // see Options
	wire       string // wireTAP or wireVeth
	crowded    bool   // see crowded
	pins       string // directory for the maps of a kernel node; "": they are not pinned
}

// newWorker opens a node's ports, loads its programs and fills its maps. The node's
// namespace is complete. On an error everything is closed again, the pods' ports too.
func newWorker(s *seat) (*worker, error) {
	w := &worker{
		name: s.node.Name, engine: s.engineName, log: s.log, set: maps.NewSet(maps.Sizes{}), pods: make(map[uint32]*podPort),
		ended: make(chan struct{}), ring: trace.NewRing(ringSize),
	}
	w.packet.Events = w.ring
	err := w.open(s)
	if err == nil {
		return w, nil
	}
	for i, port := range s.pods {
		if w.pods[s.endpoints[i].Ifindex] == nil {
			err = errors.Join(err, port.Close())
		}
	}
	return nil, fmt.Errorf("node %s: %w", s.node.Name, errors.Join(err, w.close()))
}

func (w *worker) open(s *seat) error {
	cfg, err := s.cluster.NodeConfig(s.node.Name)
	if err != nil {
		return err
	}
	if w.clock, err = newClock(&cfg); err != nil {
		return err
	}
	if s.attacher != nil {
		return w.openAttached(s, &cfg)
	}
	if w.host, err = s.ns.OpenPacket(netDevice, netns.PacketOptions{Marks: true, VNetHdr: true}); err != nil {
		return err
	}
	if err := w.openCarrier(s, &cfg); err != nil {
		return err
	}
	runner, err := s.engine(w.set)
	if err != nil {
		return fmt.Errorf("make engine: %w", err)
	}
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(s.node.Name)) // never fails
	w.node = node.New(node.Config{
		Name: s.node.Name, Runner: runner,
		Stack:    &hostStack{out: outlet{port: w.host}, mac: cfg.HostMAC},
		Underlay: underlay{w.tunnel},
		Clock:    w.clock.now,
		Rand:     rand.New(rand.NewPCG(s.cluster.Settings().Seed, seed.Sum64())).Uint32,
	})
	if err := w.addDevices(s, &cfg); err != nil {
		return err
	}
	if w.agent, err = cluster.NewAgent(s.cluster, s.node.Name, cluster.MapsFunc(runner.Map)); err != nil {
		return err
	}
	if err := w.agent.Sync(); err != nil {
		return err
	}
	return w.openGC(runner, cfg, s.cluster.Settings().ConntrackGCInterval)
}

// openCarrier opens the way to the other nodes: through a TAP device where it is
// allowed and the kernel can carry aggregates in a tunnel, else through UDP sockets.
func (w *worker) openCarrier(s *seat, cfg *dataplane.Config) error {
	mtu := int(s.cluster.Settings().MTU)
	if s.underlay != underlaySocket {
		c, err := openCarrierTAP(s.ns, s.node, cfg, mtu)
		if err == nil {
			w.tunnel = c
			return nil
		}
		missing := errors.Is(err, netns.ErrNotSupported) || errors.Is(err, netns.ErrPermission)
		if !missing || s.underlay == underlayTAP {
			return err
		}
		w.log.Debug("no aggregates in tunnels; using UDP sockets", "node", w.name, "err", err)
	}
	return s.ns.Do(func() error {
		u, err := tunnel.Open(tunnel.Config{Port: cfg.TunnelPort, MAC: cfg.OverlayMAC, MTU: mtu - tunnel.Overhead})
		if err == nil {
			w.tunnel = u
		}
		return err
	})
}

func (w *worker) openGC(runner dataplane.Runner, cfg dataplane.Config, every uint32) error {
	tcp, err := runner.Map(maps.NameCT4)
	if err != nil {
		return err
	}
	other, err := runner.Map(maps.NameCTAny4)
	if err != nil {
		return err
	}
	w.gc = cluster.NewGC(cfg, tcp, other)
	w.gc.Every(every)
	return nil
}

// addDevices gives the node its devices and the loop its sources.
func (w *worker) addDevices(s *seat, cfg *dataplane.Config) error {
	mtu := int(s.cluster.Settings().MTU)
	for _, d := range hostDevices(s.node, cfg, mtu) {
		if err := w.node.AddDevice(d, *cfg); err != nil {
			return err
		}
	}
	if _, err := w.watch("underlay", w.tunnel.FD(), w.fromUnderlay(cfg.EncapIfindex)); err != nil {
		return err
	}
	if _, err := w.watch(netDevice, w.host.FD(), w.fromHost(cfg.HostIfindex)); err != nil {
		return err
	}
	for i := range s.endpoints {
		if err := w.attach(s.cluster, &s.endpoints[i].Endpoint, s.pods[i]); err != nil {
			return err
		}
	}
	return nil
}

// podPort is the way into a pod.
type podPort struct {
	port   *netns.Port
	source *source
}

// attach connects an endpoint: its device with its programs, its port as a source. The
// port is the worker's from then on, unless there is an error.
func (w *worker) attach(c *cluster.Cluster, e *cluster.Endpoint, port *netns.Port) error {
	cfg, err := c.EndpointConfig(w.name, *e)
	if err != nil {
		return err
	}
	mtu := int(c.Settings().MTU)
	if err := w.node.AddDevice(podDeviceOf(e, &cfg, mtu, &podWire{outlet{port: port, gather: &w.gather}}), cfg); err != nil {
		return err
	}
	from, err := w.watch(e.Device, port.FD(), w.fromPod(port, e.Ifindex))
	if err != nil {
		return errors.Join(err, w.node.RemoveDevice(e.Ifindex))
	}
	w.pods[e.Ifindex] = &podPort{port, from}
	return nil
}

// detach undoes attach. It is not an error if there is no such endpoint.
func (w *worker) detach(ifindex uint32) error {
	p := w.pods[ifindex]
	if p == nil {
		return nil
	}
	delete(w.pods, ifindex)
	err := w.node.RemoveDevice(ifindex)
	if w.joined {
		err = errors.Join(err, w.loop.unwatch(p.source))
	}
	w.sources = slices.DeleteFunc(w.sources, func(s *source) bool { return s == p.source })
	return errors.Join(err, p.port.Close())
}

// update brings programs and maps to the cluster's present state.
func (w *worker) update(c *cluster.Cluster) error {
	cfg, err := c.NodeConfig(w.name)
	if err != nil {
		return err
	}
	for _, d := range w.node.Devices() {
		if d.Kind == node.LXC {
			continue
		}
		if err := w.node.Configure(d.Ifindex, cfg); err != nil {
			return err
		}
	}
	for _, e := range c.Endpoints(w.name) {
		if w.pods[e.Ifindex] == nil {
			continue // its port was lost
		}
		cfg, err := c.EndpointConfig(w.name, e.Endpoint)
		if err != nil {
			return err
		}
		if err := w.node.Configure(e.Ifindex, cfg); err != nil {
			return err
		}
	}
	return w.agent.Sync()
}

// watch makes a descriptor a source of frames, from when the worker has joined its loop on.
func (w *worker) watch(name string, fd int, next func() (bool, error)) (*source, error) {
	s := &source{worker: w, name: name, fd: fd, next: next, burst: 1}
	if w.joined {
		if err := w.loop.watch(s); err != nil {
			return nil, err
		}
	}
	w.sources = append(w.sources, s)
	return s, nil
}

// stop ends the worker, which has been started, and waits for that.
func (w *worker) stop() {
	w.stopping.Store(true)
	w.loop.wake()
	<-w.ended
}

// close closes everything that the worker has open. No loop has it.
func (w *worker) close() error {
	err := w.closePods()
	if w.host != nil {
		err = errors.Join(err, w.host.Close())
	}
	if w.tunnel != nil {
		err = errors.Join(err, w.tunnel.Close())
	}
	switch {
	case w.attached != nil:
		err = errors.Join(err, w.attached.close(w.node))
	case w.node != nil:
		err = errors.Join(err, w.node.Runner().Close())
	}
	return err
}

// closePods closes the ports of all pods, several at a time: the kernel has each device wait
// for all CPUs before it goes, some 30 ms, but lets them wait together.
func (w *worker) closePods() error {
	const atOnce = 16
	var closing sync.WaitGroup
	ports := make(chan *netns.Port)
	errs := make([]error, atOnce)
	for i := range min(atOnce, len(w.pods)) {
		closing.Go(func() {
			for p := range ports {
				errs[i] = errors.Join(errs[i], p.Close())
			}
		})
	}
	for _, p := range w.pods {
		ports <- p.port
	}
	close(ports)
	closing.Wait()
	return errors.Join(errs...)
}
