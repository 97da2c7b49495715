package dissect_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

// lines is a list of fields as "offset+length name value".
func lines(frame []byte) []string {
	var out []string
	for _, f := range dissect.Fields(frame) {
		out = append(out, fmt.Sprintf("%d+%d %s %s", f.Offset, f.Len, f.Name, f.Value))
	}
	return out
}

func TestFields(t *testing.T) {
	t.Parallel()
	want := []string{
		"0+6 eth.dst 5a:03:c6:e1:49:d2", "6+6 eth.src 66:fe:f8:92:bf:af", "12+2 eth.type IPv4",
		"14+1 ip.version 4", "14+1 ip.hlen 20", "15+1 ip.tos 0x00", "16+2 ip.len 61", "18+2 ip.id 7",
		"20+2 ip.flags DF", "20+2 ip.frag 0", "22+1 ip.ttl 64", "23+1 ip.proto TCP", "24+2 ip.checksum 0x23b4",
		"26+4 ip.src 10.0.1.178", "30+4 ip.dst 10.0.1.79",
		"34+2 tcp.sport 40000", "36+2 tcp.dport 80", "38+4 tcp.seq 1000", "42+4 tcp.ack 0", "46+2 tcp.hlen 40",
		"46+2 tcp.flags SYN", "48+2 tcp.window 64240", "50+2 tcp.checksum 0x348c", "52+2 tcp.urgent 0",
		"54+20 tcp.options mss 1460,sackOK,TS val 9 ecr 0,nop,wscale 7", "74+1 data 1 byte: 61",
	}
	ip := ip4(layers.IPProtocolTCP)
	ip.Flags = layers.IPv4DontFragment
	frame := build(t, eth(layers.EthernetTypeIPv4), ip, syn(), gopacket.Payload("a"))
	if d := cmp.Diff(want, lines(frame)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Each field's value, as gopacket reads it.
func TestFieldsOfEveryLayer(t *testing.T) {
	t.Parallel()
	ping := build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(8, 0, 9, 2))
	for _, tt := range []struct {
		name  string
		frame []byte
		want  []string // among others
	}{
		{"arp", build(t, eth(layers.EthernetTypeARP), arp(2)), []string{
			"14+2 arp.hardware 1", "16+2 arp.protocol 0x0800", "20+2 arp.op reply", "22+6 arp.sender_mac 66:fe:f8:92:bf:af",
			"28+4 arp.sender_ip 10.0.1.178", "32+6 arp.target_mac 5a:03:c6:e1:49:d2", "38+4 arp.target_ip 10.0.1.79",
		}},
		{"icmp", ping, []string{
			"34+1 icmp.type echo request", "35+1 icmp.code 0", "38+2 icmp.id 9", "40+2 icmp.seq 2",
		}},
		{
			"icmp error", build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolICMPv4), icmp(3, 4, 0, 1450), gopacket.Payload(ping[14:])),
			[]string{"40+2 icmp.mtu 1450", "54+4 orig.ip.src 10.0.1.178", "62+1 orig.icmp.type echo request", "66+2 orig.icmp.id 9"},
		},
		{"vxlan", vxlan(t, 13789, ping), []string{
			"26+4 ip.src 172.18.0.2", "36+2 udp.dport 8472", "42+1 vxlan.flags 0x08", "46+3 vxlan.vni 13789",
			"50+6 inner.eth.dst 5a:03:c6:e1:49:d2", "72+1 inner.ip.ttl 64", "88+2 inner.icmp.id 9",
		}},
		{"vlan", build(t, eth(layers.EthernetTypeDot1Q), &layers.Dot1Q{Priority: 3, VLANIdentifier: 5, Type: layers.EthernetTypeARP}, arp(1)), []string{
			"12+2 eth.type 802.1Q", "14+2 vlan.tag 5 priority 0x6", "16+2 vlan.type ARP", "24+2 arp.op request",
		}},
		{"ipv6", build(t, eth(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), udp(547)), []string{
			"14+4 ip6.version 6", "14+4 ip6.class 0x00", "18+2 ip6.len 8", "20+1 ip6.next UDP", "21+1 ip6.hop_limit 255",
			"22+16 ip6.src fe80::1", "54+2 udp.sport 40000",
		}},
	} {
		got := lines(tt.frame)
		for _, w := range tt.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: no %q in\n%s", tt.name, w, strings.Join(got, "\n"))
			}
		}
	}
}

