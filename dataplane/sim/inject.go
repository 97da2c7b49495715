package sim

import (
	"fmt"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/tunnel"
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
// copied. The result of the conversation is what has become of it once the
// simulation is idle.
func (s *Sim) Inject(at Point, frame []byte) (*Conversation, error) {
	if len(frame) > maxFrame {
		return nil, fmt.Errorf("inject %d bytes, at most %d: %w", len(frame), maxFrame, ErrMessage)
	}
	enter, err := s.entrance(at)
	if err != nil {
		return nil, fmt.Errorf("inject: %w", err)
	}
	c := s.newConversation(nil)
	f := s.derive(nil, Original, append([]byte(nil), frame...))
	f.conv, f.mark, f.iif = c, at.Mark, at.IngressIfindex
	c.result.Sent = 1
	s.after(0, func() {
		c.finished = true // what follows makes the outcome
		enter(f)
	})
	return c, nil
}

// entrance finds the point.
func (s *Sim) entrance(at Point) (func(f *frame), error) {
	switch {
	case at.Pod != "":
		o, err := s.find(at.Pod)
		if err == nil && o.pod == nil {
			err = fmt.Errorf("%s is no pod with an eth0: %w", at.Pod, ErrName)
		}
		if err != nil {
			return nil, err
		}
		if at.Receive {
			return o.pod.arrive, nil
		}
		return func(f *frame) {
			s.emit(f, o.pod.at, deviceEth0, Event{Kind: Sent})
			o.pod.transmit(f)
		}, nil
	case at.Node != "":
		return s.nodeEntrance(at)
	case at.External == "gateway":
		return func(f *frame) { s.gateway.inject(f) }, nil
	case at.External != "":
		x := s.external(at.External)
		if x == nil || !x.onUnderlay {
			return nil, fmt.Errorf("no external host %s on the underlay: %w", at.External, ErrName)
		}
		return x.inject, nil
	}
	return nil, fmt.Errorf("neither pod, node nor external host: %w", ErrName)
}

// inject puts a frame on the underlay as it is.
func (x *station) inject(f *frame) {
	x.sim.emit(f, x.at, deviceEth0, Event{Kind: Sent})
	x.sim.underlay.carry(x.at, f)
}

func (s *Sim) nodeEntrance(at Point) (func(f *frame), error) {
	m := s.machines[at.Node]
	if m == nil {
		return nil, fmt.Errorf("node %s: %w", at.Node, ErrName)
	}
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
	vxlan := at.Device == node.VXLAN.String()
	return func(f *frame) {
		if !m.ready(f) {
			return
		}
		m.enter(f, func(p *dataplane.Packet) error {
			p.Hash = tunnel.FlowHash(p.Data)
			switch {
			case at.Egress:
				if vxlan {
					p.TunnelOut = at.Tunnel
				}
				return m.node.Transmit(ifindex, p)
			case vxlan:
				p.TunnelIn = at.Tunnel
			}
			return m.node.Receive(ifindex, p)
		})
	}, nil
}
