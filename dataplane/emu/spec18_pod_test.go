package emu_test

import (
	"encoding/hex"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
)

// The tests named TestSpec18_NN are the cases of SPEC 18. This file has those
// about frames that a pod sends: cases 1 to 13.

func TestSpec18_01_RedirectNotPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	equal(t, "from a pod", r.verdict, dataplane.Verdict{Action: 7, Ifindex: 16, Flags: 0})
	remote := podsOfB()[0]
	r = w.fromOverlay(remote.tcp(w.pod1.ip, 40000, 80, "S").bytes(t), remote.identity)
	equal(t, "from the overlay", r.verdict, dataplane.Verdict{Action: 7, Ifindex: 14, Flags: 0})
}

// Which programs are attached is package node's to test; here, that a node with
// only the default programs runs, and delivers completely without to-container.
func TestSpec18_02_NoProgramAtLXCEgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, h := range w.engine.Hooks() {
		if h.Prog == dataplane.ToContainer {
			t.Errorf("to-container is loaded on ifindex %d", h.Ifindex)
		}
	}
	if _, err := w.engine.Run(w.hook(dataplane.ToContainer, w.pod2), &dataplane.Packet{}, &dataplane.Env{}); err == nil {
		t.Error("to-container runs, want an error: not loaded")
	}
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	equal(t, "mark", r.packet.Mark, 0)
	equal(t, "frame", partsOf(t, r.frame), parts{
		DstMAC: w.pod2.mac, SrcMAC: w.pod2.nodeMAC, Src: w.pod1.ip, Dst: w.pod2.ip, TTL: 63, SrcPort: 40000, DstPort: 80,
	})
}

func TestSpec18_03_ReceiverRunsInSendersHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	equal(t, "conntrack", r.conntrack, []string{
		"add TCP 10.0.1.178 10.0.1.79 80 40000 0: rx 0/0 tx 1/54 life 60 bits 0x0 rev 0 sec 10178 seen 2/0 report 1000/0",
		"add TCP 10.0.1.178 10.0.1.79 80 40000 1: rx 1/54 tx 0/0 life 60 bits 0x0 rev 0 sec 10178 seen 0/2 report 0/1000",
		"add ICMPv4 10.0.1.178 10.0.1.79 0 0 2: rx 0/0 tx 1/54 life 60 bits 0x10 rev 0 sec 10178 seen 2/0 report 1000/0",
		"add ICMPv4 10.0.1.178 10.0.1.79 0 0 3: rx 1/54 tx 0/0 life 60 bits 0x10 rev 0 sec 10178 seen 0/2 report 0/1000",
	})
	equal(t, "policy", r.policy, []string{
		"00436 0000000000000000 +1 54", // pod2, ingress
		"01272 0000000000000001 +1 54", // pod1, egress
	})
	equal(t, "events", r.events, []string{
		"to-endpoint from 436: 10178->74565 id 436 ifindex 16 orig 10.0.1.178 new, 54 of 54",
	})
	equal(t, "metrics", r.metrics, []string{"0 INGRESS +1 54", "0 EGRESS +1 54"})
}

func TestSpec18_04_ARPForAnyAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		target addr
	}{
		{"gateway", routerA()}, {"other pod", addr{10, 0, 1, 79}}, {"outside", outside()}, {"zero", addr{}}, {"broadcast", addr{255, 255, 255, 255}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.fromPod(w.pod1, arpRequest(t, w.pod1.mac, broadcast(), w.pod1.mac, w.pod1.ip, tt.target))
			equal(t, "verdict", r.verdict, redirect(14)) // back out of the same device
			want := arpRequest(t, w.pod1.nodeMAC, w.pod1.mac, w.pod1.nodeMAC, tt.target, w.pod1.ip)
			want[21] = 2                         // reply
			copy(want[32:38], w.pod1.mac[:])     // target hardware address
			equal(t, "reply", r.frame, want)     // SPA and TPA swapped
			equal(t, "deltas", len(r.deltas), 0) // no metric, no map
			equal(t, "events", len(r.events), 0)
		})
	}
}

func TestSpec18_05_ARPTargetIsEthernetSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sha := mac{2, 2, 2, 2, 2, 2} // another than the Ethernet source
	r := w.fromPod(w.pod1, arpRequest(t, w.pod1.mac, w.pod1.nodeMAC, sha, w.pod1.ip, routerA()))
	equal(t, "verdict", r.verdict, redirect(14))
	equal(t, "THA", mac(r.frame[32:38]), w.pod1.mac)
	equal(t, "Ethernet destination", mac(r.frame[0:6]), w.pod1.mac)
	equal(t, "SHA", mac(r.frame[22:28]), w.pod1.nodeMAC)
}

func TestSpec18_06_ARPForOwnAddressPasses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, arpRequest(t, w.pod1.mac, broadcast(), w.pod1.mac, addr{}, w.pod1.ip))
	equal(t, "verdict", r.verdict, pass())
	r.unchanged(t)
	equal(t, "deltas", len(r.deltas), 0)
}

func TestSpec18_07_SpoofedMACPassesSpoofedIPNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.pod1.tcp(w.pod2.ip, 40000, 80, "S")
	f.srcMAC = mac{2, 0, 0, 0, 0, 9}
	equal(t, "spoofed MAC", w.fromPod(w.pod1, f.bytes(t)).verdict, redirect(16))

	f = w.pod1.tcp(w.pod2.ip, 40001, 80, "S")
	f.src = addr{10, 0, 1, 179}
	r := w.fromPod(w.pod1, f.bytes(t))
	equal(t, "spoofed IP", r.verdict, dropped(code.DropInvalidSIP))
	r.unchanged(t)
	equal(t, "metrics", r.metrics, []string{"132 EGRESS +1 54"})
	equal(t, "events", r.events, []string{"drop 132 from 1272: 10178->0 id 0 file 8, 54 of 54"})
	equal(t, "conntrack", r.conntrack, nil)
}

