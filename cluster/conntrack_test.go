package cluster_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// flow puts a conntrack entry of two addresses into a map.
func flow(t *testing.T, m *maps.LRU[maps.CTKey, maps.CTEntry], d, s [4]byte, port uint16, lifetime uint32) {
	t.Helper()
	k := maps.CTKey{DAddr: d, SAddr: s, DPort: [2]byte{byte(port >> 8), byte(port)}, Proto: 6}
	if err := m.Set(&k, &maps.CTEntry{Lifetime: lifetime}, maps.Any); err != nil {
		t.Fatal(err)
	}
}

// TestScrub checks that the entries of an address are gone, from both maps and both
// sides, when the address has a new owner, and not before.
func TestScrub(t *testing.T) {
	t.Parallel()
	c := loadFile(t, article)
	set := maps.NewSet(maps.Sizes{})
	a, err := cluster.NewAgent(c, "cilium-worker", set)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	pod, other, third := [4]byte{10, 0, 1, 79}, [4]byte{10, 0, 1, 178}, [4]byte{10, 0, 2, 158}
	flow(t, set.CT4, pod, other, 80, 100)
	flow(t, set.CT4, third, pod, 80, 100)
	flow(t, set.CTAny4, other, pod, 53, 100)
	flow(t, set.CTAny4, other, third, 53, 100)
	flow(t, set.CT4, other, third, 80, 100)
	steps := []struct {
		name     string
		change   func() error
		tcp, any int
	}{
		{"remote pod", func() error { return c.RemovePod("pod2-1") }, 3, 2},
		{"phase", func() error { return c.SetPhase("pod1-2", cluster.Terminating) }, 3, 2},
		{"pod gone", func() error { return c.RemovePod("pod1-2") }, 3, 2},
		{"address reused", func() error {
			p := cluster.Pod{Name: "new", Node: "cilium-worker"}
			p.IP = c.Endpoints("cilium-worker")[0].IP // taken: must fail
			if _, err := c.AddPod(p); err == nil {
				t.Error("AddPod gave an address to two pods")
			}
			p.IP = c.Settings().Underlay.Addr()
			if _, err := c.AddPod(p); err == nil {
				t.Error("AddPod took an address outside the podCIDR")
			}
			p.IP = c.Nodes()[1].PodCIDR.Addr()
			for range 79 {
				p.IP = p.IP.Next()
			}
			_, err := c.AddPod(p)
			return err
		}, 1, 1},
	}
	for _, s := range steps {
		if err := s.change(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if err := a.Sync(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if set.CT4.Len() != s.tcp || set.CTAny4.Len() != s.any {
			t.Errorf("%s: %d and %d entries, want %d and %d", s.name, set.CT4.Len(), set.CTAny4.Len(), s.tcp, s.any)
		}
	}
	// Another pod with the same address between two Syncs.
	flow(t, set.CT4, pod, other, 80, 100)
	if err := c.RemovePod("new"); err != nil {
		t.Fatal(err)
	}
	p := cluster.Pod{Name: "newer", Node: "cilium-worker"}
	p.IP = c.Nodes()[1].PodCIDR.Addr()
	for range 79 {
		p.IP = p.IP.Next()
	}
	if _, err := c.AddPod(p); err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := set.CT4.Len(); got != 1 {
		t.Errorf("%d TCP entries after the address changed hands between two Syncs, want 1", got)
	}
}

// pass runs a garbage collection pass and returns how many steps it took.
func pass(t *testing.T, g *cluster.GC, now uint32, budget int) (next uint32, steps int) {
	t.Helper()
	for steps = 1; ; steps++ {
		n, idle, err := g.Step(now, budget)
		if err != nil {
			t.Fatal(err)
		}
		if idle {
			return n, steps
		}
		if steps > 10000 {
			t.Fatal("the pass does not end")
		}
	}
}

// TestGC checks what is deleted, when, and that slices are small.
func TestGC(t *testing.T) {
	t.Parallel()
	set := maps.NewSet(maps.Sizes{CT4: 1000, CTAny4: 100})
	g := cluster.NewGC(dataplane.DefaultConfig(), set.CT4, set.CTAny4)
	for i := range uint16(100) {
		flow(t, set.CT4, [4]byte{10, 0, 1, 1}, [4]byte{10, 0, 1, 2}, i, 1000+uint32(i))
	}
	flow(t, set.CTAny4, [4]byte{10, 0, 1, 1}, [4]byte{10, 0, 1, 2}, 53, 1039)
	flow(t, set.CTAny4, [4]byte{10, 0, 1, 1}, [4]byte{10, 0, 1, 2}, 54, 1041)

	next, steps := pass(t, g, 1040, 7)
	if set.CT4.Len() != 60 || set.CTAny4.Len() != 1 {
		t.Errorf("%d and %d entries left, want 60 and 1: those with lifetime < now go", set.CT4.Len(), set.CTAny4.Len())
	}
	if steps < 15 {
		t.Errorf("%d steps with a budget of 7 for 102 entries", steps)
	}
	// 40 of 1000 and 1 of 100 were deleted: 4 %, so the interval grows.
	if got, want := g.Interval(), uint32(450); got != want {
		t.Errorf("interval %d, want %d", got, want)
	}
	if want := uint32(1040 + 450); next != want {
		t.Errorf("next pass at %d, want %d", next, want)
	}
	if n, idle, err := g.Step(1489, 7); n != next || !idle || err != nil {
		t.Errorf("Step before the next pass = %d, %t, %v, want %d, true, nil", n, idle, err, next)
	}
	if got := set.CT4.Len(); got != 60 {
		t.Errorf("%d entries, want 60: nothing is deleted between passes", got)
	}
	if _, idle, _ := g.Step(1490, 7); idle {
		t.Error("Step did not begin the next pass when it was due")
	}
}

// TestGCInterval checks how the interval follows the share of entries deleted.
func TestGCInterval(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		expired []int // of 1000, in each pass
		want    []uint32
	}{
		{"nothing to delete", []int{0, 0}, []uint32{300, 300}},
		{"few", []int{49, 1, 10}, []uint32{450, 675, 1013}},
		{"some", []int{50, 250, 100}, []uint32{300, 300, 300}},
		{"many", []int{251, 500}, []uint32{225, 113}},
		{"nearly all", []int{1000, 1000, 950}, []uint32{30, 10, 10}},
		{"up to twelve hours", []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []uint32{
			450, 675, 1013, 1520, 2280, 3420, 5130, 7695, 11543, 17315, 25973, 38960, 43200,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := maps.NewSet(maps.Sizes{CT4: 1000, CTAny4: 1000})
			g := cluster.NewGC(dataplane.DefaultConfig(), set.CT4, set.CTAny4)
			var got []uint32
			now := uint32(10)
			for _, expired := range tt.expired {
				for i := range expired {
					flow(t, set.CTAny4, [4]byte{10, 0, 1, 1}, [4]byte{10, 0, 1, 2}, uint16(i), now-1)
				}
				next, _ := pass(t, g, now, 100)
				got = append(got, g.Interval())
				if next != now+g.Interval() {
					t.Errorf("next pass at %d, want %d", next, now+g.Interval())
				}
				now = next
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("intervals (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGCEvery: a fixed interval does not adapt to what is deleted, and may be let go.
func TestGCEvery(t *testing.T) {
	t.Parallel()
	set := maps.NewSet(maps.Sizes{CT4: 10, CTAny4: 10})
	g := cluster.NewGC(dataplane.DefaultConfig(), set.CT4, set.CTAny4)
	g.Every(20)
	now := uint32(1000)
	for i := range uint16(3) {
		flow(t, set.CT4, [4]byte{10, 0, 1, 1}, [4]byte{10, 0, 1, 2}, i, now-1)
		next, _ := pass(t, g, now, 10)
		if next != now+20 || set.CT4.Len() != 0 {
			t.Fatalf("next pass at %d, want %d; %d entries left", next, now+20, set.CT4.Len())
		}
		now = next
	}
	g.Every(0)
	for i := range uint16(3) {
		flow(t, set.CT4, [4]byte{10, 0, 1, 1}, [4]byte{10, 0, 1, 2}, i, now-1)
	}
	if next, _ := pass(t, g, now, 10); next == now+20 {
		t.Errorf("still fixed to 20 s")
	}
}

// TestGCJiffies checks the interval on the other clock: 300 s at 250 Hz are 292
// times 256 jiffies.
func TestGCJiffies(t *testing.T) {
	t.Parallel()
	cfg := dataplane.DefaultConfig()
	cfg.Clock = dataplane.ClockJiffies
	set := maps.NewSet(maps.Sizes{CT4: 10, CTAny4: 10})
	if next, _ := pass(t, cluster.NewGC(cfg, set.CT4, set.CTAny4), 1000, 10); next != 1292 {
		t.Errorf("next pass at %d, want 1292", next)
	}
}
