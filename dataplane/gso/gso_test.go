package gso_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/gso"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/internal/testkit/check"
)

const eth = header.EthernetSize

// build serializes a frame with gopacket, the oracle for lengths and checksums.
func build(tb testing.TB, ip layers.IPv4, l4 gopacket.SerializableLayer, payload []byte) []byte {
	tb.Helper()
	ip.Version, ip.TTL, ip.SrcIP, ip.DstIP = 4, 63, []byte{10, 0, 1, 178}, []byte{10, 0, 2, 158}
	switch l := l4.(type) {
	case *layers.TCP:
		ip.Protocol = layers.IPProtocolTCP
		if err := l.SetNetworkLayerForChecksum(&ip); err != nil {
			tb.Fatal(err)
		}
	case *layers.UDP:
		ip.Protocol = layers.IPProtocolUDP
		if err := l.SetNetworkLayerForChecksum(&ip); err != nil {
			tb.Fatal(err)
		}
	}
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
		&ip, l4, gopacket.Payload(payload))
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

func tcp() *layers.TCP {
	return &layers.TCP{
		SrcPort: 4000, DstPort: 80, Seq: 0xffff_f000, Ack: 77, ACK: true, Window: 501,
		Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{1, 2, 3, 4, 5, 6, 7, 8}}},
	}
}

func random(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// partial makes a frame's checksum one that is still to be completed.
func partial(frame []byte, proto uint8) ([]byte, dataplane.Csum) {
	b := bytes.Clone(frame)
	c := dataplane.Csum{Partial: true, Start: eth + 20, Off: map[uint8]uint16{6: 16, 17: 6}[proto]}
	var sum uint32
	for i := 26; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum += uint32(proto) + uint32(binary.BigEndian.Uint16(b[16:])) - 20
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[c.Start+c.Off:], uint16(sum))
	return b, c
}

func TestSum(t *testing.T) {
	t.Parallel()
	for n := range 300 {
		b := random(n)
		if got, want := gso.Sum(b).Fold(), header.Sum(0).Partial(b).Fold(); got != want {
			t.Fatalf("%d bytes: %#x, want %#x", n, got, want)
		}
		for i := range b {
			b[i] = 0xff
		}
		if got, want := gso.Sum(b).Fold(), header.Sum(0).Partial(b).Fold(); got != want {
			t.Fatalf("%d bytes of 0xff: %#x, want %#x", n, got, want)
		}
	}
	long := bytes.Repeat([]byte{0xff, 0xfe, 0xff}, 1<<16)
	if got, want := gso.Sum(long).Fold(), header.Sum(0).Partial(long).Fold(); got != want {
		t.Errorf("192 KiB: %#x, want %#x", got, want)
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		for _, whole := range [][]byte{
			build(t, layers.IPv4{}, tcp(), random(n)),
			build(t, layers.IPv4{}, &layers.UDP{SrcPort: 1, DstPort: 2}, random(n)),
		} {
			b, c := partial(whole, whole[23])
			if got, ok := gso.Unfinished(b); !ok || got != c {
				t.Errorf("%d bytes: Unfinished = %+v, %t, want %+v", n, got, ok, c)
			}
			if _, ok := gso.Unfinished(whole); ok {
				t.Errorf("%d bytes: a finished checksum was taken for unfinished", n)
			}
			if !gso.Complete(b, c) || !bytes.Equal(b, whole) {
				t.Errorf("%d bytes: completed frame differs from gopacket's", n)
			}
		}
	}
	short := random(40)
	for _, c := range []dataplane.Csum{{Start: 41}, {Start: 39}, {Start: 30, Off: 9}, {Start: 65535, Off: 65535}} {
		if gso.Complete(short, c) || !bytes.Equal(short, random(40)) {
			t.Errorf("%+v in 40 bytes: completed", c)
		}
	}
}

