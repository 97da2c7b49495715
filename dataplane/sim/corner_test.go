package sim_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// TestConntrackExpires frees a masqueraded port once its flow's time has passed.
func TestConntrackExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	port := func(from string) uint16 {
		r := w.run(w.UDP(from, "web", 53, sim.Message{SrcPort: 40000}))
		if len(r.Deliveries) == 0 {
			t.Fatal(w.summary(r))
		}
		return r.Deliveries[0].Src.Port()
	}
	if got := port("pod1-1"); got != 40000 {
		t.Errorf("first: got port %d", got)
	}
	if got := port("pod1-2"); got == 40000 {
		t.Error("second: got the first one's port")
	}
	if _, err := w.Run(w.Now() + 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := port("pod1-2"); got != 40000 {
		t.Errorf("three minutes later: got port %d, want 40000", got)
	}
}

// TestMarks sends from a node's socket with marks of its own: which of them the rule
// "from the host" replaces, and where the routing rules lead them (SPEC 10.1, 11).
func TestMarks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mark, want uint32
		table      string
	}{
		{0, 0xc00, "main"},
		{0x12340001, 0x12340c01, "main"},
		{0x100, 0xc00, "main"},
		{0x200, 0xc00, "2004"},
		{0x800, 0x800, "main"},
		{0x900, 0x900, "main"},
		{0xa00, 0xa00, "2005"},
		{0xb00, 0xb00, "main"},
		{0xc00, 0xc00, "main"},
		{0xd00, 0xd00, "main"},
		{0xe00, 0xe00, "main"},
		{0xf00, 0xf00, "main"},
	} {
		t.Run(fmt.Sprintf("%#x", tt.mark), func(t *testing.T) {
			t.Parallel()
			var table string
			var mark uint32
			w := newWorld(t, real112, func(o *sim.Options) {
				o.Observer = func(e *sim.Event) {
					if e.Packet == 1 && e.Kind == sim.Routed && table == "" {
						table, mark = e.Route.Table, e.Mark
					}
					if e.Packet == 1 && e.Kind == sim.Marked {
						mark = e.Marks[1]
					}
				}
			})
			w.run(w.UDP("n1", "pod2-2", 53, sim.Message{Mark: tt.mark}))
			if mark != tt.want || table != tt.table {
				t.Errorf("got mark %#x table %s, want %#x %s", mark, table, tt.want, tt.table)
			}
		})
	}
}

