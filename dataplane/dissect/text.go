package dissect

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane/header"
)

// Offset of the word with TCP's data offset and flags.
const tcpFlagsOffset = 12

// ICMP types that header does not name, since the datapath does not know them.
const (
	icmpSourceQuench uint8 = 4
	icmpRedirect     uint8 = 5
)

// Each function here says what bytes mean. Two different values of a header field
// have two different texts.

// number reads up to eight bytes in network order.
func number(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

func decText(b []byte) string { return strconv.FormatUint(number(b), 10) }

func hexText(b []byte) string { return fmt.Sprintf("0x%0*x", 2*len(b), number(b)) }

func macText(b []byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}

func addrText(b []byte) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

func highNibbleText(b []byte) string { return strconv.Itoa(int(b[0] >> 4)) }

// headerLenText is IHL in bytes.
func headerLenText(b []byte) string { return strconv.Itoa(4 * int(b[0]&0x0f)) }

func classText(b []byte) string { return fmt.Sprintf("0x%02x", number(b)>>20&0xff) }

func flowText(b []byte) string { return fmt.Sprintf("0x%05x", number(b)&0xfffff) }

// named is the value's name, or the number if it has none.
func named(n uint64, name, number string) string {
	if name == "" {
		return fmt.Sprintf(number, n)
	}
	return name
}

func etherTypeText(b []byte) string {
	name := ""
	switch binary.BigEndian.Uint16(b) {
	case header.EtherTypeIPv4:
		name = "IPv4"
	case header.EtherTypeARP:
		name = "ARP"
	case header.EtherTypeIPv6:
		name = "IPv6"
	case etherTypeVLAN:
		name = "802.1Q"
	}
	return named(number(b), name, "0x%04x")
}

// vlanText is the VLAN's number, and the priority bits where any is set.
func vlanText(b []byte) string {
	tag := binary.BigEndian.Uint16(b)
	if tag>>12 == 0 {
		return strconv.Itoa(int(tag))
	}
	return fmt.Sprintf("%d priority 0x%x", tag&0xfff, tag>>12)
}

func arpOpText(b []byte) string {
	name := ""
	switch binary.BigEndian.Uint16(b) {
	case header.ARPRequest:
		name = "request"
	case header.ARPReply:
		name = "reply"
	}
	return named(number(b), name, "%d")
}

func protoText(b []byte) string {
	name := ""
	switch b[0] {
	case header.ProtoICMP:
		name = "ICMP"
	case header.ProtoTCP:
		name = "TCP"
	case header.ProtoUDP:
		name = "UDP"
	case header.ProtoSCTP:
		name = "SCTP"
	case protoICMPv6:
		name = "ICMPv6"
	case 2:
		name = "IGMP"
	case 4:
		name = "IPIP"
	case 47:
		name = "GRE"
	case 50:
		name = "ESP"
	}
	return named(number(b), name, "%d")
}

// ipFlagsText names the three bits above the fragment offset.
func ipFlagsText(b []byte) string { return bitNames(uint64(b[0]>>5), "MF", "DF", "reserved") }

// fragText is the fragment offset in bytes.
func fragText(b []byte) string { return strconv.Itoa(8 * int(binary.BigEndian.Uint16(b)&0x1fff)) }

// tcpLenText is the data offset in bytes.
func tcpLenText(b []byte) string { return strconv.Itoa(4 * int(b[0]>>4)) }

// tcpFlagsText names the twelve bits after the data offset.
func tcpFlagsText(b []byte) string {
	return bitNames(number(b)&0xfff, "FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE", "R1", "R2", "R3")
}

// bitNames lists the names of the bits that are set, the lowest bit's first.
func bitNames(bits uint64, names ...string) string {
	var set []string
	for i, name := range names {
		if bits>>i&1 != 0 {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return "none"
	}
	return strings.Join(set, ", ")
}

func icmpTypeText(b []byte) string {
	name := ""
	switch b[0] {
	case header.ICMPEchoReply:
		name = "echo reply"
	case header.ICMPUnreachable:
		name = "unreachable"
	case icmpSourceQuench:
		name = "source quench"
	case icmpRedirect:
		name = "redirect"
	case header.ICMPEcho:
		name = "echo request"
	case header.ICMPTimeExceeded:
		name = "time exceeded"
	case header.ICMPParamProblem:
		name = "parameter problem"
	}
	return named(number(b), name, "%d")
}

func icmp6TypeText(b []byte) string {
	name := ""
	switch b[0] {
	case 1:
		name = "unreachable"
	case 2:
		name = "packet too big"
	case 3:
		name = "time exceeded"
	case 128:
		name = "echo request"
	case 129:
		name = "echo reply"
	case 133:
		name = "router solicitation"
	case 134:
		name = "router advertisement"
	case 135:
		name = "neighbor solicitation"
	case 136:
		name = "neighbor advertisement"
	case 143:
		name = "multicast listener report"
	}
	return named(number(b), name, "%d")
}

// dataText is the length and the first bytes in hex.
func dataText(b []byte) string {
	const shown = 16
	unit := "bytes"
	if len(b) == 1 {
		unit = "byte"
	}
	if len(b) > shown {
		return fmt.Sprintf("%d %s: %x…", len(b), unit, b[:shown])
	}
	return fmt.Sprintf("%d %s: %x", len(b), unit, b)
}

// tcpOptionsText names TCP's options (RFC 9293, 7323, 2018) as tcpdump does.
func tcpOptionsText(b []byte) string {
	const end, nop, mss, wscale, sackOK, sack, timestamp = 0, 1, 2, 3, 4, 5, 8
	var opts []string
	for len(b) > 0 {
		switch b[0] {
		case end:
			return strings.Join(append(opts, "eol"), ",")
		case nop:
			opts = append(opts, "nop")
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return strings.Join(append(opts, "malformed"), ",")
		}
		kind, v := b[0], b[2:b[1]]
		b = b[b[1]:]
		switch {
		case kind == mss && len(v) == 2:
			opts = append(opts, "mss "+decText(v))
		case kind == wscale && len(v) == 1:
			opts = append(opts, "wscale "+decText(v))
		case kind == sackOK && len(v) == 0:
			opts = append(opts, "sackOK")
		case kind == timestamp && len(v) == 8:
			opts = append(opts, "TS val "+decText(v[:4])+" ecr "+decText(v[4:]))
		case kind == sack && len(v) > 0 && len(v)%8 == 0:
			blocks := []string{fmt.Sprintf("sack %d", len(v)/8)}
			for ; len(v) > 0; v = v[8:] {
				blocks = append(blocks, "{"+decText(v[:4])+":"+decText(v[4:8])+"}")
			}
			opts = append(opts, strings.Join(blocks, " "))
		default:
			opts = append(opts, fmt.Sprintf("option %d 0x%x", kind, v))
		}
	}
	return strings.Join(opts, ",")
}
