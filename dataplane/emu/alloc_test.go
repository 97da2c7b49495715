package emu_test

import (
	"fmt"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// TestAllocs runs every way through the programs, with and without trace and
// listener, and counts allocations once it is warm.
func TestAllocs(t *testing.T) { // not parallel: AllocsPerRun counts everybody
	for _, pa := range append(hotPaths(t, 3), restPaths(t)...) {
		for _, level := range []dataplane.Aggregation{dataplane.AggregateNone, dataplane.AggregateMedium} {
			for _, buffer := range []*trace.Buffer{nil, trace.NewBuffer(200)} {
				for _, ring := range []*trace.Ring{nil, trace.NewRing(8)} {
					name := fmt.Sprintf("%s/aggregation %d, trace %t, ring %t", pa.name, level, buffer != nil, ring != nil)
					t.Run(name, func(t *testing.T) {
						r := pa.runner(pa.prepare(t, func(c *dataplane.Config) { c.Aggregation = level }))
						r.p.Trace, r.p.Events = buffer, ring
						var got dataplane.Verdict
						var err error
						n := testing.AllocsPerRun(20, func() { got, err = r.run() })
						must(t, err)
						equal(t, "verdict", got, pa.verdict)
						if n != 0 {
							t.Errorf("%v allocations a packet, want 0", n)
						}
						if buffer != nil && (buffer.Lost() > 0 || len(buffer.Steps()) == 0) {
							t.Errorf("the trace has %d steps and lost %d", len(buffer.Steps()), buffer.Lost())
						}
					})
				}
			}
		}
	}
}
