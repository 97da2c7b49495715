package gso_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/gso"
	"github.com/hooklab/hooklab/dataplane/header"
)

const udpPayload = header.EthernetSize + header.IPv4MinSize + header.UDPSize

// datagram is a complete frame. gopacket pads short ones.
func datagram(tb testing.TB, id uint16, payload []byte) []byte {
	tb.Helper()
	b := build(tb, layers.IPv4{Id: id}, &layers.UDP{SrcPort: 1000, DstPort: 2000}, payload)
	return b[:udpPayload+len(payload)]
}

// segments cuts an aggregate, or completes a single frame.
func segments(tb testing.TB, frame []byte, c dataplane.Csum, g dataplane.GSO) (out [][]byte) {
	tb.Helper()
	if g.Size == 0 {
		if !gso.Complete(frame, c) {
			tb.Fatal("cannot be completed")
		}
		return [][]byte{bytes.Clone(frame)}
	}
	cut, ok := gso.Cut(frame, g)
	if !ok {
		tb.Fatalf("cannot be cut: %+v", g)
	}
	var hdr [gso.MaxHeaders]byte
	for {
		n, pay := cut.Next(hdr[:])
		if pay == nil {
			return out
		}
		out = append(out, append(bytes.Clone(hdr[:n]), pay...))
	}
}

// TestTrain: what Cut makes of a train is what went in, whether the checksums were done
// already or not.
func TestTrain(t *testing.T) {
	t.Parallel()
	var train gso.Train
	if frame, _, _ := train.Take(); frame != nil || train.Len() != 0 {
		t.Errorf("an empty train has %d bytes", len(frame))
	}
	for _, n := range []int{1, 2, 64} {
		var want [][]byte
		for i := range n {
			frame := datagram(t, uint16(0xfff0+i), random(18))
			want = append(want, frame)
			var c dataplane.Csum
			if i%2 == 1 {
				frame, c = partial(bytes.Clone(frame), header.ProtoUDP)
			}
			if !train.Add(frame, c) {
				t.Fatalf("datagram %d of %d is refused", i, n)
			}
		}
		if train.Len() != n {
			t.Errorf("%d wait, want %d", train.Len(), n)
		}
		frame, c, g := train.Take()
		got := segments(t, frame, c, g)
		if len(got) != n {
			t.Fatalf("%d segments, want %d", len(got), n)
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("segment %d of %d:\n% x, want\n% x", i, n, got[i], want[i])
			}
		}
	}
}