// TestCutAndJoin cuts aggregates, checks each segment against gopacket's, and joins
// them again: the first aggregate comes out.
func TestCutAndJoin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		payload, size int
		flags         func(*layers.TCP)
	}{
		{"two", 2800, 1400, func(*layers.TCP) {}},
		{"short last", 2801, 1400, func(*layers.TCP) {}},
		{"odd sizes", 9999, 101, func(*layers.TCP) {}},
		{"push", 5000, 1398, func(l *layers.TCP) { l.PSH = true }},
		{"end", 5000, 1398, func(l *layers.TCP) { l.PSH, l.FIN = true, true }},
		{"longest", 65535 - 20 - 32, 1398, func(*layers.TCP) {}},
	} {
		const skip = 8
		l, payload := tcp(), random(tt.payload)
		tt.flags(l)
		whole := build(t, layers.IPv4{Id: 0xfffe, Flags: layers.IPv4DontFragment, TOS: 2}, l, payload)
		aggregate, c := partial(whole, 6)
		cut, ok := gso.Cut(aggregate, dataplane.GSO{Type: dataplane.GSOTCPv4, Size: uint16(tt.size)})
		if !ok {
			t.Fatalf("%s: not cut", tt.name)
		}
		var train, hdr []byte
		hdr = make([]byte, gso.MaxHeaders)
		n, stride := 0, 0
		for at := 0; ; n++ {
			h, pay := cut.Next(hdr)
			if pay == nil {
				break
			}
			segment := append(bytes.Clone(hdr[:h]), pay...)
			end := min(at+tt.size, len(payload))
			want := tcp()
			want.Seq += uint32(at)
			if end == len(payload) {
				want.PSH, want.FIN = l.PSH, l.FIN
			}
			if w := build(t, layers.IPv4{Id: 0xfffe + uint16(n), Flags: layers.IPv4DontFragment, TOS: 2}, want, payload[at:end]); !bytes.Equal(segment, w) {
				t.Fatalf("%s: segment %d\n got %x\nwant %x", tt.name, n, segment, w)
			}
			check.IPv4(t, segment)
			if stride == 0 {
				stride = skip + len(segment)
			}
			train = append(append(train, make([]byte, skip)...), segment...)
			at = end
		}
		if want := (tt.payload + tt.size - 1) / tt.size; n != want {
			t.Errorf("%s: %d segments, want %d", tt.name, n, want)
		}
		frame, joined, gc, g := gso.Join(train, stride, skip)
		if joined != n || gc != c || g != (dataplane.GSO{Type: dataplane.GSOTCPv4, Size: uint16(tt.size), HdrLen: eth + 20 + 32}) {
			t.Errorf("%s: joined %d, %+v %+v", tt.name, joined, gc, g)
		}
		if !bytes.Equal(frame, aggregate) {
			t.Errorf("%s: joined frame differs", tt.name)
		}
	}
}

// TestCutECN: only the first segment keeps CWR.
func TestCutECN(t *testing.T) {
	t.Parallel()
	l := tcp()
	l.CWR = true
	cut, _ := gso.Cut(build(t, layers.IPv4{}, l, random(3000)), dataplane.GSO{Type: dataplane.GSOTCPv4 | dataplane.GSOECN, Size: 1000})
	hdr := make([]byte, gso.MaxHeaders)
	for _, want := range []byte{0x90, 0x10, 0x10} {
		n, pay := cut.Next(hdr)
		check.IPv4(t, append(bytes.Clone(hdr[:n]), pay...))
		if got := hdr[eth+20+header.TCPFlags]; got != want {
			t.Errorf("flags %#x, want %#x", got, want)
		}
	}
}

func TestCutUDP(t *testing.T) {
	t.Parallel()
	payload := random(3500)
	udp := func() *layers.UDP { return &layers.UDP{SrcPort: 5, DstPort: 53} }
	frame, _ := partial(build(t, layers.IPv4{Id: 7}, udp(), payload), 17)
	cut, ok := gso.Cut(frame, dataplane.GSO{Type: dataplane.GSOUDP, Size: 1200})
	if !ok {
		t.Fatal("not cut")
	}
	hdr := make([]byte, gso.MaxHeaders)
	for i, want := range [][]byte{payload[:1200], payload[1200:2400], payload[2400:]} {
		n, pay := cut.Next(hdr)
		got := append(bytes.Clone(hdr[:n]), pay...)
		if !bytes.Equal(got, build(t, layers.IPv4{Id: uint16(7 + i)}, udp(), want)) {
			t.Errorf("segment %d differs", i)
		}
	}
	if _, pay := cut.Next(hdr); pay != nil {
		t.Error("a fourth segment")
	}
}

// TestJoinKeepsApart changes one thing in the second of two segments.
func TestJoinKeepsApart(t *testing.T) {
	t.Parallel()
	second := func(f func(ip *layers.IPv4, l *layers.TCP)) []byte {
		ip, l := layers.IPv4{Id: 2}, tcp()
		l.Seq += 100
		f(&ip, l)
		return build(t, ip, l, random(100))
	}
	first := build(t, layers.IPv4{Id: 1}, tcp(), random(100))
	flip := func(b []byte, at int) []byte { b[at] ^= 1; return b }
	same := func(*layers.IPv4, *layers.TCP) {}
	for _, tt := range []struct {
		name string
		b    []byte
		want int
	}{
		{"nothing", second(same), 2},
		{"sequence", second(func(_ *layers.IPv4, l *layers.TCP) { l.Seq++ }), 1},
		{"acknowledgement", second(func(_ *layers.IPv4, l *layers.TCP) { l.Ack++ }), 1},
		{"window", second(func(_ *layers.IPv4, l *layers.TCP) { l.Window++ }), 1},
		{"port", second(func(_ *layers.IPv4, l *layers.TCP) { l.SrcPort++ }), 1},
		{"options", second(func(_ *layers.IPv4, l *layers.TCP) { l.Options[0].OptionData[7]++ }), 1},
		{"SYN", second(func(_ *layers.IPv4, l *layers.TCP) { l.SYN = true }), 1},
		{"RST", second(func(_ *layers.IPv4, l *layers.TCP) { l.RST = true }), 1},
		{"URG", second(func(_ *layers.IPv4, l *layers.TCP) { l.URG = true }), 1},
		{"congestion", second(func(ip *layers.IPv4, _ *layers.TCP) { ip.TOS = 3 }), 1},
		{"don't fragment", second(func(ip *layers.IPv4, _ *layers.TCP) { ip.Flags = layers.IPv4DontFragment }), 1},
		{"fragment", second(func(ip *layers.IPv4, _ *layers.TCP) { ip.Flags = layers.IPv4MoreFragments }), 1},
		{"broken payload", flip(second(same), 100), 1},
		{"broken header checksum", flip(second(same), 24), 1},
		{"another MAC", flip(second(same), 3), 1},
	} {
		train := append(bytes.Clone(first), tt.b...)
		frame, n, c, g := gso.Join(train, len(first), 0)
		if n != tt.want {
			t.Errorf("%s: joined %d, want %d", tt.name, n, tt.want)
		}
		if n == 1 && (!bytes.Equal(frame, first) || c.Partial || g.Size != 0) {
			t.Errorf("%s: the first frame has changed", tt.name)
		}
	}
}

