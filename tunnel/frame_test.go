package tunnel_test

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	macKernel = [6]byte{2, 0, 0, 0, 0, 0xa}
	macOurs   = [6]byte{2, 0, 0, 0, 0, 0xb}
	ipKernel  = netip.MustParseAddr("10.0.0.1")
	ipOurs    = netip.MustParseAddr("10.0.0.2")
)

// serialize builds a frame from our inner address to the kernel's.
func serialize(tb testing.TB, ls ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	b := gopacket.NewSerializeBuffer()
	must(tb, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
	return b.Bytes()
}

func ethernet(proto layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: macOurs[:], DstMAC: macKernel[:], EthernetType: proto}
}

func ipv4(tos uint8, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, IHL: 5, TTL: 64, TOS: tos, Protocol: proto, Flags: layers.IPv4DontFragment,
		SrcIP: ipOurs.AsSlice(), DstIP: ipKernel.AsSlice(),
	}
}

func udpFrame(tb testing.TB, tos uint8, dport uint16, payload []byte) []byte {
	tb.Helper()
	ip := ipv4(tos, layers.IPProtocolUDP)
	udp := &layers.UDP{SrcPort: 4000, DstPort: layers.UDPPort(dport)}
	must(tb, udp.SetNetworkLayerForChecksum(ip))
	return serialize(tb, ethernet(layers.EthernetTypeIPv4), ip, udp, gopacket.Payload(payload))
}

func tcpFrame(tb testing.TB, payload []byte) []byte {
	tb.Helper()
	ip := ipv4(0, layers.IPProtocolTCP)
	tcp := &layers.TCP{SrcPort: 4000, DstPort: 80, Seq: 1, ACK: true, Window: 1000}
	must(tb, tcp.SetNetworkLayerForChecksum(ip))
	return serialize(tb, ethernet(layers.EthernetTypeIPv4), ip, tcp, gopacket.Payload(payload))
}

func ipv6Frame(tb testing.TB, class uint8) []byte {
	tb.Helper()
	return serialize(tb, ethernet(layers.EthernetTypeIPv6), &layers.IPv6{
		Version: 6, TrafficClass: class, HopLimit: 64, NextHeader: layers.IPProtocolNoNextHeader,
		SrcIP: netip.MustParseAddr("fd00::2").AsSlice(), DstIP: netip.MustParseAddr("fd00::1").AsSlice(),
	})
}

func arpFrame(tb testing.TB) []byte {
	tb.Helper()
	return serialize(tb, ethernet(layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPReply, SourceHwAddress: macOurs[:], SourceProtAddress: ipOurs.AsSlice(),
		DstHwAddress: macKernel[:], DstProtAddress: ipKernel.AsSlice(),
	})
}
