package sim_test

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// busy lets many conversations run at once, among them such as are lost.
func (w *world) busy() {
	w.t.Helper()
	start := func(_ *sim.Conversation, err error) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	for _, from := range []string{"pod1-1", "pod2-1", "n1", "web"} {
		for _, to := range []string{"pod1-2", "pod2-2", "n2", "lan", "10.0.2.99", "172.18.77.7"} {
			start(w.Ping(from, to, sim.Message{Count: 2}))
			start(w.TCP(from, to, 80, sim.Message{Data: make([]byte, 3000)}))
			start(w.UDP(from, to, 53, sim.Message{Data: make([]byte, 3000)}))
			start(w.UDP(from, to, 9, sim.Message{TTL: 2}))
			start(w.IP(from, to, 132, sim.Message{Data: make([]byte, 20)}))
		}
		for _, to := range []string{"svc/own", "svc/far", "svc/none", "svc/api"} {
			start(w.TCP(from, to, 80, sim.Message{Data: []byte("x")}))
		}
	}
	if _, err := w.RunUntilIdle(1000000); err != nil {
		w.t.Fatal(err)
	}
}

// TestDeterminism runs the same conversations a hundred times in all: what happens is
// the same, byte for byte.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			first := digest(t, profile, 7)
			for i := range 19 {
				if digest(t, profile, 7) != first {
					a, b := lines(t, profile), lines(t, profile)
					t.Fatalf("run %d differs; two more runs (-first +second):\n%s", i+2, cmp.Diff(a, b))
				}
			}
			if digest(t, profile, 8) == first {
				t.Error("another seed made no difference")
			}
		})
	}
}

// digest is a hash of all events of a busy simulation.
func digest(t *testing.T, profile string, seed uint64) uint64 {
	t.Helper()
	h := fnv.New64a()
	number := func(ns ...uint64) {
		for _, n := range ns {
			h.Write(binary.LittleEndian.AppendUint64(nil, n))
		}
	}
	w := newWorld(t, profile, func(o *sim.Options) {
		o.RoutePods, o.Seed = true, seed
		o.Observer = func(e *sim.Event) {
			number(e.Seq, uint64(e.Time), e.Conversation, e.Frame, e.Parent, e.Packet, uint64(e.Relation), uint64(e.Kind), uint64(e.Mark), uint64(e.Reason))
			h.Write([]byte(e.Place.Name))
			h.Write([]byte(e.Device))
			h.Write(e.Data)
			h.Write(e.Notification)
		}
	})
	w.busy()
	return h.Sum64()
}

// lines are the same events as text.
func lines(t *testing.T, profile string) []string {
	t.Helper()
	w := newWorld(t, profile, func(o *sim.Options) { o.RoutePods, o.Seed = true, 7 })
	w.busy()
	return w.lines
}

// life is what the observer is told of one frame.
type life struct {
	parent, packet uint64
	relation       sim.Relation
	ended          string
	became         bool
}

// TestLifecycle checks that every frame is told completely: one beginning, one end,
// a parent that was there before, and the same packet as its parent's unless it
// answers it.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			frames := map[uint64]*life{}
			seq, last := uint64(0), time.Duration(0)
			w := newWorld(t, profile, func(o *sim.Options) {
				o.RoutePods = true
				o.Observer = func(e *sim.Event) {
					if seq++; e.Seq != seq || e.Time < last {
						t.Errorf("event %d at %s after %d at %s", e.Seq, e.Time, seq-1, last)
					}
					last = e.Time
					lifecycle(t, frames, e)
				}
			})
			w.busy()
			for id, f := range frames {
				if f.ended == "" && !f.became {
					t.Errorf("frame %d has no end", id)
				}
			}
		})
	}
}