func TestSpec18_08_IPv6IsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := append(append(w.pod1.nodeMAC[:], w.pod1.mac[:]...), 0x86, 0xdd, 0x60)
	b = append(b, make([]byte, 39)...)
	r := w.fromPod(w.pod1, b)
	equal(t, "verdict", r.verdict, dropped(code.DropUnknownL3))
	equal(t, "metrics", r.metrics, []string{"139 EGRESS +1 54"})
	equal(t, "events", r.events, []string{"drop 139 from 1272: 10178->0 id 0 file 8, 54 of 54"})
}

func TestSpec18_09_OtherProtocolsEscape(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		proto layers.IPProtocol
	}{{"SCTP", 132}, {"GRE", 47}, {"IGMP", 2}, {"ESP", 50}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			f := w.pod1.ipv4(routerA()).raw(tt.proto, make([]byte, 16))
			f.ttl = 1
			r := w.fromPod(w.pod1, f.bytes(t))
			equal(t, "verdict", r.verdict, raw(-137))
			equal(t, "kind", r.verdict.Kind(), dataplane.Unspec)
			r.unchanged(t)
			equal(t, "mark", r.packet.Mark, 0)
			equal(t, "metrics", r.metrics, nil)
			equal(t, "conntrack", r.conntrack, nil)
			equal(t, "events", r.events, nil)
		})
	}
	t.Run("to a pod, from the overlay", func(t *testing.T) {
		t.Parallel()
		w, remote := newWorld(t), podsOfB()[0]
		r := w.fromOverlay(remote.ipv4(w.pod1.ip).raw(132, make([]byte, 16)).bytes(t), remote.identity)
		equal(t, "verdict", r.verdict, raw(-137))
		// Local delivery has rewritten it already.
		equal(t, "frame", partsOf(t, r.frame), parts{DstMAC: w.pod1.mac, SrcMAC: w.pod1.nodeMAC, Src: remote.ip, Dst: w.pod1.ip, TTL: 63})
		equal(t, "metrics", r.metrics, []string{"3 INGRESS +1 50"})
		equal(t, "policy", r.policy, nil)
	})
}

func TestSpec18_10_ShortTCPEscapes(t *testing.T) {
	t.Parallel()
	for n := 4; n <= 13; n++ {
		w := newWorld(t)
		r := w.fromPod(w.pod1, w.pod1.ipv4(w.pod2.ip).raw(layers.IPProtocolTCP, make([]byte, n)).bytes(t))
		equal(t, "verdict", r.verdict, raw(-135))
		r.unchanged(t)
		equal(t, "metrics", r.metrics, nil)
		equal(t, "events", r.events, nil)
	}
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.ipv4(w.pod2.ip).raw(layers.IPProtocolTCP, make([]byte, 14)).bytes(t))
	equal(t, "verdict of 14 bytes", r.verdict, redirect(16))
}

func TestSpec18_11_TCPWithoutPortsIsDropped(t *testing.T) {
	t.Parallel()
	for _, proto := range []layers.IPProtocol{layers.IPProtocolTCP, layers.IPProtocolUDP} {
		w := newWorld(t)
		r := w.fromPod(w.pod1, w.pod1.ipv4(w.pod2.ip).raw(proto, []byte{0x9c, 0x40, 0}).bytes(t))
		equal(t, "verdict", r.verdict, dropped(-14))
		equal(t, "metrics", r.metrics, []string{"14 EGRESS +1 37"})
		equal(t, "events", r.events, []string{"drop 14 from 1272: 10178->0 id 0 file 8, 37 of 37"})
	}
}

func TestSpec18_12_ToZeroAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.tcp(addr{}, 40000, 80, "S").bytes(t))
	equal(t, "verdict", r.verdict, dropped(code.DropInvalidTCBuffer))
	equal(t, "metrics", r.metrics, []string{"184 EGRESS +1 54"})
	equal(t, "events", r.events, []string{"drop 184 from 1272: 10178->2 id 0 file 8, 54 of 54"})
	equal(t, "conntrack", r.conntrack, nil)
}

func TestSpec18_13_TunnelPortIsProhibited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.udp(nodeB(), 40000, 8472).bytes(t))
	equal(t, "verdict", r.verdict, dropped(code.DropEncapProhibited))
	equal(t, "metrics", r.metrics, []string{"170 EGRESS +1 50"})
	equal(t, "events", r.events, []string{"drop 170 from 1272: 10178->6 id 0 file 8, 50 of 50"})
	equal(t, "policy", r.policy, nil) // no map was asked
	equal(t, "TCP to that port", w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 8472, "S").bytes(t)).verdict, redirect(16))
	equal(t, "another port", w.fromPod(w.pod1, w.pod1.udp(w.pod2.ip, 1, 8473).bytes(t)).verdict, redirect(16))
	w = newWorld(t, func(c *dataplane.Config) { c.TunnelPort = 4789 })
	equal(t, "another tunnel port", w.fromPod(w.pod1, w.pod1.udp(w.pod2.ip, 1, 8472).bytes(t)).verdict, redirect(16))
	equal(t, "the other tunnel port", w.fromPod(w.pod1, w.pod1.udp(w.pod2.ip, 1, 4789).bytes(t)).verdict, dropped(-170))
}

// hexOf is bytes as one would write them in a test.
func hexOf(b []byte) string { return hex.EncodeToString(b) }
