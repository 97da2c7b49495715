package tunnel_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/gso"
	"github.com/hooklab/hooklab/internal/testkit/check"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

// aggregateOf is a packet with an aggregate of TCP whose checksum is undone.
func aggregateOf(tb testing.TB, n int) *dataplane.Packet {
	tb.Helper()
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte(i * 7 >> 3)
	}
	p := &dataplane.Packet{Data: tcpFrame(tb, payload)}
	p.TunnelOut = dataplane.TunnelKey{Present: true, ID: vni, Remote: outerKernel.As4()}
	p.GSO = dataplane.GSO{Type: dataplane.GSOTCPv4, Size: 1400, HdrLen: 54}
	p.Csum = dataplane.Csum{Partial: true, Start: 34, Off: 16}
	return p
}

// TestPrivilegedAggregate sends an aggregate through the kernel: what is on the wire are
// segments with right checksums, what the other end of ours receives is the aggregate.
func TestPrivilegedAggregate(t *testing.T) {
	t.Parallel()
	for _, offloads := range []bool{true, false} {
		p := newPair(t, static())
		other := openIn(t, p.kernel, tunnel.Config{Port: 18472})
		must(t, p.u.Close()) // it has the source ports
		sender := openIn(t, p.ours, tunnel.Config{Port: 18472})
		must(t, p.ours.SetOffloads("eth0", offloads, netns.OffloadTxChecksum, netns.OffloadTSO, netns.OffloadGSO))
		packet := aggregateOf(t, 60000)
		must(t, sender.SendPacket(packet))
		var got []byte
		frames := 0
		for len(got) < 60000 {
			frame, m := recvOn(t, other)
			frames++
			if m.GSO.Size != 0 {
				if !m.Csum.Partial || !gso.Complete(frame, m.Csum) {
					t.Fatalf("aggregate with %+v", m.Csum)
				}
			}
			check.IPv4(t, frame, check.MACs(macKernel, macOurs), check.TTL(64))
			got = append(got, frame[54:]...)
		}
		if !bytes.Equal(got, packet.Data[54:]) {
			t.Errorf("offloads %t: the payload differs", offloads)
		}
		if offloads && frames != 1 {
			t.Errorf("%d frames, want the one that was sent", frames)
		}
		if s := sender.Stats(); s.TxPackets != 43 || s.TxErrors != 0 {
			t.Errorf("offloads %t: stats %+v, want 43 packets", offloads, s)
		}
		if s := other.Stats(); s.RxErrors+s.RxDropped != 0 {
			t.Errorf("offloads %t: stats %+v", offloads, s)
		}
	}
}

// TestPrivilegedMaxAggregate sends the longest aggregate that leaves in one call, and one
// that is a segment longer.
func TestPrivilegedMaxAggregate(t *testing.T) {
	t.Parallel()
	p := newPair(t, static())
	other := openIn(t, p.kernel, tunnel.Config{Port: 18472})
	must(t, p.u.Close()) // it has the source ports
	sender := openIn(t, p.ours, tunnel.Config{Port: 18472, MTU: 1440})
	longest := sender.MaxAggregate()
	for _, tt := range []struct{ length, frames int }{{longest, 1}, {longest + 1400, 2}} {
		must(t, sender.SendPacket(aggregateOf(t, tt.length)))
		got, frames := 0, 0
		for ; got < tt.length; frames++ {
			frame, _ := recvOn(t, other)
			got += len(frame) - 54
		}
		if frames != tt.frames {
			t.Errorf("%d bytes: %d frames, want %d", tt.length, frames, tt.frames)
		}
	}
}

func TestPrivilegedAggregateErrors(t *testing.T) {
	t.Parallel()
	p := newPair(t, static())
	bad := aggregateOf(t, 3000)
	bad.GSO.Type = dataplane.GSOTCPv6
	if err := p.u.SendPacket(bad); !errors.Is(err, tunnel.ErrAggregate) {
		t.Errorf("unknown aggregate: %v", err)
	}
	bad = aggregateOf(t, 100)
	bad.GSO, bad.Csum.Start = dataplane.GSO{}, 60000
	if err := p.u.SendPacket(bad); !errors.Is(err, tunnel.ErrChecksum) {
		t.Errorf("checksum outside: %v", err)
	}
	if s := p.u.Stats(); s.TxErrors != 2 {
		t.Errorf("%d send errors, want 2", s.TxErrors)
	}
}

func openIn(tb testing.TB, ns *netns.NS, c tunnel.Config) (u *tunnel.Underlay) {
	tb.Helper()
	must(tb, ns.Do(func() (err error) {
		u, err = tunnel.Open(c)
		return err
	}))
	tb.Cleanup(func() { must(tb, u.Close()) })
	return u
}

func recvOn(tb testing.TB, u *tunnel.Underlay) ([]byte, tunnel.Meta) {
	tb.Helper()
	return (&pair{u: u}).recv(tb)
}

