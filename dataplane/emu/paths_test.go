package emu_test

import (
	"testing"

	"github.com/hooklab/hooklab/dataplane"
)

// path is a way through the programs, for measurements: flows are set up before,
// so that every packet is one of an established connection.
type path struct {
	name    string
	hook    dataplane.Hook
	meta    dataplane.Packet // everything but the bytes
	frames  [][]byte         // one for each flow
	verdict dataplane.Verdict
	edits   []func(*dataplane.Config)
	// open makes the connection of flow i.
	open func(w *world, i int)
}

// hotPaths are the ways that traffic takes, with n flows each.
func hotPaths(tb testing.TB, n int) []path {
	tb.Helper()
	w := newWorld(tb)
	remote, s := podsOfB()[0], w.web()
	fromPod1 := w.hook(dataplane.FromContainer, w.pod1)
	fromHost := dataplane.Hook{Prog: dataplane.FromHost, Ifindex: hostIfindex}
	overlay := dataplane.Hook{Prog: dataplane.FromOverlay, Ifindex: vxlanIfindex}
	tunnel := dataplane.Packet{
		IngressIfindex: vxlanIfindex, PktType: dataplane.PacketOtherHost,
		TunnelIn: dataplane.TunnelKey{Present: true, ID: remote.identity, Remote: nodeB(), TTL: 64},
	}
	sport := func(i int) uint16 { return uint16(20000 + i) }
	// each builds the frames of all flows.
	each := func(f func(i int) frame) [][]byte {
		frames := make([][]byte, n)
		for i := range frames {
			frames[i] = f(i).bytes(tb)
		}
		return frames
	}
	// sent opens a flow by sending its SYN and its packets' ACK from a pod.
	sent := func(p pod, dst addr, dport uint16) func(*world, int) {
		return func(w *world, i int) {
			w.fromPod(p, p.tcp(dst, sport(i), dport, "S").bytes(tb))
			w.fromPod(p, p.tcp(dst, sport(i), dport, "A").bytes(tb))
		}
	}
	host := frame{src: w.router, dst: w.pod1.ip, ttl: 64}
	hostRemote := frame{src: w.router, dst: remote.ip, ttl: 64}
	var arps [][]byte
	for i := range n {
		arps = append(arps, arpRequest(tb, w.pod1.mac, broadcast(), w.pod1.mac, w.pod1.ip, addr{10, 1, byte(i >> 8), byte(i)}))
	}
	return []path{
		{name: "arp", hook: fromPod1, frames: arps, verdict: redirect(14)},
		{
			name: "local", hook: fromPod1, verdict: redirect(16), open: sent(w.pod1, w.pod2.ip, 80),
			frames: each(func(i int) frame { return w.pod1.tcp(w.pod2.ip, sport(i), 80, "A") }),
		},
		{
			name: "encap", hook: fromPod1, verdict: redirect(vxlanIfindex), open: sent(w.pod1, remote.ip, 80),
			frames: each(func(i int) frame { return w.pod1.tcp(remote.ip, sport(i), 80, "A") }),
		},
		{
			name: "service", hook: fromPod1, verdict: redirect(16), open: sent(w.pod1, s.ip, 80),
			frames: each(func(i int) frame { return w.pod1.tcp(s.ip, sport(i), 80, "A") }),
		},
		{
			name: "overlay", hook: overlay, meta: tunnel, verdict: redirect(14),
			frames: each(func(i int) frame { return remote.tcp(w.pod1.ip, sport(i), 80, "A") }),
			open: func(w *world, i int) {
				w.fromOverlay(remote.tcp(w.pod1.ip, sport(i), 80, "S").bytes(tb), remote.identity)
				w.fromOverlay(remote.tcp(w.pod1.ip, sport(i), 80, "A").bytes(tb), remote.identity)
			},
		},
		{
			name: "host", hook: fromHost, meta: dataplane.Packet{Mark: 0xc00}, verdict: redirect(14),
			frames: each(func(i int) frame { return host.tcp(sport(i), 80, "A") }),
			open: func(w *world, i int) {
				w.fromHost(host.tcp(sport(i), 80, "S").bytes(tb), 0xc00)
				w.fromHost(host.tcp(sport(i), 80, "A").bytes(tb), 0xc00)
			},
		},
		{
			name: "host-remote", hook: fromHost, meta: dataplane.Packet{Mark: 0xc00}, verdict: redirect(vxlanIfindex),
			frames: each(func(i int) frame { return hostRemote.tcp(sport(i), 80, "A") }),
		},
		{
			name: "service-reply", hook: w.hook(dataplane.FromContainer, w.pod2), verdict: redirect(14), open: sent(w.pod1, s.ip, 80),
			frames: each(func(i int) frame { return w.pod2.tcp(w.pod1.ip, 8080, sport(i), "A") }),
		},
		{
			name: "external", hook: fromPod1, verdict: pass(), open: sent(w.pod1, outside(), 443),
			frames: each(func(i int) frame { return w.pod1.tcp(outside(), sport(i), 443, "A") }),
		},
	}
}

