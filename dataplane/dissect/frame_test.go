package dissect_test

import (
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	macA = net.HardwareAddr{0x66, 0xfe, 0xf8, 0x92, 0xbf, 0xaf}
	macB = net.HardwareAddr{0x5a, 3, 0xc6, 0xe1, 0x49, 0xd2}
	ipA  = net.IP{10, 0, 1, 178}
	ipB  = net.IP{10, 0, 1, 79}
)

// build serializes layers with gopacket, which knows nothing of our walker.
func build(tb testing.TB, l ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	return buildAs(tb, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...)
}

func buildAs(tb testing.TB, opt gopacket.SerializeOptions, l ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	for _, x := range l {
		var err error
		switch x := x.(type) {
		case *layers.TCP:
			err = x.SetNetworkLayerForChecksum(network(l))
		case *layers.UDP:
			err = x.SetNetworkLayerForChecksum(network(l))
		case *layers.ICMPv6:
			err = x.SetNetworkLayerForChecksum(network(l))
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, opt, l...); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func network(l []gopacket.SerializableLayer) gopacket.NetworkLayer {
	var last gopacket.NetworkLayer
	for _, x := range l {
		if n, ok := x.(gopacket.NetworkLayer); ok {
			last = n
		}
	}
	return last
}

func eth(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: macA, DstMAC: macB, EthernetType: t}
}

func ip4(p layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, IHL: 5, Id: 7, TTL: 64, Protocol: p, SrcIP: ipA, DstIP: ipB}
}

func ip6(p layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: p, SrcIP: net.ParseIP("fe80::1"), DstIP: net.ParseIP("ff02::2")}
}

func arp(op uint16) *layers.ARP {
	return &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: op,
		SourceHwAddress: macA, SourceProtAddress: ipA, DstHwAddress: macB, DstProtAddress: ipB,
	}
}

func icmp(typ, code uint8, id, seq uint16) *layers.ICMPv4 {
	return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: id, Seq: seq}
}

func syn() *layers.TCP {
	return &layers.TCP{
		SrcPort: 40000, DstPort: 80, Seq: 1000, SYN: true, Window: 64240,
		Options: []layers.TCPOption{
			{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}},
			{OptionType: layers.TCPOptionKindSACKPermitted, OptionLength: 2},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, 9, 0, 0, 0, 0}},
			{OptionType: layers.TCPOptionKindNop, OptionLength: 1},
			{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}},
		},
	}
}

func udp(dst layers.UDPPort) *layers.UDP { return &layers.UDP{SrcPort: 40000, DstPort: dst} }

// vxlan carries a frame between two nodes on Cilium's port.
func vxlan(tb testing.TB, vni uint32, inner []byte) []byte {
	tb.Helper()
	outer := ip4(layers.IPProtocolUDP)
	outer.SrcIP, outer.DstIP = net.IP{172, 18, 0, 2}, net.IP{172, 18, 0, 3}
	return build(tb, eth(layers.EthernetTypeIPv4), outer, udp(8472), &layers.VXLAN{ValidIDFlag: true, VNI: vni}, gopacket.Payload(inner))
}

// clone is b with one byte changed.
func with(b []byte, at int, v byte) []byte {
	c := append([]byte{}, b...)
	c[at] = v
	return c
}

// sample is a frame with what Summary and Connection say of it.
type sample struct {
	name                string
	frame               []byte
	summary, connection string
}

