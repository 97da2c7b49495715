package emu_test

import (
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// TestResultsInTrace: what functions give back is a code with a meaning, although their
// callers ask only whether it is an error: a trace shows it.
func TestResultsInTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.web()
	seen := map[trace.Func]int{}
	for _, x := range []struct {
		from  pod
		frame frame
	}{
		{w.pod1, w.pod1.tcp(s.ip, 20000, 80, "S")},
		{w.pod2, w.pod2.tcp(w.pod1.ip, 8080, 20000, "SA")},
	} {
		r, steps := w.traced(w.hook(dataplane.FromContainer, x.from), &dataplane.Packet{Data: x.frame.bytes(t), IngressIfindex: x.from.ifindex})
		equal(t, "action", r.verdict.Action, code.Redirect)
		for i := range steps {
			st := &steps[i]
			if st.Kind != trace.KindLeave {
				continue
			}
			seen[st.Func]++
			switch st.Func {
			case trace.L4ModifyPort, trace.LB4Xlate, trace.LB4Local, trace.LB4RevNAT, trace.LB4RevNATInner, trace.CTCreate4, trace.IPv4L3,
				trace.PolicyCanEgress4, trace.PolicyCanAccessIngress, trace.PolicyCanAccessInner:
				equal(t, st.Func.Name(), st.Ret, code.OK)
			case trace.CTLookupInner, trace.CTLookup4:
				if st.Ret < code.Ret(code.CTNew) || st.Ret > code.Ret(code.CTReopened) {
					t.Errorf("%s gave back %d", st.Func, st.Ret)
				}
			default: // programs and what ends them have verdicts
			}
		}
	}
	for _, f := range []trace.Func{trace.L4ModifyPort, trace.LB4RevNATInner, trace.CTCreate4, trace.IPv4L3} {
		if seen[f] == 0 {
			t.Errorf("no packet came through %s", f)
		}
	}
}