// restPaths are further ways that must not allocate.
func restPaths(tb testing.TB) []path {
	tb.Helper()
	w := newWorld(tb)
	remote, s := podsOfB()[0], w.web()
	fromPod1 := w.hook(dataplane.FromContainer, w.pod1)
	spoofed := w.pod1.tcp(w.pod2.ip, 1, 80, "S")
	spoofed.src = outside()
	expired := w.pod1.udp(w.pod2.ip, 1, 80)
	expired.ttl = 1
	fragment := w.pod1.ipv4(w.pod2.ip).udp(1, 80)
	fragment.fragment = 1
	tunnel := dataplane.Packet{TunnelIn: dataplane.TunnelKey{Present: true, ID: remote.identity}}
	overlay := dataplane.Hook{Prog: dataplane.FromOverlay, Ifindex: vxlanIfindex}
	fromHost := dataplane.Hook{Prog: dataplane.FromHost, Ifindex: hostIfindex}
	one := func(f frame) [][]byte { return [][]byte{f.bytes(tb)} }
	return []path{
		{name: "local UDP", hook: fromPod1, verdict: redirect(16), frames: one(w.pod1.udp(w.pod2.ip, 1, 80))},
		{name: "local echo", hook: fromPod1, verdict: redirect(16), frames: one(w.pod1.echo(w.pod2.ip, 1, false))},
		{name: "local SYN again", hook: fromPod1, verdict: redirect(16), frames: one(w.pod1.tcp(w.pod2.ip, 1, 80, "S"))},
		{name: "local RST", hook: fromPod1, verdict: redirect(16), frames: one(w.pod1.tcp(w.pod2.ip, 1, 80, "R"))},
		{name: "local fragment", hook: fromPod1, verdict: redirect(16), frames: one(fragment)},
		{name: "remote UDP", hook: fromPod1, verdict: redirect(vxlanIfindex), frames: one(w.pod1.udp(remote.ip, 1, 80))},
		{name: "service UDP", hook: fromPod1, verdict: redirect(16), frames: one(w.pod1.udp(s.ip, 1, 80))},
		{name: "overlay to host", hook: overlay, meta: tunnel, verdict: redirect(netIfindex), frames: one(remote.tcp(w.router, 1, 80, "A"))},
		{name: "overlay UDP", hook: overlay, meta: tunnel, verdict: redirect(14), frames: one(remote.udp(w.pod1.ip, 1, 80))},
		{name: "to-host", hook: dataplane.Hook{Prog: dataplane.ToHost, Ifindex: hostIfindex}, verdict: pass(), frames: one(remote.tcp(w.router, 1, 80, "A"))},
		{name: "to-overlay", hook: dataplane.Hook{Prog: dataplane.ToOverlay, Ifindex: vxlanIfindex}, verdict: pass(), frames: one(w.pod1.tcp(remote.ip, 1, 80, "A"))},
		{
			name: "to-container", hook: w.hook(dataplane.ToContainer, w.pod1), meta: dataplane.Packet{Mark: 0x23450f01}, verdict: pass(),
			frames: one(w.pod2.tcp(w.pod1.ip, 1, 80, "A")), edits: []func(*dataplane.Config){deliver(dataplane.DeliverToContainer)},
		},
		{name: "to-stack", hook: fromPod1, verdict: pass(), frames: one(w.pod1.tcp(nodeA(), 1, 80, "A"))},
		{
			name: "peer", hook: fromPod1, verdict: dataplane.Verdict{Action: 7, Ifindex: 16, Flags: dataplane.RedirectPeer},
			frames: one(w.pod1.tcp(w.pod2.ip, 1, 80, "A")), edits: []func(*dataplane.Config){deliver(dataplane.DeliverPeer)},
		},
		{name: "drop: source", hook: fromPod1, verdict: dropped(-132), frames: one(spoofed)},
		{name: "drop: TTL", hook: fromPod1, verdict: dropped(-134), frames: one(expired)},
		{name: "drop: policy", hook: fromPod1, verdict: dropped(-133), frames: one(w.pod1.tcp(w.pod3.ip, 1, 80, "S"))},
		{name: "drop: policy of the sender", hook: w.hook(dataplane.FromContainer, w.pod3), verdict: dropped(-133), frames: one(w.pod3.tcp(w.pod1.ip, 1, 80, "S"))},
		{name: "drop: unroutable", hook: fromHost, verdict: dropped(-151), frames: one(w.pod1.tcp(outside(), 1, 80, "S"))},
		{name: "drop: no tunnel key", hook: overlay, verdict: dropped(-147), frames: one(remote.tcp(w.pod1.ip, 1, 80, "S"))},
		{name: "raw", hook: fromPod1, verdict: raw(-137), frames: one(w.pod1.ipv4(w.pod2.ip).raw(132, make([]byte, 12)))},
		{name: "arp for the pod itself", hook: fromPod1, verdict: pass(), frames: [][]byte{arpRequest(tb, w.pod1.mac, broadcast(), w.pod1.mac, addr{}, w.pod1.ip)}},
	}
}