func lifecycle(t *testing.T, frames map[uint64]*life, e *sim.Event) {
	t.Helper()
	f := frames[e.Frame]
	switch e.Kind {
	case sim.Sent, sim.Encapsulated, sim.Decapsulated, sim.Fragmented, sim.Reassembled:
		if f != nil {
			t.Errorf("frame %d begins twice", e.Frame)
		}
		f = &life{parent: e.Parent, packet: e.Packet, relation: e.Relation}
		frames[e.Frame] = f
		p := frames[e.Parent]
		if (e.Parent == 0) != (e.Relation == sim.Original) || e.Parent != 0 && p == nil {
			t.Errorf("frame %d, %s: parent %d is not there", e.Frame, e.Relation, e.Parent)
			return
		}
		if e.Kind == sim.Sent {
			if e.Packet != e.Frame {
				t.Errorf("frame %d is sent as packet %d", e.Frame, e.Packet)
			}
			return
		}
		p.became = true
		if e.Packet != p.packet {
			t.Errorf("frame %d of packet %d has a parent of packet %d", e.Frame, e.Packet, p.packet)
		}
		return
	default:
	}
	if f == nil {
		t.Errorf("%s of frame %d, which did not begin", e.Kind, e.Frame)
		return
	}
	if f.parent != e.Parent || f.packet != e.Packet || f.relation != e.Relation {
		t.Errorf("frame %d changed its identity", e.Frame)
	}
	if f.ended != "" {
		t.Errorf("%s of frame %d, which has ended: %s", e.Kind, e.Frame, f.ended)
	}
	switch {
	case e.Kind == sim.Received, e.Kind == sim.Joined, e.Kind == sim.Lost, e.Kind == sim.Left:
		f.ended = e.Kind.String()
	case e.Kind == sim.NodeStep && e.Node.Kind == node.EventLost:
		f.ended = e.Node.Loss.String()
	}
}

