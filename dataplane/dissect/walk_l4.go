package dissect

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane/header"
)

// A shorter data offset than this is no TCP header (RFC 9293).
const tcpMinOffset = 5

func (w *walker) tcp() {
	h := w.header("tcp",
		spec{name: "sport", n: 2, text: decText}, spec{name: "dport", n: 2, text: decText},
		spec{name: "seq", n: 4, text: decText}, spec{name: "ack", n: 4, text: decText},
		spec{name: "hlen", n: 2, text: tcpLenText, shared: true}, spec{name: "flags", n: 2, text: tcpFlagsText},
		spec{name: "window", n: 2, text: decText}, spec{name: "checksum", n: 2, text: hexText},
		spec{name: "urgent", n: 2, text: decText})
	if h == nil {
		return
	}
	if words := int(h[tcpFlagsOffset] >> 4); words > tcpMinOffset {
		w.raw("tcp.options", 4*words-header.TCPMinSize, tcpOptionsText)
	}
	w.data()
}

// udp covers a datagram, and the frame within it if its port is one of VXLAN's.
func (w *walker) udp() {
	h := w.header("udp",
		spec{name: "sport", n: 2, text: decText}, spec{name: "dport", n: 2, text: decText},
		spec{name: "len", n: 2, text: decText}, spec{name: "checksum", n: 2, text: hexText})
	if h == nil {
		return
	}
	n := int(binary.BigEndian.Uint16(h[4:])) - header.UDPSize
	if n < 0 { // 0 in a GSO packet; else wrong
		n = w.end - w.off
	}
	w.within(n, "udp", func() {
		switch binary.BigEndian.Uint16(h[header.DstPort:]) {
		case vxlanPortLinux, vxlanPortIANA:
			w.vxlan()
		default:
			w.data()
		}
	})
}

func (w *walker) vxlan() {
	h := w.header("vxlan",
		spec{name: "flags", n: 1, text: hexText}, spec{name: "reserved1", n: 3, text: hexText},
		spec{name: "vni", n: 3, text: decText}, spec{name: "reserved2", n: 1, text: hexText})
	if h != nil {
		w.nest("inner.", w.ethernet)
	}
}

// icmp covers an ICMP message and the packet that an error quotes (RFC 792).
func (w *walker) icmp() {
	b := w.rest()
	if len(b) == 0 {
		return
	}
	typ := spec{name: "type", n: 1, text: icmpTypeText}
	code := spec{name: "code", n: 1, text: decText}
	sum := spec{name: "checksum", n: 2, text: hexText}
	switch b[header.ICMPType] {
	case header.ICMPEcho, header.ICMPEchoReply:
		if w.header("icmp", typ, code, sum, spec{name: "id", n: 2, text: decText}, spec{name: "seq", n: 2, text: decText}) != nil {
			w.data()
		}
	case header.ICMPUnreachable:
		if w.header("icmp", typ, code, sum, spec{name: "unused", n: 2, text: hexText}, spec{name: "mtu", n: 2, text: decText}) != nil {
			w.nest("orig.", w.ipv4)
		}
	case header.ICMPTimeExceeded, header.ICMPParamProblem, icmpSourceQuench, icmpRedirect:
		if w.header("icmp", typ, code, sum, spec{name: "rest", n: 4, text: hexText}) != nil {
			w.nest("orig.", w.ipv4)
		}
	default:
		if w.header("icmp", typ, code, sum) != nil {
			w.data()
		}
	}
}

// icmp6 covers an ICMPv6 message: its head only, and the quoted packet as data.
func (w *walker) icmp6() {
	if w.header("icmp6", spec{name: "type", n: 1, text: icmp6TypeText}, spec{name: "code", n: 1, text: decText},
		spec{name: "checksum", n: 2, text: hexText}) != nil {
		w.data()
	}
}
