package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// ErrNoDevice is wrapped where an interface index has no device.
var ErrNoDevice = errors.New("no such device")

// maxHops bounds how often one frame may be redirected within a node, as the
// kernel bounds transmit recursion (XMIT_RECURSION_LIMIT).
const maxHops = 8

// Config is what a node is made of.
type Config struct {
	Name     string
	Runner   dataplane.Runner
	Stack    Stack
	Underlay Underlay
	Clock    func() (ktimeNS, jiffies uint64)
	Rand     func() uint32
}

// Node is a node's devices around its engine.
type Node struct {
	cfg     Config
	devices map[uint32]*Device
	kinds   [Uplink + 1]*Device // the one of each kind but LXC
	env     dataplane.Env
	stats   Stats
	tasks   tasks
	look    func(*Event) // nil: nobody looks
}

// Stats counts frames by what became of them.
type Stats struct {
	Received   uint64 // frames that entered the node
	ToPod      uint64 // sent into a pod
	ToStack    uint64 // given to the host stack
	ToUnderlay uint64 // encapsulated
	Lost       [LossEngine + 1]uint64
}

// New makes a node without devices.
func New(c Config) *Node {
	n := &Node{cfg: c, devices: map[uint32]*Device{}}
	n.env.Rand = c.Rand
	return n
}

// Name is the node's name.
func (n *Node) Name() string { return n.cfg.Name }

// Runner is the node's engine.
func (n *Node) Runner() dataplane.Runner { return n.cfg.Runner }

// SetObserver lets f see every frame's way from now on; nil ends that. It is
// called on the node's goroutine.
func (n *Node) SetObserver(f func(*Event)) { n.look = f }

// Stats counts what has happened so far.
func (n *Node) Stats() Stats { return n.stats }

// AddDevice adds a device and loads its programs with the configuration.
func (n *Node) AddDevice(d *Device, c dataplane.Config) error {
	if old := n.devices[d.Ifindex]; old != nil {
		return fmt.Errorf("add device %s: ifindex %d is %s", d.Name, d.Ifindex, old.Name)
	}
	if d.Kind != LXC && n.kinds[d.Kind] != nil {
		return fmt.Errorf("add device %s: %s is there already", d.Name, d.Kind)
	}
	var loaded []dataplane.Hook
	for _, h := range []*dataplane.Hook{d.Ingress, d.Egress} {
		if h == nil {
			continue
		}
		if err := n.cfg.Runner.Load(*h, c); err != nil {
			err = fmt.Errorf("add device %s: %w", d.Name, err)
			for _, l := range loaded {
				err = errors.Join(err, n.cfg.Runner.Unload(l))
			}
			return err
		}
		loaded = append(loaded, *h)
	}
	n.devices[d.Ifindex] = d
	if d.Kind != LXC {
		n.kinds[d.Kind] = d
	}
	return nil
}

// Configure loads a device's programs again with another configuration. What they keep
// in maps stays.
func (n *Node) Configure(ifindex uint32, c dataplane.Config) error {
	d := n.devices[ifindex]
	if d == nil {
		return fmt.Errorf("configure device %d: %w", ifindex, ErrNoDevice)
	}
	for _, h := range []*dataplane.Hook{d.Ingress, d.Egress} {
		if h == nil {
			continue
		}
		if err := n.cfg.Runner.Load(*h, c); err != nil {
			return fmt.Errorf("configure device %s: %w", d.Name, err)
		}
	}
	return nil
}

// RemoveDevice removes a device and unloads its programs.
func (n *Node) RemoveDevice(ifindex uint32) error {
	d := n.devices[ifindex]
	if d == nil {
		return fmt.Errorf("remove device %d: %w", ifindex, ErrNoDevice)
	}
	delete(n.devices, ifindex)
	if d.Kind != LXC {
		n.kinds[d.Kind] = nil
	}
	var err error
	for _, h := range []*dataplane.Hook{d.Ingress, d.Egress} {
		if h != nil {
			err = errors.Join(err, n.cfg.Runner.Unload(*h))
		}
	}
	return err
}

// Device is the device with an interface index, or nil.
func (n *Node) Device(ifindex uint32) *Device { return n.devices[ifindex] }

// Devices are all devices by interface index.
func (n *Node) Devices() []*Device {
	ds := make([]*Device, 0, len(n.devices))
	for _, i := range slices.Sorted(maps.Keys(n.devices)) {
		ds = append(ds, n.devices[i])
	}
	return ds
}

// Receive is a frame that enters the node through a device: from a pod on its lxc
// device, decapsulated on cilium_vxlan. The caller has filled the frame, the
// tunnel key and, as known, checksum and segmentation state.
func (n *Node) Receive(ifindex uint32, p *dataplane.Packet) error {
	d := n.devices[ifindex]
	if d == nil {
		return fmt.Errorf("receive on %d: %w", ifindex, ErrNoDevice)
	}
	n.start()
	n.receive(d, p, 0)
	return nil
}

