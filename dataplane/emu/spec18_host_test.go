package emu_test

import (
	"strings"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// This file has the cases of SPEC 18 about host, overlay, metrics and text: 41 to
// 48.

func TestSpec18_41_HostToPodCountsTwice(t *testing.T) {
	t.Parallel()
	w, remote := newWorld(t), podsOfB()[0]
	f := frame{src: w.router, dst: w.pod1.ip, ttl: 64}.tcp(40000, 80, "S")
	equal(t, "from the host", w.fromHost(f.bytes(t), 0xc00).metrics, []string{"0 INGRESS +2 108", "3 INGRESS +1 54"})
	r := w.fromOverlay(remote.tcp(w.pod1.ip, 40000, 80, "S").bytes(t), remote.identity)
	equal(t, "from the overlay", r.metrics, []string{"0 INGRESS +1 54", "3 INGRESS +1 54"})
}

func TestSpec18_42_IdentityOfTheOverlay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		src     addr
		vni     uint32
		want    uint32 // identity that conntrack has
		verdict dataplane.Verdict
	}{
		{"host", routerB(), 1, 0, dropped(code.DropInvalidIdentity)},
		{"remote node, ipcache knows the pod", addr{10, 0, 2, 230}, 6, 13789, redirect(14)},
		{"kube-apiserver, ipcache knows the pod", addr{10, 0, 2, 230}, 7, 13789, redirect(14)},
		{"remote node, known as such", routerB(), 6, 6, redirect(14)},
		{"remote node, only 0.0.0.0/0", addr{9, 9, 9, 9}, 6, 2, redirect(14)},
		{"pod, whatever the ipcache says", addr{10, 0, 2, 230}, 4711, 4711, redirect(14)},
		{"zero", addr{10, 0, 2, 230}, 0, 0, redirect(14)},
		{"world", addr{10, 0, 2, 230}, 2, 2, redirect(14)},
		{"largest", addr{10, 0, 2, 230}, 0xffffff, 0xffffff, redirect(14)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.fromOverlay(frame{src: tt.src, dst: w.pod1.ip, ttl: 64}.tcp(40000, 80, "S").bytes(t), tt.vni)
			equal(t, "verdict", r.verdict, tt.verdict)
			if tt.verdict.Action == code.Drop {
				equal(t, "metrics", r.metrics, []string{"3 INGRESS +1 54", "171 INGRESS +1 54"})
				equal(t, "events", r.events, []string{"drop 171 from 0: 1->0 id 0 file 0, 54 of 54"})
				return
			}
			k := maps.CTKey{DAddr: tt.src, SAddr: w.pod1.ip, DPort: be16(80), SPort: be16(40000), Proto: 6, Flags: 1}
			equal(t, "source identity", w.maps.CT4.Ref(&k).SrcSecID, tt.want)
		})
	}
}

// What becomes of the frame on cilium_net and in the stack is package node's to
// test.
func TestSpec18_43_UnknownFromTunnelGoesToHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		dst  addr
	}{{"router", routerA()}, {"no such pod", addr{10, 0, 1, 7}}, {"outside", outside()}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, remote := newWorld(t), podsOfB()[0]
			r := w.fromOverlay(remote.tcp(tt.dst, 40000, 80, "S").bytes(t), remote.identity)
			equal(t, "verdict", r.verdict, redirect(netIfindex))
			equal(t, "frame", partsOf(t, r.frame), parts{
				DstMAC: w.cfg.HostMAC, SrcMAC: w.cfg.OverlayMAC, Src: remote.ip, Dst: tt.dst, TTL: 63, SrcPort: 40000, DstPort: 80,
			})
			equal(t, "metrics", r.metrics, []string{"3 INGRESS +1 54"})
			equal(t, "conntrack", r.conntrack, nil)
			// It then enters cilium_host.
			r = w.run(dataplane.Hook{Prog: dataplane.ToHost, Ifindex: hostIfindex}, &dataplane.Packet{Data: r.frame, CB: r.packet.CB})
			equal(t, "verdict of to-host", r.verdict, pass())
			equal(t, "metrics of to-host", r.metrics, []string{"0 EGRESS +1 54"})
			equal(t, "events of to-host", r.events, nil)
		})
	}
	w, remote := newWorld(t), podsOfB()[0]
	f := remote.tcp(routerA(), 40000, 80, "S")
	f.ttl = 1
	equal(t, "TTL 1", w.fromOverlay(f.bytes(t), remote.identity).verdict, dropped(code.DropInvalid))
}

