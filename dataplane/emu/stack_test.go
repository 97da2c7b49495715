package emu_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/internal/testkit"
)

// traced runs a packet with the way through the functions recorded, and checks
// that the record makes no difference.
func (w *world) traced(h dataplane.Hook, p *dataplane.Packet) (*result, []trace.Step) {
	w.tb.Helper()
	p.Trace = trace.NewBuffer(600)
	r := w.run(h, p)
	equal(w.tb, "lost steps", p.Trace.Lost(), 0)
	return r, p.Trace.Steps()
}

// TestCallStacks writes the way of a packet through the functions, for each path
// that the article explains, into testdata/stacks. article is the stack that the
// article prints for it: our stack has these functions in that order, and others
// between, as the article leaves much out.
func TestCallStacks(t *testing.T) {
	t.Parallel()
	begin := []string{"handle_xgress", "tail_handle_ipv4", "__tail_handle_ipv4"}
	cont := []string{"tail_handle_ipv4_cont", "handle_ipv4_from_lxc"}
	deliver := []string{
		"ipv4_local_delivery", "ipv4_l3", "handle_policy", "tail_ipv4_ct_ingress_policy_only", "tail_ipv4_policy", "ipv4_policy", "redirect_ep",
	}
	encap := []string{"encap_and_redirect_lxc", "__encap_and_redirect_with_nodeid", "__encap_with_nodeid", "ctx_redirect"}
	toContainer := func(c *dataplane.Config) { c.Delivery = dataplane.DeliverToContainer }
	peer := func(c *dataplane.Config) { c.Delivery = dataplane.DeliverPeer }
	for _, tt := range []struct {
		name    string
		edits   []func(*dataplane.Config)
		run     func(w *world) (*result, []trace.Step)
		verdict dataplane.Verdict
		article []string
	}{
		{
			name: "arp", verdict: redirect(14),
			run: func(w *world) (*result, []trace.Step) {
				return w.traced(w.hook(dataplane.FromContainer, w.pod1), &dataplane.Packet{
					Data: arpRequest(t, w.pod1.mac, broadcast(), w.pod1.mac, w.pod1.ip, w.router),
				})
			},
			article: []string{"handle_xgress", "tail_handle_arp", "arp_respond", "ctx_redirect"},
		},
		{
			name: "pod-to-pod-same-node", verdict: redirect(16),
			run:     func(w *world) (*result, []trace.Step) { return w.tracedPod(w.pod1.tcp(w.pod2.ip, 40000, 80, "S")) },
			article: slices.Concat(begin, cont, []string{"lookup_ip4_endpoint"}, deliver),
		},
		{
			name: "pod-to-pod-same-node-peer", edits: []func(*dataplane.Config){peer},
			verdict: dataplane.Verdict{Action: 7, Ifindex: 16, Flags: dataplane.RedirectPeer},
			run:     func(w *world) (*result, []trace.Step) { return w.tracedPod(w.pod1.tcp(w.pod2.ip, 40000, 80, "S")) },
			article: slices.Concat(begin, cont, []string{"lookup_ip4_endpoint"}, deliver, []string{"ctx_redirect_peer"}),
		},
		{
			name: "pod-to-pod-other-node", verdict: redirect(vxlanIfindex),
			run: func(w *world) (*result, []trace.Step) {
				return w.tracedPod(w.pod1.tcp(podsOfB()[0].ip, 40000, 80, "S"))
			},
			article: slices.Concat(begin, cont, encap),
		},
		{
			name: "overlay-to-pod", verdict: redirect(14),
			run: func(w *world) (*result, []trace.Step) {
				return w.tracedOverlay(podsOfB()[0].tcp(w.pod1.ip, 40000, 80, "S"))
			},
			// The article's ipcache_lookup4 "get dest identity" asks for the source.
			article: slices.Concat([]string{"from_overlay", "tail_handle_ipv4", "handle_ipv4", "ipcache_lookup4"}, deliver),
		},
		{
			name: "overlay-to-host", verdict: redirect(netIfindex),
			run: func(w *world) (*result, []trace.Step) {
				return w.tracedOverlay(podsOfB()[0].tcp(w.router, 40000, 80, "S"))
			},
			article: []string{"tail_handle_ipv4", "handle_ipv4", "lookup_ip4_endpoint", "ipv4_l3", "ctx_redirect"},
		},
		{
			name: "node-to-remote-pod", verdict: redirect(vxlanIfindex),
			run:     func(w *world) (*result, []trace.Step) { return w.tracedHost(podsOfB()[0].ip) },
			article: []string{"handle_netdev", "do_netdev", "tail_handle_ipv4_from_host", "tail_handle_ipv4", "handle_ipv4", "encap_and_redirect_with_nodeid"},
		},
		{
			name: "node-to-local-pod", verdict: redirect(14),
			run:     func(w *world) (*result, []trace.Step) { return w.tracedHost(w.pod1.ip) },
			article: slices.Concat([]string{"handle_netdev", "do_netdev", "tail_handle_ipv4_from_host", "tail_handle_ipv4", "handle_ipv4"}, deliver),
		},
		{
			name: "pod-to-service", verdict: redirect(vxlanIfindex),
			run: func(w *world) (*result, []trace.Step) {
				s := service{id: 7, ip: addr{10, 96, 7, 7}, port: 80, backends: []backend{{podsOfB()[0].ip, 8080, 0}}}
				w.addService(s)
				return w.tracedPod(w.pod1.tcp(s.ip, 40000, 80, "S"))
			},
			article: slices.Concat(begin, []string{"lb4_lookup_service", "lb4_local"}, cont, encap),
		},
		{
			name: "service-reply-to-container", edits: []func(*dataplane.Config){toContainer}, verdict: pass(),
			run: func(w *world) (*result, []trace.Step) {
				s := w.web()
				w.addIngressProgram(w.pod1)
				w.fromPod(w.pod1, w.pod1.tcp(s.ip, 40000, 80, "S").bytes(t))
				r := w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 8080, 40000, "SA").bytes(t))
				return w.traced(w.hook(dataplane.ToContainer, w.pod1), &dataplane.Packet{Data: r.frame, Mark: r.packet.Mark})
			},
			// The article ends with redirect_ep; to-container is on the pod's own
			// device already and returns.
			article: []string{"handle_to_container", "tail_ipv4_ct_ingress", "tail_ipv4_to_endpoint", "ipv4_policy", "lb4_rev_nat", "__lb4_rev_nat"},
		},
		{
			name: "service-reply", verdict: redirect(14),
			run: func(w *world) (*result, []trace.Step) {
				w.fromPod(w.pod1, w.pod1.tcp(w.web().ip, 40000, 80, "S").bytes(t))
				return w.traced(w.hook(dataplane.FromContainer, w.pod2), &dataplane.Packet{Data: w.pod2.tcp(w.pod1.ip, 8080, 40000, "SA").bytes(t)})
			},
			article: []string{"ipv4_policy", "lb4_rev_nat", "__lb4_rev_nat", "redirect_ep"},
		},
		{
			name: "pod-to-external", verdict: pass(),
			run:     func(w *world) (*result, []trace.Step) { return w.tracedPod(w.pod1.tcp(outside(), 40000, 443, "S")) },
			article: slices.Concat(begin, cont, []string{"encap_and_redirect_lxc", "ipv4_l3"}),
		},
		{
			name: "drop", verdict: dropped(-132),
			run: func(w *world) (*result, []trace.Step) {
				f := w.pod1.tcp(w.pod2.ip, 40000, 80, "S")
				f.src = outside()
				return w.tracedPod(f)
			},
			article: []string{"handle_xgress", "tail_handle_ipv4", "send_drop_notify", "__send_drop_notify"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.edits...)
			r, steps := tt.run(w)
			equal(t, "verdict", r.verdict, tt.verdict)
			var b bytes.Buffer
			must(t, trace.WriteStack(&b, steps))
			testkit.Golden(t, "stacks/"+tt.name+".txt", b.Bytes())
			inOrder(t, steps, tt.article)
		})
	}
}

