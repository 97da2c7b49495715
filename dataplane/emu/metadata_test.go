package emu_test

import (
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// TestScratchIsCleared: programs at an entrance forget what the frame's scratch
// slots and queue had before.
func TestScratchIsCleared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arp := arpRequest(t, w.pod1.mac, broadcast(), w.pod1.mac, addr{}, w.pod1.ip)
	for _, h := range []dataplane.Hook{
		w.hook(dataplane.FromContainer, w.pod1),
		{Prog: dataplane.FromHost, Ifindex: hostIfindex},
		{Prog: dataplane.FromOverlay, Ifindex: vxlanIfindex},
	} {
		p := &dataplane.Packet{Data: append([]byte{}, arp...), CB: [5]uint32{1, 2, 3, 4, 5}, QueueMapping: 7}
		r := w.run(h, p)
		equal(t, h.Prog.String()+": verdict", r.verdict, pass())
		equal(t, h.Prog.String()+": scratch", r.packet.CB, [5]uint32{})
		want := uint16(0)
		if h.Prog == dataplane.FromHost {
			want = 7 // cilium_host has one queue
		}
		equal(t, h.Prog.String()+": queue", r.packet.QueueMapping, want)
	}
}

// TestScratchAfterwards: what a frame carries on to the next hook.
func TestScratchAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.tcp(outside(), 1, 80, "S").bytes(t))
	equal(t, "new, to the stack", r.packet.CB, [5]uint32{})
	w.fromHost(frame{src: outside(), dst: w.pod1.ip, ttl: 64}.tcp(5, 22, "S").bytes(t), 0)
	r = w.fromPod(w.pod1, w.pod1.tcp(outside(), 22, 5, "SA").bytes(t))
	equal(t, "reply, to the stack", r.packet.CB, [5]uint32{2: 1})
	r = w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t))
	equal(t, "delivered", r.packet.CB, [5]uint32{1: 16})
	r = w.fromHost(frame{src: w.router, dst: w.pod1.ip, ttl: 64}.tcp(5, 22, "S").bytes(t), 0xc00)
	equal(t, "delivered from the host", r.packet.CB, [5]uint32{1: 14})
	r = w.fromHost(frame{src: w.router, dst: w.ip, ttl: 64}.tcp(5, 22, "S").bytes(t), 0xc00)
	equal(t, "from the host to itself", r.packet.CB, [5]uint32{})

	w = newWorld(t, deliver(dataplane.DeliverToContainer))
	w.addIngressProgram(w.pod2)
	in := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t))
	r = w.toContainer(w.pod2, in.frame, in.packet.Mark)
	equal(t, "into the pod", r.packet.CB, [5]uint32{})
	r = w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 1, "SA").bytes(t))
	equal(t, "reply, to to-container", r.packet.CB, [5]uint32{})
}

// TestHashInNotifications: skb->hash is told as it is.
func TestHashInNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.pod3.tcp(w.pod1.ip, 1, 80, "S").bytes(t)
	for _, frame := range [][]byte{f, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t)} {
		p := &dataplane.Packet{Data: frame, Hash: 0xdeadbeef, Events: w.ring}
		from := w.pod3
		if addr(frame[26:30]) == w.pod1.ip {
			from = w.pod1
		}
		if _, err := w.engine.Run(w.hook(dataplane.FromContainer, from), p, w.env()); err != nil {
			t.Fatal(err)
		}
	}
	var types []uint8
	for {
		b, ok := w.ring.Next()
		if !ok {
			break
		}
		n, _, err := trace.DecodeNotification(b)
		must(t, err)
		var c trace.Common
		switch n := n.(type) {
		case trace.Drop:
			c = n.Common
		case trace.Trace:
			c = n.Common
		case trace.Verdict:
			c = n.Common
		}
		types = append(types, c.Type)
		equal(t, "hash", c.Hash, 0xdeadbeef)
	}
	equal(t, "types", types, []uint8{trace.TypeVerdict, trace.TypeDrop, trace.TypeTrace})
}

// TestResolveIdentity: which identities the ipcache may override, and by which.
func TestResolveIdentity(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		marked, cached uint32
		want           uint32 // the VNI
	}{
		{"unknown", 0, 4711, 4711},
		{"host", 1, 4711, 4711},
		{"world", 2, 4711, 4711},
		{"unmanaged stays", 3, 4711, 3},
		{"health stays", 4, 4711, 4},
		{"init stays", 5, 4711, 5},
		{"remote node", 6, 4711, 4711},
		{"kube-apiserver", 7, 4711, 4711},
		{"ingress stays", 8, 4711, 8},
		{"pod stays", 300, 4711, 300},
		{"not by the host", 2, 1, 2},
		{"not by nothing", 2, 0, 2},
		{"by the world", 6, 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			src := addr{10, 9, 9, 9}
			w.ipcache(src, 32, tt.cached, addr{})
			f := frame{src: src, dst: podsOfB()[0].ip, ttl: 64}.tcp(1, 80, "S")
			r := w.fromHost(f.bytes(t), tt.marked<<16|0xf00)
			equal(t, "VNI", r.packet.TunnelOut.ID, tt.want)
		})
	}
}

// TestTunnelEndpointOfIPCache: what the ipcache says of an address goes before
// what the tunnel map says of its podCIDR.
func TestTunnelEndpointOfIPCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	moved := addr{10, 0, 2, 77}
	w.ipcache(moved, 32, 4711, nodeC())
	r := w.fromPod(w.pod1, w.pod1.tcp(moved, 1, 80, "S").bytes(t))
	equal(t, "from a pod", r.packet.TunnelOut.Remote, nodeC())
	r = w.fromHost(frame{src: w.router, dst: moved, ttl: 64}.tcp(1, 80, "S").bytes(t), 0xc00)
	equal(t, "from the host", r.packet.TunnelOut.Remote, nodeC())
	// An entry without identity tells nothing, not even its endpoint.
	w.ipcache(moved, 32, 0, nodeC())
	r = w.fromPod(w.pod1, w.pod1.tcp(moved, 2, 80, "S").bytes(t))
	equal(t, "from a pod, no identity", r.packet.TunnelOut.Remote, nodeB())
	f := w.pod1.tcp(moved, 3, 80, "S")
	f.ttl = 1
	w.ipcache(addr{10, 0, 2, 78}, 32, 4711, addr{})
	f.dst = addr{10, 0, 2, 78}
	r = w.fromPod(w.pod1, f.bytes(t))
	equal(t, "no endpoint", r.verdict, redirect(vxlanIfindex))
	equal(t, "no endpoint: by podCIDR", r.packet.TunnelOut.Remote, nodeB())
}

// TestDropIdentities: source and destination of a drop at the end of egress.
func TestDropIdentities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod3, w.pod3.tcp(podsOfB()[0].ip, 1, 80, "S").bytes(t))
	equal(t, "verdict", r.verdict, dropped(code.DropPolicy))
	equal(t, "events", r.events, []string{
		"verdict -133 from 51: remote 13789 port 80 proto 6 EGRESS none, 54 of 54",
		"drop 133 from 51: 10051->13789 id 0 file 8, 54 of 54",
	})
	equal(t, "scratch", r.packet.CB, [5]uint32{10051, 13789, 133, 0, 2 | 8<<8})
}
