package emu_test

import (
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// proxyPort is a proxy's port in the tests, and its form in mark and scratch:
// network order read as a native number, in the upper half.
const (
	proxyPort = 15001  // 0x3a99
	proxyRaw  = 0x993a // 39226
	proxyMark = proxyRaw<<16 | 0x200
)

func toProxy() maps.PolicyEntry { return maps.PolicyEntry{ProxyPort: be16(proxyPort)} }

func tcpPort(port uint16, egress uint8) maps.PolicyKey {
	return maps.PolicyKey{DPort: be16(port), Proto: 6, Egress: egress}
}

// TestPolicyOrder asks with entries of every form present, then without the most
// specific one, and so on: the first that is there decides.
func TestPolicyOrder(t *testing.T) {
	t.Parallel()
	for _, egress := range []uint8{maps.PolicyIngress, maps.PolicyEgress} {
		w := newWorld(t)
		p, identity, verdict := w.pod3, w.pod1.identity, "verdict 0 from 51: remote 10178 port 80 proto 6 "
		direction := map[uint8]string{0: "INGRESS ", 1: "EGRESS "}[egress]
		send := func(sport uint16) *result {
			if egress == maps.PolicyEgress {
				return w.fromPod(w.pod3, w.pod3.tcp(w.pod1.ip, sport, 80, "S").bytes(t))
			}
			return w.fromPod(w.pod1, w.pod1.tcp(w.pod3.ip, sport, 80, "S").bytes(t))
		}
		keys := []maps.PolicyKey{
			{SecLabel: identity, DPort: be16(80), Proto: 6, Egress: egress},
			{DPort: be16(80), Proto: 6, Egress: egress},
			{SecLabel: identity, Egress: egress},
			{Egress: egress},
		}
		for _, k := range keys {
			w.allow(p, k)
		}
		for i, match := range []string{"L3-L4", "L4-Only", "L3-Only", "all"} {
			r := send(uint16(i))
			equal(t, match+": event", r.events[0], verdict+direction+match+", 54 of 54")
			equal(t, match+": hits", w.maps.Policy(p.id).Ref(&keys[i]).Packets, 1)
			must(t, w.maps.Policy(p.id).Remove(&keys[i]))
		}
		equal(t, "no entry left", send(9).verdict, dropped(code.DropPolicy))
		// Another protocol, port, direction or identity does not match.
		for _, k := range []maps.PolicyKey{
			{DPort: be16(80), Proto: 17, Egress: egress},
			{DPort: be16(81), Proto: 6, Egress: egress},
			{DPort: be16(80), Proto: 6, Egress: 1 - egress},
			{SecLabel: 4711, Egress: egress},
			{DPort: be16(80), Egress: egress},
		} {
			w.allow(p, k)
		}
		equal(t, "no entry that matches", send(10).verdict, dropped(code.DropPolicy))
	}
}

// TestDeny: bit 0 denies, whatever the other bits and a proxy port say.
func TestDeny(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		entry maps.PolicyEntry
		want  dataplane.Verdict
	}{
		{"deny", maps.PolicyEntry{Deny: 1}, dropped(code.DropPolicyDeny)},
		{"deny and other bits", maps.PolicyEntry{Deny: 0xff}, dropped(code.DropPolicyDeny)},
		{"deny and a proxy", maps.PolicyEntry{Deny: 1, ProxyPort: be16(proxyPort)}, dropped(code.DropPolicyDeny)},
		{"other bits", maps.PolicyEntry{Deny: 0xfe}, redirect(18)},
	} {
		w := newWorld(t)
		w.policy(w.pod3, tcpPort(80, maps.PolicyIngress), tt.entry)
		r := w.fromPod(w.pod1, w.pod1.tcp(w.pod3.ip, 1, 80, "S").bytes(t))
		equal(t, tt.name, r.verdict, tt.want)
	}
}

