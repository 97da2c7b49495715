package sim

import (
	"fmt"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
)

// Point is where a frame is put in. One of Pod, Node and External is set.
type Point struct {
	// Pod names a pod as Resolve does: its eth0 sends the frame, or, with Receive,
	// takes it from the wire.
	Pod     string
	Receive bool
	// Node names a node, Device one of its devices: the frame comes in there, or, with
	// Egress, the host stack sends it there. "eth0" is on the underlay.
	Node   string
	Device string
	Egress bool
	// External names an external host, or is "gateway": it sends the frame onto the
	// underlay.
	External string

	// What the frame has beside its bytes, where the device's hook would find it.
	Mark           uint32
	IngressIfindex uint32              // Egress: where it entered the node; 0: made by the host
	Tunnel         dataplane.TunnelKey // cilium_vxlan: ingress the packet's key, egress the one to use
}

// maxFrame is an Ethernet header and the longest IP packet.
const maxFrame = header.EthernetSize + maxPacket

// Inject puts a frame in at a point, from its Ethernet header on. The bytes are
// copied. A frame whose Ethernet addresses are all zero gets those that a frame has
// there. The result of the conversation is what has become of it once the simulation
// is idle.
func (s *Sim) Inject(at Point, frame []byte) (*Conversation, error) {
	if len(frame) > maxFrame {
		return nil, fmt.Errorf("inject %d bytes, at most %d: %w", len(frame), maxFrame, ErrMessage)
	}
	where, dev, enter, err := s.entrance(at)
	if err != nil {
		return nil, fmt.Errorf("inject: %w", err)
	}
	c := s.newConversation(nil)
	f := s.derive(nil, Original, append([]byte(nil), frame...))
	s.address(at, f)
	f.conv, f.mark, f.iif = c, at.Mark, at.IngressIfindex
	c.result.Sent = 1
	s.after(0, func() {
		c.finished = true // what follows makes the outcome
		s.emit(f, where, dev, Event{Kind: Sent})
		enter(f)
	})
	return c, nil
}

// entrance finds the point.
func (s *Sim) entrance(at Point) (where Place, dev string, enter func(f *frame), err error) {
	switch {
	case at.Pod != "":
		o, err := s.find(at.Pod)
		if err == nil && o.pod == nil {
			err = fmt.Errorf("%s is no pod with an eth0: %w", at.Pod, ErrName)
		}
		if err != nil {
			return where, "", nil, err
		}
		enter = o.pod.transmit
		if at.Receive {
			enter = o.pod.arrive
		}
		return o.pod.at, deviceEth0, enter, nil
	case at.Node != "":
		m := s.machines[at.Node]
		if m == nil {
			return where, "", nil, fmt.Errorf("node %s: %w", at.Node, ErrName)
		}
		enter, err = m.entrance(at)
		return m.at, at.Device, enter, err
	case at.External != "":
		x := s.gateway
		if at.External != AtGateway.String() {
			x = s.external(at.External)
		}
		if x == nil || !x.onUnderlay {
			return where, "", nil, fmt.Errorf("no external host %s on the underlay: %w", at.External, ErrName)
		}
		return x.at, deviceEth0, func(f *frame) { s.underlay.carry(x.at, f) }, nil
	}
	return where, "", nil, fmt.Errorf("neither pod, node nor external host: %w", ErrName)
}

// entrance finds one of the node's devices.
func (m *machine) entrance(at Point) (func(f *frame), error) {
	s := m.sim
	if at.Device == deviceEth0 {
		if at.Egress {
			return func(f *frame) { s.underlay.carry(m.at, f) }, nil
		}
		return m.arrive, nil
	}
	ifindex := uint32(0)
	for _, d := range s.cluster.Devices(at.Node) {
		if d.Name == at.Device {
			ifindex = d.Ifindex
		}
	}
	if ifindex == 0 {
		return nil, fmt.Errorf("node %s has no device %s: %w", at.Node, at.Device, ErrName)
	}
	return func(f *frame) {
		if !m.ready(f) {
			return
		}
		m.enter(f, func(p *dataplane.Packet) error {
			switch {
			case at.Egress:
				p.TunnelOut = at.Tunnel
				return m.node.Transmit(ifindex, p)
			case at.Device == node.VXLAN.String():
				p.TunnelIn = at.Tunnel
			}
			return m.node.Receive(ifindex, p)
		})
	}, nil
}
