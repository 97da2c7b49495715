package journey

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/header"
)

// summary is a frame's content in a line, without Ethernet addresses.
func summary(b []byte) string {
	if len(b) < header.EthernetSize {
		return fmt.Sprintf("%d bytes", len(b))
	}
	switch t := header.Ethernet(b).Type(); {
	case t == header.EtherTypeARP && len(b) >= header.EthernetSize+header.ARPSize:
		a := header.ARP(b[header.EthernetSize:])
		if a.Op() == header.ARPRequest {
			return fmt.Sprintf("ARP who-has %s tell %s", ip4(a.TargetIP()), ip4(a.SenderIP()))
		}
		return fmt.Sprintf("ARP %s is-at %s", ip4(a.SenderIP()), cluster.MAC(a.SenderMAC()))
	case t == header.EtherTypeIPv4 && len(b) >= header.EthernetSize+header.IPv4MinSize:
		return ipSummary(header.IPv4(b[header.EthernetSize:]))
	default:
		return fmt.Sprintf("ethertype 0x%04x, %d bytes", t, len(b))
	}
}

func ipSummary(ip header.IPv4) string {
	n := ip.HeaderLen()
	if n < header.IPv4MinSize || n > len(ip) {
		n = len(ip)
	}
	l4 := ip[n:]
	src, dst := ip4(ip.Src()).String(), ip4(ip.Dst()).String()
	ports := len(l4) >= 4 && ip.HasL4Header()
	if p := ip.Protocol(); ports && (p == header.ProtoTCP || p == header.ProtoUDP) {
		src = fmt.Sprintf("%s:%d", src, binary.BigEndian.Uint16(l4[header.SrcPort:]))
		dst = fmt.Sprintf("%s:%d", dst, binary.BigEndian.Uint16(l4[header.DstPort:]))
	}
	return fmt.Sprintf("%s > %s %s", src, dst, l4Summary(ip.Protocol(), l4, ip.HasL4Header()))
}

// l4Summary is the transport protocol with what matters of its header.
func l4Summary(proto uint8, l4 []byte, first bool) string {
	if !first {
		return protoName(proto) + " fragment"
	}
	switch {
	case proto == header.ProtoTCP && len(l4) >= header.TCPMinSize:
		return "TCP " + tcpFlags(l4[header.TCPFlags])
	case proto == header.ProtoICMP && len(l4) >= header.ICMPSize:
		return "ICMP " + icmpText(l4[header.ICMPType], l4[header.ICMPCode])
	}
	return protoName(proto)
}

func protoName(p uint8) string {
	switch p {
	case header.ProtoICMP:
		return "ICMP"
	case header.ProtoTCP:
		return "TCP"
	case header.ProtoUDP:
		return "UDP"
	case header.ProtoSCTP:
		return "SCTP"
	}
	return fmt.Sprintf("protocol %d", p)
}

// flagNames are the TCP flags from the lowest bit on.
var flagNames = [...]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

func tcpFlags(f uint8) string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "no flags"
	}
	return strings.Join(names, ",")
}

func icmpText(typ, code uint8) string {
	switch {
	case typ == header.ICMPEcho:
		return "echo request"
	case typ == header.ICMPEchoReply:
		return "echo reply"
	case typ == header.ICMPTimeExceeded:
		return "time exceeded"
	case typ == header.ICMPUnreachable && code == header.ICMPFragNeeded:
		return "fragmentation needed"
	case typ == header.ICMPUnreachable:
		names := [...]string{"net", "host", "protocol", "port"}
		if int(code) < len(names) {
			return names[code] + " unreachable"
		}
		return fmt.Sprintf("unreachable, code %d", code)
	}
	return fmt.Sprintf("type %d code %d", typ, code)
}

// ttl is a frame's TTL, 0 if it has none.
func ttl(b []byte) uint8 {
	if len(b) < header.EthernetSize+header.IPv4MinSize || header.Ethernet(b).Type() != header.EtherTypeIPv4 {
		return 0
	}
	return header.IPv4(b[header.EthernetSize:]).TTL()
}