// TestReceiver takes trains of datagrams apart.
func TestReceiver(t *testing.T) {
	t.Parallel()
	udp := func(s string) []byte { return udpFrame(t, 0, 80, []byte(s)) }
	train := bytes.Join([][]byte{datagram(udp("a")), datagram(udp("b"), 0, 0x80), datagram(udp("c"), 6, 1), datagram(udp("")[:42])}, nil)
	r := tunnel.Receiver{}
	r.Put(train, len(datagram(udp("a"))), &tunnel.Meta{TTL: 9})
	for _, want := range []struct {
		payload string
		vni     uint32
	}{{"a", vni}, {"c", vni ^ 1}, {"", vni}} {
		var m tunnel.Meta
		frame := r.Next(&m)
		if frame == nil || string(bytes.TrimRight(frame[42:], "\x00")) != want.payload || m.VNI != want.vni || m.TTL != 9 {
			t.Errorf("got %q, %+v, want %+v", frame, m, want)
		}
	}
	if r.Next(&tunnel.Meta{}) != nil {
		t.Error("a frame too many")
	}
	if r.Stats.RxPackets != 3 || r.Stats.RxFrameErrors != 1 {
		t.Errorf("stats %+v", r.Stats)
	}
}

// TestReceiverGuess: an aggregate whose sender does not say so.
func TestReceiverGuess(t *testing.T) {
	t.Parallel()
	p := aggregateOf(t, 9000)
	frame := undone(p.Data)
	r := tunnel.Receiver{MTU: 1450}
	r.Put(datagram(frame), 0, &tunnel.Meta{})
	var m tunnel.Meta
	got := r.Next(&m)
	want := dataplane.GSO{Type: dataplane.GSOTCPv4, Size: 1410, HdrLen: 54}
	if !bytes.Equal(got, frame) || m.GSO != want || m.Csum != p.Csum {
		t.Errorf("got %+v %+v, want %+v", m.GSO, m.Csum, want)
	}
}

// undone returns a frame whose checksum is left to hardware.
func undone(frame []byte) []byte {
	b := bytes.Clone(frame)
	var sum uint32
	for i := 26; i < 34; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	sum += uint32(b[23]) + uint32(len(b)-34)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	b[50], b[51] = byte(sum>>8), byte(sum)
	return b
}

func TestOuter(t *testing.T) {
	t.Parallel()
	frame := udpFrame(t, 2, 80, []byte("inner"))
	o := tunnel.Outer{
		DstMAC: macKernel, SrcMAC: macOurs, Src: outerOurs.As4(), Dst: outerKernel.As4(),
		SrcPort: 40000, DstPort: tunnel.Port, TOS: 2, TTL: 64, ID: 7, VNI: vni,
	}
	b := append(make([]byte, tunnel.OuterLen), frame...)
	o.Put(b, len(frame))
	checkOuter(t, b, 2, outerOurs, outerKernel, 40000, len(frame))
	var m tunnel.Meta
	payload, at, ok := tunnel.ParseOuter(b, tunnel.Port, &m)
	if !ok || at != tunnel.OuterUDP || !bytes.Equal(payload, b[42:]) || m != (tunnel.Meta{Remote: outerOurs.As4(), SrcPort: 40000, TOS: 2, TTL: 64}) {
		t.Errorf("ParseOuter = %x, %d, %t, %+v", payload, at, ok, m)
	}
	for name, i := range map[string]int{"type": 13, "version": 14, "fragment": 20, "protocol": 23, "port": 37, "length": 38} {
		bad := bytes.Clone(b)
		bad[i] ^= 0x21
		if _, _, ok := tunnel.ParseOuter(bad, tunnel.Port, &m); ok {
			t.Errorf("wrong %s: accepted", name)
		}
	}
	// A batch: the checksum that the pseudo header's sum leads to is right.
	two := append(append(bytes.Clone(b), b[42:50]...), frame...)
	n := 2 * (8 + len(frame))
	tunnel.SetBatch(two, n)
	if !gso.Complete(two, dataplane.Csum{Start: tunnel.OuterUDP, Off: 6}) {
		t.Fatal("not completed")
	}
	check.IPv4(t, two, check.TTL(64), check.UDP())
}

func FuzzReceiver(f *testing.F) {
	f.Add(datagram(udpFrame(f, 0, 80, []byte("x"))), uint16(60), uint8(0))
	f.Add(bytes.Repeat(datagram(tcpFrame(f, []byte("abcdef"))), 3), uint16(68), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, stride uint16, tos uint8) {
		r := tunnel.Receiver{}
		var outer tunnel.Meta
		if payload, _, ok := tunnel.ParseOuter(b, tunnel.Port, &outer); ok && len(payload) > len(b) {
			t.Fatal("payload longer than the frame")
		}
		r.Put(b, int(stride), &tunnel.Meta{TOS: tos})
		for n := 0; ; n++ {
			var m tunnel.Meta
			frame := r.Next(&m)
			if frame == nil {
				break
			}
			if n > len(b) || len(frame) > len(b) || len(frame) < 14 {
				t.Fatalf("frame %d has %d of %d bytes", n, len(frame), len(b))
			}
			if m.Csum.Partial && int(m.Csum.Start)+int(m.Csum.Off)+2 > len(frame) {
				t.Fatalf("checksum at %+v of %d", m.Csum, len(frame))
			}
		}
	})
}
