package dataplane

import (
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// Packet types as skb->pkt_type (linux/if_packet.h).
const (
	PacketHost      uint8 = 0
	PacketBroadcast uint8 = 1
	PacketMulticast uint8 = 2
	PacketOtherHost uint8 = 3
)

// TunnelKey is the metadata of a collect-metadata tunnel device (struct
// bpf_tunnel_key).
type TunnelKey struct {
	Present bool    // false: the packet carries no key
	ID      uint32  // VNI
	Remote  [4]byte // outer peer, network order
	TTL     uint8
	TOS     uint8
}

// Csum tells a checksum that is still to be completed over the bytes from Start and
// written Off bytes after Start, as virtio-net does. The field holds the sum of the
// pseudo header meanwhile, not complemented.
type Csum struct {
	Partial    bool
	Start, Off uint16 // from the frame's start; from Start
}

// GSO tells an aggregate that is still to be cut into segments, as virtio-net does
// (VIRTIO_NET_HDR_GSO_*). It counts as one packet until then.
type GSO struct {
	Type   uint8
	Size   uint16 // payload bytes of each segment; 0: no aggregate
	HdrLen uint16 // bytes of headers that each segment gets
}

// Types of aggregates.
const (
	GSOTCPv4 uint8 = 1
	GSOTCPv6 uint8 = 4
	GSOUDP   uint8 = 5    // UDP_SEGMENT
	GSOECN   uint8 = 0x80 // added to a TCP type: only the first segment keeps CWR
)

// Packet is one frame with its metadata, what a struct __sk_buff is to a program.
//
// Borrowed: the frame's bytes belong to whoever filled the packet and are valid
// until that owner reuses the buffer; a program changes them in place and never
// keeps them.
type Packet struct {
	Data []byte // from the Ethernet header to the frame's end

	PktType        uint8
	TCIndex        uint16
	QueueMapping   uint16
	Ifindex        uint32 // the hook's device
	IngressIfindex uint32 // where the frame entered the node; 0: made by the host
	Mark           uint32
	Hash           uint32
	CB             [5]uint32

	TunnelIn  TunnelKey // as decapsulated, at from-overlay
	TunnelOut TunnelKey // to encapsulate with, set by a program

	Csum Csum // a checksum that is still to be completed
	GSO  GSO  // an aggregate that is still to be cut into segments

	Trace  *trace.Buffer // the packet's way through the functions; nil: off
	Events *trace.Ring   // notifications; nil: nobody listens
}

// Reset makes the packet a fresh frame. Trace and Events stay.
func (p *Packet) Reset(frame []byte) {
	*p = Packet{Data: frame, Trace: p.Trace, Events: p.Events}
}

// Eth is the Ethernet header, or nil if the frame is shorter.
func (p *Packet) Eth() header.Ethernet {
	if len(p.Data) < header.EthernetSize {
		return nil
	}
	return header.Ethernet(p.Data[:header.EthernetSize:header.EthernetSize])
}

// IPv4 is the minimal IPv4 header behind the Ethernet header, or nil if the frame
// is shorter than that; nothing else is checked.
func (p *Packet) IPv4() *header.IPv4Header {
	const end = header.EthernetSize + header.IPv4MinSize
	if len(p.Data) < end {
		return nil
	}
	return (*header.IPv4Header)(p.Data[header.EthernetSize:end:end])
}

// Load is n bytes from offset off (bpf_skb_load_bytes), or nil if the frame does
// not have them.
func (p *Packet) Load(off, n int) []byte {
	if off < 0 || off > len(p.Data)-n {
		return nil
	}
	return p.Data[off : off+n : off+n]
}
