package sim

import (
	"fmt"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/maps"
)

// machine is a node of the cluster: its datapath, once a frame has met it, and its
// host stack.
type machine struct {
	sim        *Sim
	at         Place
	spec       cluster.Node
	ip, router [4]byte
	eth0, lo   *node.Device // the host stack's own; the others are the datapath's

	// The datapath; nil until it is needed.
	node    *node.Node
	agent   *cluster.Agent
	gc      *cluster.GC
	gcNext  uint32 // in units of the datapath's clock
	cfg     dataplane.Config
	version int                                 // of the cluster that it has
	pods    map[uint32]dataplane.EndpointConfig // loaded lxc devices by ifindex
	filled  bool                                // its maps were filled in the agent's place
	gone    bool                                // removed from the cluster
	current *frame                              // in the datapath
	packet  dataplane.Packet

	// The host stack.
	stack stack
	frags reassembly
	flows conntrack
	arp   neighbours // on lxc devices
}

const deviceEth0 = "eth0"

func newMachine(s *Sim, n cluster.Node) *machine {
	m := &machine{sim: s, at: Place{Kind: AtNode, Name: n.Name}, spec: n, ip: n.IP.As4(), router: n.Router.As4()}
	m.eth0 = &node.Device{Name: deviceEth0, Ifindex: 2, MAC: n.MAC, MTU: s.mtu, Kind: node.Uplink}
	m.lo = &node.Device{Name: "lo", Ifindex: 1, MTU: 65536}
	m.stack = stack{sim: s, out: m}
	m.frags = reassembly{sim: s, at: m.at}
	m.flows = conntrack{sim: s}
	m.arp = neighbours{sim: s}
	return m
}

func (m *machine) lose(f *frame, dev string, r Reason) { m.sim.lose(f, m.at, dev, r) }

// ready makes the datapath follow the cluster, and its garbage collection follow the
// time. If it cannot, the frame is lost.
func (m *machine) ready(f *frame) bool {
	if m.gone {
		m.lose(f, "", NoDevice)
		return false
	}
	if err := m.sync(); err != nil {
		m.sim.fail(fmt.Errorf("node %s: %w: %w", m.spec.Name, ErrEngine, err))
		m.lose(f, "", EngineFailed)
		return false
	}
	return true
}

func (m *machine) sync() error {
	if m.node == nil {
		if err := m.start(); err != nil {
			return err
		}
	}
	if m.version != m.sim.version {
		if err := m.reconcile(); err != nil {
			return err
		}
		m.version = m.sim.version
	}
	return m.collect()
}

// start makes engine, maps and the devices that every node has.
func (m *machine) start() error {
	runner, err := m.sim.opts.Engine(maps.NewSet(m.sim.opts.Sizes))
	if err != nil {
		return fmt.Errorf("make engine: %w", err)
	}
	chance := m.sim.chance("node " + m.spec.Name).Uint32
	if m.sim.opts.Rand != nil {
		chance = m.sim.opts.Rand(m.spec.Name)
	}
	n := node.New(node.Config{
		Name: m.spec.Name, Runner: runner, Stack: hostStack{m}, Underlay: vxlanDevice{m}, Clock: m.sim.Clock, Rand: chance,
	})
	if m.cfg, err = m.sim.cluster.NodeConfig(m.spec.Name); err != nil {
		return err
	}
	for _, d := range m.sim.cluster.Devices(m.spec.Name) {
		if dev := hostDevice(d); dev != nil {
			if err := n.AddDevice(dev, m.cfg); err != nil {
				return err
			}
		}
	}
	if m.agent, err = cluster.NewAgent(m.sim.cluster, m.spec.Name, cluster.MapsFunc(runner.Map)); err != nil {
		return err
	}
	tcp, err := runner.Map(maps.NameCT4)
	if err != nil {
		return err
	}
	other, err := runner.Map(maps.NameCTAny4)
	if err != nil {
		return err
	}
	m.gc = cluster.NewGC(m.cfg, tcp, other)
	n.SetObserver(m.observe)
	m.node, m.pods = n, make(map[uint32]dataplane.EndpointConfig)
	return nil
}

// hostDevice is one of Cilium's devices with its programs (SPEC 1); nil for others.
func hostDevice(d cluster.Device) *node.Device {
	dev := &node.Device{Name: d.Name, Ifindex: d.Ifindex, MAC: d.MAC, MTU: int(d.MTU)}
	hook := func(p dataplane.Prog) *dataplane.Hook { return &dataplane.Hook{Prog: p, Ifindex: d.Ifindex} }
	switch d.Name {
	case node.Host.String():
		dev.Kind, dev.Ingress, dev.Egress = node.Host, hook(dataplane.ToHost), hook(dataplane.FromHost)
	case node.Net.String():
		dev.Kind, dev.Ingress = node.Net, hook(dataplane.ToHost)
	case node.VXLAN.String():
		dev.Kind, dev.Ingress, dev.Egress = node.VXLAN, hook(dataplane.FromOverlay), hook(dataplane.ToOverlay)
	default:
		return nil
	}
	return dev
}

