package compare

import (
	"bytes"
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane/header"
)

// Frame is an Ethernet frame with IPv4 in the making: what the fields say, with right
// lengths and checksums.
type Frame struct {
	SrcMAC, DstMAC [6]byte
	Src, Dst       [4]byte
	Proto          uint8
	TTL, TOS       uint8
	ID             uint16
	DF, MF         bool
	Offset         uint16 // of a fragment, in units of 8 bytes
	Options        []byte // of the IPv4 header, a multiple of 4 bytes, at most 40

	SrcPort, DstPort uint16 // TCP, UDP
	Flags            uint8  // TCP
	ICMPType         uint8
	ICMPCode         uint8
	ICMPID           uint16
	NoChecksum       bool // UDP: the checksum is zero

	Data []byte
}

// tcpWindow is what a fresh connection offers.
const tcpWindow = 64240

// Bytes is the frame on the wire.
func (f *Frame) Bytes() []byte {
	l4 := f.transport()
	hlen := header.IPv4MinSize + len(f.Options)
	b := make([]byte, header.EthernetSize+hlen, header.EthernetSize+hlen+len(l4))
	eth := header.Ethernet(b)
	eth.SetDst(f.DstMAC)
	eth.SetSrc(f.SrcMAC)
	eth.SetType(header.EtherTypeIPv4)
	ip := b[header.EthernetSize:]
	ip[0] = 0x40 | byte(hlen/4)
	ip[1] = f.TOS
	binary.BigEndian.PutUint16(ip[2:], uint16(hlen+len(l4)))
	binary.BigEndian.PutUint16(ip[4:], f.ID)
	frag := f.Offset & 0x1fff
	if f.DF {
		frag |= 0x4000
	}
	if f.MF {
		frag |= 0x2000
	}
	binary.BigEndian.PutUint16(ip[6:], frag)
	ip[8], ip[9] = f.TTL, f.Proto
	copy(ip[12:], f.Src[:])
	copy(ip[16:], f.Dst[:])
	copy(ip[20:], f.Options)
	header.IPv4(ip).SetChecksum(header.IPv4HeaderChecksum(ip))
	return append(b, l4...)
}

// transport is the segment with its checksum. A later fragment is data only.
func (f *Frame) transport() []byte {
	if f.Offset != 0 {
		return f.Data
	}
	var b []byte
	var at int
	switch f.Proto {
	case header.ProtoTCP:
		b = make([]byte, header.TCPMinSize)
		b[12], b[13] = header.TCPMinSize/4<<4, f.Flags
		binary.BigEndian.PutUint16(b[14:], tcpWindow)
		at = header.TCPChecksum
	case header.ProtoUDP:
		b = make([]byte, header.UDPSize)
		binary.BigEndian.PutUint16(b[4:], uint16(header.UDPSize+len(f.Data)))
		at = header.UDPChecksum
	case header.ProtoICMP:
		b = make([]byte, header.ICMPSize)
		b[0], b[1] = f.ICMPType, f.ICMPCode
		binary.BigEndian.PutUint16(b[header.ICMPID:], f.ICMPID)
		b = append(b, f.Data...)
		binary.BigEndian.PutUint16(b[2:], header.Sum(0).Partial(b).Fold())
		return b
	default:
		return f.Data
	}
	binary.BigEndian.PutUint16(b[header.SrcPort:], f.SrcPort)
	binary.BigEndian.PutUint16(b[header.DstPort:], f.DstPort)
	b = append(b, f.Data...)
	if f.Proto == header.ProtoUDP && f.NoChecksum {
		return b
	}
	sum := header.PseudoSum(f.Src, f.Dst, f.Proto, len(b)).Partial(b).Fold()
	if sum == 0 && f.Proto == header.ProtoUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[at:], sum)
	return b
}

// ipv4Of is the IPv4 packet of a frame with a whole header, nil if there is none.
func ipv4Of(b []byte) header.IPv4 {
	if len(b) < header.EthernetSize+header.IPv4MinSize || header.Ethernet(b).Type() != header.EtherTypeIPv4 {
		return nil
	}
	ip := header.IPv4(b[header.EthernetSize:])
	if h := ip.HeaderLen(); h < header.IPv4MinSize || len(ip) < h {
		return nil
	}
	return ip
}

