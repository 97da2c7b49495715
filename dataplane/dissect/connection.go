package dissect

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hooklab/hooklab/dataplane/header"
)

// Connection is the part of a line of cilium monitor that tells the connection
// (SPEC 14.12):
//
//	10.0.1.178:40000 -> 10.0.1.79:80 tcp SYN, ACK
//	10.0.1.178 -> 10.0.1.79 EchoRequest
//
// It decodes as gopacket does, the library that cilium monitor uses, whose names of
// ICMP types it has. (That library's tables take 30 ms of a program's start.) Of a
// fragment, and of a packet whose transport header is cut off, it shows the addresses
// alone; of a frame without IP the MACs and the ether type; of anything else "[unknown]".
func Connection(frame []byte) string {
	if len(frame) < header.EthernetSize {
		return "[unknown]"
	}
	eth := header.Ethernet(frame)
	typ := eth.Type()
	b := frame[header.EthernetSize:]
	if typ < header.EtherTypeMin { // an 802.3 length; the name is that of what follows
		typ = 0
	}
	var c connection
	ok := false
	switch typ {
	case header.EtherTypeIPv4:
		ok = c.ipv4(b)
	case header.EtherTypeIPv6:
		ok = c.ipv6(b)
	}
	switch {
	case !ok:
		return fmt.Sprintf("%s -> %s %s", macText(frame[6:12]), macText(frame[:6]), connectionType(typ))
	case c.message != "":
		return c.src.String() + " -> " + c.dst.String() + " " + c.message
	case c.transport != "":
		return netip.AddrPortFrom(c.src, c.srcPort).String() + " -> " + netip.AddrPortFrom(c.dst, c.dstPort).String() + " " + c.transport
	}
	return c.src.String() + " -> " + c.dst.String()
}

// connection is what a line shows of a packet.
type connection struct {
	src, dst           netip.Addr
	srcPort, dstPort   uint16
	transport, message string
}

// ipv4 reads a packet; it is false if the header is malformed.
func (c *connection) ipv4(b []byte) bool {
	if len(b) < header.IPv4MinSize {
		return false
	}
	ip := header.IPv4(b)
	length, n := int(ip.TotalLen()), ip.HeaderLen()
	if length == 0 { // an aggregate
		length = int(uint16(len(b)))
	}
	if length < header.IPv4MinSize || n < header.IPv4MinSize || n > length || n > len(b) || !options(b[header.IPv4MinSize:n], 3) {
		return false
	}
	c.src, c.dst = netip.AddrFrom4(ip.Src()), netip.AddrFrom4(ip.Dst())
	if ip.IsFragment() {
		return true
	}
	c.payload(ip.Protocol(), b[n:min(length, len(b))])
	return true
}

// ipv6 reads a packet; it is false if the header is malformed. Of headers between it
// and the transport's only hop-by-hop options are known.
func (c *connection) ipv6(b []byte) bool {
	const size = 40
	if len(b) < size || binary.BigEndian.Uint16(b[4:]) == 0 {
		return false
	}
	c.src, c.dst = netip.AddrFrom16([16]byte(b[8:24])).Unmap(), netip.AddrFrom16([16]byte(b[24:40])).Unmap()
	next, rest := b[6], b[size:min(len(b), size+int(binary.BigEndian.Uint16(b[4:])))]
	if next == protoHopOpt {
		if len(rest) < 2 || len(rest) < int(rest[1])*8+8 {
			return false
		}
		next, rest = rest[0], rest[int(rest[1])*8+8:]
	}
	c.payload(next, rest)
	return true
}

// payload reads the header behind that of IP, if it is a known one.
func (c *connection) payload(proto uint8, b []byte) {
	const icmp6Size = 4
	switch {
	case proto == header.ProtoICMP && len(b) >= header.ICMPSize:
		c.message = icmpName(icmp4Names(), b[0], b[1])
		return
	case proto == protoICMPv6 && len(b) >= icmp6Size:
		c.message = icmpName(icmp6Names(), b[0], b[1])
		return
	case proto == header.ProtoTCP && len(b) >= header.TCPMinSize:
		n := int(b[12]>>4) * 4
		if n < header.TCPMinSize || n > len(b) || !options(b[header.TCPMinSize:n], 2) {
			return
		}
		c.transport = "tcp " + connectionFlags(b[header.TCPFlags])
	case proto == header.ProtoUDP && len(b) >= header.UDPSize:
		if n := binary.BigEndian.Uint16(b[4:]); n != 0 && n < header.UDPSize {
			return
		}
		c.transport = "udp"
	default:
		return
	}
	c.srcPort, c.dstPort = binary.BigEndian.Uint16(b[header.SrcPort:]), binary.BigEndian.Uint16(b[header.DstPort:])
}

