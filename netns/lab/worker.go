package lab

import (
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

const (
	readBudget = 64       // frames from one port before the next one's turn
	gcBudget   = 256      // conntrack entries looked at between two batches
	ringSize   = 1024     // notifications
	frameRoom  = 64 << 10 // the longest that any port hands over
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
	socket *tunnel.Underlay
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
	if w.host, err = s.ns.OpenPacket(netDevice, netns.PacketOptions{Marks: true}); err != nil {
		return err
	}
	err = s.ns.Do(func() (err error) {
		w.socket, err = tunnel.Open(tunnel.Config{Port: cfg.TunnelPort, MAC: cfg.OverlayMAC})
		return err
	})
	if err != nil {
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
		Stack:    &hostStack{port: w.host, mac: cfg.HostMAC},
		Underlay: underlay{w.socket},
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
	if err := w.watch("underlay", w.socket.FD(), w.fromUnderlay(cfg.EncapIfindex)); err != nil {
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
		if err := w.node.AddDevice(podDeviceOf(e, cfg, mtu, &podWire{port: w.pods[i]}), epConfig); err != nil {
			return err
		}
		if err := w.watch(e.Device, w.pods[i].FD(), w.fromPod(w.pods[i], e.Ifindex)); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) watch(name string, fd int, next func() (bool, error)) error {
	w.sources = append(w.sources, &source{name: name, fd: fd, next: next})
	return w.poll.Add(fd, uint32(len(w.sources)-1))
}

// fromPod is a frame that a pod sends: received by its lxc device.
func (w *worker) fromPod(port *netns.Port, ifindex uint32) func() (bool, error) {
	return func() (bool, error) {
		n, err := port.Read(w.buf, &w.meta)
		if n == 0 || err != nil {
			return false, err
		}
		w.packet.Reset(w.buf[:n])
		return true, w.node.Receive(ifindex, &w.packet)
	}
}

// fromHost is a frame that the node's kernel sends on cilium_host.
//
// Differs: ingress_ifindex is 0 for what the kernel forwards, as for its own packets:
// a frame on cilium_net does not tell where it came from. Only notifications of
// to-container show it.
func (w *worker) fromHost(ifindex uint32) func() (bool, error) {
	return func() (bool, error) {
		n, err := w.host.Read(w.buf, &w.meta)
		if n == 0 || err != nil {
			return false, err
		}
		w.packet.Reset(w.buf[:n])
		w.packet.Mark = w.meta.Mark
		return true, w.node.Transmit(ifindex, &w.packet)
	}
}

// fromUnderlay is a datagram of another node: received by cilium_vxlan.
func (w *worker) fromUnderlay(ifindex uint32) func() (bool, error) {
	return func() (bool, error) {
		n, err := w.socket.Recv(w.buf, &w.outer)
		if n == 0 || err != nil {
			return false, err
		}
		frame := w.buf[tunnel.HeaderLen : tunnel.HeaderLen+n]
		// A kernel at the other end may have left it to hardware that is not there.
		tunnel.CompleteChecksum(frame)
		w.packet.Reset(frame)
		w.packet.TunnelIn = dataplane.TunnelKey{
			Present: true, ID: w.outer.VNI, Remote: w.outer.Remote, TTL: w.outer.TTL, TOS: w.outer.TOS,
		}
		return true, w.node.Receive(ifindex, &w.packet)
	}
}

// run is the loop. It ends after stop, or with an error that the node cannot survive,
// and closes everything.
func (w *worker) run() error {
	var err error
	for timeout := time.Duration(0); err == nil && !w.stopping.Load(); {
		var n int
		n, err = w.poll.Wait(w.events[:], timeout)
		w.node.RunTasks()
		for _, e := range w.events[:n] {
			w.drain(w.sources[e.Data])
		}
		w.count()
		timeout = w.collect()
	}
	w.node.Stop()
	return errors.Join(err, w.close())
}

// stop makes run return soon. It may be called from any goroutine.
func (w *worker) stop() {
	w.stopping.Store(true)
	_ = w.poll.Wake() // fails only if run has returned
}

// drain reads what waits at a source, up to the budget.
func (w *worker) drain(s *source) {
	for range readBudget {
		more, err := s.next()
		if err != nil {
			w.broken(s, err)
			return
		}
		if !more {
			return
		}
		w.count()
	}
}

// broken counts a source's error. A device that is gone, such as a pod's eth0 that
// somebody has deleted, is no longer watched.
func (w *worker) broken(s *source, err error) {
	s.errors++
	if errors.Is(err, netns.ErrClosed) {
		err = errors.Join(err, w.poll.Remove(s.fd))
		w.log.Warn("port is gone", "node", w.name, "port", s.name, "err", err)
		return
	}
	if s.errors == 1 {
		w.log.Warn("port has an error; further ones are only counted", "node", w.name, "port", s.name, "err", err)
	}
}

// count takes the notifications out of the ring.
func (w *worker) count() {
	for {
		record, ok := w.ring.Next()
		if !ok {
			break
		}
		switch record[0] {
		case trace.TypeDrop:
			w.counts.Drop++
		case trace.TypeTrace:
			w.counts.Trace++
		case trace.TypeVerdict:
			w.counts.Verdict++
		}
	}
	w.counts.Lost = w.ring.Lost()
}

// collect does a slice of garbage collection if it is due, and returns how long the
// loop may wait for frames.
func (w *worker) collect() time.Duration {
	next, idle, err := w.gc.Step(w.clock.units(), gcBudget)
	if err != nil {
		w.log.Warn("conntrack", "node", w.name, "err", err)
	}
	if !idle {
		return 0
	}
	return max(w.clock.until(next), time.Millisecond)
}

func (w *worker) close() error {
	var err error
	for _, p := range w.pods {
		err = errors.Join(err, p.Close())
	}
	if w.host != nil {
		err = errors.Join(err, w.host.Close())
	}
	if w.socket != nil {
		err = errors.Join(err, w.socket.Close())
	}
	if w.node != nil {
		err = errors.Join(err, w.node.Runner().Close())
	}
	if w.poll != nil {
		err = errors.Join(err, w.poll.Close())
	}
	return err
}