// TestStraySegments puts segments into a connection that do not belong there.
func TestStraySegments(t *testing.T) {
	t.Parallel()
	var last []byte // the client's last segment, as the server got it
	w := newWorld(t, real112, func(o *sim.Options) {
		o.Observer = func(e *sim.Event) {
			if e.Kind == sim.In && e.Place.Name == "default/pod2-1" && header.Ethernet(e.Data).Type() == header.EtherTypeIPv4 {
				last = bytes.Clone(e.Data)
			}
		}
	})
	if r := w.run(w.TCP("pod1-1", "pod2-1", 80, sim.Message{Hold: true})); r.Outcome != sim.Answered {
		t.Fatal(w.summary(r))
	}
	seq := binary.BigEndian.Uint32(last[38:])
	inject := func(flags uint8, seq uint32, data string) sim.Result {
		b := append(bytes.Clone(last[:54]), data...)
		binary.BigEndian.PutUint32(b[38:], seq)
		b[47] = flags
		b[16], b[17] = byte((len(b)-14)>>8), byte(len(b)-14)
		sum(b)
		b[50], b[51] = 0, 0
		binary.BigEndian.PutUint16(b[50:], header.PseudoSum([4]byte(b[26:30]), [4]byte(b[30:34]), header.ProtoTCP, len(b)-34).Partial(b[34:]).Fold())
		return w.run(w.Inject(sim.Point{Pod: "pod2-1", Receive: true}, b))
	}
	for _, tt := range []struct {
		name  string
		flags uint8
		seq   uint32
		data  string
		want  string // answers at the client's socket, losses
	}{
		{"data from the future", header.TCPACK, seq + 100, "x", "1, no socket expects it"},
		{"a second SYN", header.TCPSYN, seq, "", "1, no socket expects it"},
		{"a reset that is not in sequence", header.TCPRST, seq + 1, "", "0, no socket expects it"},
		{"data", header.TCPACK, seq, "abc", "1"},
		{"the same data again", header.TCPACK, seq, "abc", "1, no socket expects it"},
		{"a reset in sequence", header.TCPRST, seq + 3, "", "0"},
		{"data after it", header.TCPACK, seq + 3, "x", "1, no socket expects it"},
	} {
		r := inject(tt.flags, tt.seq, tt.data)
		answers := 0
		for _, d := range r.Deliveries {
			if d.Place.Name == "default/pod1-1" {
				answers++
			}
		}
		got := ""
		for i, l := range r.Losses {
			// The client's answers to what it did not ask for are not of interest.
			if i == 0 && l.Place.Name == "default/pod2-1" {
				got = ", " + l.String()
			}
		}
		// The client did not send this, so its socket drops some answers.
		answers = min(1, answers+len(slices.DeleteFunc(r.Losses, func(l sim.Loss) bool { return l.Place.Name != "default/pod1-1" })))
		if got = fmt.Sprint(answers) + got; got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestOptionsOfFragments keeps in later fragments only the options that belong there.
func TestOptionsOfFragments(t *testing.T) {
	t.Parallel()
	var got [][]byte
	w := newWorld(t, real112, func(o *sim.Options) {
		o.Observer = func(e *sim.Event) {
			if e.Kind == sim.Fragmented && e.Device == "cilium_host" {
				got = append(got, bytes.Clone(e.Data[34:42]))
			}
		}
	})
	alert, stamp := []byte{148, 4, 0, 0}, []byte{68, 4, 5, 0}
	f := frame(t, "10.0.2.11", func(ip *layers.IPv4) {
		ip.Protocol = layers.IPProtocolSCTP
		ip.Options = []layers.IPv4Option{
			{OptionType: 148, OptionLength: 4, OptionData: alert[2:]}, {OptionType: 68, OptionLength: 4, OptionData: stamp[2:]},
		}
	}, 1470)
	copy(f, w.nodeMAC("pod1-1"))
	w.run(w.Inject(sim.Point{Pod: "pod1-1"}, f))
	want := [][]byte{slices.Concat(alert, stamp), slices.Concat(alert, []byte{1, 1, 1, 1})}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

// TestStrayFrames ends frames that no stack should take.
func TestStrayFrames(t *testing.T) {
	t.Parallel()
	toNode := func(change func(b []byte)) func(w *world) (sim.Point, []byte) {
		return func(w *world) (sim.Point, []byte) {
			n, err := w.cluster.Node("n1")
			if err != nil {
				t.Fatal(err)
			}
			b := frame(t, "10.0.1.12", nil, 10)
			copy(b, n.MAC[:])
			copy(b[26:30], []byte{192, 0, 2, 80})
			change(b)
			sum(b)
			return sim.Point{Node: "n1", Device: "eth0"}, b
		}
	}
	for _, tt := range []struct {
		name string
		make func(w *world) (sim.Point, []byte)
		want string
	}{
		{"another MAC", toNode(func(b []byte) { b[5]++ }), "addressed to another host's MAC"},
		{"loopback source", toNode(func(b []byte) { b[26] = 127 }), "impossible address for this device"},
		{"its own source", toNode(func(b []byte) { copy(b[26:], []byte{172, 18, 0, 3}) }), "impossible address for this device"},
		{"multicast source", toNode(func(b []byte) { b[26] = 224 }), "impossible address for this device"},
		{"broadcast destination", toNode(func(b []byte) { copy(b[30:], []byte{255, 255, 255, 255}) }), "broadcast or multicast is not forwarded"},
		{"broadcast frame for another host", toNode(func(b []byte) { copy(b, []byte{255, 255, 255, 255, 255, 255}) }), "broadcast or multicast is not forwarded"},
		{"version 6", toNode(func(b []byte) { b[14] = 0x65 }), "malformed header"},
		{"IPv6", toNode(func(b []byte) { b[12], b[13] = 0x86, 0xdd }), "neither IPv4 nor ARP"},
		{"ARP", toNode(func(b []byte) { b[12], b[13] = 8, 6 }), "ARP for nobody here"},
		{"TTL 1", toNode(func(b []byte) { b[22] = 1 }), "TTL exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, real112, nil)
			r := w.run(w.Inject(tt.make(w)))
			if len(r.Losses) == 0 || r.Losses[0].String() != tt.want || len(r.Deliveries) != 0 {
				t.Errorf("got %s, want %s", w.summary(r), tt.want)
			}
		})
	}
}
