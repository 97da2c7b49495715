package trace_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

func TestWriteStack(t *testing.T) {
	t.Parallel()
	enter := func(f trace.Func, depth uint8) trace.Step {
		return trace.Step{Kind: trace.KindEnter, Func: f, Depth: depth}
	}
	leave := func(f trace.Func, depth uint8, ret code.Ret) trace.Step {
		return trace.Step{Kind: trace.KindLeave, Func: f, Depth: depth, Ret: ret}
	}
	tail := func(slot uint32, ret code.Ret) trace.Step {
		return trace.Step{Kind: trace.KindTailCall, Depth: 1, Slot: slot, Ret: ret}
	}
	const jumped = code.Ret(1 << 30)
	for _, tt := range []struct {
		name  string
		steps []trace.Step
		want  string
	}{
		{"nothing", nil, ""},
		{
			"a program that decides",
			[]trace.Step{enter(trace.ToHost, 0), enter(trace.SendTraceNotify, 1), leave(trace.SendTraceNotify, 1, 0), leave(trace.ToHost, 0, code.OK)},
			"to_host  bpf_host.c = ok\n  send_trace_notify  lib/trace.h\n",
		},
		{
			"tail calls do not indent",
			[]trace.Step{
				enter(trace.HandleXgress, 0), tail(6, 0), leave(trace.HandleXgress, 0, jumped),
				enter(trace.TailHandleARP, 0), enter(trace.ARPRespond, 1), leave(trace.ARPRespond, 1, code.Redirect), leave(trace.TailHandleARP, 0, code.Redirect),
			},
			"handle_xgress  bpf_lxc.c\n=> tail call 6\ntail_handle_arp  bpf_lxc.c = redirect\n  arp_respond  lib/arp.h\n",
		},
		{
			"a tail call from within",
			[]trace.Step{
				enter(trace.TailHandleIPv4Cont, 0), enter(trace.IPv4LocalDelivery, 1), tail(436, 0),
				leave(trace.IPv4LocalDelivery, 1, jumped), leave(trace.TailHandleIPv4Cont, 0, jumped), enter(trace.HandlePolicy, 0), leave(trace.HandlePolicy, 0, code.Redirect),
			},
			"tail_handle_ipv4_cont  bpf_lxc.c\n  ipv4_local_delivery  lib/l3.h\n=> tail call 436\nhandle_policy  bpf_lxc.c = redirect\n",
		},
		{
			"a missed tail call",
			[]trace.Step{enter(trace.HandleXgress, 0), tail(6, code.DropMissedTailCall), leave(trace.HandleXgress, 0, code.Drop)},
			"handle_xgress  bpf_lxc.c = drop\n=> tail call 6: missed\n",
		},
		{
			"an error on the way",
			[]trace.Step{enter(trace.HandleIPv4FromLXC, 0), enter(trace.EncapAndRedirectLXC, 1), leave(trace.EncapAndRedirectLXC, 1, code.DropNoTunnel), leave(trace.HandleIPv4FromLXC, 0, 0)},
			"handle_ipv4_from_lxc  bpf_lxc.c = ok\n  encap_and_redirect_lxc  lib/encap.h = No tunnel/encapsulation endpoint (datapath BUG!) (-160)\n",
		},
		{"lost steps", []trace.Step{leave(trace.ToHost, 0, 0), tail(1, 0), enter(trace.ToHost, 0)}, "=> tail call 1\nto_host  bpf_host.c\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			if err := trace.WriteStack(&b, tt.steps); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, b.String()); d != "" {
				t.Errorf("stack differs (-want +got):\n%s", d)
			}
		})
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteStackError(t *testing.T) {
	t.Parallel()
	steps := []trace.Step{{Kind: trace.KindEnter, Func: trace.ToHost}}
	if err := trace.WriteStack(brokenWriter{}, steps); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want %v", err, errBroken)
	}
}