// options says whether a header's options are well-formed: each has a length of at
// least least, but for the end of the list and padding.
func options(b []byte, least int) bool {
	for len(b) > 0 && b[0] != 0 {
		switch {
		case b[0] == 1:
			b = b[1:]
		case len(b) < 2 || int(b[1]) < least || int(b[1]) > len(b):
			return false
		default:
			b = b[b[1]:]
		}
	}
	return true
}

// connectionFlags are the flags that cilium monitor shows, in its order.
func connectionFlags(flags uint8) string {
	var set []string
	for _, f := range []struct {
		bit  uint8
		name string
	}{{header.TCPSYN, "SYN"}, {header.TCPACK, "ACK"}, {header.TCPRST, "RST"}, {header.TCPFIN, "FIN"}} {
		if flags&f.bit != 0 {
			set = append(set, f.name)
		}
	}
	return strings.Join(set, ", ")
}

// connectionType is the name of what an Ethernet frame carries.
func connectionType(typ uint16) string {
	names := map[uint16]string{
		0: "LLC", header.EtherTypeIPv4: "IPv4", header.EtherTypeIPv6: "IPv6", header.EtherTypeARP: "ARP", etherTypeVLAN: "Dot1Q",
		0x88a8: "Dot1Q", 0x880b: "PPP", 0x8863: "PPPoEDiscovery", 0x8864: "PPPoESession", 0x9000: "EthernetCTP",
		0x2000: "CiscoDiscovery", 0x01a2: "NortelDiscovery", 0x88cc: "LinkLayerDiscovery", 0x8847: "MPLSUnicast",
		0x8848: "MPLSMulticast", 0x888e: "EAPOL", 0x6558: "TransparentEthernetBridging", 0x88be: "ERSPAN Type II",
	}
	if name := names[typ]; name != "" {
		return name
	}
	return "UnknownEthernetType"
}

// icmpNames are the names of a type of message and of its codes, nil if it has none.
type icmpNames struct {
	name  string
	codes []string
}

// icmpName names a message.
func icmpName(names map[uint8]icmpNames, typ, code uint8) string {
	n, known := names[typ]
	switch {
	case !known:
		return fmt.Sprintf("%d(%d)", typ, code)
	case int(code) < len(n.codes):
		return n.name + "(" + n.codes[code] + ")"
	case n.codes == nil && code == 0:
		return n.name
	}
	return fmt.Sprintf("%s(Code: %d)", n.name, code)
}

func icmp4Names() map[uint8]icmpNames {
	return map[uint8]icmpNames{
		0: {"EchoReply", nil},
		3: {"DestinationUnreachable", []string{
			"Net", "Host", "Protocol", "Port", "FragmentationNeeded", "SourceRoutingFailed", "NetUnknown", "HostUnknown", "SourceIsolated",
			"NetAdminProhibited", "HostAdminProhibited", "NetTOS", "HostTOS", "CommAdminProhibited", "HostPrecedence", "PrecedenceCutoff",
		}},
		4:  {"SourceQuench", nil},
		5:  {"Redirect", []string{"Net", "Host", "TOS+Net", "TOS+Host"}},
		8:  {"EchoRequest", nil},
		9:  {"RouterAdvertisement", nil},
		10: {"RouterSolicitation", nil},
		11: {"TimeExceeded", []string{"TTLExceeded", "FragmentReassemblyTimeExceeded"}},
		12: {"ParameterProblem", []string{"PointerIndicatesError", "MissingOption", "BadLength"}},
		13: {"TimestampRequest", nil},
		14: {"TimestampReply", nil},
		15: {"InfoRequest", nil},
		16: {"InfoReply", nil},
		17: {"AddressMaskRequest", nil},
		18: {"AddressMaskReply", nil},
	}
}

func icmp6Names() map[uint8]icmpNames {
	return map[uint8]icmpNames{
		1: {"DestinationUnreachable", []string{
			"NoRouteToDst", "AdminProhibited", "BeyondScopeOfSrc", "AddressUnreachable", "PortUnreachable", "SrcAddressFailedPolicy", "RejectRouteToDst",
		}},
		2:   {"PacketTooBig", nil},
		3:   {"TimeExceeded", []string{"HopLimitExceeded", "FragmentReassemblyTimeExceeded"}},
		4:   {"ParameterProblem", []string{"ErroneousHeaderField", "UnrecognizedNextHeader", "UnrecognizedIPv6Option"}},
		128: {"EchoRequest", nil},
		129: {"EchoReply", nil},
		133: {"RouterSolicitation", nil},
		134: {"RouterAdvertisement", nil},
		135: {"NeighborSolicitation", nil},
		136: {"NeighborAdvertisement", nil},
		137: {"Redirect", nil},
	}
}
