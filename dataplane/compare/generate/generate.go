// Package generate makes clusters and packets by chance for comparisons: valid and
// broken frames, whole conversations with jumps of the clock, maps with stale and missing
// entries, every profile and setting. The same seed gives the same packets.
package generate

import (
	"fmt"
	"math/rand/v2"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/compare"
)

// Options are what to generate.
type Options struct {
	Seed    uint64
	Packets int
	// Cluster is a described cluster to use instead of generated ones; nil generates.
	Cluster []cluster.Source
	// Settings holds the settings of the cluster's datapath fixed: only generated
	// clusters get others by chance.
	Node string
}

// Packets of one world: rounds of so many packets each, which begin with the maps as the
// agent writes them.
const (
	perRound  = 100
	perWorld  = 1000
	fewWorlds = 50 // a run of fewer packets than so many full worlds has smaller ones
)

// untraced is one in how many worlds is run without traces.
const untraced = 8

// Feed makes a feed of generated packets.
func Feed(o *Options) *compare.Feed {
	size := min(perWorld, max(perRound, o.Packets/fewWorlds/perRound*perRound))
	worlds := (o.Packets + size - 1) / size
	title := fmt.Sprintf("%d generated packets, seed %d", o.Packets, o.Seed)
	shared := newArms(nil)
	local := map[int]*arms{} // of scripts that are being played
	f := &compare.Feed{Title: title, Scripts: worlds, Packets: o.Packets}
	f.Prepare = func(i int) { local[i] = newArms(shared) }
	f.Script = func(i int) (*compare.Script, error) {
		g := &maker{Rand: rand.New(rand.NewPCG(o.Seed, uint64(i))), arms: local[i]}
		s := &compare.Scenario{Name: fmt.Sprintf("seed %d, world %d", o.Seed, i+1), Cluster: o.Cluster, Node: o.Node}
		if o.Cluster == nil {
			g.world(s)
		}
		left := min(size, o.Packets-i*size)
		return &compare.Script{
			Scenario: s,
			Untraced: i%untraced == untraced-1,
			Rounds:   (left + perRound - 1) / perRound,
			Begin: func(round int, w *compare.World) func(*compare.Outcome, bool) (compare.Step, bool, error) {
				r := newRound(g, w, min(perRound, left-round*perRound))
				return r.next
			},
		}, nil
	}
	f.Learn = func(i int) {
		shared.merge(local[i])
		delete(local, i)
	}
	return f
}

// maker is chance with a memory of what was worthwhile.
type maker struct {
	*rand.Rand
	*arms
}

// chance is true with a probability of percent.
func (g *maker) chance(percent int) bool { return g.IntN(100) < percent }

// oneOf is any of a list.
func oneOf[T any](g *maker, list []T) T { return list[g.IntN(len(list))] }

// bytes are n random ones.
func (g *maker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}