// TestProxyPortNeedsL4: a proxy port counts only in entries with a port.
func TestProxyPortNeedsL4(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		key  maps.PolicyKey
		want dataplane.Verdict
	}{
		{"identity and port", maps.PolicyKey{SecLabel: 10178, DPort: be16(80), Proto: 6}, pass()},
		{"port", maps.PolicyKey{DPort: be16(80), Proto: 6}, pass()},
		{"identity", maps.PolicyKey{SecLabel: 10178}, redirect(18)},
		{"all", maps.PolicyKey{}, redirect(18)},
	} {
		w := newWorld(t)
		w.policy(w.pod3, tt.key, toProxy())
		equal(t, tt.name, w.fromPod(w.pod1, w.pod1.tcp(w.pod3.ip, 1, 80, "S").bytes(t)).verdict, tt.want)
	}
}

// TestPolicyProgram enters a pod's policy program as other programs do, by its
// scratch slots: sender's identity, device, and whether the host sends.
func TestPolicyProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deliver(dataplane.DeliverPeer))
	enter := func(p pod, cb [5]uint32) *result {
		h := w.hook(dataplane.PolicyProg, p)
		w.load(h, w.podConfig(p))
		return w.run(h, &dataplane.Packet{Data: w.pod2.tcp(p.ip, 1, 80, "S").bytes(t), CB: cb})
	}
	peer := dataplane.Verdict{Action: code.Redirect, Ifindex: 14, Flags: dataplane.RedirectPeer}
	equal(t, "from a pod", enter(w.pod1, [5]uint32{4711, 14, 0, 0, 0}).verdict, peer)
	equal(t, "from the host", enter(w.pod1, [5]uint32{1, 14, 0, 1, 0}).verdict, redirect(14))
	equal(t, "no device", enter(w.pod1, [5]uint32{4711, 0, 0, 0, 0}).verdict, pass())
	// That a policy was passed already, at egress, counts for nothing here.
	r := enter(w.pod3, [5]uint32{4711, 18, 1, 0, 0})
	equal(t, "policy passed before", r.verdict, dropped(code.DropPolicy))
	equal(t, "events", r.events, []string{
		"verdict -133 from 51: remote 4711 port 80 proto 6 INGRESS none, 54 of 54",
		"drop 133 from 51: 4711->10051 id 51 file 8, 54 of 54",
	})
	short := &dataplane.Packet{Data: make([]byte, 20), CB: [5]uint32{4711}}
	equal(t, "no ether type", w.run(w.hook(dataplane.PolicyProg, w.pod1), short).verdict, dropped(code.DropUnsupportedL2))
	v6 := &dataplane.Packet{Data: append(append(make([]byte, 12), 0x86, 0xdd), make([]byte, 40)...)}
	equal(t, "IPv6", w.run(w.hook(dataplane.PolicyProg, w.pod1), v6).verdict, dropped(code.DropUnknownL3))
}