// Answer is a frame that answers another: addresses, ports and MACs change places. Data
// and flags are left to the caller. It is false for what nobody could answer.
func Answer(b []byte) (Frame, bool) {
	ip := ipv4Of(b)
	if ip == nil {
		return Frame{}, false
	}
	eth := header.Ethernet(b)
	f := Frame{SrcMAC: eth.Dst(), DstMAC: eth.Src(), Src: ip.Dst(), Dst: ip.Src(), Proto: ip.Protocol(), TTL: 64}
	l4 := ip[ip.HeaderLen():]
	switch f.Proto {
	case header.ProtoTCP, header.ProtoUDP:
		if !ip.HasL4Header() || len(l4) < header.PortsSize {
			return Frame{}, false
		}
		f.SrcPort, f.DstPort = binary.BigEndian.Uint16(l4[header.DstPort:]), binary.BigEndian.Uint16(l4[header.SrcPort:])
	case header.ProtoICMP:
		if len(l4) < header.ICMPSize || l4[0] != header.ICMPEcho {
			return Frame{}, false
		}
		f.ICMPType, f.ICMPID, f.Data = header.ICMPEchoReply, binary.BigEndian.Uint16(l4[header.ICMPID:]), l4[header.ICMPSize:]
	default:
		return Frame{}, false
	}
	return f, true
}

// Complain is an ICMP error about a frame, from who to its sender: the header and the
// first eight bytes of its packet are embedded.
func Complain(b []byte, who [4]byte, typ, code uint8) (Frame, bool) {
	ip := ipv4Of(b)
	if ip == nil {
		return Frame{}, false
	}
	eth := header.Ethernet(b)
	n := min(len(ip), ip.HeaderLen()+8)
	return Frame{
		SrcMAC: eth.Dst(), DstMAC: eth.Src(), Src: who, Dst: ip.Src(), Proto: header.ProtoICMP, TTL: 64,
		ICMPType: typ, ICMPCode: code, Data: append([]byte(nil), ip[:n]...),
	}, true
}

// ARPRequest asks who has an address.
func ARPRequest(mac [6]byte, ip, target [4]byte) []byte {
	b := make([]byte, header.EthernetSize+header.ARPSize)
	eth := header.Ethernet(b)
	eth.SetDst(header.BroadcastMAC())
	eth.SetSrc(mac)
	eth.SetType(header.EtherTypeARP)
	a := header.ARP(b[header.EthernetSize:])
	copy(a, []byte{0, 1, 8, 0, 6, 4})
	a.SetOp(header.ARPRequest)
	a.SetSender(mac, ip)
	a.SetTarget([6]byte{}, target)
	return b
}

// parseFrame takes a well-formed frame apart. It is false for what Bytes would not make
// again exactly.
func parseFrame(b []byte) (Frame, bool) {
	ip := ipv4Of(b)
	if ip == nil {
		return Frame{}, false
	}
	eth, hlen := header.Ethernet(b), ip.HeaderLen()
	frag := binary.BigEndian.Uint16(ip[6:])
	f := Frame{
		SrcMAC: eth.Src(), DstMAC: eth.Dst(), Src: ip.Src(), Dst: ip.Dst(), Proto: ip.Protocol(), TTL: ip.TTL(), TOS: ip.TOS(),
		ID: binary.BigEndian.Uint16(ip[4:]), DF: frag&0x4000 != 0, MF: frag&0x2000 != 0, Offset: frag & 0x1fff,
		Options: append([]byte(nil), ip[header.IPv4MinSize:hlen]...),
	}
	l4 := ip[hlen:]
	size := map[uint8]int{header.ProtoTCP: header.TCPMinSize, header.ProtoUDP: header.UDPSize, header.ProtoICMP: header.ICMPSize}[f.Proto]
	if f.Offset != 0 {
		size = 0
	}
	if len(l4) < size {
		return Frame{}, false
	}
	f.Data = append([]byte(nil), l4[size:]...)
	if size > 0 {
		switch f.Proto {
		case header.ProtoTCP:
			f.Flags = l4[header.TCPFlags]
		case header.ProtoUDP:
			f.NoChecksum = l4[6] == 0 && l4[7] == 0
		case header.ProtoICMP:
			f.ICMPType, f.ICMPCode, f.ICMPID = l4[0], l4[1], binary.BigEndian.Uint16(l4[header.ICMPID:])
		}
		if f.Proto != header.ProtoICMP {
			f.SrcPort, f.DstPort = binary.BigEndian.Uint16(l4), binary.BigEndian.Uint16(l4[header.DstPort:])
		}
	}
	return f, bytes.Equal(f.Bytes(), b)
}
