package emu_test

import (
	"encoding/binary"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

func (w *world) calls(name string) *maps.ProgArray {
	w.tb.Helper()
	m := w.maps.Calls(name)
	if m == nil {
		w.tb.Fatalf("no map %s among %v", name, w.maps.Names())
	}
	return m
}

// TestMissingTailCall empties one slot and runs a packet into the hole.
func TestMissingTailCall(t *testing.T) {
	t.Parallel()
	remote := podsOfB()[0]
	const lxc1, hostns, overlay = "cilium_calls_01272", "cilium_calls_hostns_04096", "cilium_calls_overlay_2"
	fromPod := func(w *world) *result {
		return w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	}
	fromHost := func(w *world) *result {
		return w.fromHost(frame{src: w.router, dst: w.pod1.ip, ttl: 64}.tcp(40000, 80, "S").bytes(t), 0xc00)
	}
	for _, tt := range []struct {
		name    string
		calls   string
		slot    uint32
		run     func(w *world) *result
		verdict dataplane.Verdict
		metrics []string
		events  []string
	}{
		{
			name: "ARP", calls: lxc1, slot: 6,
			run: func(w *world) *result {
				return w.fromPod(w.pod1, arpRequest(t, w.pod1.mac, broadcast(), w.pod1.mac, w.pod1.ip, w.router))
			},
			verdict: dropped(-140), metrics: []string{"140 EGRESS +1 42"},
			events: []string{"drop 140 from 1272: 10178->0 id 0 file 8, 42 of 42"},
		},
		{
			name: "IPv4 from the pod", calls: lxc1, slot: 7, run: fromPod,
			verdict: dropped(-140), metrics: []string{"140 EGRESS +1 54"},
			events: []string{"drop 140 from 1272: 10178->0 id 0 file 8, 54 of 54"},
		},
		{
			name: "conntrack, egress", calls: lxc1, slot: 29, run: fromPod,
			verdict: dropped(-140), metrics: []string{"140 EGRESS +1 54"},
			events: []string{"drop 140 from 1272: 10178->0 id 0 file 8, 54 of 54"},
		},
		// The conntrack stage returns its errors raw (SPEC 3.6).
		{name: "after conntrack, egress", calls: lxc1, slot: 25, run: fromPod, verdict: raw(-140)},
		{
			name: "policy of the receiver", calls: "cilium_call_policy", slot: 436, run: fromPod,
			verdict: dropped(-140), metrics: []string{"0 EGRESS +1 54", "140 EGRESS +1 54"},
			events: []string{"drop 140 from 1272: 10178->74565 id 0 file 8, 54 of 54"},
		},
		{
			name: "policy of the receiver, from the overlay", calls: "cilium_call_policy", slot: 1272,
			run: func(w *world) *result {
				return w.fromOverlay(remote.tcp(w.pod1.ip, 40000, 80, "S").bytes(t), remote.identity)
			},
			verdict: dropped(-140), metrics: []string{"3 INGRESS +1 54", "140 INGRESS +1 54"},
			events: []string{"drop 140 from 0: 13789->0 id 0 file 0, 54 of 54"},
		},
		{
			name: "policy of the receiver, from the host", calls: "cilium_call_policy", slot: 1272, run: fromHost,
			verdict: dropped(-140), metrics: []string{"0 INGRESS +1 54", "3 INGRESS +1 54", "140 INGRESS +1 54"},
			events: []string{"drop 140 from 4096: 1->0 id 0 file 3, 54 of 54"},
		},
		{
			name: "IPv4 from the host, which passes", calls: hostns, slot: 22, run: fromHost,
			verdict: pass(), metrics: []string{"3 INGRESS +1 54", "140 INGRESS +1 54"},
			events: []string{"drop 140 from 4096: 1->0 id 0 file 3, 54 of 54"},
		},
		{
			name: "IPv4 from the overlay", calls: overlay, slot: 7,
			run: func(w *world) *result {
				return w.fromOverlay(remote.tcp(w.pod1.ip, 40000, 80, "S").bytes(t), remote.identity)
			},
			verdict: dropped(-140), metrics: []string{"3 INGRESS +1 54", "140 INGRESS +1 54"},
			events: []string{"drop 140 from 0: 0->0 id 0 file 0, 54 of 54"},
		},
		{
			name: "conntrack, to the pod", calls: lxc1, slot: 27,
			run: func(w *world) *result {
				return w.toContainer(w.pod1, w.pod2.tcp(w.pod1.ip, 40000, 80, "S").bytes(t), 0x23450f01) // 74565 = 0x12345
			},
			verdict: dropped(-140), metrics: []string{"3 INGRESS +1 54", "140 INGRESS +1 54"},
			events: []string{"drop 140 from 1272: 74565->10178 id 1272 file 8, 54 of 54"},
		},
		{
			name: "after conntrack, to the pod", calls: lxc1, slot: 13,
			run: func(w *world) *result {
				return w.toContainer(w.pod1, w.pod2.tcp(w.pod1.ip, 40000, 80, "S").bytes(t), 0)
			},
			verdict: raw(-140), metrics: []string{"3 INGRESS +1 54"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addIngressProgram(w.pod1)
			if tt.calls == maps.NamePolicyCall {
				must(t, w.maps.PolicyCall.Remove(tt.slot))
			} else {
				must(t, w.calls(tt.calls).Remove(tt.slot))
			}
			r := tt.run(w)
			equal(t, "verdict", r.verdict, tt.verdict)
			equal(t, "metrics", r.metrics, tt.metrics)
			equal(t, "events", r.events, tt.events)
		})
	}
}

// from-netdev, like from-host, must not cut the host off.
func TestMissingTailCallOfNetdev(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := dataplane.Hook{Prog: dataplane.FromNetdev, Ifindex: ethIfindex}
	w.load(h, w.cfg)
	must(t, w.calls("cilium_calls_netdev_00002").Remove(7))
	r := w.run(h, &dataplane.Packet{Data: frame{src: outside(), dst: nodeA(), ttl: 64}.tcp(1, 2, "S").bytes(t)})
	equal(t, "verdict", r.verdict, pass())
	equal(t, "metrics", r.metrics, []string{"3 INGRESS +1 54", "140 INGRESS +1 54"})
	equal(t, "events", r.events, []string{"drop 140 from 4096: 2->0 id 0 file 3, 54 of 54"})
}

func TestMissingDropNotify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.calls("cilium_calls_01272").Remove(1))
	f := w.pod1.tcp(w.pod2.ip, 40000, 80, "S")
	f.src = outside()
	r := w.fromPod(w.pod1, f.bytes(t))
	equal(t, "verdict", r.verdict, dropped(code.DropInvalidSIP))
	equal(t, "metrics", r.metrics, []string{"132 EGRESS +1 54"})
	equal(t, "events", r.events, nil)

	must(t, w.calls("cilium_calls_hostns_04096").Remove(1))
	must(t, w.calls("cilium_calls_hostns_04096").Remove(22))
	r = w.fromHost(f.bytes(t), 0)
	equal(t, "verdict of from-host", r.verdict, pass())
	equal(t, "events of from-host", r.events, nil)
}