// prepare makes the world of a path, with its flows open and its clock late
// enough for reports to be due once a flow.
func (pa *path) prepare(tb testing.TB, edits ...func(*dataplane.Config)) *world {
	tb.Helper()
	w := newWorld(tb, append(edits, pa.edits...)...)
	w.web()
	w.addIngressProgram(w.pod1)
	if pa.open != nil {
		for i := range pa.frames {
			pa.open(w, i)
		}
	}
	return w
}

// runner runs a path's packets in turn, with nothing of the test's own between
// them but to put the bytes back, to advance the clock and to empty the ring.
type runner struct {
	w    *world
	pa   *path
	env  *dataplane.Env
	p    dataplane.Packet
	buf  [256]byte
	next int
}

func (pa *path) runner(w *world) *runner {
	r := &runner{w: w, pa: pa, env: &dataplane.Env{KtimeNS: w.now * 1e9}, p: pa.meta}
	r.p.Ifindex = pa.hook.Ifindex
	return r
}

func (r *runner) run() (dataplane.Verdict, error) {
	f := r.pa.frames[r.next]
	if r.next++; r.next == len(r.pa.frames) {
		r.next = 0
	}
	tr, ring := r.p.Trace, r.p.Events
	r.p = r.pa.meta
	r.p.Data, r.p.Ifindex, r.p.Trace, r.p.Events = r.buf[:copy(r.buf[:], f)], r.pa.hook.Ifindex, tr, ring
	if tr != nil {
		tr.Reset()
	}
	r.env.KtimeNS += 1000
	v, err := r.w.engine.Run(r.pa.hook, &r.p, r.env)
	if ring != nil && ring.Len() > 0 {
		for ok := true; ok; {
			_, ok = ring.Next()
		}
	}
	return v, err
}