// TestTree links request and answer: from the sender's socket to the receiver's and
// back, through the tunnel.
func TestTree(t *testing.T) {
	t.Parallel()
	var got []string
	w := newWorld(t, real112, func(o *sim.Options) {
		o.Observer = func(e *sim.Event) {
			switch e.Kind {
			case sim.Sent, sim.Encapsulated, sim.Decapsulated, sim.Received:
				if e.Relation != sim.Asking {
					got = append(got, e.Place.String()+" "+e.Kind.String()+" "+e.Relation.String())
				}
			default:
			}
		}
	})
	w.run(w.Ping("pod1-1", "pod2-1", sim.Message{}))
	want := []string{
		"pod default/pod1-1 sent original", "node n1 encapsulated outer", "node n2 decapsulated inner", "pod default/pod2-1 received inner",
		"pod default/pod2-1 sent answer", "node n2 encapsulated outer", "node n1 decapsulated inner", "pod default/pod1-1 received inner",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestProgramsAreTraced finds each program's functions and notifications at its end.
func TestProgramsAreTraced(t *testing.T) {
	t.Parallel()
	functions := map[dataplane.Prog]int{}
	notes := 0
	w := newWorld(t, real112+"\n  aggregation: none", func(o *sim.Options) {
		o.TraceSteps = 1000
		o.Observer = func(e *sim.Event) {
			switch {
			case e.Kind == sim.Notified:
				if _, _, err := trace.DecodeNotification(e.Notification); err != nil {
					t.Error(err)
				}
				notes++
			case e.Kind == sim.NodeStep && e.Node.Kind == node.EventAfter:
				functions[e.Node.Hook.Prog] = len(e.Node.Packet.Trace.Steps())
			}
		}
	})
	w.run(w.Ping("pod1-1", "pod2-1", sim.Message{}))
	for _, p := range []dataplane.Prog{dataplane.FromContainer, dataplane.FromOverlay, dataplane.ToOverlay} {
		if functions[p] < 2 {
			t.Errorf("%s: got %d steps", p, functions[p])
		}
	}
	if functions[dataplane.ToOverlay] > functions[dataplane.FromContainer] || notes < 6 {
		t.Errorf("got %v steps, %d notifications", functions, notes)
	}
}

// TestRefresh changes the cluster while it runs.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	if r := w.run(w.Ping("pod1-1", "pod2-1", sim.Message{})); r.Outcome != sim.Answered {
		t.Fatal(w.summary(r))
	}
	added, err := w.cluster.AddPod(pod("pod2-9", "n2", "far"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Resolve("pod2-9"); err == nil {
		t.Error("a new pod is known without Refresh")
	}
	w.Refresh()
	for _, from := range []string{"pod1-1", "n1", "pod2-1"} {
		if r := w.run(w.Ping(from, "pod2-9", sim.Message{})); r.Outcome != sim.Answered {
			t.Errorf("from %s to the new pod: %s", from, w.summary(r))
		}
	}
	if r := w.run(w.Ping("pod2-9", "pod1-1", sim.Message{})); r.Outcome != sim.Answered {
		t.Errorf("from the new pod: %s", w.summary(r))
	}
	if err := w.cluster.RemovePod("pod2-9"); err != nil {
		t.Fatal(err)
	}
	w.Refresh()
	r := w.run(w.Ping("pod1-1", added.IP.String(), sim.Message{}))
	if got, want := w.summary(r), "no answer; node n2 cilium_host: dropped by from-host: Stale or unroutable IP (-151)"; got != want {
		t.Errorf("to the removed pod: got %s, want %s", got, want)
	}
	if r := w.run(w.TCP("n1", "svc/far", 80, sim.Message{})); r.Outcome != sim.Answered {
		t.Errorf("the service: %s", w.summary(r))
	}
}

// TestGarbageCollection forgets connections when their time has passed.
func TestGarbageCollection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	w.run(w.TCP("pod1-1", "pod2-1", 80, sim.Message{}))
	w.run(w.UDP("pod1-1", "pod2-2", 53, sim.Message{}))
	n, err := w.Node("n1")
	if err != nil {
		t.Fatal(err)
	}
	entries := func() int {
		count := 0
		for _, name := range []string{maps.NameCT4, maps.NameCTAny4} {
			m, err := n.Runner().Map(name)
			if err != nil {
				t.Fatal(err)
			}
			for c := (maps.Cursor{}); !c.Done(); {
				if err := m.Range(&c, 0, func(_, _ []byte) bool { count++; return true }); err != nil {
					t.Fatal(err)
				}
			}
		}
		return count
	}
	before := entries()
	if _, err := w.Run(w.Now() + 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if n, err = w.Node("n1"); err != nil {
		t.Fatal(err)
	}
	if after := entries(); before == 0 || after != 0 {
		t.Errorf("got %d entries, a day later %d", before, after)
	}
}

// broken is an engine that cannot be made.
func broken(*maps.Set) (dataplane.Runner, error) { return nil, errors.New("out of order") }

// TestEngineFailure tells a failure of the engine from a lost packet.
func TestEngineFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, func(o *sim.Options) { o.Engine = broken })
	c, err := w.Ping("pod1-1", "pod1-2", sim.Message{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.RunUntilIdle(1000); !errors.Is(err, sim.ErrEngine) || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("got %v", err)
	}
	if r := c.Result(); r.Outcome != sim.NoAnswer || r.Losses[0].Reason != sim.EngineFailed {
		t.Errorf("got %s", w.summary(r))
	}
	if _, err := sim.New(w.cluster, sim.Options{}); !errors.Is(err, sim.ErrEngine) {
		t.Errorf("no engine: got %v", err)
	}
}

// TestBusy stops where it is told to.
func TestBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	if _, err := w.Ping("pod1-1", "pod1-2", sim.Message{}); err != nil {
		t.Fatal(err)
	}
	if n, err := w.RunUntilIdle(3); n != 3 || !errors.Is(err, sim.ErrBusy) {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := w.RunUntilIdle(1000); err != nil {
		t.Error(err)
	}
}
