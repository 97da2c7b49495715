package live

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hooklab/hooklab/dataplane/header"
)

// sighting is what is compared of a frame.
type sighting struct {
	flow   flow
	first  *flow   // of a first fragment: that of those which follow
	what   string  // direction, who to whom, and which packet of a conversation
	fields []field // what must be the same
	// Of TCP: neither how often a segment was sent nor how data was cut counts, only
	// which bytes went over.
	tcp      bool
	seq      uint32
	data     int // bytes of payload
	syn, ack bool
	alsoFIN  bool             // the segment has data and the end
	ends     []netip.AddrPort // whoever is in it, inside of a tunnel
}

type field struct{ name, value string }

// flow tells conversations apart at one place.
type flow struct {
	proto uint8
	a, b  netip.AddrPort // the smaller first
	id    uint16         // of ICMP echo
	frag  bool           // id is that of a fragment without ports
}

func flowOf(proto uint8, a, b netip.AddrPort, id uint16) flow {
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return flow{proto: proto, a: a, b: b, id: id}
}

// view knows which ports of a cluster mean something.
type view struct {
	tunnelPort uint16
	servers    map[uint16]bool
	names      map[[6]byte]string // of MAC addresses that the kernel chose
}

// firstEphemeral is where Linux' ports for clients begin.
const firstEphemeral = 32768

// end is an address with its port, or with * for one that was chosen by chance.
func (v *view) end(a netip.AddrPort) string {
	switch {
	case a.Port() == 0:
		return a.Addr().String()
	case a.Port() >= firstEphemeral && !v.servers[a.Port()]:
		return a.Addr().String() + ":*"
	}
	return a.String()
}

// ipv4 is an IPv4 packet as far as it was kept.
type ipv4 struct {
	header.IPv4
	rest []byte // behind the header
	size int    // of the payload, kept or not
}

// parseIPv4 reads a packet; it is false for what is none or cut off in its header.
func parseIPv4(b []byte) (ipv4, bool) {
	if len(b) < header.IPv4MinSize || b[0]>>4 != 4 {
		return ipv4{}, false
	}
	h := header.IPv4(b)
	n := h.HeaderLen()
	if n < header.IPv4MinSize || n > len(b) || int(h.TotalLen()) < n {
		return ipv4{}, false
	}
	end := min(len(b), int(h.TotalLen()))
	return ipv4{h[:n], b[n:end], int(h.TotalLen()) - n}, true
}

func (p ipv4) src() netip.Addr { return netip.AddrFrom4(p.Src()) }
func (p ipv4) dst() netip.Addr { return netip.AddrFrom4(p.Dst()) }
func (p ipv4) df() bool        { return p.IPv4[6]&0x40 != 0 }
func (p ipv4) offset() int     { return int(binary.BigEndian.Uint16(p.IPv4[6:])&0x1fff) * 8 }
func (p ipv4) more() bool      { return p.IPv4[6]&0x20 != 0 }

// ports are both ends of TCP and UDP, of others the addresses.
func (p ipv4) ports() (src, dst netip.AddrPort) {
	src, dst = netip.AddrPortFrom(p.src(), 0), netip.AddrPortFrom(p.dst(), 0)
	if (p.Protocol() == header.ProtoTCP || p.Protocol() == header.ProtoUDP) && p.offset() == 0 && len(p.rest) >= 4 {
		src = netip.AddrPortFrom(p.src(), binary.BigEndian.Uint16(p.rest))
		dst = netip.AddrPortFrom(p.dst(), binary.BigEndian.Uint16(p.rest[2:]))
	}
	return src, dst
}

// network are the fields of a header that must be the same.
func (p ipv4) network(of string) []field {
	return []field{
		{of + "ttl", fmt.Sprint(p.TTL())}, {of + "tos", fmt.Sprintf("%#02x", p.TOS())}, {of + "df", fmt.Sprint(p.df())},
	}
}

func (v *view) macs(eth header.Ethernet) string {
	return fmt.Sprintf("%s > %s", v.mac(eth.Src()), v.mac(eth.Dst()))
}