func (w *world) tracedPod(f frame) (*result, []trace.Step) {
	w.tb.Helper()
	return w.traced(w.hook(dataplane.FromContainer, w.pod1), &dataplane.Packet{Data: f.bytes(w.tb)})
}

func (w *world) tracedOverlay(f frame) (*result, []trace.Step) {
	w.tb.Helper()
	return w.traced(dataplane.Hook{Prog: dataplane.FromOverlay, Ifindex: vxlanIfindex}, &dataplane.Packet{
		Data: f.bytes(w.tb), TunnelIn: dataplane.TunnelKey{Present: true, ID: 13789},
	})
}

func (w *world) tracedHost(dst addr) (*result, []trace.Step) {
	w.tb.Helper()
	return w.traced(dataplane.Hook{Prog: dataplane.FromHost, Ifindex: hostIfindex}, &dataplane.Packet{
		Data: frame{src: w.router, dst: dst, ttl: 64}.tcp(40000, 80, "S").bytes(w.tb), Mark: 0xc00,
	})
}

// inOrder checks that functions are entered in an order, with any others between.
func inOrder(t *testing.T, steps []trace.Step, want []string) {
	t.Helper()
	var got []string
	rest := want
	for _, s := range steps {
		if s.Kind != trace.KindEnter {
			continue
		}
		got = append(got, s.Func.Name())
		if len(rest) > 0 && s.Func.Name() == rest[0] {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		t.Errorf("the article's %s does not come in its place:\n%s", rest[0], cmp.Diff(want, got))
	}
}

// TestStacksAreBalanced replays every path with a trace: each function that was
// entered returns, at the depth at which it was entered.
func TestStacksAreBalanced(t *testing.T) {
	t.Parallel()
	for _, f := range recordedFrames(t) {
		w := newWorld(t)
		w.web()
		for _, h := range w.engine.Hooks() {
			p := &dataplane.Packet{Data: bytes.Clone(f), Trace: trace.NewBuffer(400)}
			if _, err := w.engine.Run(h, p, &dataplane.Env{}); err != nil {
				t.Fatal(err)
			}
			var open []trace.Func
			for _, s := range p.Trace.Steps() {
				switch s.Kind {
				case trace.KindEnter:
					if int(s.Depth) != len(open) {
						t.Errorf("%s %x: %s entered at depth %d, want %d", h.Prog, f, s.Func, s.Depth, len(open))
					}
					open = append(open, s.Func)
				case trace.KindLeave:
					if len(open) == 0 || open[len(open)-1] != s.Func {
						t.Fatalf("%s %x: %s left, open are %v", h.Prog, f, s.Func, open)
					}
					open = open[:len(open)-1]
				case trace.KindTailCall:
				}
			}
			if len(open) > 0 {
				t.Errorf("%s %x: never left: %v", h.Prog, f, open)
			}
		}
	}
}
