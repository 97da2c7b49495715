package emu_test

import (
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
)

// This file has the cases of SPEC 18 about paths and services' translation: 14
// to 24.

func TestSpec18_14_TTL1LocalDropsAfterConntrack(t *testing.T) {
	t.Parallel()
	for _, ttl := range []uint8{0, 1} {
		w := newWorld(t)
		f := w.pod1.tcp(w.pod2.ip, 40000, 80, "S")
		f.ttl = ttl
		r := w.fromPod(w.pod1, f.bytes(t))
		equal(t, "verdict", r.verdict, dropped(code.DropInvalid))
		equal(t, "metrics", r.metrics, []string{"134 EGRESS +1 54"})
		equal(t, "conntrack", r.conntrack, []string{
			"add TCP 10.0.1.178 10.0.1.79 80 40000 0: rx 0/0 tx 1/54 life 60 bits 0x0 rev 0 sec 10178 seen 2/0 report 1000/0",
			"add ICMPv4 10.0.1.178 10.0.1.79 0 0 2: rx 0/0 tx 1/54 life 60 bits 0x10 rev 0 sec 10178 seen 2/0 report 1000/0",
		})
		equal(t, "events", r.events, []string{"drop 134 from 1272: 10178->74565 id 0 file 8, 54 of 54"})
		r.unchanged(t)
	}
}

func TestSpec18_15_TTL1RemoteIsEncapsulated(t *testing.T) {
	t.Parallel()
	w, remote := newWorld(t), podsOfB()[0]
	f := w.pod1.tcp(remote.ip, 40000, 80, "S")
	f.ttl = 1
	r := w.fromPod(w.pod1, f.bytes(t))
	equal(t, "verdict", r.verdict, redirect(vxlanIfindex))
	r.unchanged(t)
}

func TestSpec18_16_RemotePathCountsTTLOnce(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t), newRemote(t)
	r := a.fromPod(a.pod1, a.pod1.tcp(b.pod1.ip, 40000, 80, "S").bytes(t))
	equal(t, "TTL in the tunnel", partsOf(t, r.frame).TTL, 64)
	equal(t, "metrics of the sender", r.metrics, []string{"0 EGRESS +1 54"})
	r = b.fromOverlay(r.frame, r.packet.TunnelOut.ID)
	equal(t, "verdict", r.verdict, redirect(b.pod1.ifindex))
	equal(t, "frame", partsOf(t, r.frame), parts{
		DstMAC: b.pod1.mac, SrcMAC: b.pod1.nodeMAC, Src: a.pod1.ip, Dst: b.pod1.ip, TTL: 63, SrcPort: 40000, DstPort: 80,
	})
	equal(t, "metrics of the receiver", r.metrics, []string{"0 INGRESS +1 54", "3 INGRESS +1 54"})
	equal(t, "events", r.events, []string{
		"to-endpoint from 2389: 10178->13789 id 2389 ifindex 24 orig 10.0.1.178 new, 54 of 54",
	})
}

// The host stack's own decrement on the way out is package node's to test; here
// those of the programs: one on the way out, one on the way back.
func TestSpec18_17_ExternalPathCountsTTLTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.tcp(outside(), 40000, 443, "S").bytes(t))
	equal(t, "verdict", r.verdict, pass())
	equal(t, "frame", partsOf(t, r.frame), parts{
		DstMAC: w.pod1.nodeMAC, SrcMAC: w.pod1.mac, Src: w.pod1.ip, Dst: outside(), TTL: 63, SrcPort: 40000, DstPort: 443,
	})
	equal(t, "events", r.events, []string{"to-stack from 1272: 10178->2 id 0 ifindex 0 orig 0.0.0.0 new, 54 of 54"})
	equal(t, "metrics", r.metrics, []string{"0 EGRESS +1 54"})

	back := frame{src: outside(), dst: w.pod1.ip, ttl: 60}.tcp(443, 40000, "SA")
	r = w.fromHost(back.bytes(t), 0)
	equal(t, "verdict of the answer", r.verdict, redirect(14))
	equal(t, "answer", partsOf(t, r.frame), parts{
		DstMAC: w.pod1.mac, SrcMAC: w.pod1.nodeMAC, Src: outside(), Dst: w.pod1.ip, TTL: 59, SrcPort: 443, DstPort: 40000,
	})
	equal(t, "events of the answer", r.events, []string{
		"to-endpoint from 1272: 2->10178 id 1272 ifindex 14 orig 8.8.8.8 reply, 54 of 54",
	})
}