func ip4(a [4]byte) netip.Addr { return netip.AddrFrom4(a) }

// field is a named stretch of a frame.
type field struct {
	name   string
	off, n int
	text   func(b []byte) string
}

// fieldsOf are the fields of a frame's headers.
func fieldsOf(b []byte) []field {
	fs := []field{{"eth.dst", 0, 6, macText}, {"eth.src", 6, 6, macText}, {"eth.type", 12, 2, hexText}}
	if len(b) < header.EthernetSize {
		return nil
	}
	const l3 = header.EthernetSize
	switch {
	case header.Ethernet(b).Type() == header.EtherTypeARP && len(b) >= l3+header.ARPSize:
		return append(fs, field{"arp.op", l3 + 6, 2, number}, field{"arp.sha", l3 + 8, 6, macText}, field{"arp.spa", l3 + 14, 4, ipText},
			field{"arp.tha", l3 + 18, 6, macText}, field{"arp.tpa", l3 + 24, 4, ipText})
	case header.Ethernet(b).Type() != header.EtherTypeIPv4 || len(b) < l3+header.IPv4MinSize:
		return fs
	}
	fs = append(fs, field{"ip.tos", l3 + 1, 1, hexText}, field{"ip.len", l3 + 2, 2, number}, field{"ip.id", l3 + 4, 2, number},
		field{"ip.frag", l3 + 6, 2, hexText}, field{"ip.ttl", l3 + 8, 1, number}, field{"ip.proto", l3 + 9, 1, number},
		field{"ip.checksum", l3 + 10, 2, hexText}, field{"ip.src", l3 + 12, 4, ipText}, field{"ip.dst", l3 + 16, 4, ipText})
	ip := header.IPv4(b[l3:])
	l4 := l3 + ip.HeaderLen()
	if !ip.HasL4Header() {
		return fs
	}
	switch p := ip.Protocol(); {
	case p == header.ProtoTCP && len(b) >= l4+header.TCPMinSize:
		fs = append(fs, field{"tcp.sport", l4, 2, number}, field{"tcp.dport", l4 + 2, 2, number}, field{"tcp.checksum", l4 + 16, 2, hexText})
	case p == header.ProtoUDP && len(b) >= l4+header.UDPSize:
		fs = append(fs, field{"udp.sport", l4, 2, number}, field{"udp.dport", l4 + 2, 2, number}, field{"udp.checksum", l4 + 6, 2, hexText})
	case p == header.ProtoICMP && len(b) >= l4+header.ICMPSize:
		fs = append(fs, field{"icmp.type", l4, 1, number}, field{"icmp.code", l4 + 1, 1, number}, field{"icmp.checksum", l4 + 2, 2, hexText})
	}
	return fs
}

// changes are the fields in which two states of a frame differ; bytes that belong to
// no field are named by their offset.
func changes(before, after []byte) []Change {
	var out []Change
	n := min(len(before), len(after))
	named := make([]bool, n)
	for _, f := range fieldsOf(after) {
		if f.off+f.n > n {
			continue
		}
		for i := f.off; i < f.off+f.n; i++ {
			named[i] = true
		}
		if was, is := f.text(before[f.off:f.off+f.n]), f.text(after[f.off:f.off+f.n]); was != is {
			out = append(out, Change{f.name, was, is})
		}
	}
	for i := range n {
		if !named[i] && before[i] != after[i] {
			out = append(out, Change{fmt.Sprintf("byte %d", i), fmt.Sprintf("%02x", before[i]), fmt.Sprintf("%02x", after[i])})
		}
	}
	return out
}

func macText(b []byte) string { return cluster.MAC([6]byte(b)).String() }
func ipText(b []byte) string  { return ip4([4]byte(b)).String() }
func hexText(b []byte) string { return fmt.Sprintf("0x%x", b) }

func number(b []byte) string {
	n := 0
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return fmt.Sprint(n)
}
