package sim_test

import (
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// FuzzInject puts any frame in anywhere, in any profile, between conversations:
// nothing panics, and all that follows comes to an end.
func FuzzInject(f *testing.F) {
	udp := frame(f, "10.0.2.12", nil, 20)
	f.Add(udp, uint8(0), uint8(0), uint32(0), uint32(0), false)
	f.Add(frame(f, "10.0.1.12", func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }, 24), uint8(1), uint8(1), uint32(0xf00), uint32(0), false)
	f.Add(frame(f, "10.96.0.13", func(ip *layers.IPv4) { ip.TTL = 2 }, 0), uint8(2), uint8(4), uint32(0x200), uint32(14), true)
	f.Add(frame(f, "192.0.2.80", func(ip *layers.IPv4) { ip.Protocol = layers.IPProtocolSCTP }, 8), uint8(3), uint8(2), uint32(0), uint32(1001), true)
	f.Add([]byte{}, uint8(5), uint8(3), uint32(0xffffffff), uint32(0xffffff), false)
	f.Add(arpFrame(), uint8(6), uint8(0), uint32(0), uint32(6), false)
	f.Add(echoLoop(f), uint8(7), uint8(0), uint32(0), uint32(6), true)
	f.Fuzz(func(t *testing.T, b []byte, point, profile uint8, mark, vni uint32, mend bool) {
		w := newWorld(t, profiles[int(profile)%len(profiles)], func(o *sim.Options) {
			o.RoutePods, o.AnswerWorld, o.Observer = true, true, nil
			o.Open = func(sim.Place, uint8, uint16) bool { return true }
		})
		b = append([]byte(nil), b...)
		if mend {
			repair(b)
		}
		key := dataplane.TunnelKey{Present: vni != 0, ID: vni & 0xffffff, Remote: [4]byte{172, 18, 0, byte(vni)}, TTL: 64}
		points := []sim.Point{
			{Pod: "pod1-1"},
			{Pod: "pod2-2", Receive: true},
			{Node: "n1", Device: "eth0"},
			{Node: "n2", Device: "eth0", Egress: true},
			{Node: "n1", Device: "cilium_host"},
			{Node: "n1", Device: "cilium_host", Egress: true, Mark: mark, IngressIfindex: vni & 63},
			{Node: "n2", Device: "cilium_vxlan", Tunnel: key},
			{Node: "n1", Device: "cilium_vxlan", Egress: true, Tunnel: key},
			{Node: "n1", Device: "cilium_net"},
			{Node: "n1", Device: w.device("pod1-2"), Egress: true, Mark: mark},
			{External: "lan"},
			{External: "gateway"},
		}
		if _, err := w.Inject(points[int(point)%len(points)], b); err != nil {
			return // longer than any frame
		}
		if _, err := w.Ping("pod1-1", "pod2-1", sim.Message{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.RunUntilIdle(200000); err != nil {
			t.Error(err)
		}
	})
}

// repair gives a frame a right header checksum, so that it comes further.
func repair(b []byte) {
	if len(b) < 34 {
		return
	}
	b[12], b[13] = 8, 0
	b[14] = 4<<4 | b[14]&15
	ip := header.IPv4(b[14:])
	if n := ip.HeaderLen(); n >= 20 && n <= len(ip) {
		b[16], b[17] = byte(len(ip)>>8), byte(len(ip))
		ip.SetChecksum(header.IPv4HeaderChecksum(ip[:n]))
	}
}

func arpFrame() []byte {
	b := make([]byte, 42)
	header.Ethernet(b).SetDst(header.BroadcastMAC())
	header.Ethernet(b).SetType(header.EtherTypeARP)
	copy(b[14:], []byte{0, 1, 8, 0, 6, 4, 0, 1})
	return b
}

// echoLoop is a datagram from one echo server to another.
func echoLoop(tb testing.TB) []byte {
	tb.Helper()
	b := frame(tb, "10.0.2.12", nil, 20)
	b[34], b[35] = 0, 53
	b[40], b[41] = 0, 0 // no checksum
	return b
}

// TestEndless ends what would never end: two servers that answer each other.
func TestEndless(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, func(o *sim.Options) {
		o.Open = func(sim.Place, uint8, uint16) bool { return true }
	})
	r := w.run(w.Inject(sim.Point{Pod: "pod1-1"}, echoLoop(t)))
	if n := len(r.Losses); n != 1 || r.Losses[0].Reason != sim.Endless {
		t.Errorf("got %s", w.summary(r))
	}
}
