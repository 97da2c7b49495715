package lab

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

// podWire is the way into a pod: the back of its TAP device. It implements node.Wire.
type podWire struct {
	port *netns.Port
	meta netns.Meta
}

// Send makes the pod's eth0 receive the frame.
func (w *podWire) Send(frame []byte, _ *dataplane.Packet) error {
	return w.port.Write(frame, &w.meta)
}

// hostStack is the node's kernel behind cilium_host. It implements node.Stack.
type hostStack struct {
	port *netns.Port // on cilium_net
	mac  [6]byte     // of cilium_host
	meta netns.Meta
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
	s.meta.Mark = p.Mark
	return s.port.Write(p.Data, &s.meta)
}

// underlay is cilium_vxlan's UDP socket. It implements node.Underlay.
type underlay struct{ socket *tunnel.Underlay }

// Send encapsulates the frame with the key that a program has set.
func (u underlay) Send(p *dataplane.Packet) error {
	return u.socket.Send(p.TunnelOut.ID, p.TunnelOut.Remote, p.Data, tunnel.FlowHash(p.Data))
}
