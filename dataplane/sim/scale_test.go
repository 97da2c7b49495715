package sim_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// bigCluster has nodes with two pods each and one service.
func bigCluster(tb testing.TB, nodes int) *cluster.Cluster {
	tb.Helper()
	var b strings.Builder
	b.WriteString("apiVersion: hooklab.io/v1alpha1\nkind: Lab\nspec:\n  nodes:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  - {name: n%d}\n", i)
	}
	b.WriteString("  pods:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  - {name: a%d, node: n%d, labels: {app: a}}\n  - {name: b%d, node: n%d}\n", i, i, i, i)
	}
	b.WriteString("  services:\n  - {name: last, ports: [{port: 80, backends: [\"10.0.0.250:80\"]}]}\n")
	c, err := cluster.Load(cluster.Source{Name: "big.yaml", Data: []byte(b.String())})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// heap is the memory in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestScale runs conversations in small and large clusters. A node costs memory
// only once a frame has met it, then mostly for its ipcache.
func TestScale(t *testing.T) {
	for _, tt := range []struct{ nodes, touched int }{{2, 2}, {100, 100}, {2000, 6}} {
		t.Run(fmt.Sprint(tt.nodes), func(t *testing.T) {
			c := bigCluster(t, tt.nodes)
			before := heap()
			s, err := sim.New(c, sim.Options{Engine: engine})
			if err != nil {
				t.Fatal(err)
			}
			made := heap()
			var all []*sim.Conversation
			for i := range tt.touched {
				c, err := s.Ping(fmt.Sprint("a", i), fmt.Sprint("b", (i+1)%tt.touched), sim.Message{})
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, c)
			}
			if _, err := s.RunUntilIdle(1000000); err != nil {
				t.Fatal(err)
			}
			for i, c := range all {
				if r := c.Result(); r.Outcome != sim.Answered {
					t.Errorf("%d: got %s, losses %v", i, r.Outcome, r.Losses)
				}
			}
			after := heap()
			t.Logf("%d nodes: %d bytes a node before its first frame, %d after (%d nodes met one)",
				tt.nodes, (made-before)/int64(tt.nodes), (after-made)/int64(tt.touched), tt.touched)
			if perNode := (made - before) / int64(tt.nodes); tt.nodes > 2 && perNode > 16<<10 {
				t.Errorf("an idle node takes %d bytes", perNode)
			}
			runtime.KeepAlive(c)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// BenchmarkPing is a ping and its answer over two nodes: about 60 events.
func BenchmarkPing(b *testing.B) {
	w := newWorld(b, real112, func(o *sim.Options) { o.Observer, o.Notifications = nil, 0 })
	b.ReportAllocs()
	for b.Loop() {
		if r := w.run(w.Ping("pod1-1", "pod2-1", sim.Message{})); r.Outcome != sim.Answered {
			b.Fatal(w.summary(r))
		}
	}
}

// BenchmarkNode is what a node costs when the first frame meets it.
func BenchmarkNode(b *testing.B) {
	for _, nodes := range []int{2, 100, 2000} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			c := bigCluster(b, nodes)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				s, err := sim.New(c, sim.Options{Engine: engine})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if _, err := s.Node("n0"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