func TestSpec18_44_IdentityOfFromHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		src  addr
		mark uint32
		vni  uint32
	}{
		{"no mark, node address", nodeA(), 0, 2},
		{"no mark, router address", routerA(), 0, 2},
		{"host mark", routerA(), 0xc00, 6}, // host leaves the node as remote node
		{"no mark, pod's address", addr{10, 0, 1, 178}, 0, 10178},
		{"no mark, outside", outside(), 0, 2},
		{"identity mark", addr{10, 0, 1, 178}, 10178<<16 | 0xf00, 10178},
		{"identity mark, 24 bits", addr{10, 0, 1, 79}, 0x2345<<16 | 0xf01, 74565},
		{"identity mark wins over the ipcache", addr{10, 0, 1, 178}, 4711<<16 | 0xf00, 4711},
		{"proxy mark", addr{10, 0, 1, 178}, 4711<<16 | 0xa00, 4711},
		{"reserved mark yields to the ipcache", addr{10, 0, 1, 178}, 2<<16 | 0xf00, 10178},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, remote := newWorld(t), podsOfB()[0]
			r := w.fromHost(frame{src: tt.src, dst: remote.ip, ttl: 1}.tcp(40000, 80, "S").bytes(t), tt.mark)
			equal(t, "verdict", r.verdict, redirect(vxlanIfindex))
			equal(t, "tunnel key", r.packet.TunnelOut, dataplane.TunnelKey{Present: true, ID: tt.vni, Remote: nodeB(), TTL: 64})
			equal(t, "mark", r.packet.Mark, 0)
			want := []string{"0 EGRESS +1 54", "3 INGRESS +1 54"}
			if tt.mark&0xf00 == 0xa00 {
				want = want[:1] // FROM_PROXY counts nothing
			}
			equal(t, "metrics", r.metrics, want)
		})
	}
	w := newWorld(t, func(c *dataplane.Config) { c.LocalNodeID = code.IdentityKubeAPIServer })
	r := w.fromHost(frame{src: routerA(), dst: podsOfB()[0].ip, ttl: 64}.tcp(1, 2, "S").bytes(t), 0xc00)
	equal(t, "VNI of a control-plane node's host", r.packet.TunnelOut.ID, 7)
}

