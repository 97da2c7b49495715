package emu_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// This file has the cases of SPEC 18 about replies, loopback, UDP checksums and
// policy: 34 to 40.

func TestSpec18_34_ReverseNATAtTheClient(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t), newRemote(t)
	s := service{id: 7, ip: addr{10, 96, 7, 7}, port: 80, backends: []backend{{b.pod1.ip, 8080, 0}}}
	a.addService(s)
	b.addService(s)
	r := a.fromPod(a.pod1, a.pod1.tcp(s.ip, 40000, 80, "S").bytes(t))
	equal(t, "request", r.verdict, redirect(vxlanIfindex))
	b.fromOverlay(r.frame, r.packet.TunnelOut.ID)
	// The server's node sends the answer with the backend's address.
	r = b.fromPod(b.pod1, b.pod1.tcp(a.pod1.ip, 8080, 40000, "SA").bytes(t))
	equal(t, "answer at the server", r.verdict, redirect(vxlanIfindex))
	r.unchanged(t)
	// The client's policy program translates it, then tells the old source.
	r = a.fromOverlay(r.frame, r.packet.TunnelOut.ID)
	equal(t, "answer at the client", r.verdict, redirect(14))
	equal(t, "frame", partsOf(t, r.frame), parts{
		DstMAC: a.pod1.mac, SrcMAC: a.pod1.nodeMAC, Src: s.ip, Dst: a.pod1.ip, TTL: 63, SrcPort: 80, DstPort: 40000,
	})
	equal(t, "events", r.events, []string{
		"to-endpoint from 1272: 13789->10178 id 1272 ifindex 14 orig 10.0.2.230 reply, 54 of 54",
	})
}

func TestSpec18_35_MissingReverseNATEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.web()
	w.fromPod(w.pod1, w.pod1.tcp(s.ip, 40000, 80, "S").bytes(t))
	must(t, w.maps.RevNAT.Remove(&maps.RevNATKey{ID: be16(s.id)}))
	r := w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 8080, 40000, "SA").bytes(t))
	equal(t, "verdict", r.verdict, redirect(14))
	equal(t, "frame", partsOf(t, r.frame), parts{
		DstMAC: w.pod1.mac, SrcMAC: w.pod1.nodeMAC, Src: w.pod2.ip, Dst: w.pod1.ip, TTL: 63, SrcPort: 8080, DstPort: 40000,
	})
	equal(t, "metrics", r.metrics, []string{"0 INGRESS +1 54", "0 EGRESS +1 54"})
}

func TestSpec18_36_Loopback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := service{id: 10, ip: addr{10, 96, 5, 5}, port: 80, backends: []backend{{w.pod1.ip, 8080, 0}}}
	w.addService(s)
	loopback := addr{169, 254, 42, 1}
	r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 40000, 80, "S").bytes(t))
	equal(t, "verdict", r.verdict, redirect(14))
	equal(t, "frame", partsOf(t, r.frame), parts{
		DstMAC: w.pod1.mac, SrcMAC: w.pod1.nodeMAC, Src: loopback, Dst: w.pod1.ip, TTL: 63, SrcPort: 40000, DstPort: 8080,
	})
	equal(t, "conntrack", r.conntrack, []string{
		"add TCP 10.96.5.5 10.0.1.178 40000 80 4: rx 0/100 tx 0/0 life 60 bits 0x0 rev 10 sec 0 seen 2/0 report 1000/0",
		"add TCP 169.254.42.1 10.0.1.178 8080 40000 0: rx 0/0 tx 1/54 life 60 bits 0x8 rev 10 sec 10178 seen 2/0 report 1000/0",
		"add TCP 169.254.42.1 10.0.1.178 8080 40000 1: rx 0/0 tx 1/54 life 60 bits 0x8 rev 10 sec 10178 seen 2/0 report 1000/0",
		"add ICMPv4 169.254.42.1 10.0.1.178 0 0 2: rx 0/0 tx 1/54 life 60 bits 0x18 rev 10 sec 10178 seen 2/0 report 1000/0",
	})
	equal(t, "policy", r.policy, nil)
	equal(t, "events", r.events, nil)
	equal(t, "metrics", r.metrics, []string{"0 EGRESS +1 54"})

	r = w.fromPod(w.pod1, w.pod1.tcp(loopback, 8080, 40000, "SA").bytes(t))
	equal(t, "verdict of the answer", r.verdict, redirect(14))
	equal(t, "answer", partsOf(t, r.frame), parts{
		DstMAC: w.pod1.mac, SrcMAC: w.pod1.nodeMAC, Src: s.ip, Dst: w.pod1.ip, TTL: 63, SrcPort: 80, DstPort: 40000,
	})
	equal(t, "conntrack of the answer", r.conntrack, []string{
		"set TCP 169.254.42.1 10.0.1.178 8080 40000 1: rx 0/0 tx 2/108 life 60 bits 0x8 rev 10 sec 10178 seen 12/0 report 1000/0",
	})
	equal(t, "policy of the answer", r.policy, []string{"01272 0000000000000001 +1 54"})
	equal(t, "metrics of the answer", r.metrics, []string{"0 EGRESS +1 54"})
}