// reconcile gives the node the devices of its endpoints and its maps their content.
// Devices come first: an engine makes an endpoint's policy map with its program.
func (m *machine) reconcile() error {
	c, name := m.sim.cluster, m.spec.Name
	cfg, err := c.NodeConfig(name)
	if err != nil {
		return err
	}
	changed := cfg != m.cfg
	m.cfg = cfg
	want := make(map[uint32]bool)
	endpoints := c.Endpoints(name)
	for _, e := range endpoints {
		want[e.Ifindex] = true
	}
	for ifindex, had := range m.pods {
		if !want[ifindex] {
			if err := m.unplug(ifindex, had); err != nil {
				return err
			}
		}
	}
	for _, d := range m.node.Devices() {
		if changed && d.Kind != node.LXC {
			if err := m.reload(d, cfg); err != nil {
				return err
			}
		}
	}
	for _, e := range endpoints {
		if err := m.plug(e, changed); err != nil {
			return err
		}
	}
	if fill := m.sim.opts.Fill; fill != nil && m.version == 0 {
		if m.filled, err = fill(name, m.node.Runner().Map); err != nil {
			return err
		}
	}
	if m.filled {
		return nil
	}
	return m.agent.Sync()
}

// unplug removes an endpoint's device.
func (m *machine) unplug(ifindex uint32, had dataplane.EndpointConfig) error {
	delete(m.pods, ifindex)
	delete(m.arp.known, had.IPv4)
	return m.node.RemoveDevice(ifindex)
}

// reload gives a device's programs another configuration.
func (m *machine) reload(d *node.Device, cfg dataplane.Config) error {
	for _, h := range []*dataplane.Hook{d.Ingress, d.Egress} {
		if h == nil {
			continue
		}
		if err := m.node.Runner().Load(*h, cfg); err != nil {
			return err
		}
	}
	return nil
}

// plug adds or renews an endpoint's device. to-container is attached in the profiles
// that deliver through it (SPEC 0.3, 16).
func (m *machine) plug(e cluster.NodeEndpoint, changed bool) error {
	name := prefixHealth + m.spec.Name
	if e.Pod != nil {
		name = e.Pod.Ref()
	}
	p := m.sim.pods[name]
	cfg, err := m.sim.cluster.EndpointConfig(m.spec.Name, e.Endpoint)
	if err != nil || p == nil {
		return err
	}
	had, there := m.pods[e.Ifindex]
	d := m.node.Device(e.Ifindex)
	switch {
	case there && had == cfg.Endpoint && d != nil && d.Wire == (podWire{p}):
		if changed {
			return m.reload(d, cfg)
		}
		return nil
	case there:
		if err := m.unplug(e.Ifindex, had); err != nil {
			return err
		}
	}
	hook := func(prog dataplane.Prog) *dataplane.Hook {
		return &dataplane.Hook{Prog: prog, Ifindex: e.Ifindex, Endpoint: e.ID}
	}
	d = &node.Device{
		Name: e.Device, Ifindex: e.Ifindex, MAC: e.NodeMAC, MTU: m.sim.mtu, Kind: node.LXC, Endpoint: e.ID,
		Wire: podWire{p}, Ingress: hook(dataplane.FromContainer),
	}
	if cfg.Delivery == dataplane.DeliverToContainer || cfg.Delivery == dataplane.DeliverStack {
		d.Egress = hook(dataplane.ToContainer)
	}
	m.pods[e.Ifindex] = cfg.Endpoint
	return m.node.AddDevice(d, cfg)
}

// Clock is the datapath's view of the virtual time (SPEC 5.4): nanoseconds and jiffies since boot.
func (s *Sim) Clock() (ktimeNS, jiffies uint64) {
	return uint64(s.now), uint64(s.now.Seconds() * float64(s.settings.Datapath.KernelHz))
}

// collect lets the agent's garbage collection do what is due.
func (m *machine) collect() error {
	if m.filled {
		return nil
	}
	ktime, jiffies := m.sim.Clock()
	now := uint32(ktime / uint64(time.Second))
	if m.cfg.Clock == dataplane.ClockJiffies {
		now = uint32(jiffies >> 8)
	}
	const budget = 1 << 16
	for idle := now < m.gcNext; !idle; {
		var err error
		if m.gcNext, idle, err = m.gc.Step(now, budget); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) close() error {
	m.gone = true
	if m.node == nil {
		return nil
	}
	n := m.node
	m.node = nil
	return n.Runner().Close()
}

// Node is a cluster node's datapath, for looking at its maps and counters; it is set
// up if no frame has met it yet. It is valid until the next Refresh.
func (s *Sim) Node(name string) (*node.Node, error) {
	m := s.machines[name]
	if m == nil {
		return nil, fmt.Errorf("%s: %w", name, ErrName)
	}
	if err := m.sync(); err != nil {
		return nil, fmt.Errorf("node %s: %w: %w", name, ErrEngine, err)
	}
	return m.node, nil
}

// The machine is the outlet of its host's sockets.

func (m *machine) place() Place { return m.at }

func (m *machine) owns(ip [4]byte) bool { return ip == m.ip || ip == m.router || ip[0] == 127 }

func (m *machine) listens(proto uint8, ip [4]byte, port uint16) bool {
	return proto == header.ProtoTCP && port == healthPort || m.sim.listens(m.at, ip, proto, port)
}

// source is the address that the route to dst prefers.
func (m *machine) source(dst [4]byte) ([4]byte, bool) {
	w, ok := m.route(dst, 0)
	switch {
	case !ok:
		return [4]byte{}, false
	case w.Src.IsValid():
		return w.Src.As4(), true
	}
	return m.ip, true
}

func (m *machine) mtu(dst [4]byte) int {
	w, ok := m.route(dst, 0)
	if !ok {
		return m.sim.mtu
	}
	return w.MTU
}