// A length of 0 is that of a GSO packet; a later fragment has no transport header.
func TestLengthsAndFragments(t *testing.T) {
	t.Parallel()
	udp4 := build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP), udp(53), gopacket.Payload(make([]byte, 30)))
	head := ip6(layers.IPProtocolUDP)
	head.TrafficClass, head.FlowLabel = 0xb9, 0xfedcb
	udp6 := build(t, eth(layers.EthernetTypeIPv6), head, udp(53), gopacket.Payload(make([]byte, 4)))
	later := ip4(layers.IPProtocolUDP)
	later.FragOffset = 1
	for _, tt := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"udp length 0", with(udp4, 39, 0), "42+30 data 30 bytes: 00000000000000000000000000000000…"},
		{"ip length 0", with(udp4, 17, 0), "42+30 data 30 bytes: 00000000000000000000000000000000…"},
		{"ipv6 length 0", with(udp6, 19, 0), "62+4 data 4 bytes: 00000000"},
		{"later fragment", build(t, eth(layers.EthernetTypeIPv4), later, gopacket.Payload(make([]byte, 30))), "34+30 data 30 bytes: 00000000000000000000000000000000…"},
		{"traffic class", udp6, "14+4 ip6.class 0xb9"},
		{"flow label", udp6, "14+4 ip6.flow 0xfedcb"},
	} {
		if got := lines(tt.frame); !slices.Contains(got, tt.want) {
			t.Errorf("%s: no %q in\n%s", tt.name, tt.want, strings.Join(got, "\n"))
		}
	}
}

// Padding behind an IP packet and behind ARP is not the packet's.
func TestTrailer(t *testing.T) {
	t.Parallel()
	request := append(build(t, eth(layers.EthernetTypeARP), arp(1))[:42:42], 0, 0)
	packet := append(build(t, eth(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP), udp(53), gopacket.Payload("ab"))[:44:44], 1, 2, 3)
	for _, tt := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"arp", request, "42+2 arp.trailer 2 bytes: 0000"},
		{"ip", packet, "44+3 ip.trailer 3 bytes: 010203"},
		{"udp", with(packet, 39, 9), "43+1 udp.trailer 1 byte: 62"},
	} {
		if got := lines(tt.frame); !slices.Contains(got, tt.want) {
			t.Errorf("%s: no %q in\n%s", tt.name, tt.want, strings.Join(got, "\n"))
		}
	}
}

func TestFieldAt(t *testing.T) {
	t.Parallel()
	frame := build(t, eth(layers.EthernetTypeARP), arp(1))
	for _, tt := range []struct {
		name   string
		offset int
		want   string
	}{
		{"first", 0, "eth.dst"},
		{"last of a field", 11, "eth.src"},
		{"first of the next", 12, "eth.type"},
		{"last", 41, "arp.target_ip"},
		{"behind", len(frame), ""},
		{"before", -1, ""},
	} {
		got, ok := dissect.FieldAt(frame, tt.offset)
		if got.Name != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got.Name, ok, tt.want)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	udpIP := ip4(layers.IPProtocolUDP)
	before := build(t, eth(layers.EthernetTypeIPv4), udpIP, udp(80), gopacket.Payload("request"))
	udpIP.TTL, udpIP.DstIP = 63, net.IP{10, 0, 0, 5}
	out := eth(layers.EthernetTypeIPv4)
	out.DstMAC = macA
	routed := build(t, out, udpIP, udp(8080), gopacket.Payload("request"))
	long := build(t, eth(layers.EthernetTypeIPv4), ip4(253), gopacket.Payload(make([]byte, 64)))
	for _, tt := range []struct {
		name          string
		before, after []byte
		want          []string
	}{
		{"equal", before, before, nil},
		{"rewritten", before, routed, []string{
			"eth.dst 5a:03:c6:e1:49:d2 → 66:fe:f8:92:bf:af", "ip.ttl 64 → 63", "ip.checksum 0x63c3 → 0x660d",
			"ip.dst 10.0.1.79 → 10.0.0.5", "udp.dport 80 → 8080", "udp.checksum 0x8ef0 → 0x70fa",
		}},
		{"shorter", before, before[:38], []string{
			"- udp.len 15", "- udp.checksum 0x8ef0", "- data 7 bytes: 72657175657374", "- ip.trailer 11 bytes: 0000000000000000000000",
		}},
		{"one of the fields of a word", before, with(before, 20, 0x40), []string{"ip.flags none → DF"}},
		{"payload", long, with(long, 80, 0xff), []string{"data byte 46 of 64: 0000000000000000 → byte 46 of 64: ff00000000000000"}},
		{"nothing to something", nil, before[:14], []string{
			"+ eth.dst 5a:03:c6:e1:49:d2", "+ eth.src 66:fe:f8:92:bf:af", "+ eth.type IPv4",
		}},
	} {
		var got []string
		for _, c := range dissect.Diff(tt.before, tt.after) {
			got = append(got, c.String())
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, d)
		}
	}
}