func TestSpec18_37_UDPChecksumZeroStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.web()
	f := w.pod1.udp(s.ip, 40000, 80).bytes(t)
	f[40], f[41] = 0, 0
	r := w.fromPod(w.pod1, f)
	equal(t, "frame", partsOf(t, r.frame).Dst, w.pod2.ip)
	equal(t, "checksum", hexOf(r.frame[40:42]), "0000")
	f = w.pod2.udp(w.pod1.ip, 8080, 40000).bytes(t)
	f[40], f[41] = 0, 0
	r = w.fromPod(w.pod2, f)
	equal(t, "answer", partsOf(t, r.frame).Src, s.ip)
	equal(t, "checksum of the answer", hexOf(r.frame[40:42]), "0000")
}

// A sum that comes out as zero is sent as 0xffff: zero would mean none.
func TestSpec18_37_UDPChecksumNeverBecomesZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.web()
	// The payload that makes the sum of the translated packet 0xffff.
	f := w.pod1.udp(w.pod2.ip, 40000, 8080)
	f.payload = []byte{0, 0}
	b := f.bytes(t)
	f = w.pod1.udp(s.ip, 40000, 80)
	f.payload = []byte{b[40], b[41]}
	b = f.bytes(t)
	if binary.BigEndian.Uint16(b[40:]) == 0 {
		t.Fatal("the packet as sent has no checksum")
	}
	r := w.fromPod(w.pod1, b)
	equal(t, "frame", partsOf(t, r.frame).Dst, w.pod2.ip)
	equal(t, "checksum", hexOf(r.frame[40:42]), "ffff")
}

func TestSpec18_38_PolicyCountsReplies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	r := w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 40000, "SA").bytes(t))
	equal(t, "policy", r.policy, []string{
		"00436 0000000000000001 +1 54", // pod2, egress
		"01272 0000000000000000 +1 54", // pod1, ingress
	})
	// A reply that no entry allows is delivered all the same, and hits nothing.
	must(t, w.maps.Policy(w.pod1.id).Remove(&maps.PolicyKey{}))
	r = w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 40000, "A").bytes(t))
	equal(t, "verdict", r.verdict, redirect(14))
	equal(t, "policy", r.policy, []string{"00436 0000000000000001 +1 54"})
	// So is one that an entry denies; the entry counts it.
	w.policy(w.pod1, maps.PolicyKey{}, maps.PolicyEntry{Deny: maps.PolicyDeny})
	r = w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 40000, "A").bytes(t))
	equal(t, "verdict", r.verdict, redirect(14))
	equal(t, "policy", r.policy, []string{"00436 0000000000000001 +1 54", "01272 0000000000000000 +1 54"})
	// A new connection is not.
	r = w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 81, 40000, "S").bytes(t))
	equal(t, "verdict of a new one", r.verdict, dropped(code.DropPolicyDeny))
	equal(t, "events of a new one", r.events, []string{"drop 181 from 1272: 74565->10178 id 1272 file 8, 54 of 54"})
}

func TestSpec18_39_ShortICMP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		l4   []byte
		want code.Ret // dropped if it has a drop reason, else raw
		drop bool
	}{
		{"nothing", nil, -135, false},
		{"echo of 5 bytes", []byte{8, 0, 0, 0, 0}, -135, false},
		{"echo reply of 5 bytes", []byte{0, 0, 0, 0, 0}, -135, false},
		{"echo of 6 bytes", []byte{8, 0, 0, 0, 0, 1}, -134, true},
		{"timestamp of 1 byte", []byte{13}, -134, true},
		{"timestamp of 7 bytes", []byte{13, 0, 0, 0, 0, 1, 0}, -134, true},
		{"unreachable of 4 bytes", []byte{3, 1, 0, 0}, -134, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.fromPod(w.pod1, w.pod1.ipv4(w.pod2.ip).raw(layers.IPProtocolICMPv4, tt.l4).bytes(t))
			r.unchanged(t)
			equal(t, "conntrack", r.conntrack, nil)
			if !tt.drop {
				equal(t, "verdict", r.verdict, raw(tt.want))
				equal(t, "metrics", r.metrics, nil)
				return
			}
			equal(t, "verdict", r.verdict, dropped(tt.want))
			equal(t, "drop metric", r.metrics[0][:12], "134 EGRESS +")
		})
	}
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.ipv4(w.pod2.ip).raw(layers.IPProtocolICMPv4, []byte{13, 0, 0, 0, 0, 1, 0, 0}).bytes(t))
	equal(t, "timestamp of 8 bytes", r.verdict, redirect(16))
}

func TestSpec18_40_FragNeededIsAllowedUncounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	needed := func(from, to pod) []byte {
		return from.ipv4(to.ip).icmp(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeFragmentationNeeded, 0).bytes(t)
	}
	r := w.fromPod(w.pod1, needed(w.pod1, w.pod2))
	equal(t, "verdict", r.verdict, redirect(16))
	equal(t, "policy", r.policy, nil)
	equal(t, "metrics", r.metrics, []string{"0 INGRESS +1 42", "0 EGRESS +1 42"})
	// Even to and from a pod whose policy allows neither; another code is dropped.
	equal(t, "to pod3", w.fromPod(w.pod1, needed(w.pod1, w.pod3)).verdict, redirect(18))
	equal(t, "from pod3", w.fromPod(w.pod3, needed(w.pod3, w.pod1)).verdict, redirect(14))
	other := w.pod3.ipv4(w.pod2.ip).icmp(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodePort, 0)
	equal(t, "another code", w.fromPod(w.pod3, other.bytes(t)).verdict, dropped(code.DropPolicy))
}
