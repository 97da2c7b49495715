package cluster_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/maps"
)

// BenchmarkAgent measures a node's agent in a cluster of 100 nodes and 10,000 pods:
// filling empty maps, and following one change.
func BenchmarkAgent(b *testing.B) {
	var text bytes.Buffer
	text.WriteString("apiVersion: hooklab.io/v1alpha1\nkind: Lab\nspec:\n  nodes:\n")
	for i := range 100 {
		fmt.Fprintf(&text, "  - {name: n%d}\n", i)
	}
	text.WriteString("  pods:\n")
	for i := range 10000 {
		fmt.Fprintf(&text, "  - {name: p%d, node: n%d}\n", i, i%100)
	}
	c, err := cluster.Load(cluster.Source{Name: "bench", Data: text.Bytes()})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fill", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a, err := cluster.NewAgent(c, "n7", maps.NewSet(maps.Sizes{}))
			if err != nil {
				b.Fatal(err)
			}
			if err := a.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("change", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := c.SetPhase("p0", cluster.NotReady); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("follow", func(b *testing.B) {
		b.ReportAllocs()
		a, err := cluster.NewAgent(c, "n7", maps.NewSet(maps.Sizes{}))
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			b.StopTimer()
			if err := c.SetPhase("p0", cluster.NotReady); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if err := a.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