// The inner fields of an encapsulated frame are compared with the plain frame's.
func TestDiffOfEncapsulation(t *testing.T) {
	t.Parallel()
	plain := build(t, eth(layers.EthernetTypeARP), arp(1))
	tunnelled := vxlan(t, 6, with(plain, 41, 1))
	got := dissect.Diff(plain, tunnelled)
	want := dissect.Change{Field: "inner.arp.target_ip", Before: "10.0.1.79", After: "10.0.1.1"}
	if !slices.Contains(got, want) || !slices.Contains(got, dissect.Change{Field: "vxlan.vni", After: "6"}) {
		t.Errorf("encapsulated: got %v", got)
	}
	for _, c := range got {
		if strings.HasPrefix(c.Field, "inner.") && c != want {
			t.Errorf("unchanged, but listed: %v", c)
		}
	}
	want.Before, want.After = want.After, want.Before
	if got := dissect.Diff(tunnelled, plain); !slices.Contains(got, want) || !slices.Contains(got, dissect.Change{Field: "vxlan.vni", Before: "6"}) {
		t.Errorf("decapsulated: got %v", got)
	}
}

// Fields cover a frame without gaps, in order and with unique names; a difference
// is never missed and never invented.
func FuzzDiff(f *testing.F) {
	all := samples(f)
	for i, s := range all {
		f.Add(s.frame, all[(i+1)%len(all)].frame)
		f.Add(s.frame, s.frame[:len(s.frame)-len(s.frame)/3])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		at, names := 0, map[string]bool{}
		for _, f := range dissect.Fields(a) {
			if f.Offset > at || f.Len <= 0 || f.Offset+f.Len > len(a) || names[f.Name] || f.Value == "" {
				t.Fatalf("field %+v in a frame of %d bytes, covered up to %d, named before: %v", f, len(a), at, names[f.Name])
			}
			at, names[f.Name] = max(at, f.Offset+f.Len), true
		}
		if at != len(a) {
			t.Errorf("covered up to byte %d of %d", at, len(a))
		}
		changes := dissect.Diff(a, b)
		if (len(changes) == 0) != bytes.Equal(a, b) {
			t.Errorf("%d changes between %x and %x", len(changes), a, b)
		}
		for _, c := range changes {
			if c.Before == c.After {
				t.Errorf("no change: %+v", c)
			}
		}
	})
}

// Whatever gopacket can decode, the fields must say the same of.
func FuzzFields(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		got := map[string]string{}
		for _, f := range dissect.Fields(frame) {
			got[f.Name] = f.Value
		}
		var (
			eth   layers.Ethernet
			arp   layers.ARP
			ip    layers.IPv4
			tcp   layers.TCP
			udp   layers.UDP
			icmp  layers.ICMPv4
			types []gopacket.LayerType
		)
		parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &arp, &ip, &tcp, &udp, &icmp)
		_ = parser.DecodeLayers(frame, &types)
		bridged := len(frame) >= 14 && binary.BigEndian.Uint16(frame[12:]) == 0x6558 // Ethernet in Ethernet
		if p := got["ip.proto"]; bridged || p == "IPIP" || p == "94" || len(frame) > 14 && frame[14]>>4 != 4 {
			return // the parser keeps the inner header only; and it takes any version for 4
		}
		for _, layer := range types {
			want := map[string]any{}
			switch layer {
			case layers.LayerTypeEthernet:
				want["eth.dst"], want["eth.src"] = eth.DstMAC, eth.SrcMAC
			case layers.LayerTypeARP:
				if arp.HwAddressSize != 6 || arp.ProtAddressSize != 4 {
					return
				}
				want["arp.sender_mac"], want["arp.sender_ip"] = net.HardwareAddr(arp.SourceHwAddress), net.IP(arp.SourceProtAddress)
				want["arp.target_mac"], want["arp.target_ip"] = net.HardwareAddr(arp.DstHwAddress), net.IP(arp.DstProtAddress)
			case layers.LayerTypeIPv4:
				want["ip.src"], want["ip.dst"], want["ip.ttl"], want["ip.id"] = ip.SrcIP, ip.DstIP, ip.TTL, ip.Id
				want["ip.len"], want["ip.frag"], want["ip.hlen"] = binary.BigEndian.Uint16(frame[16:]), int(ip.FragOffset)*8, int(ip.IHL)*4
				want["ip.checksum"], want["ip.tos"] = fmt.Sprintf("0x%04x", ip.Checksum), fmt.Sprintf("0x%02x", ip.TOS)
			case layers.LayerTypeTCP:
				want["tcp.sport"], want["tcp.dport"], want["tcp.seq"], want["tcp.ack"] = uint16(tcp.SrcPort), uint16(tcp.DstPort), tcp.Seq, tcp.Ack
				want["tcp.hlen"], want["tcp.window"], want["tcp.urgent"] = int(tcp.DataOffset)*4, tcp.Window, tcp.Urgent
			case layers.LayerTypeUDP:
				want["udp.sport"], want["udp.dport"], want["udp.len"] = uint16(udp.SrcPort), uint16(udp.DstPort), udp.Length
			case layers.LayerTypeICMPv4:
				want["icmp.code"], want["icmp.checksum"] = icmp.TypeCode.Code(), fmt.Sprintf("0x%04x", icmp.Checksum)
			}
			for name, w := range want {
				if got[name] != fmt.Sprint(w) {
					t.Errorf("%s: got %q, gopacket reads %v", name, got[name], w)
				}
			}
		}
	})
}
