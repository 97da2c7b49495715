package journey_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane/journey"
)

// TestPart finds the first thing that differs, and what only one journey has.
func TestPart(t *testing.T) {
	t.Parallel()
	trip := func(lines ...journey.Line) *journey.Journey {
		return &journey.Journey{Packets: []*journey.Packet{{ID: 1, Steps: []*journey.Step{{
			Kind: journey.StepHook, Place: "node n", Device: "d", Text: "p at ingress of d",
			Run: &journey.Run{Program: "p", Direction: "ingress", Lines: lines, Result: "ok"},
		}}}}}
	}
	call := func(f string) journey.Line { return journey.Line{Kind: journey.LineCall, Func: f} }
	lookup := func(value string, hit bool) journey.Line {
		return journey.Line{Kind: journey.LineLookup, Map: "m", Key: "k", Value: value, Hit: &hit}
	}
	const where = "packet 1, node n, p at ingress of d"
	tests := []struct {
		name string
		a, b *journey.Journey
		want *journey.Parting
	}{
		{"same", trip(call("f")), trip(call("f")), nil},
		{"other function", trip(call("f"), call("g")), trip(call("f"), call("h")), &journey.Parting{Same: 2, Where: where, After: "f", First: "g", Second: "h"}},
		{"values do not count", trip(lookup("x", true)), trip(lookup("y", true)), nil},
		{"a miss counts", trip(lookup("x", true)), trip(lookup("", false)), &journey.Parting{Same: 1, Where: where, After: "p at ingress of d", First: "lookup of m k", Second: "lookup of m k (miss)"}},
		{"nothing more", trip(), &journey.Journey{}, &journey.Parting{First: "p at ingress of d"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, journey.Part(tt.a, tt.b)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
