package dissect

import (
	"net/netip"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Connection is the part of a line of cilium monitor that tells the connection
// (SPEC 14.12):
//
//	10.0.1.178:40000 -> 10.0.1.79:80 tcp SYN, ACK
//	10.0.1.178 -> 10.0.1.79 EchoRequest
//
// It decodes with the library that cilium monitor uses, so that the names of ICMP
// types are the same. Of a fragment, and of a packet whose transport header is cut
// off, it shows the addresses alone; of a frame without IP the MACs and the ether
// type; of anything else "[unknown]".
func Connection(frame []byte) string {
	var (
		eth   layers.Ethernet
		ip4   layers.IPv4
		ip6   layers.IPv6
		tcp   layers.TCP
		udp   layers.UDP
		icmp4 layers.ICMPv4
		icmp6 layers.ICMPv6

		types              []gopacket.LayerType
		src, dst           netip.Addr
		srcPort, dstPort   uint16
		hasEth             bool
		transport, message string
	)
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip4, &ip6, &tcp, &udp, &icmp4, &icmp6)
	_ = parser.DecodeLayers(frame, &types) // types has what could be decoded before an error
	for _, t := range types {
		switch t {
		case layers.LayerTypeEthernet:
			hasEth = true
		case layers.LayerTypeIPv4:
			src, dst = address(ip4.SrcIP), address(ip4.DstIP)
		case layers.LayerTypeIPv6:
			src, dst = address(ip6.SrcIP), address(ip6.DstIP)
		case layers.LayerTypeTCP:
			transport = "tcp " + connectionFlags(&tcp)
			srcPort, dstPort = uint16(tcp.SrcPort), uint16(tcp.DstPort)
		case layers.LayerTypeUDP:
			transport = "udp"
			srcPort, dstPort = uint16(udp.SrcPort), uint16(udp.DstPort)
		case layers.LayerTypeICMPv4:
			message = icmp4.TypeCode.String()
		case layers.LayerTypeICMPv6:
			message = icmp6.TypeCode.String()
		}
	}
	switch {
	case message != "":
		return src.String() + " -> " + dst.String() + " " + message
	case transport != "":
		return netip.AddrPortFrom(src, srcPort).String() + " -> " + netip.AddrPortFrom(dst, dstPort).String() + " " + transport
	case src.IsValid():
		return src.String() + " -> " + dst.String()
	case hasEth:
		return eth.SrcMAC.String() + " -> " + eth.DstMAC.String() + " " + eth.EthernetType.String()
	}
	return "[unknown]"
}

// address is an address of four or sixteen bytes.
func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

// connectionFlags are the flags that cilium monitor shows, in its order.
func connectionFlags(tcp *layers.TCP) string {
	var set []string
	for _, f := range []struct {
		on   bool
		name string
	}{{tcp.SYN, "SYN"}, {tcp.ACK, "ACK"}, {tcp.RST, "RST"}, {tcp.FIN, "FIN"}} {
		if f.on {
			set = append(set, f.name)
		}
	}
	return strings.Join(set, ", ")
}