// samples are well-formed frames of every kind.
func samples(tb testing.TB) []sample {
	tb.Helper()
	payload := gopacket.Payload("hello, network")
	ping := build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(8, 0, 9, 2), gopacket.Payload(make([]byte, 56)))
	data := &layers.TCP{SrcPort: 40000, DstPort: 80, Seq: 1001, Ack: 5, ACK: true, PSH: true, Window: 502}
	more := ip4(layers.IPProtocolUDP)
	more.Flags = layers.IPv4MoreFragments
	last := ip4(layers.IPProtocolUDP)
	last.FragOffset = 185
	udpTo := build(tb, ip4(layers.IPProtocolUDP), udp(53), payload)
	tcpTo := build(tb, ip4(layers.IPProtocolTCP), syn())
	return []sample{
		{
			"arp request", build(tb, eth(layers.EthernetTypeARP), arp(1)),
			"ARP, Request who-has 10.0.1.79 tell 10.0.1.178, length 28", "66:fe:f8:92:bf:af -> 5a:03:c6:e1:49:d2 ARP",
		},
		{
			"arp reply", build(tb, eth(layers.EthernetTypeARP), arp(2)),
			"ARP, Reply 10.0.1.178 is-at 66:fe:f8:92:bf:af, length 28", "66:fe:f8:92:bf:af -> 5a:03:c6:e1:49:d2 ARP",
		},
		{
			"echo request", ping,
			"IP 10.0.1.178 > 10.0.1.79: ICMP echo request, id 9, seq 2, length 64", "10.0.1.178 -> 10.0.1.79 EchoRequest",
		},
		{
			"echo reply", build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(0, 0, 9, 2)),
			"IP 10.0.1.178 > 10.0.1.79: ICMP echo reply, id 9, seq 2, length 8", "10.0.1.178 -> 10.0.1.79 EchoReply",
		},
		{
			"port unreachable",
			build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(3, 3, 0, 0), gopacket.Payload(udpTo[:28])),
			"IP 10.0.1.178 > 10.0.1.79: ICMP port unreachable, length 36, about 10.0.1.178.40000 > 10.0.1.79.53 UDP",
			"10.0.1.178 -> 10.0.1.79 DestinationUnreachable(Port)",
		},
		{
			"fragmentation needed",
			build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(3, 4, 0, 1450), gopacket.Payload(tcpTo)),
			"IP 10.0.1.178 > 10.0.1.79: ICMP unreachable - fragmentation needed (mtu 1450), length 68, about 10.0.1.178.40000 > 10.0.1.79.80 TCP",
			"10.0.1.178 -> 10.0.1.79 DestinationUnreachable(FragmentationNeeded)",
		},
		{
			"time exceeded",
			build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(11, 0, 0, 0), gopacket.Payload(ping[14:42])),
			"IP 10.0.1.178 > 10.0.1.79: ICMP time exceeded in-transit, length 36, about 10.0.1.178 > 10.0.1.79 ICMP echo request",
			"10.0.1.178 -> 10.0.1.79 TimeExceeded(TTLExceeded)",
		},
		{
			"syn", build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP), syn()),
			"IP 10.0.1.178.40000 > 10.0.1.79.80: Flags [S], seq 1000, win 64240, " +
				"options [mss 1460,sackOK,TS val 9 ecr 0,nop,wscale 7], length 0",
			"10.0.1.178:40000 -> 10.0.1.79:80 tcp SYN",
		},
		{
			"syn, ack", build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP), &layers.TCP{SrcPort: 80, DstPort: 40000, Ack: 1, SYN: true, ACK: true}),
			"IP 10.0.1.178.80 > 10.0.1.79.40000: Flags [S.], seq 0, ack 1, win 0, length 0",
			"10.0.1.178:80 -> 10.0.1.79:40000 tcp SYN, ACK",
		},
		{
			"data", build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP), data, payload),
			"IP 10.0.1.178.40000 > 10.0.1.79.80: Flags [P.], seq 1001:1015, ack 5, win 502, length 14",
			"10.0.1.178:40000 -> 10.0.1.79:80 tcp ACK",
		},
		{
			"all flags", build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP), &layers.TCP{SrcPort: 1, DstPort: 2, SYN: true, ACK: true, RST: true, FIN: true, URG: true}),
			"IP 10.0.1.178.1 > 10.0.1.79.2: Flags [FSR.U], seq 0, ack 0, win 0, length 0",
			"10.0.1.178:1 -> 10.0.1.79:2 tcp SYN, ACK, RST, FIN",
		},
		{
			"udp", build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP), udp(53), payload),
			"IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 14", "10.0.1.178:40000 -> 10.0.1.79:53 udp",
		},
		{
			"first fragment", build(tb, eth(layers.EthernetTypeIPv4), more, udp(53), payload),
			"IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 14, first fragment, id 7", "10.0.1.178 -> 10.0.1.79",
		},
		{
			"last fragment", build(tb, eth(layers.EthernetTypeIPv4), last, payload),
			"IP 10.0.1.178 > 10.0.1.79: UDP fragment, id 7, offset 1480, length 14", "10.0.1.178 -> 10.0.1.79",
		},
		{
			"sctp", build(tb, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolSCTP), payload),
			"IP 10.0.1.178 > 10.0.1.79: SCTP, length 14", "10.0.1.178 -> 10.0.1.79",
		},
		{
			"unknown protocol", build(tb, eth(layers.EthernetTypeIPv4), ip4(253), payload),
			"IP 10.0.1.178 > 10.0.1.79: protocol 253, length 14", "10.0.1.178 -> 10.0.1.79",
		},
		{
			"vxlan", vxlan(tb, 13789, ping),
			"IP 172.18.0.2.40000 > 172.18.0.3.8472: VXLAN vni 13789: IP 10.0.1.178 > 10.0.1.79: ICMP echo request, id 9, seq 2, length 64",
			"172.18.0.2:40000 -> 172.18.0.3:8472 udp",
		},
		{
			"vxlan in vxlan", vxlan(tb, 1, vxlan(tb, 2, build(tb, eth(layers.EthernetTypeARP), arp(1)))),
			"IP 172.18.0.2.40000 > 172.18.0.3.8472: VXLAN vni 1: IP 172.18.0.2.40000 > 172.18.0.3.8472: VXLAN vni 2: " +
				"ARP, Request who-has 10.0.1.79 tell 10.0.1.178, length 28",
			"172.18.0.2:40000 -> 172.18.0.3:8472 udp",
		},
		{
			"router solicitation", build(tb, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolICMPv6),
				&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(133, 0)}, gopacket.Payload(make([]byte, 4))),
			"IP6 fe80::1 > ff02::2: ICMP6, router solicitation, length 8", "fe80::1 -> ff02::2 RouterSolicitation",
		},
		{
			"udp over ipv6", build(tb, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), udp(547), payload),
			"IP6 fe80::1.40000 > ff02::2.547: UDP, length 14", "[fe80::1]:40000 -> [ff02::2]:547 udp",
		},
		{
			"vlan", build(tb, eth(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeARP}, arp(1)),
			"vlan 5, ARP, Request who-has 10.0.1.79 tell 10.0.1.178, length 28", "66:fe:f8:92:bf:af -> 5a:03:c6:e1:49:d2 Dot1Q",
		},
		{
			"unknown ether type", build(tb, eth(0x88cc), gopacket.Payload(make([]byte, 46))),
			"66:fe:f8:92:bf:af > 5a:03:c6:e1:49:d2, ethertype 0x88cc, length 46", "66:fe:f8:92:bf:af -> 5a:03:c6:e1:49:d2 LinkLayerDiscovery",
		},
	}
}
