package lab

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
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
	readBudget = 64       // frames from one port before the next one's turn
	gcBudget   = 256      // conntrack entries looked at between two batches
	ringSize   = 1024     // notifications
	frameRoom  = 66 << 10 // the longest that any port hands over: an IP packet with its Ethernet header
)

// worker is a node at work: the goroutine of its loop owns all of it.
type worker struct {
	name   string
	log    *slog.Logger
	node   *node.Node
	set    *maps.Set
	agent  *cluster.Agent
	gc     *cluster.GC
	clock  clock
	poll   *netns.Poller
	tunnel carrier
	host   *netns.Port
	pods   []*netns.Port

	sources []*source // by the poller's data
	events  [16]netns.Event
	buf     []byte
	packet  dataplane.Packet
	meta    netns.Meta
	outer   tunnel.Meta
	ring    *trace.Ring
	counts  EventCounts

	started  bool // run has been called; the lab's
	stopping atomic.Bool
}

// source is a descriptor that frames come from.
type source struct {
	name string
	fd   int
	// next reads a frame and runs it to its end; it is false if none waits.
	next   func() (bool, error)
	burst  int // frames to read before others have their turn
	errors uint64
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
	cluster   *cluster.Cluster
	node      *cluster.Node
	ns        *netns.NS
	engine    func(*maps.Set) (dataplane.Runner, error)
	endpoints []cluster.NodeEndpoint
	pods      []*netns.Port // of endpoints; the worker's from now on
	log       *slog.Logger
	underlay  string // see Options
	wire      string // wireTAP or wireVeth
}

// newWorker opens a node's ports, loads its programs and fills its maps. The node's
// namespace is complete. On an error everything is closed again, the pods' ports too.
func newWorker(s *seat) (*worker, error) {
	w := &worker{name: s.node.Name, log: s.log, set: maps.NewSet(maps.Sizes{}), pods: s.pods, buf: make([]byte, frameRoom), ring: trace.NewRing(ringSize)}
	w.packet.Events = w.ring
	if err := w.open(s); err != nil {
		return nil, fmt.Errorf("node %s: %w", s.node.Name, errors.Join(err, w.close()))
	}
	return w, nil
}

func (w *worker) open(s *seat) error {
	cfg, err := s.cluster.NodeConfig(s.node.Name)
	if err != nil {
		return err
	}
	if w.clock, err = newClock(&cfg); err != nil {
		return err
	}
	if w.poll, err = netns.NewPoller(); err != nil {
		return err
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
	// The error is that of a poller that is closed: then nobody waits any more.
	w.node.SetWake(func() { _ = w.poll.Wake() })
	if err := w.addDevices(s, &cfg); err != nil {
		return err
	}
	if w.agent, err = cluster.NewAgent(s.cluster, s.node.Name, cluster.MapsFunc(runner.Map)); err != nil {
		return err
	}
	if err := w.agent.Sync(); err != nil {
		return err
	}
	return w.openGC(runner, cfg)
}

// openCarrier opens the way to the other nodes: through a TAP device where the kernel
// can carry aggregates in a tunnel, else through UDP sockets.
func (w *worker) openCarrier(s *seat, cfg *dataplane.Config) error {
	mtu := int(s.cluster.Settings().MTU)
	if s.underlay != underlaySocket {
		c, err := openCarrierTAP(s.ns, s.node, cfg, mtu)
		if err == nil {
			w.tunnel = c
			return nil
		}
		if !errors.Is(err, netns.ErrNotSupported) || s.underlay == underlayTAP {
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

func (w *worker) openGC(runner dataplane.Runner, cfg dataplane.Config) error {
	tcp, err := runner.Map(maps.NameCT4)
	if err != nil {
		return err
	}
	other, err := runner.Map(maps.NameCTAny4)
	if err != nil {
		return err
	}
	w.gc = cluster.NewGC(cfg, tcp, other)
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
	if err := w.watch("underlay", w.tunnel.FD(), w.fromUnderlay(cfg.EncapIfindex)); err != nil {
		return err
	}
	if err := w.watch(netDevice, w.host.FD(), w.fromHost(cfg.HostIfindex)); err != nil {
		return err
	}
	for i := range s.endpoints {
		e := &s.endpoints[i].Endpoint
		epConfig, err := s.cluster.EndpointConfig(s.node.Name, *e)
		if err != nil {
			return err
		}
		if err := w.node.AddDevice(podDeviceOf(e, cfg, mtu, &podWire{outlet{port: w.pods[i]}}), epConfig); err != nil {
			return err
		}
		if err := w.watch(e.Device, w.pods[i].FD(), w.fromPod(w.pods[i], e.Ifindex)); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) watch(name string, fd int, next func() (bool, error)) error {
	w.sources = append(w.sources, &source{name: name, fd: fd, next: next, burst: 1})
	return w.poll.Add(fd, uint32(len(w.sources)-1))
}

// stop makes run return soon. It may be called from any goroutine.
func (w *worker) stop() {
	w.stopping.Store(true)
	_ = w.poll.Wake() // fails only if run has returned
}

// close closes everything that the worker has open. The loop does not run.
func (w *worker) close() error {
	var err error
	for _, p := range w.pods {
		err = errors.Join(err, p.Close())
	}
	if w.host != nil {
		err = errors.Join(err, w.host.Close())
	}
	if w.tunnel != nil {
		err = errors.Join(err, w.tunnel.Close())
	}
	if w.node != nil {
		err = errors.Join(err, w.node.Runner().Close())
	}
	if w.poll != nil {
		err = errors.Join(err, w.poll.Close())
	}
	return err
}