func TestNoAggregate(t *testing.T) {
	t.Parallel()
	good := build(t, layers.IPv4{}, tcp(), random(3000))
	udp := build(t, layers.IPv4{}, &layers.UDP{}, random(3000))
	cut := func(b []byte, at int, v byte) []byte { b = bytes.Clone(b); b[at] = v; return b }
	for name, tt := range map[string]struct {
		b []byte
		g dataplane.GSO
	}{
		"no size":         {good, dataplane.GSO{Type: dataplane.GSOTCPv4}},
		"IPv6":            {good, dataplane.GSO{Type: dataplane.GSOTCPv6, Size: 100}},
		"UDP as TCP":      {udp, dataplane.GSO{Type: dataplane.GSOTCPv4, Size: 100}},
		"TCP as UDP":      {good, dataplane.GSO{Type: dataplane.GSOUDP, Size: 100}},
		"cut off":         {good[:100], dataplane.GSO{Type: dataplane.GSOTCPv4, Size: 100}},
		"header too long": {cut(good, 14, 0x4f)[:60], dataplane.GSO{Type: dataplane.GSOTCPv4, Size: 100}},
		"data offset":     {cut(good, 46, 0x10), dataplane.GSO{Type: dataplane.GSOTCPv4, Size: 100}},
		"fragment":        {cut(good, 20, 0x20), dataplane.GSO{Type: dataplane.GSOTCPv4, Size: 100}},
		"nothing":         {nil, dataplane.GSO{Type: dataplane.GSOTCPv4, Size: 100}},
	} {
		if _, ok := gso.Cut(tt.b, tt.g); ok {
			t.Errorf("%s: cut", name)
		}
	}
}

func TestAllocs(t *testing.T) {
	train := append(build(t, layers.IPv4{}, tcp(), random(1000)), build(t, layers.IPv4{}, tcp(), random(1000))...)
	aggregate := build(t, layers.IPv4{}, tcp(), random(60000))
	var hdr [gso.MaxHeaders]byte
	got := testing.AllocsPerRun(100, func() {
		cut, _ := gso.Cut(aggregate, dataplane.GSO{Type: dataplane.GSOTCPv4, Size: 1400})
		for {
			if _, pay := cut.Next(hdr[:]); pay == nil {
				break
			}
		}
		gso.Join(train, len(train)/2, 0)
	})
	if got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func FuzzCutJoin(f *testing.F) {
	f.Add(build(f, layers.IPv4{}, tcp(), random(300)), uint8(1), uint16(100), uint16(166))
	f.Add(build(f, layers.IPv4{}, &layers.UDP{}, random(300)), uint8(5), uint16(100), uint16(142))
	f.Fuzz(func(t *testing.T, b []byte, typ uint8, size, stride uint16) {
		var hdr [gso.MaxHeaders]byte
		if cut, ok := gso.Cut(b, dataplane.GSO{Type: typ, Size: size}); ok {
			total := 0
			for {
				n, pay := cut.Next(hdr[:])
				if pay == nil {
					break
				}
				if n+len(pay) > len(b) || len(pay) > int(size) {
					t.Fatalf("segment of %d + %d bytes", n, len(pay))
				}
				total += len(pay)
			}
			if total == 0 {
				t.Fatal("an aggregate without payload")
			}
		}
		if c, ok := gso.Unfinished(b); ok && !gso.Complete(bytes.Clone(b), c) {
			t.Fatal("cannot be completed")
		}
		if stride > 0 {
			frame, n, _, _ := gso.Join(b, int(stride), int(typ))
			if n < 1 || len(frame) > len(b) {
				t.Fatalf("joined %d, %d of %d bytes", n, len(frame), len(b))
			}
		}
	})
}