// TestProxy: a proxy port in the entry that matches sends new, known and reopened
// connections to the stack with the proxy's mark; replies are not sent anew.
func TestProxy(t *testing.T) {
	t.Parallel()
	t.Run("egress", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.policy(w.pod1, tcpPort(80, maps.PolicyEgress), toProxy())
		send := func(flags string) *result {
			p := &dataplane.Packet{Data: w.pod1.tcp(w.pod2.ip, 1, 80, flags).bytes(t), PktType: dataplane.PacketOtherHost, Mark: 0x1234}
			return w.run(w.hook(dataplane.FromContainer, w.pod1), p)
		}
		for _, step := range []struct{ flags, status string }{{"S", "new"}, {"A", "established"}, {"R", "established"}, {"S", "reopened"}} {
			w.now += 6 // a report is due
			r := send(step.flags)
			equal(t, step.status+": verdict", r.verdict, pass())
			equal(t, step.status+": mark", r.packet.Mark, proxyMark)
			equal(t, step.status+": packet type", r.packet.PktType, dataplane.PacketHost)
			r.unchanged(t)
			equal(t, step.status+": metrics", r.metrics, nil)
			equal(t, step.status+": events", r.events, []string{
				"to-proxy from 1272: 10178->0 id 15001 ifindex 0 orig 0.0.0.0 " + step.status + ", 54 of 54",
			})
		}
		k := maps.CTKey{DAddr: w.pod1.ip, SAddr: w.pod2.ip, DPort: be16(80), SPort: be16(1), Proto: 6}
		equal(t, "proxy bit", w.maps.CT4.Ref(&k).Flags&maps.CTProxyRedirect, maps.CTProxyRedirect)
	})
	t.Run("ingress", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.policy(w.pod2, tcpPort(80, maps.PolicyIngress), toProxy())
		for _, step := range []struct{ flags, status string }{{"S", "new"}, {"A", "established"}, {"R", "established"}, {"S", "reopened"}} {
			w.now += 6
			r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, step.flags).bytes(t))
			equal(t, step.status+": verdict", r.verdict, pass())
			equal(t, step.status+": mark", r.packet.Mark, proxyMark)
			equal(t, step.status+": frame", partsOf(t, r.frame).DstMAC, w.pod2.mac)
			equal(t, step.status+": events", r.events, []string{
				"to-proxy from 436: 10178->74565 id 15001 ifindex 16 orig 10.0.1.178 " + step.status + ", 54 of 54",
			})
			equal(t, step.status+": scratch", r.packet.CB[0], proxyMark)
		}
		// The proxy's connection goes back to the proxy when the pod answers.
		r := w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 1, "SA").bytes(t))
		equal(t, "answer: verdict", r.verdict, pass())
		equal(t, "answer: mark", r.packet.Mark, 0x200)
	})
	t.Run("replies", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t))
		w.policy(w.pod2, tcpPort(80, maps.PolicyEgress), toProxy())
		w.policy(w.pod1, tcpPort(80, maps.PolicyIngress), toProxy())
		r := w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 1, "SA").bytes(t))
		equal(t, "verdict", r.verdict, redirect(14))
		equal(t, "policy", r.policy, []string{"00436 0000000000500601 +1 54", "01272 0000000000500600 +1 54"})
		equal(t, "mark", r.packet.Mark, 0)
	})
}

// TestProxyFromToContainer: the frame goes back into the host, where to-host finds
// the proxy's port in the scratch slot.
func TestProxyFromToContainer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deliver(dataplane.DeliverToContainer))
	w.addIngressProgram(w.pod2)
	w.policy(w.pod2, tcpPort(80, maps.PolicyIngress), toProxy())
	f := w.pod1.tcp(w.pod2.ip, 1, 80, "S")
	f.dstMAC = w.pod2.mac
	r := w.toContainer(w.pod2, f.bytes(t), 0x27c20f00)
	equal(t, "verdict", r.verdict, redirect(netIfindex))
	equal(t, "frame", partsOf(t, r.frame), parts{
		DstMAC: w.cfg.HostMAC, SrcMAC: w.pod2.nodeMAC, Src: w.pod1.ip, Dst: w.pod2.ip, TTL: 63, SrcPort: 1, DstPort: 80,
	})
	equal(t, "mark", r.packet.Mark, 0)
	equal(t, "scratch", r.packet.CB[0], proxyMark)
	for _, ifindex := range []uint32{hostIfindex, netIfindex} {
		p := &dataplane.Packet{Data: append([]byte{}, r.frame...), CB: r.packet.CB, PktType: dataplane.PacketOtherHost}
		in := w.run(dataplane.Hook{Prog: dataplane.ToHost, Ifindex: ifindex}, p)
		equal(t, "to-host: verdict", in.verdict, pass())
		equal(t, "to-host: mark", in.packet.Mark, proxyMark)
		equal(t, "to-host: packet type", in.packet.PktType, dataplane.PacketHost)
		equal(t, "to-host: scratch", in.packet.CB[0], 0)
		equal(t, "to-host: metrics", in.metrics, nil)
		equal(t, "to-host: events", in.events, nil)
	}
	// Other values in the slot are no proxy's.
	for _, cb := range []uint32{0, 0x201, 0x1200, 0x993a0201, 10178} {
		p := &dataplane.Packet{Data: append([]byte{}, r.frame...), CB: [5]uint32{cb}}
		in := w.run(dataplane.Hook{Prog: dataplane.ToHost, Ifindex: hostIfindex}, p)
		equal(t, "to-host, no proxy: mark", in.packet.Mark, 0)
		equal(t, "to-host, no proxy: metrics", in.metrics, []string{"0 EGRESS +1 54"})
	}
	f.ttl = 1
	equal(t, "TTL 1", w.toContainer(w.pod2, f.bytes(t), 0x27c20f00).verdict, dropped(code.DropInvalid))
}

