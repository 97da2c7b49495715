package check

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// TCP checks that there is TCP with a right checksum, then the rest.
func TCP(checks ...Checker) Checker { return transport(layers.LayerTypeTCP, checks) }

// UDP checks that there is UDP with a right or no checksum, then the rest.
func UDP(checks ...Checker) Checker { return transport(layers.LayerTypeUDP, checks) }

// ICMPv4 checks type and code and the checksum.
func ICMPv4(typ, code uint8) Checker {
	return func(tb testing.TB, p gopacket.Packet) {
		tb.Helper()
		l, ok := layer[*layers.ICMPv4](tb, p, layers.LayerTypeICMPv4)
		if !ok {
			return
		}
		if got, want := l.TypeCode, layers.CreateICMPv4TypeCode(typ, code); got != want {
			tb.Errorf("ICMPv4 %s, want %s", got, want)
		}
		if onesComplement(append(append([]byte{}, l.Contents...), l.Payload...)) != 0xffff {
			tb.Errorf("ICMPv4 checksum %#04x is wrong", l.Checksum)
		}
	}
}

// SrcPort checks the source port of TCP or UDP.
func SrcPort(want uint16) Checker { return port("source", 0, want) }

// DstPort checks the destination port of TCP or UDP.
func DstPort(want uint16) Checker { return port("destination", 2, want) }

// UDPChecksum checks the checksum field of UDP. 0 means none.
func UDPChecksum(want uint16) Checker {
	return equal(layers.LayerTypeUDP, "checksum", want, func(l *layers.UDP) uint16 { return l.Checksum })
}

// TCPFlags checks the flags byte of TCP.
func TCPFlags(want uint8) Checker {
	return equal(layers.LayerTypeTCP, "flags", want, func(l *layers.TCP) uint8 { return l.Contents[13] })
}

func port(name string, at int, want uint16) Checker {
	return func(tb testing.TB, p gopacket.Packet) {
		tb.Helper()
		t := p.TransportLayer()
		if t == nil || len(t.LayerContents()) < at+2 {
			tb.Errorf("no ports in %s", p)
			return
		}
		if got := binary.BigEndian.Uint16(t.LayerContents()[at:]); got != want {
			tb.Errorf("%s %s port = %d, want %d", t.LayerType(), name, got, want)
		}
	}
}

func transport(lt gopacket.LayerType, checks []Checker) Checker {
	return func(tb testing.TB, p gopacket.Packet) {
		tb.Helper()
		t := p.TransportLayer()
		if t == nil || t.LayerType() != lt {
			tb.Errorf("no %s in %s", lt, p)
			return
		}
		checkTransportSum(tb, p, t)
		for _, c := range checks {
			c(tb, p)
		}
	}
}

func checkTransportSum(tb testing.TB, p gopacket.Packet, t gopacket.TransportLayer) {
	tb.Helper()
	ip, ok := layer[*layers.IPv4](tb, p, layers.LayerTypeIPv4)
	if !ok || ip.FragOffset != 0 || ip.Flags&layers.IPv4MoreFragments != 0 {
		return
	}
	if udp, ok := t.(*layers.UDP); ok && udp.Checksum == 0 {
		return
	}
	b := append([]byte{}, ip.SrcIP.To4()...)
	b = append(b, ip.DstIP.To4()...)
	b = append(b, 0, byte(ip.Protocol))
	b = binary.BigEndian.AppendUint16(b, uint16(len(ip.Payload)))
	if got := onesComplement(append(b, ip.Payload...)); got != 0xffff {
		tb.Errorf("%s checksum is wrong: everything adds up to %#04x, want 0xffff", t.LayerType(), got)
	}
}

func validIPv4(tb testing.TB, p gopacket.Packet) {
	tb.Helper()
	ip, ok := layer[*layers.IPv4](tb, p, layers.LayerTypeIPv4)
	if !ok {
		return
	}
	if onesComplement(ip.Contents) != 0xffff {
		tb.Errorf("IPv4 header checksum %#04x is wrong", ip.Checksum)
	}
	if got, want := len(ip.Contents)+len(ip.Payload), int(ip.Length); got != want {
		tb.Errorf("IPv4 packet has %d bytes, its header says %d", got, want)
	}
}

func onesComplement(b []byte) uint16 {
	var sum uint32
	for i := range b {
		sum += uint32(b[i]) << (8 * (1 - i&1))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