// TestTrainKeepsApart changes one thing in the second of two datagrams, or adds what no
// train takes.
func TestTrainKeepsApart(t *testing.T) {
	t.Parallel()
	first := datagram(t, 7, random(18))
	next := func(f func(ip header.IPv4, udp []byte)) []byte {
		b := datagram(t, 8, random(18))
		ip := header.IPv4(b[header.EthernetSize:][:header.IPv4MinSize])
		f(ip, b[header.EthernetSize+header.IPv4MinSize:])
		ip.SetChecksum(header.IPv4HeaderChecksum(ip))
		udp := b[header.EthernetSize+header.IPv4MinSize:]
		binary.BigEndian.PutUint16(udp[6:], 0)
		binary.BigEndian.PutUint16(udp[6:], header.PseudoSum(ip.Src(), ip.Dst(), header.ProtoUDP, len(udp)).Add(gso.Sum(udp)).Fold())
		return b
	}
	raw := func(i int, v byte) []byte {
		b := datagram(t, 8, random(18))
		b[i] ^= v
		return b
	}
	var train gso.Train
	for name, frame := range map[string][]byte{
		"other length":         datagram(t, 8, random(19)),
		"identification":       datagram(t, 9, random(18)),
		"TTL":                  next(func(ip header.IPv4, _ []byte) { ip.SetTTL(3) }),
		"TOS":                  next(func(ip header.IPv4, _ []byte) { ip.SetTOS(3) }),
		"source":               next(func(ip header.IPv4, _ []byte) { ip.SetSrc([4]byte{9, 9, 9, 9}) }),
		"fragment":             next(func(ip header.IPv4, _ []byte) { ip[6] = 0x20 }),
		"port":                 next(func(_ header.IPv4, udp []byte) { udp[3]++ }),
		"MAC":                  raw(2, 1),
		"payload, wrong sum":   raw(udpPayload+3, 1),
		"header, wrong sum":    raw(header.EthernetSize+header.IPv4Checksum, 1),
		"length of UDP":        raw(header.EthernetSize+header.IPv4MinSize+5, 1),
		"TCP":                  build(t, layers.IPv4{}, tcp(), random(6)),
		"padded":               append(datagram(t, 8, random(18)), 0),
		"without payload":      datagram(t, 8, nil),
		"without checksum":     func() []byte { b := datagram(t, 8, random(18)); b[udpPayload-2], b[udpPayload-1] = 0, 0; return b }(),
		"longer than a packet": make([]byte, 70000),
		"nothing":              nil,
	} {
		if !train.Add(first, dataplane.Csum{}) {
			t.Fatal("the first one is refused")
		}
		if train.Add(frame, dataplane.Csum{}) {
			t.Errorf("%s: joined", name)
		}
		frame, _, g := train.Take()
		if len(frame) != len(first) || g != (dataplane.GSO{}) {
			t.Errorf("%s: %d bytes are left, %+v", name, len(frame), g)
		}
	}
	// Of what must not be fragmented nobody looks at the identification.
	df := func(id uint16) []byte {
		return build(t, layers.IPv4{Id: id, Flags: layers.IPv4DontFragment}, &layers.UDP{}, random(18))[:udpPayload+18]
	}
	for range 2 {
		if !train.Add(df(0), dataplane.Csum{}) {
			t.Error("datagrams with DF and no identification: kept apart")
		}
	}
}

// TestTrainBounds: a train is never longer than what a device takes.
func TestTrainBounds(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 1472, 20000} {
		var train gso.Train
		n := 0
		for train.Add(datagram(t, uint16(n), random(size)), dataplane.Csum{}) {
			n++
		}
		frame, _, _ := train.Take()
		if n == 0 || n > 64 || len(frame) > 1<<16-1 || n < 64 && len(frame)+size < 58000 {
			t.Errorf("%d datagrams of %d bytes, %d bytes", n, size, len(frame))
		}
	}
}

func TestTrainAllocs(t *testing.T) {
	train := new(gso.Train)
	frame := datagram(t, 0, random(100))
	got := testing.AllocsPerRun(100, func() {
		train.Add(frame, dataplane.Csum{})
		train.Add(frame, dataplane.Csum{})
		train.Take()
	})
	if got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

// FuzzTrain adds two frames. What goes in comes out, but for checksums that were partial.
func FuzzTrain(f *testing.F) {
	a, b := datagram(f, 7, random(18)), datagram(f, 8, random(18))
	f.Add(a, b, false)
	p, _ := partial(bytes.Clone(a), header.ProtoUDP)
	f.Add(p, p, true)
	f.Fuzz(func(t *testing.T, a, b []byte, part bool) {
		var train gso.Train
		c := dataplane.Csum{Partial: part}
		if part {
			c.Start, c.Off = udpPayload-header.UDPSize, header.UDPChecksum
		}
		var want [][]byte
		for _, frame := range [][]byte{a, b} {
			if !train.Add(frame, c) {
				continue
			}
			frame = bytes.Clone(frame)
			if part && !gso.Complete(frame, c) {
				t.Fatal("took what cannot be completed")
			}
			want = append(want, frame)
		}
		frame, c, g := train.Take()
		if frame == nil {
			return
		}
		for i, got := range segments(t, frame, c, g) {
			if want[i][20]&0x40 != 0 { // what DF allows
				copy(want[i][18:20], got[18:20])
			}
			// Of a right checksum there may be two forms, 0 and 0xffff.
			copy(want[i][24:26], got[24:26])
			if !bytes.Equal(got[:40], want[i][:40]) || !bytes.Equal(got[42:], want[i][42:]) {
				t.Fatalf("segment %d:\n% x, want\n% x", i, got, want[i])
			}
		}
	})
}
