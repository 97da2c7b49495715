package lab

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/tunnel"
)

// podWire is the way into a pod: the back of its TAP device or the node's end of its
// veth pair. It implements node.Wire.
type podWire struct{ out outlet }

// Send makes the pod's eth0 receive the frame.
func (w *podWire) Send(_ []byte, p *dataplane.Packet) error { return w.out.send(p) }

// hostStack is the node's kernel behind cilium_host. It implements node.Stack.
type hostStack struct {
	out outlet  // on cilium_net
	mac [6]byte // of cilium_host
}

// Deliver sends the frame with its mark on cilium_net, so that cilium_host receives
// it. Frames to a group keep their address.
//
// Differs: a frame from a pod reaches the stack on cilium_host instead of the pod's
// lxc device, with cilium_host's address, because the kernel has no such device here
// (TestPrivilegedMarks).
func (s *hostStack) Deliver(_ *node.Device, p *dataplane.Packet) error {
	if len(p.Data) >= header.EthernetSize && p.Data[0]&1 == 0 {
		copy(p.Data, s.mac[:])
	}
	s.out.meta.Mark = p.Mark
	return s.out.send(p)
}

// carrier moves frames between nodes. There are two, tunnel.Underlay and carrierTAP.
type carrier interface {
	// FD is the descriptor to wait for before Recv.
	FD() int
	// SendPacket sends a frame with its tunnel key. It may wait for more until Flush.
	SendPacket(p *dataplane.Packet) error
	Flush() error
	// MaxAggregate is the payload in bytes of the longest aggregate of TCP that leaves in one
	// call; 0: the kernel makes none that does not.
	MaxAggregate() int
	// Recv returns the next inner frame, borrowed until the next call, or nil.
	Recv(m *tunnel.Meta) ([]byte, error)
	Stats() tunnel.Stats
	Close() error
}

// underlay is the way from cilium_vxlan to the other nodes. It implements
// node.Underlay.
type underlay struct{ carrier carrier }

// Send encapsulates the frame with the key that a program has set.
func (u underlay) Send(p *dataplane.Packet) error { return u.carrier.SendPacket(p) }
