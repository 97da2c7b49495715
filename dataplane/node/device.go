package node

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// Kind says what a device is, which decides what transmitting on it means.
type Kind uint8

// Kinds of devices.
const (
	LXC    Kind = iota + 1 // host side of a pod's wire
	Host                   // cilium_host
	Net                    // cilium_net, the peer of cilium_host
	VXLAN                  // cilium_vxlan, in collect-metadata mode
	Uplink                 // eth0; its frames are the host stack's
)

// String is the kind's usual device name.
func (k Kind) String() string {
	switch k {
	case LXC:
		return "lxc"
	case Host:
		return "cilium_host"
	case Net:
		return "cilium_net"
	case VXLAN:
		return "cilium_vxlan"
	case Uplink:
		return "uplink"
	}
	return "unknown"
}

// Device is a network device of the node.
type Device struct {
	Name    string
	Ifindex uint32
	MAC     [6]byte
	MTU     int // bytes above the Ethernet header; 0: not checked
	Kind    Kind

	Endpoint uint16 // LXC: the pod's endpoint id
	Wire     Wire   // LXC: the way into the pod

	// Programs at the device's ingress and egress; nil where none is attached.
	Ingress, Egress *dataplane.Hook
}

// Wire is the way into a pod: what is sent arrives at the pod's eth0.
type Wire interface {
	// Send takes a frame; it is borrowed until Send returns. An error says that
	// the frame is lost.
	Send(frame []byte, p *dataplane.Packet) error
}

// Stack is the node's own network stack.
type Stack interface {
	// Deliver gives the stack a frame that was received on dev; its mark is the
	// packet's. The frame is borrowed. An error says that the frame is lost.
	Deliver(dev *Device, p *dataplane.Packet) error
}

// Underlay is the network between the nodes, behind cilium_vxlan.
type Underlay interface {
	// Send encapsulates the packet with its TunnelOut key. The packet is borrowed.
	// An error says that it is lost.
	Send(p *dataplane.Packet) error
}

// packetType is what a receiving device makes of a destination address
// (eth_type_trans).
func packetType(dst, own [6]byte) uint8 {
	switch {
	case dst == own:
		return dataplane.PacketHost
	case dst == header.BroadcastMAC():
		return dataplane.PacketBroadcast
	case dst[0]&1 != 0:
		return dataplane.PacketMulticast
	}
	return dataplane.PacketOtherHost
}

// fits tells whether a veth device forwards a frame of that length
// (is_skb_forwardable): up to the MTU, the Ethernet header and a VLAN tag.
// Aggregates are segmented later.
func (d *Device) fits(p *dataplane.Packet) bool {
	const vlan = 4
	return d.MTU == 0 || p.GSO.Size != 0 || len(p.Data) <= d.MTU+header.EthernetSize+vlan
}
