package dissect_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

// connectionOf is what cilium monitor shows, by the library that it uses.
func connectionOf(frame []byte) string {
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
	address := func(b []byte) netip.Addr {
		a, _ := netip.AddrFromSlice(b)
		return a.Unmap()
	}
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
			var set []string
			for i, on := range []bool{tcp.SYN, tcp.ACK, tcp.RST, tcp.FIN} {
				if on {
					set = append(set, []string{"SYN", "ACK", "RST", "FIN"}[i])
				}
			}
			transport = "tcp " + strings.Join(set, ", ")
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

// tunnelled says that a frame has another one or another packet inside, of which the
// library would show the inner one, or hop-by-hop options, whose content it checks.
func tunnelled(frame []byte) bool {
	if len(frame) < 14 {
		return false
	}
	bridged := frame[12] == 0x65 && frame[13] == 0x58
	if len(frame) < 34 {
		return bridged
	}
	next := frame[23]
	if frame[12] == 0x86 && frame[13] == 0xdd {
		next = frame[20]
	}
	return bridged || slices.Contains([]byte{4, 41, 94, 0}, next) // IPv4, IPv6, IPIP, options
}

// TestConnectionNames compares the names of all ICMP messages and ether types with
// those of the library that cilium monitor uses.
func TestConnectionNames(t *testing.T) {
	t.Parallel()
	icmp4 := build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(0, 0, 0, 0))
	icmp6 := build(t, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)})
	for _, tt := range []struct {
		name  string
		frame []byte
		at    int // of two bytes
		low   int // how many values of the second
	}{
		{"ICMP", icmp4, 34, 20}, {"ICMPv6", icmp6, 54, 20}, {"ether type", with(icmp4[:30], 14, 0), 12, 256},
	} {
		for i := range 256 * tt.low {
			tt.frame[tt.at], tt.frame[tt.at+1] = byte(i/tt.low), byte(i%tt.low)
			if tunnelled(tt.frame) {
				continue
			}
			if got, want := dissect.Connection(tt.frame), connectionOf(tt.frame); got != want {
				t.Fatalf("%s %d/%d: got %q, want %q", tt.name, i/tt.low, i%tt.low, got, want)
			}
		}
	}
}

// FuzzConnection compares any frame.
func FuzzConnection(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if tunnelled(frame) {
			return
		}
		if got, want := dissect.Connection(frame), connectionOf(frame); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
