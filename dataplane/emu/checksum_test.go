package emu_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// Where the L4 checksum of a frame without IP options is.
const (
	l4Start     = 34
	tcpChecksum = 16
	udpChecksum = 6
)

// partial is a frame as a pod's socket hands it over with checksum offload: the
// field has the sum of the pseudo header, not complemented.
func partial(b []byte) *dataplane.Packet {
	p := &dataplane.Packet{Data: bytes.Clone(b)}
	p.Csum.Partial, p.Csum.Start, p.Csum.Off = true, l4Start, tcpChecksum
	if b[23] == byte(layers.IPProtocolUDP) {
		p.Csum.Off = udpChecksum
	}
	pseudo := append(bytes.Clone(b[26:34]), 0, b[23])
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(b)-l4Start))
	binary.BigEndian.PutUint16(p.Data[l4Start+int(p.Csum.Off):], sumOf(pseudo))
	return p
}

// complete does what a device does with a partial checksum in the end.
func complete(p *dataplane.Packet) []byte {
	b := bytes.Clone(p.Data)
	sum := ^sumOf(b[p.Csum.Start:])
	if sum == 0 && p.Csum.Off == udpChecksum {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[p.Csum.Start+p.Csum.Off:], sum)
	return b
}

// TestPartialChecksum translates random packets there and back, with a checksum
// that is right already and with one still to be completed: on the wire they are
// the same, and right.
func TestPartialChecksum(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	payload := func() []byte {
		b := make([]byte, random.IntN(40))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	for _, tt := range []struct {
		name string
		make func(f frame, sport, dport uint16) frame
	}{
		{"TCP", func(f frame, sport, dport uint16) frame { return f.tcp(sport, dport, "PA") }},
		{"UDP", frame.udp},
	} {
		for range 200 {
			whole, part := newWorld(t), newWorld(t)
			// The second service is the pod itself: two addresses change.
			s, own := whole.web(), service{id: 10, ip: addr{10, 96, 5, 5}, port: 80, backends: []backend{{whole.pod1.ip, 8080, 0}}}
			whole.addService(own)
			part.addService(own)
			part.web()
			sport := uint16(1024 + random.IntN(60000))
			check := func(what string, from pod, dst addr, sport, dport uint16, want parts) {
				t.Helper()
				f := tt.make(from.ipv4(dst), sport, dport)
				f.payload = payload()
				b := f.bytes(t)
				p := part.run(part.hook(dataplane.FromContainer, from), partial(b)).packet
				r := whole.fromPod(from, b)
				got := partsOf(t, r.frame)
				equal(t, tt.name+" "+what+": addresses", parts{Src: got.Src, Dst: got.Dst, SrcPort: got.SrcPort, DstPort: got.DstPort}, want)
				equal(t, tt.name+" "+what+": completed frame", complete(p), r.frame)
			}
			check("to a service", whole.pod1, s.ip, sport, 80, parts{Src: whole.pod1.ip, Dst: whole.pod2.ip, SrcPort: sport, DstPort: 8080})
			check("back", whole.pod2, whole.pod1.ip, 8080, sport, parts{Src: s.ip, Dst: whole.pod1.ip, SrcPort: 80, DstPort: sport})
			loopback := addr{169, 254, 42, 1}
			check("to itself", whole.pod1, own.ip, sport, 80, parts{Src: loopback, Dst: whole.pod1.ip, SrcPort: sport, DstPort: 8080})
			check("back to itself", whole.pod1, loopback, 8080, sport, parts{Src: own.ip, Dst: whole.pod1.ip, SrcPort: 80, DstPort: sport})
			if t.Failed() {
				return
			}
		}
	}
}

// TestPartialChecksumLeavesPorts: completion covers the ports, so that only the
// addresses may change the field.
func TestPartialChecksumLeavesPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The service has its backend's address: only the port changes.
	s := service{id: 3, ip: w.pod2.ip, port: 80, backends: []backend{{w.pod2.ip, 8080, 0}}}
	w.addService(s)
	p := partial(w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
	before := bytes.Clone(p.Data[l4Start+tcpChecksum:][:2])
	r := w.run(w.hook(dataplane.FromContainer, w.pod1), p)
	equal(t, "checksum field", hexOf(r.frame[l4Start+tcpChecksum:][:2]), hexOf(before))
	equal(t, "port", binary.BigEndian.Uint16(r.frame[l4Start+2:]), 8080)
	partsOf(t, complete(r.packet))
}

// TestPartialUDPZero: a field of zero means "no checksum" to the helper before it
// looks at offloads.
func TestPartialUDPZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := partial(w.pod1.udp(w.web().ip, 1, 80).bytes(t))
	p.Data[l4Start+udpChecksum], p.Data[l4Start+udpChecksum+1] = 0, 0
	r := w.run(w.hook(dataplane.FromContainer, w.pod1), p)
	equal(t, "verdict", r.verdict, redirect(16))
	equal(t, "checksum field", hexOf(r.frame[l4Start+udpChecksum:][:2]), "0000")
}

// TestHeaderChecksum counts TTL down from every value over random headers: the
// incremental update equals a full computation.
func TestHeaderChecksum(t *testing.T) {
	t.Parallel()
	w, random := newWorld(t), rand.New(rand.NewPCG(3, 4))
	for ttl := 2; ttl < 256; ttl++ {
		f := w.pod1.udp(w.pod2.ip, 1, uint16(ttl))
		f.ttl, f.tos, f.id = uint8(ttl), uint8(random.Uint32()), uint16(random.Uint32())
		got := partsOf(t, w.fromPod(w.pod1, f.bytes(t)).frame) // checks the sum
		equal(t, "TTL", got.TTL, uint8(ttl-1))
	}
}

// TestWrongChecksumStaysWrong: nothing on the way repairs or checks it.
func TestWrongChecksumStaysWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.pod1.tcp(w.web().ip, 1, 80, "S").bytes(t)
	b[24] ^= 0x55
	b[l4Start+tcpChecksum] ^= 0x55
	good := newWorld(t)
	good.web()
	want := good.fromPod(good.pod1, good.pod1.tcp(good.web().ip, 1, 80, "S").bytes(t))
	r := w.fromPod(w.pod1, b)
	equal(t, "verdict", r.verdict, redirect(16))
	equal(t, "header sum is off as it was", sumOf(r.frame[14:34]) == 0xffff, false)
	equal(t, "sent on", hexOf(r.frame[26:36]), hexOf(want.frame[26:36]))
	k := maps.CTKey{DAddr: w.pod1.ip, SAddr: w.pod2.ip, DPort: be16(8080), SPort: be16(1), Proto: 6}
	equal(t, "has a connection", w.maps.CT4.Ref(&k) != nil, true)
}
