package check_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/internal/testkit/check"
)

// recorder is a testing.TB that only remembers whether it failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Failed() bool          { return r.failed }
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Logf(string, ...any)   {}

var (
	macA, macB = [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
	ipA, ipB   = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
)

func frame(tb testing.TB, proto layers.IPProtocol, transport ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	ip := &layers.IPv4{
		Version: 4, IHL: 5, TTL: 63, TOS: 2, Protocol: proto, Flags: layers.IPv4DontFragment,
		SrcIP: ipA.AsSlice(), DstIP: ipB.AsSlice(),
	}
	for _, l := range transport {
		if s, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := s.SetNetworkLayerForChecksum(ip); err != nil {
				tb.Fatal(err)
			}
		}
	}
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		append([]gopacket.SerializableLayer{
			&layers.Ethernet{SrcMAC: macA[:], DstMAC: macB[:], EthernetType: layers.EthernetTypeIPv4}, ip,
		}, transport...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestCheckers(t *testing.T) {
	t.Parallel()
	payload := bytes.Repeat([]byte("payload"), 5)
	tcp := frame(t, layers.IPProtocolTCP, &layers.TCP{SrcPort: 1000, DstPort: 80, SYN: true}, gopacket.Payload(payload))
	udp := frame(t, layers.IPProtocolUDP, &layers.UDP{SrcPort: 1000, DstPort: 53}, gopacket.Payload(payload))
	icmp := frame(t, layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}, gopacket.Payload(payload))
	inner := append([]byte{8, 0, 0, 0, 0, 0, 5, 0}, tcp...)
	vxlan := frame(t, layers.IPProtocolUDP, &layers.UDP{SrcPort: 40000, DstPort: 8472}, gopacket.Payload(inner))
	flip := func(b []byte, offset int) []byte {
		b = bytes.Clone(b)
		b[offset] ^= 1
		return b
	}
	ip := func(b []byte, checks ...check.Checker) func(testing.TB) {
		return func(tb testing.TB) { tb.Helper(); check.IPv4(tb, b, checks...) }
	}
	tunnel := func(b []byte, vni uint32, in ...check.Checker) func(testing.TB) {
		return func(tb testing.TB) {
			tb.Helper()
			check.VXLAN(tb, b, 8472, vni, []check.Checker{check.TTL(63)}, in)
		}
	}
	tests := []struct {
		name string
		run  func(testing.TB)
		ok   bool
	}{
		{"everything right", ip(tcp, check.MACs(macB, macA), check.TTL(63), check.TOS(2), check.Addrs(ipA, ipB),
			check.Fragment(true, false, 0), check.TCP(check.SrcPort(1000), check.DstPort(80), check.TCPFlags(2)), check.Payload(payload)), true},
		{"udp", ip(udp, check.UDP(check.DstPort(53)), check.Payload(payload)), true},
		{"icmp", ip(icmp, check.ICMPv4(8, 0), check.Payload(payload)), true},
		{"vxlan", tunnel(vxlan, 5, check.TTL(63), check.TCP()), true},
		{"MACs", ip(tcp, check.MACs(macA, macB)), false},
		{"TTL", ip(tcp, check.TTL(64)), false},
		{"TOS", ip(tcp, check.TOS(0)), false},
		{"addresses", ip(tcp, check.Addrs(ipB, ipA)), false},
		{"fragment flags", ip(tcp, check.Fragment(false, false, 0)), false},
		{"source port", ip(tcp, check.SrcPort(80)), false},
		{"destination port", ip(tcp, check.TCP(check.DstPort(81))), false},
		{"flags", ip(tcp, check.TCPFlags(0x12)), false},
		{"payload", ip(tcp, check.Payload(nil)), false},
		{"wrong protocol", ip(tcp, check.UDP()), false},
		{"ICMP type", ip(icmp, check.ICMPv4(0, 0)), false},
		{"no ICMP", ip(tcp, check.ICMPv4(8, 0)), false},
		{"UDP checksum field", ip(udp, check.UDPChecksum(0)), false},
		{"IP header checksum", ip(flip(tcp, 24)), false},
		{"TCP checksum", ip(flip(tcp, 60), check.TCP()), false},
		{"UDP checksum", ip(flip(udp, 50), check.UDP()), false},
		{"ICMP checksum", ip(flip(icmp, 50), check.ICMPv4(8, 0)), false},
		{"cut off", ip(tcp[:60]), false},
		{"not IPv4", ip(flip(tcp, 13)), false},
		{"VNI", tunnel(vxlan, 6), false},
		{"inner TTL", tunnel(vxlan, 5, check.TTL(1)), false},
		{"not VXLAN", tunnel(udp, 5), false},
	}
	for _, tt := range tests {
		r := &recorder{TB: t}
		tt.run(r)
		if r.failed == tt.ok {
			t.Errorf("%s: accepted %t, want %t", tt.name, !r.failed, tt.ok)
		}
	}
}