func TestSpec18_45_FragmentsCountOncePerStage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.pod1.udp(w.pod2.ip, 40000, 53)
	first.fragment, first.payload = layers.IPv4MoreFragments, make([]byte, 24)
	r := w.fromPod(w.pod1, first.bytes(t))
	equal(t, "verdict", r.verdict, redirect(16))
	// Key extraction and conntrack at the sender, conntrack at the receiver.
	equal(t, "metrics", r.metrics, []string{"0 INGRESS +1 66", "0 EGRESS +1 66", "9 INGRESS +1 66", "9 EGRESS +2 132"})
	equal(t, "fragments", r.frags, []string{"add 0a00014f0a0001b21d2e1100 9c400035"})

	second := w.pod1.ipv4(w.pod2.ip).raw(layers.IPProtocolUDP, make([]byte, 16))
	second.fragment, second.offset = 0, 4
	r = w.fromPod(w.pod1, second.bytes(t))
	equal(t, "verdict of the second", r.verdict, redirect(16))
	equal(t, "metrics of the second", r.metrics, []string{"0 INGRESS +1 50", "0 EGRESS +1 50", "9 INGRESS +1 50", "9 EGRESS +2 100"})

	second.id++
	r = w.fromPod(w.pod1, second.bytes(t))
	equal(t, "without a first", r.verdict, dropped(code.DropFragNotFound))
	equal(t, "metrics without a first", r.metrics, []string{"9 EGRESS +1 50", "175 EGRESS +1 50"})

	// To a service there is one stage more, in the third direction.
	first.dst = w.web().ip
	first.l4 = &layers.UDP{SrcPort: 40000, DstPort: 80}
	r = w.fromPod(w.pod1, first.bytes(t))
	equal(t, "metrics of a service", r.metrics, []string{
		"0 INGRESS +1 66", "0 EGRESS +1 66", "9 INGRESS +1 66", "9 EGRESS +2 132", "9 SERVICE +1 66",
	})
	equal(t, "fragments of a service", r.frags, []string{ // before and after translation
		"set 0a00014f0a0001b21d2e1100 9c401f90", "add 0a6034f80a0001b21d2e1100 9c400050",
	})
}

// The outer header itself is package tunnel's to test; here, what the programs
// ask for: TTL 64, nothing else, whatever the inner header has.
func TestSpec18_46_OuterHeader(t *testing.T) {
	t.Parallel()
	w, remote := newWorld(t), podsOfB()[0]
	for _, tos := range []uint8{0, 0xb8, 0xbb} {
		for _, ttl := range []uint8{1, 64, 255} {
			f := w.pod1.udp(remote.ip, 40000, 5353)
			f.tos, f.ttl = tos, ttl
			r := w.fromPod(w.pod1, f.bytes(t))
			equal(t, "tunnel key", r.packet.TunnelOut, dataplane.TunnelKey{Present: true, ID: 10178, Remote: nodeB(), TTL: 64, TOS: 0})
			r.unchanged(t)
		}
	}
	r := w.run(dataplane.Hook{Prog: dataplane.ToOverlay, Ifindex: vxlanIfindex}, &dataplane.Packet{Data: w.pod1.udp(remote.ip, 1, 2).bytes(t)})
	equal(t, "to-overlay", r.verdict, pass())
	equal(t, "deltas of to-overlay", len(r.deltas), 0)
	r.unchanged(t)
}

func TestSpec18_47_MarkOfStackPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		from pod
		want uint32
	}{{w.pod1, 0x27c20f00}, {w.pod2, 0x23450f01}} { // 10178, and 74565 = 0x12345
		r := w.fromPod(tt.from, tt.from.tcp(outside(), 40000, 80, "S").bytes(t))
		equal(t, "verdict", r.verdict, pass())
		equal(t, "mark", r.packet.Mark, tt.want)
		r = w.fromPod(tt.from, tt.from.tcp(nodeA(), 40000, 80, "S").bytes(t))
		equal(t, "mark to the host", r.packet.Mark, tt.want)
	}
	// Bits 12 to 15 of the mark stay, all others are replaced.
	p := &dataplane.Packet{Data: w.pod1.tcp(outside(), 40000, 80, "S").bytes(t), Mark: 0xffffffff}
	equal(t, "mark with bits", w.run(w.hook(dataplane.FromContainer, w.pod1), p).packet.Mark, 0x27c2ff00)
}

func TestSpec18_48_MapGetShowsSlot0(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addService(service{id: 2, ip: addr{10, 96, 0, 10}, port: 53, backends: []backend{{w.pod2.ip, 53, 0}, {addr{10, 0, 2, 230}, 53, 0}}})
	var b strings.Builder
	must(t, maps.WriteTable(&b, w.maps.Services, maps.TextOptions{}))
	equal(t, "map get", b.String(), ""+
		"Key             Value               State   Error\n"+
		"10.96.0.10:53   0 2 (2) [0x0 0x0]   sync    \n")
}