func (v *view) mac(m [6]byte) string {
	if name := v.names[m]; name != "" {
		return name
	}
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// look reads an IPv4 frame, also one in a tunnel. It is false for what is not compared.
func (v *view) look(f *frame) (sighting, bool) {
	if len(f.data) < header.EthernetSize || header.Ethernet(f.data).Type() != header.EtherTypeIPv4 {
		return sighting{}, false
	}
	p, ok := parseIPv4(f.data[header.EthernetSize:])
	if !ok {
		return sighting{}, false
	}
	dir := "in "
	if f.out {
		dir = "out "
	}
	eth := field{"eth", v.macs(header.Ethernet(f.data))}
	if inner, vni, ok := v.tunnelled(p); ok {
		s, ok := v.look(&frame{data: inner, out: f.out})
		if !ok {
			return s, false
		}
		_, s.what, _ = strings.Cut(s.what, " ")
		s.what = fmt.Sprintf("%sVXLAN %s > %s: %s", dir, p.src(), p.dst(), s.what)
		for i := range s.fields {
			s.fields[i].name = "inner " + s.fields[i].name
		}
		sum := "present"
		if binary.BigEndian.Uint16(p.rest[6:]) == 0 {
			sum = "none"
		}
		s.fields = append(s.fields, field{"vni", fmt.Sprint(vni)}, field{"udp checksum", sum}, eth)
		s.fields = append(s.fields, p.network("")...)
		return s, true
	}
	s := v.packet(p)
	s.what = dir + s.what
	s.fields = append(s.fields, eth)
	s.fields = append(s.fields, p.network("")...)
	return s, true
}

// tunnelled is the frame inside of a VXLAN packet.
func (v *view) tunnelled(p ipv4) (inner []byte, vni uint32, ok bool) {
	const head = header.UDPSize + header.VXLANSize
	if p.Protocol() != header.ProtoUDP || p.offset() != 0 || len(p.rest) < head+header.EthernetSize ||
		binary.BigEndian.Uint16(p.rest[2:]) != v.tunnelPort {
		return nil, 0, false
	}
	return p.rest[head:], header.VXLAN(p.rest[header.UDPSize:]).VNI(), true
}

// packet reads what is behind the IPv4 header.
func (v *view) packet(p ipv4) sighting {
	src, dst := p.ports()
	s := sighting{flow: flowOf(p.Protocol(), src, dst, 0), ends: []netip.AddrPort{src, dst}}
	who := v.end(src) + " > " + v.end(dst)
	if p.offset() > 0 {
		s.flow = flow{proto: p.Protocol(), a: src, b: dst, id: binary.BigEndian.Uint16(p.IPv4[4:]), frag: true}
		s.what = who + " fragment"
		s.fields = []field{{"offset", fmt.Sprint(p.offset())}, {"length", fmt.Sprint(p.size)}}
		return s
	}
	switch {
	case p.Protocol() == header.ProtoTCP && len(p.rest) >= header.TCPMinSize:
		v.tcp(&s, p, who)
	case p.Protocol() == header.ProtoUDP && len(p.rest) >= header.UDPSize:
		s.what = who + " UDP"
		s.fields = []field{{"length", fmt.Sprint(p.size - header.UDPSize)}}
	case p.Protocol() == header.ProtoICMP && len(p.rest) >= header.ICMPSize:
		v.icmp(&s, p, who)
	default:
		s.what = fmt.Sprintf("%s protocol %d", who, p.Protocol())
		s.fields = []field{{"length", fmt.Sprint(p.size)}}
	}
	if p.more() {
		s.what += ", first fragment"
		bare := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), 0) }
		s.first = &flow{proto: p.Protocol(), a: bare(src), b: bare(dst), id: binary.BigEndian.Uint16(p.IPv4[4:]), frag: true}
	}
	return s
}

const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpACK = 0x10
)

// tcp tells the segments apart that a conversation is made of.
func (v *view) tcp(s *sighting, p ipv4, who string) {
	flags := p.rest[13]
	s.tcp, s.seq = true, binary.BigEndian.Uint32(p.rest[4:])
	s.syn, s.ack = flags&tcpSYN != 0, flags&tcpACK != 0
	s.data = max(0, p.size-int(p.rest[12]>>4)*4)
	kind := "acknowledgement"
	switch {
	case flags&tcpRST != 0:
		kind = "RST"
	case s.syn && s.ack:
		kind = "SYN,ACK"
	case s.syn:
		kind = "SYN"
	case s.data > 0:
		kind, s.alsoFIN = "data", flags&tcpFIN != 0
	case flags&tcpFIN != 0:
		kind = "FIN"
	}
	s.what = who + " TCP " + kind
}

// icmp reads a message and, of an error, what it is about.
func (v *view) icmp(s *sighting, p ipv4, who string) {
	typ, code := p.rest[0], p.rest[1]
	if typ == header.ICMPEcho || typ == header.ICMPEchoReply {
		name := map[uint8]string{header.ICMPEcho: "echo request", header.ICMPEchoReply: "echo reply"}[typ]
		s.flow = flowOf(p.Protocol(), s.ends[0], s.ends[1], binary.BigEndian.Uint16(p.rest[4:]))
		s.what = who + " ICMP " + name
		s.fields = []field{{"length", fmt.Sprint(p.size - header.ICMPSize)}}
		return
	}
	s.what = fmt.Sprintf("%s ICMP type %d code %d", who, typ, code)
	about, ok := parseIPv4(p.rest[header.ICMPSize:])
	if !ok {
		return
	}
	src, dst := about.ports()
	id := uint16(0)
	if about.Protocol() == header.ProtoICMP && about.offset() == 0 && len(about.rest) >= header.ICMPSize {
		id = binary.BigEndian.Uint16(about.rest[4:])
	}
	s.flow = flowOf(about.Protocol(), src, dst, id)
	s.what = fmt.Sprintf("%s ICMP %s about %s > %s protocol %d", who, icmpError(typ, code), v.end(src), v.end(dst), about.Protocol())
	s.fields = append(s.fields, about.network("quoted ")...)
	s.fields = append(s.fields, field{"quoted length", fmt.Sprint(about.TotalLen())}, field{"length", fmt.Sprint(p.size)})
	if typ == 3 && code == 4 {
		s.fields = append(s.fields, field{"mtu", fmt.Sprint(binary.BigEndian.Uint16(p.rest[6:]))})
	}
}

// icmpError is an error in words (RFC 792).
func icmpError(typ, code uint8) string {
	switch {
	case typ == 3 && int(code) < 4:
		return []string{"network", "host", "protocol", "port"}[code] + " unreachable"
	case typ == 3 && code == 4:
		return "fragmentation needed"
	case typ == 11 && code == 0:
		return "time exceeded"
	}
	return fmt.Sprintf("type %d code %d", typ, code)
}
