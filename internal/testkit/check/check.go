// Package check holds composable checks of frames, built on gopacket: an
// oracle that shares no code with ours.
//
//	check.IPv4(t, frame, check.TTL(63), check.TCP(check.DstPort(80)))
package check

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Checker looks at one decoded frame and reports what is wrong with it.
type Checker func(tb testing.TB, p gopacket.Packet)

// Ethernet decodes frame from its Ethernet header on and runs the checks. A
// frame that cannot be decoded up to TCP or UDP is an error.
func Ethernet(tb testing.TB, frame []byte, checks ...Checker) {
	tb.Helper()
	run(tb, gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default), checks)
}

// IPv4 is Ethernet for a frame that must hold IPv4 with a right header checksum
// and the length that the header says, padding aside.
func IPv4(tb testing.TB, frame []byte, checks ...Checker) {
	tb.Helper()
	Ethernet(tb, frame, append([]Checker{validIPv4}, checks...)...)
}

// VXLAN is IPv4 for a frame whose UDP datagram to port holds VXLAN. The outer
// checks run on the outer headers, the inner ones on the inner frame.
func VXLAN(tb testing.TB, frame []byte, port uint16, vni uint32, outer []Checker, inner []Checker) {
	tb.Helper()
	IPv4(tb, frame, append(outer, UDP(), DstPort(port))...)
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok {
		return
	}
	v := gopacket.NewPacket(udp.Payload, layers.LayerTypeVXLAN, gopacket.Default)
	vx, ok := v.Layer(layers.LayerTypeVXLAN).(*layers.VXLAN)
	if !ok {
		tb.Errorf("not VXLAN:\n%s", hex.Dump(frame))
		return
	}
	if !vx.ValidIDFlag || vx.VNI != vni {
		tb.Errorf("VNI %d valid %t, want %d valid", vx.VNI, vx.ValidIDFlag, vni)
	}
	Ethernet(tb, vx.Payload, inner...)
}

func run(tb testing.TB, p gopacket.Packet, checks []Checker) {
	tb.Helper()
	// Port 53 need not be DNS: what TCP and UDP carry is not looked into.
	if e := p.ErrorLayer(); e != nil && p.TransportLayer() == nil {
		tb.Errorf("decode: %v\n%s", e.Error(), p.Dump())
		return
	}
	failed := tb.Failed()
	for _, c := range checks {
		c(tb, p)
	}
	if tb.Failed() && !failed {
		tb.Logf("the frame:\n%.4000s", p.Dump())
	}
}

// layer returns the first layer of type T, and reports if there is none.
func layer[T gopacket.Layer](tb testing.TB, p gopacket.Packet, lt gopacket.LayerType) (T, bool) {
	tb.Helper()
	l, ok := p.Layer(lt).(T)
	if !ok {
		tb.Errorf("no %s in %s", lt, p)
	}
	return l, ok
}

// equal returns a checker that compares what field reads from a layer.
func equal[T gopacket.Layer, V comparable](lt gopacket.LayerType, name string, want V, field func(T) V) Checker {
	return func(tb testing.TB, p gopacket.Packet) {
		tb.Helper()
		l, ok := layer[T](tb, p, lt)
		if !ok {
			return
		}
		if got := field(l); got != want {
			tb.Errorf("%s %s = %v, want %v", lt, name, got, want)
		}
	}
}

// MACs checks the Ethernet addresses.
func MACs(dst, src [6]byte) Checker {
	return func(tb testing.TB, p gopacket.Packet) {
		tb.Helper()
		l, ok := layer[*layers.Ethernet](tb, p, layers.LayerTypeEthernet)
		if !ok {
			return
		}
		if [6]byte(l.DstMAC) != dst || [6]byte(l.SrcMAC) != src {
			tb.Errorf("MACs %s > %s, want % x > % x", l.SrcMAC, l.DstMAC, src, dst)
		}
	}
}

// TTL checks the time to live of IPv4.
func TTL(want uint8) Checker {
	return equal(layers.LayerTypeIPv4, "TTL", want, func(l *layers.IPv4) uint8 { return l.TTL })
}

// TOS checks the TOS byte of IPv4, DSCP and ECN together.
func TOS(want uint8) Checker {
	return equal(layers.LayerTypeIPv4, "TOS", want, func(l *layers.IPv4) uint8 { return l.TOS })
}

// Fragment checks flags and offset of IPv4. The offset is in bytes.
func Fragment(df, mf bool, offset int) Checker {
	type fragment struct {
		DF, MF bool
		Offset int
	}
	return equal(layers.LayerTypeIPv4, "fragment", fragment{df, mf, offset}, func(l *layers.IPv4) fragment {
		return fragment{l.Flags&layers.IPv4DontFragment != 0, l.Flags&layers.IPv4MoreFragments != 0, int(l.FragOffset) * 8}
	})
}

// Addrs checks the IPv4 addresses.
func Addrs(src, dst netip.Addr) Checker {
	return equal(layers.LayerTypeIPv4, "addresses", src.String()+" > "+dst.String(), func(l *layers.IPv4) string {
		return l.SrcIP.String() + " > " + l.DstIP.String()
	})
}

// Payload checks what follows the last header: of TCP, UDP or ICMP if there is
// one, else of IPv4, else of Ethernet.
func Payload(want []byte) Checker {
	return func(tb testing.TB, p gopacket.Packet) {
		tb.Helper()
		var got []byte
		if l := p.Layer(layers.LayerTypeICMPv4); l != nil {
			got = l.LayerPayload()
		} else if l := p.TransportLayer(); l != nil {
			got = l.LayerPayload()
		} else if l := p.NetworkLayer(); l != nil {
			got = l.LayerPayload()
		} else if l := p.LinkLayer(); l != nil {
			got = l.LayerPayload()
		}
		if !bytes.Equal(got, want) {
			tb.Errorf("payload %q, want %q", got, want)
		}
	}
}