// TestTailCallLimit leads a slot back to an earlier program. The kernel allows 33
// tail calls a run; the next one is missed, and so is that of the drop's report.
func TestTailCallLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	calls := w.calls("cilium_calls_01272")
	first, ok := calls.Prog(7)
	if !ok {
		t.Fatal("slot 7 is empty")
	}
	must(t, calls.Set(29, first))
	r, steps := w.traced(w.hook(dataplane.FromContainer, w.pod1), &dataplane.Packet{Data: w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t)})
	equal(t, "verdict", r.verdict, dropped(code.DropMissedTailCall))
	equal(t, "metrics", r.metrics, []string{"140 EGRESS +1 54"})
	equal(t, "events", r.events, nil)
	var jumps, missed []uint32
	for _, s := range steps {
		switch {
		case s.Kind == trace.KindTailCall && s.Ret == 0:
			jumps = append(jumps, s.Slot)
		case s.Kind == trace.KindTailCall:
			missed = append(missed, s.Slot)
		}
	}
	equal(t, "tail calls", len(jumps), 33)
	equal(t, "missed", missed, []uint32{29, 1})
	// The limit is that of one run.
	equal(t, "next run", w.fromPod(w.pod2, w.pod2.tcp(w.pod3.ip, 1, 2, "R").bytes(t)).verdict.Kind(), dataplane.Dropped)
}

// TestStaleProgram has slots with ids that no program has.
func TestStaleProgram(t *testing.T) {
	t.Parallel()
	for _, id := range []uint32{1 << 20, 1<<32 - 1} {
		w := newWorld(t)
		must(t, w.calls("cilium_calls_01272").Set(7, id))
		r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
		equal(t, "verdict", r.verdict, dropped(code.DropMissedTailCall))
	}
	// An id that was a program of a pod which is gone.
	w := newWorld(t)
	id, _ := w.calls("cilium_calls_00051").Prog(7)
	must(t, w.engine.Unload(w.hook(dataplane.FromContainer, w.pod3)))
	must(t, w.calls("cilium_calls_01272").Set(7, id))
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	equal(t, "verdict", r.verdict, dropped(code.DropMissedTailCall))
}

// TestForeignTailCall jumps into another pod's program: the rest of the run is
// that pod's, as with real prog arrays.
func TestForeignTailCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, _ := w.calls("cilium_calls_00436").Prog(7)
	must(t, w.calls("cilium_calls_01272").Set(7, id))
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	equal(t, "verdict", r.verdict, dropped(code.DropInvalidSIP)) // pod2's address is another
	equal(t, "events", r.events, []string{"drop 132 from 436: 74565->0 id 0 file 8, 54 of 54"})
}

// TestProgNames: prog arrays tell which program a slot has.
func TestProgNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := map[string]map[uint32]string{}
	for _, name := range []string{"cilium_calls_01272", "cilium_calls_hostns_04096", "cilium_calls_netdev_00003", "cilium_calls_overlay_2", "cilium_call_policy"} {
		s, err := w.engine.Map(name)
		must(t, err)
		names[name] = map[uint32]string{}
		must(t, s.Range(&maps.Cursor{}, 0, func(k, v []byte) bool {
			names[name][binary.LittleEndian.Uint32(k)] = w.maps.PolicyCall.ProgName(binary.LittleEndian.Uint32(v))
			return true
		}))
	}
	host := map[uint32]string{1: "__send_drop_notify", 7: "tail_handle_ipv4_from_netdev", 22: "tail_handle_ipv4_from_host"}
	equal(t, "prog arrays", names, map[string]map[uint32]string{
		"cilium_calls_01272": {
			1: "__send_drop_notify", 6: "tail_handle_arp", 7: "tail_handle_ipv4", 13: "tail_ipv4_to_endpoint",
			25: "tail_handle_ipv4_cont", 27: "tail_ipv4_ct_ingress", 29: "tail_ipv4_ct_egress",
		},
		"cilium_calls_hostns_04096": host,
		"cilium_calls_netdev_00003": host,
		"cilium_calls_overlay_2":    {1: "__send_drop_notify", 7: "tail_handle_ipv4"},
		"cilium_call_policy":        {51: "handle_policy", 436: "handle_policy", 1272: "handle_policy"},
	})
}