func TestSpec18_18_InnerHeaderUnchangedInTunnel(t *testing.T) {
	t.Parallel()
	w, remote := newWorld(t), podsOfB()[0]
	r := w.fromPod(w.pod1, w.pod1.udp(remote.ip, 40000, 53).bytes(t))
	r.unchanged(t)
	equal(t, "tunnel key", r.packet.TunnelOut, dataplane.TunnelKey{Present: true, ID: 10178, Remote: nodeB(), TTL: 64})
	equal(t, "mark", r.packet.Mark, 0)
	equal(t, "events", r.events, []string{"to-overlay from 1272: 10178->0 id 0 ifindex 5 orig 0.0.0.0 new, 50 of 50"})
	// From the host the destination becomes cilium_net's.
	f := frame{srcMAC: w.cfg.HostMAC, dstMAC: w.cfg.HostMAC, src: routerA(), dst: remote.ip, ttl: 64}.udp(40000, 53)
	r = w.fromHost(f.bytes(t), 0xc00)
	equal(t, "inner frame of the host", partsOf(t, r.frame), parts{
		DstMAC: w.cfg.NetMAC, SrcMAC: w.cfg.HostMAC, Src: routerA(), Dst: remote.ip, TTL: 64, SrcPort: 40000, DstPort: 53,
	})
}

func TestSpec18_19_UnassignedRemoteAddressIsTunnelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		name      string
		dst, node addr
	}{{"node B", addr{10, 0, 2, 7}, nodeB()}, {"node C", addr{10, 0, 0, 254}, nodeC()}} {
		r := w.fromPod(w.pod1, w.pod1.tcp(tt.dst, 40000, 80, "S").bytes(t))
		equal(t, tt.name, r.verdict, redirect(vxlanIfindex))
		equal(t, tt.name, r.packet.TunnelOut.Remote, tt.node)
	}
}

// That the stack sends the frame back out of cilium_host is package node's to
// test; here both programs of that path.
func TestSpec18_20_UnassignedLocalAddressDiesInFromHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.tcp(addr{10, 0, 1, 7}, 40000, 80, "S").bytes(t))
	equal(t, "verdict at the pod", r.verdict, pass())
	equal(t, "mark", r.packet.Mark, 10178<<16|0xf00)
	r = w.fromHost(r.frame, r.packet.Mark)
	equal(t, "verdict in from-host", r.verdict, dropped(code.DropUnroutable))
	equal(t, "metrics", r.metrics, []string{"3 INGRESS +1 54", "151 INGRESS +1 54"})
	equal(t, "events", r.events, []string{"drop 151 from 4096: 10178->0 id 0 file 3, 54 of 54"})
}

func TestSpec18_21_ICMPToClusterIPIsNotTranslated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.echo(w.web().ip, 7, false).bytes(t))
	equal(t, "verdict", r.verdict, pass())
	equal(t, "destination", partsOf(t, r.frame).Dst, w.web().ip)
	equal(t, "conntrack", r.conntrack, []string{
		"add ICMPv4 10.0.1.178 10.96.52.248 0 0 2: rx 0/0 tx 1/42 life 60 bits 0x10 rev 0 sec 10178 seen 0/0 report 1000/0",
		"add ICMPv4 10.0.1.178 10.96.52.248 0 7 0: rx 0/0 tx 1/42 life 60 bits 0x0 rev 0 sec 10178 seen 0/0 report 1000/0",
	})
}

func TestSpec18_22_UnknownPortOfClusterIPPasses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.tcp(w.web().ip, 40000, 81, "S").bytes(t))
	equal(t, "verdict", r.verdict, pass())
	equal(t, "frame", partsOf(t, r.frame), parts{
		DstMAC: w.pod1.nodeMAC, SrcMAC: w.pod1.mac, Src: w.pod1.ip, Dst: w.web().ip, TTL: 63, SrcPort: 40000, DstPort: 81,
	})
	equal(t, "events", r.events, []string{"to-stack from 1272: 10178->2 id 0 ifindex 0 orig 0.0.0.0 new, 54 of 54"})
}

func TestSpec18_23_TCPAndUDPShareAService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, f := range []frame{w.pod1.tcp(w.web().ip, 40000, 80, "S"), w.pod1.udp(w.web().ip, 40000, 80)} {
		r := w.fromPod(w.pod1, f.bytes(t))
		equal(t, "verdict", r.verdict, redirect(16))
		equal(t, "frame", partsOf(t, r.frame), parts{
			DstMAC: w.pod2.mac, SrcMAC: w.pod2.nodeMAC, Src: w.pod1.ip, Dst: w.pod2.ip, TTL: 63, SrcPort: 40000, DstPort: 8080,
		})
	}
}

func TestSpec18_24_ServiceWithoutBackends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	empty := service{id: 9, ip: addr{10, 96, 9, 9}, port: 80}
	w.addService(empty)
	r := w.fromPod(w.pod1, w.pod1.tcp(empty.ip, 40000, 80, "S").bytes(t))
	equal(t, "verdict", r.verdict, dropped(code.DropNoService))
	equal(t, "metrics", r.metrics, []string{"158 EGRESS +1 54"})
	equal(t, "events", r.events, []string{"drop 158 from 1272: 10178->0 id 0 file 8, 54 of 54"})
	equal(t, "conntrack", r.conntrack, nil)
	r.unchanged(t)
}
