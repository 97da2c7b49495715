package sim

import (
	"encoding/binary"
	"net/netip"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// frame is one frame on its way. There is one owner at a time, and its bytes belong
// to it: they begin with an Ethernet header, which is zero on a loopback device.
type frame struct {
	id, parent, packet uint64
	relation           Relation
	conv               *Conversation // nil: nobody's
	depth              int           // answers before this one
	data               []byte

	// What an skb has beside its bytes.
	pktType   uint8
	mark, iif uint32
	hops      int // wires between nodes so far
	fragMax   int // longest fragment that it was reassembled from; 0: none

	// What the host stack's connection tracking knows; nil flow: nothing yet.
	flow  *flow
	dir   int
	state FlowState
}

// Limits that end what would never end.
const (
	maxDepth = 256 // answers to answers
	maxHops  = 256 // wires of one packet; each costs a TTL unless it is encapsulated
)

// derive makes a frame out of a parent, which is nil for Original.
func (s *Sim) derive(parent *frame, how Relation, data []byte) *frame {
	s.frames++
	f := &frame{id: s.frames, packet: s.frames, relation: how, data: data}
	if parent == nil {
		return f
	}
	f.parent, f.conv, f.depth = parent.id, parent.conv, parent.depth
	if how.begins() {
		f.depth++
		return f
	}
	f.packet, f.mark, f.iif, f.hops, f.pktType = parent.packet, parent.mark, parent.iif, parent.hops, parent.pktType
	return f
}

// eth is the Ethernet header, or nil if the frame is shorter.
func (f *frame) eth() header.Ethernet {
	if len(f.data) < header.EthernetSize {
		return nil
	}
	return header.Ethernet(f.data[:header.EthernetSize])
}

// ip is the packet from the IPv4 header on. The frame has passed checkIPv4, or is of
// our own making.
func (f *frame) ip() header.IPv4 { return header.IPv4(f.data[header.EthernetSize:]) }

// l4 is what follows the IPv4 header.
func (f *frame) l4() []byte {
	ip := f.ip()
	return ip[ip.HeaderLen():]
}

// etherType is the frame's ether type, 0 if it has none.
func (f *frame) etherType() uint16 {
	if e := f.eth(); e != nil {
		return e.Type()
	}
	return 0
}

// receivedBy sets the packet type that a device with this address gives the frame.
func (f *frame) receivedBy(mac [6]byte) {
	e := f.eth()
	switch {
	case e == nil || e.Dst() == mac:
		f.pktType = dataplane.PacketHost
	case e.Dst() == header.BroadcastMAC():
		f.pktType = dataplane.PacketBroadcast
	case e.Dst()[0]&1 != 0:
		f.pktType = dataplane.PacketMulticast
	default:
		f.pktType = dataplane.PacketOtherHost
	}
}

// link writes the Ethernet header of an IPv4 packet.
func (f *frame) link(src, dst [6]byte) {
	e := f.eth()
	e.SetSrc(src)
	e.SetDst(dst)
	e.SetType(header.EtherTypeIPv4)
}

// Offsets and flags of the IPv4 header that package header keeps to itself, because
// no program of the datapath writes them.
const (
	ipTotalLen = 2
	ipID       = 4
	ipFragOff  = 6

	ipDF       = 0x4000
	ipMF       = 0x2000
	ipOffMask  = 0x1fff
	maxPacket  = 65535
	defaultTTL = 64
)

// checkIPv4 does what ip_rcv does with a header, and cuts the frame to the packet's
// length. It returns 0 if all is well.
func (f *frame) checkIPv4() Reason {
	if f.etherType() != header.EtherTypeIPv4 {
		return NotIP
	}
	if len(f.data) < header.EthernetSize+header.IPv4MinSize {
		return BadHeader
	}
	ip := f.ip()
	n := ip.HeaderLen()
	total := int(ip.TotalLen())
	if ip.Version() != 4 || n < header.IPv4MinSize || n > total || total > len(ip) {
		return BadHeader
	}
	if header.IPv4HeaderChecksum(ip[:n]) != ip.Checksum() {
		return BadChecksum
	}
	f.data = f.data[:header.EthernetSize+total]
	return 0
}

// ipHeader is what a sender chooses of an IPv4 header.
type ipHeader struct {
	src, dst        [4]byte
	proto, ttl, tos uint8
	df              bool
	id              uint16
}

// buildIPv4 makes a frame without Ethernet addresses around a payload.
func buildIPv4(h ipHeader, payload []byte) []byte {
	total := header.IPv4MinSize + len(payload)
	b := make([]byte, header.EthernetSize+total)
	header.Ethernet(b).SetType(header.EtherTypeIPv4)
	ip := header.IPv4(b[header.EthernetSize:])
	ip[0] = 4<<4 | header.IPv4MinSize/4
	ip.SetTOS(h.tos)
	binary.BigEndian.PutUint16(ip[ipTotalLen:], uint16(total))
	binary.BigEndian.PutUint16(ip[ipID:], h.id)
	if h.df {
		binary.BigEndian.PutUint16(ip[ipFragOff:], ipDF)
	}
	ip.SetTTL(h.ttl)
	ip[9] = h.proto
	ip.SetSrc(h.src)
	ip.SetDst(h.dst)
	ip.SetChecksum(header.IPv4HeaderChecksum(ip[:header.IPv4MinSize]))
	copy(ip[header.IPv4MinSize:], payload)
	return b
}

// dontFragment is the DF flag.
func dontFragment(ip header.IPv4) bool { return binary.BigEndian.Uint16(ip[ipFragOff:])&ipDF != 0 }

// decrementTTL is ip_decrease_ttl.
func decrementTTL(ip header.IPv4) {
	ttl := ip.TTL()
	ip.SetChecksum(header.Replace2(ip.Checksum(), uint16(ttl)<<8, uint16(ttl-1)<<8))
	ip.SetTTL(ttl - 1)
}

// unicast tells an address that one host can have.
func unicast(ip [4]byte) bool { return ip[0] != 0 && ip[0] < 224 }

// addr is the address as netip has it.
func addr(ip [4]byte) netip.Addr { return netip.AddrFrom4(ip) }

// buildARP makes an ARP message.
func buildARP(op uint16, srcMAC, dstMAC [6]byte, sender [4]byte, targetMAC [6]byte, target [4]byte) []byte {
	b := make([]byte, header.EthernetSize+header.ARPSize)
	e, a := header.Ethernet(b), header.ARP(b[header.EthernetSize:])
	e.SetSrc(srcMAC)
	e.SetDst(dstMAC)
	e.SetType(header.EtherTypeARP)
	copy(a, []byte{0, 1, 8, 0, 6, 4}) // Ethernet and IPv4, with the lengths of their addresses
	a.SetOp(op)
	a.SetSender(srcMAC, sender)
	a.SetTarget(targetMAC, target)
	return b
}

// arp is the ARP message of a frame, or nil.
func (f *frame) arp() header.ARP {
	if f.etherType() != header.EtherTypeARP || len(f.data) < header.EthernetSize+header.ARPSize {
		return nil
	}
	a := header.ARP(f.data[header.EthernetSize : header.EthernetSize+header.ARPSize])
	if a.Hardware() != header.ARPHardwareEthernet {
		return nil
	}
	return a
}