// Transmit is a frame that the host stack sends through one of the node's
// devices, with its mark. A frame that the stack forwards keeps IngressIfindex.
func (n *Node) Transmit(ifindex uint32, p *dataplane.Packet) error {
	d := n.devices[ifindex]
	if d == nil {
		return fmt.Errorf("transmit on %d: %w", ifindex, ErrNoDevice)
	}
	n.start()
	n.transmit(d, p, 0)
	return nil
}

// start begins a frame's stay in the node.
func (n *Node) start() {
	n.stats.Received++
	n.env.KtimeNS, n.env.Jiffies = n.cfg.Clock()
}

// receive is a device's ingress: type, incoming interface, program.
func (n *Node) receive(d *Device, p *dataplane.Packet, hops int) {
	p.Ifindex, p.IngressIfindex = d.Ifindex, d.Ifindex
	if len(p.Data) >= header.EthernetSize {
		p.PktType = packetType(p.Eth().Dst(), d.MAC)
	}
	n.observe(EventIn, d, p)
	v, ok := n.run(d, d.Ingress, p)
	if !ok {
		return
	}
	switch v.Kind() {
	case dataplane.Dropped:
		n.lose(LossVerdict, d, p)
	case dataplane.Redirected:
		n.redirect(v, p, hops)
	default:
		n.deliver(d, p)
	}
}

// transmit is a device's egress: program, then what the device does.
func (n *Node) transmit(d *Device, p *dataplane.Packet, hops int) {
	p.Ifindex = d.Ifindex
	v, ok := n.run(d, d.Egress, p)
	if !ok {
		return
	}
	switch v.Kind() {
	case dataplane.Dropped:
		n.lose(LossVerdict, d, p)
	case dataplane.Redirected:
		n.redirect(v, p, hops)
	default:
		n.send(d, p, hops)
	}
}

// run runs a hook's program; no hook passes. It is false if the engine failed,
// and the frame is lost.
func (n *Node) run(d *Device, h *dataplane.Hook, p *dataplane.Packet) (dataplane.Verdict, bool) {
	if h == nil {
		return dataplane.Verdict{}, true
	}
	if n.look != nil {
		n.look(&Event{Kind: EventBefore, Device: d, Packet: p, Hook: h})
	}
	v, err := n.cfg.Runner.Run(*h, p, &n.env)
	if err != nil {
		n.lose(LossEngine, d, p)
		return v, false
	}
	if n.look != nil {
		n.look(&Event{Kind: EventAfter, Device: d, Packet: p, Hook: h, Verdict: v})
	}
	return v, true
}

// redirect follows a redirect (skb_do_redirect).
func (n *Node) redirect(v dataplane.Verdict, p *dataplane.Packet, hops int) {
	d := n.devices[v.Ifindex]
	switch {
	case d == nil:
		n.lose(LossNoDevice, nil, p)
	case hops >= maxHops:
		n.lose(LossLoop, d, p)
	case v.Flags&dataplane.RedirectPeer != 0 && d.Kind == LXC:
		// Straight into the pod: no egress of the device.
		n.toPod(d, p)
	case v.Flags&dataplane.RedirectIngress != 0:
		n.receive(d, p, hops+1)
	default:
		n.transmit(d, p, hops+1)
	}
}

// send is what a device does with a frame that has passed its egress.
func (n *Node) send(d *Device, p *dataplane.Packet, hops int) {
	n.observe(EventOut, d, p)
	switch d.Kind {
	case LXC:
		if !d.fits(p) {
			n.lose(LossMTU, d, p)
			return
		}
		n.toPod(d, p)
	case Net:
		n.crossVeth(d, Host, p, hops)
	case Host:
		n.crossVeth(d, Net, p, hops)
	case VXLAN:
		if !p.TunnelOut.Present {
			n.lose(LossNoKey, d, p)
			return
		}
		n.observe(EventToUnderlay, nil, p)
		n.count(n.cfg.Underlay.Send(p), &n.stats.ToUnderlay, nil, p)
	default:
		n.lose(LossNoDevice, d, p)
	}
}

// crossVeth receives the frame on the other end of the cilium_host/cilium_net
// pair. Both are in one namespace: mark and scratch slots survive.
func (n *Node) crossVeth(from *Device, to Kind, p *dataplane.Packet, hops int) {
	peer := n.kinds[to]
	switch {
	case peer == nil:
		n.lose(LossNoDevice, from, p)
	case !peer.fits(p):
		n.lose(LossMTU, from, p)
	default:
		n.receive(peer, p, hops+1)
	}
}

func (n *Node) toPod(d *Device, p *dataplane.Packet) {
	n.observe(EventToPod, d, p)
	n.count(d.Wire.Send(p.Data, p), &n.stats.ToPod, d, p)
}

// deliver gives a received frame to the host stack, which takes none that is
// addressed to another host.
func (n *Node) deliver(d *Device, p *dataplane.Packet) {
	if p.PktType == dataplane.PacketOtherHost {
		n.lose(LossOtherHost, d, p)
		return
	}
	n.observe(EventToStack, d, p)
	n.count(n.cfg.Stack.Deliver(d, p), &n.stats.ToStack, d, p)
}

func (n *Node) count(err error, done *uint64, d *Device, p *dataplane.Packet) {
	if err != nil {
		n.lose(LossIO, d, p)
		return
	}
	*done++
}
