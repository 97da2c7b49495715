package emu_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// frame describes an Ethernet frame with IPv4. It is built by gopacket, which
// knows nothing of our headers and checksums.
type frame struct {
	srcMAC, dstMAC mac
	src, dst       addr
	tos, ttl       uint8
	id             uint16
	fragment       layers.IPv4Flag
	offset         uint16 // of a fragment, in units of 8 bytes
	proto          layers.IPProtocol
	l4             gopacket.SerializableLayer // nil: the payload is the L4 header
	payload        []byte
}

// ipv4 is a packet of the pod to dst, through its gateway.
func (p pod) ipv4(dst addr) frame {
	return frame{srcMAC: p.mac, dstMAC: p.nodeMAC, src: p.ip, dst: dst, ttl: 64, id: 0x1d2e, fragment: layers.IPv4DontFragment}
}

func (p pod) tcp(dst addr, sport, dport uint16, flags string) frame {
	return p.ipv4(dst).tcp(sport, dport, flags)
}

func (p pod) udp(dst addr, sport, dport uint16) frame { return p.ipv4(dst).udp(sport, dport) }

// echo is an ICMP echo request, or with reply its answer.
func (p pod) echo(dst addr, id uint16, reply bool) frame {
	typ := uint8(layers.ICMPv4TypeEchoRequest)
	if reply {
		typ = layers.ICMPv4TypeEchoReply
	}
	return p.ipv4(dst).icmp(typ, 0, id)
}

// tcp makes the frame a TCP segment; flags are letters of SAFRP.
func (f frame) tcp(sport, dport uint16, flags string) frame {
	l := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Seq: 1, Window: 64240}
	for _, c := range flags {
		switch c {
		case 'S':
			l.SYN = true
		case 'A':
			l.ACK = true
		case 'F':
			l.FIN = true
		case 'R':
			l.RST = true
		case 'P':
			l.PSH = true
		}
	}
	f.proto, f.l4 = layers.IPProtocolTCP, l
	return f
}

func (f frame) udp(sport, dport uint16) frame {
	f.proto, f.l4 = layers.IPProtocolUDP, &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	f.payload = []byte("payload!")
	return f
}

func (f frame) icmp(typ, icode uint8, id uint16) frame {
	f.proto, f.l4 = layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, icode), Id: id, Seq: 1}
	return f
}

// raw makes the frame one of a protocol whose header and payload are b.
func (f frame) raw(proto layers.IPProtocol, b []byte) frame {
	f.proto, f.l4, f.payload = proto, nil, b
	return f
}

// bytes serializes the frame with right lengths and checksums.
func (f frame) bytes(tb testing.TB) []byte {
	tb.Helper()
	eth := &layers.Ethernet{SrcMAC: f.srcMAC[:], DstMAC: f.dstMAC[:], EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{
		Version: 4, IHL: 5, TOS: f.tos, Id: f.id, Flags: f.fragment, FragOffset: f.offset, TTL: f.ttl,
		Protocol: f.proto, SrcIP: f.src[:], DstIP: f.dst[:],
	}
	ls := []gopacket.SerializableLayer{eth, ip}
	if f.l4 != nil {
		if l, ok := f.l4.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			must(tb, l.SetNetworkLayerForChecksum(ip))
		}
		ls = append(ls, f.l4)
	}
	ls = append(ls, gopacket.Payload(f.payload))
	buf := gopacket.NewSerializeBuffer()
	must(tb, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
	return buf.Bytes()[:14+int(ip.Length)] // without the padding to 60 bytes
}

// arpRequest asks for target; sha is the sender address in the ARP body.
func arpRequest(tb testing.TB, src, dst, sha mac, senderIP, target addr) []byte {
	tb.Helper()
	eth := &layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeARP}
	arp := &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPRequest, SourceHwAddress: sha[:], SourceProtAddress: senderIP[:],
		DstHwAddress: make([]byte, 6), DstProtAddress: target[:],
	}
	buf := gopacket.NewSerializeBuffer()
	must(tb, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, eth, arp))
	return buf.Bytes()[:42] // without the padding to 60 bytes
}

func broadcast() mac { return mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// parts are the fields of a frame that programs rewrite, read with gopacket.
type parts struct {
	DstMAC, SrcMAC   mac
	Src, Dst         addr
	TTL              uint8
	SrcPort, DstPort uint16
}

// partsOf decodes a frame and checks all its checksums. UDP checksum 0 is none.
func partsOf(tb testing.TB, b []byte) parts {
	tb.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Lazy)
	eth, _ := p.LinkLayer().(*layers.Ethernet)
	ip, ok := p.NetworkLayer().(*layers.IPv4)
	if !ok {
		tb.Fatalf("no IPv4: %x", b)
	}
	got := parts{DstMAC: mac(eth.DstMAC), SrcMAC: mac(eth.SrcMAC), Src: addr(ip.SrcIP.To4()), Dst: addr(ip.DstIP.To4()), TTL: ip.TTL}
	if s := sumOf(ip.Contents); s != 0xffff {
		tb.Errorf("IPv4 header adds up to %#x, want 0xffff", s)
	}
	switch l4 := p.TransportLayer().(type) {
	case *layers.TCP:
		got.SrcPort, got.DstPort = uint16(l4.SrcPort), uint16(l4.DstPort)
		checkPseudo(tb, ip)
	case *layers.UDP:
		got.SrcPort, got.DstPort = uint16(l4.SrcPort), uint16(l4.DstPort)
		if l4.Checksum != 0 {
			checkPseudo(tb, ip)
		}
	}
	return got
}

func checkPseudo(tb testing.TB, ip *layers.IPv4) {
	tb.Helper()
	b := append([]byte{}, ip.SrcIP.To4()...)
	b = append(b, ip.DstIP.To4()...)
	b = append(b, 0, byte(ip.Protocol))
	b = binary.BigEndian.AppendUint16(b, uint16(len(ip.Payload)))
	if s := sumOf(append(b, ip.Payload...)); s != 0xffff {
		tb.Errorf("%s with its pseudo header adds up to %#x, want 0xffff", ip.Protocol, s)
	}
}

// sumOf is the one's complement sum of RFC 1071, in 16-bit words.
func sumOf(b []byte) uint16 {
	var sum uint32
	for i, c := range b {
		sum += uint32(c) << (8 * (1 - i&1))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