// TestSkipProxy: what an ingress proxy sends does not go to it again, and needs
// no verdict event; what an egress proxy sends is not taken for a proxied reply.
func TestSkipProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy(w.pod3, tcpPort(80, maps.PolicyIngress), toProxy())
	f := frame{src: w.pod1.ip, dst: w.pod3.ip, ttl: 64}
	r := w.fromHost(f.tcp(1, 80, "S").bytes(t), 0x27c20a00)
	equal(t, "from the proxy: verdict", r.verdict, redirect(18))
	equal(t, "from the proxy: tc_index", r.packet.TCIndex, 1)
	equal(t, "from the proxy: events", r.events, []string{
		"to-endpoint from 51: 10178->10051 id 51 ifindex 18 orig 10.0.1.178 new, 54 of 54",
	})
	r = w.fromHost(f.tcp(2, 80, "S").bytes(t), 0x27c20b00)
	equal(t, "from an egress proxy: verdict", r.verdict, pass())
	equal(t, "from an egress proxy: tc_index", r.packet.TCIndex, 2)
	equal(t, "from an egress proxy: mark", r.packet.Mark, proxyMark)
	equal(t, "from an egress proxy: events", r.events, []string{
		"verdict 39226 from 51: remote 10178 port 80 proto 6 INGRESS L4-Only, 54 of 54",
		"to-proxy from 51: 10178->10051 id 15001 ifindex 18 orig 10.0.1.178 new, 54 of 54",
	})

	// A reply of a proxied connection, with and without the egress proxy's bit.
	w = newWorld(t)
	w.policy(w.pod1, tcpPort(80, maps.PolicyEgress), toProxy())
	w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t))
	answer := frame{src: w.pod2.ip, dst: w.pod1.ip, ttl: 64}.tcp(80, 1, "SA")
	r = w.fromHost(answer.bytes(t), 0x23450b01)
	equal(t, "reply of the proxy: verdict", r.verdict, redirect(14))
	r = w.fromHost(answer.bytes(t), 0x23450f01)
	equal(t, "reply of the backend: verdict", r.verdict, pass())
	equal(t, "reply of the backend: mark", r.packet.Mark, 0x200)
}

// TestVerdictOfReopened: a reopened connection's verdict is told like a new one's.
func TestVerdictOfReopened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pod1.verdicts, w.pod2.verdicts = 3, 3
	for _, p := range []pod{w.pod1, w.pod2} {
		w.load(w.hook(dataplane.FromContainer, p), w.podConfig(p))
	}
	w.established(1)
	w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "R").bytes(t))
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t))
	equal(t, "events", r.events, []string{
		"verdict 0 from 1272: remote 74565 port 80 proto 6 EGRESS all, 54 of 54",
		"verdict 0 from 436: remote 10178 port 80 proto 6 INGRESS all, 54 of 54",
	})
}

// TestICMPPolicy: the port of a policy entry for ICMP is the type.
func TestICMPPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.allow(w.pod3, maps.PolicyKey{DPort: be16(8), Proto: 1})
	r := w.fromPod(w.pod1, w.pod1.echo(w.pod3.ip, 1, false).bytes(t))
	equal(t, "echo", r.verdict, redirect(18))
	equal(t, "policy", r.policy, []string{"00051 0000000000080100 +1 42", "01272 0000000000000001 +1 42"})
	equal(t, "events", r.events[0], "verdict 0 from 51: remote 10178 port 0 proto 1 INGRESS L4-Only, 42 of 42")
	r = w.fromPod(w.pod1, w.pod1.ipv4(w.pod3.ip).icmp(13, 0, 1).bytes(t))
	equal(t, "timestamp", r.verdict, dropped(code.DropPolicy))
}
