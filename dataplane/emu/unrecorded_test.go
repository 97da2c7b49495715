package emu_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// This file has paths of the real programs that none of the recorded packets takes.

// TestToHostEncrypted: a packet that another program has prepared for encryption
// gets its mark from the scratch slots; its type and the slots stay.
func TestToHostEncrypted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *dataplane.Config) { c.Aggregation = dataplane.AggregateNone })
	p := &dataplane.Packet{
		Data: w.pod1.tcp(outside(), 1, 80, "S").bytes(t), Mark: 0x77,
		CB: [5]uint32{0x47115e00, 1, 2, 3, 4712}, PktType: dataplane.PacketOtherHost,
	}
	r := w.run(dataplane.Hook{Prog: dataplane.ToHost, Ifindex: hostIfindex}, p)
	equal(t, "verdict", r.verdict, pass())
	equal(t, "mark", r.packet.Mark, 0x47115e00)
	equal(t, "packet type", r.packet.PktType, dataplane.PacketOtherHost)
	equal(t, "scratch", r.packet.CB[0], 0x47115e00)
	equal(t, "events", r.events, []string{"to-stack from 4096: 4712->0 id 0 ifindex 4 orig 0.0.0.0 unknown, 54 of 54"})
	equal(t, "metrics", r.metrics, []string{"0 EGRESS +1 54"})
}

// TestToContainerClearsScratch: what the slots hold at entry neither is an identity
// nor a device.
func TestToContainerClearsScratch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deliver(dataplane.DeliverToContainer))
	w.addIngressProgram(w.pod2)
	r := w.run(w.hook(dataplane.ToContainer, w.pod2), &dataplane.Packet{
		Data: w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t), Mark: 0xe00, CB: [5]uint32{1, 2, 3, 4, 4711},
	})
	equal(t, "verdict", r.verdict, pass())
	k := maps.CTKey{DAddr: w.pod1.ip, SAddr: w.pod2.ip, DPort: be16(80), SPort: be16(1), Proto: 6, Flags: maps.TupleIn}
	equal(t, "identity", w.maps.CT4.Ref(&k).SrcSecID, w.pod1.identity) // 0 is reserved: the ipcache's
}

// TestFromNetdevWithHostRouting: only then a frame of the network goes straight to
// a local pod.
func TestFromNetdevWithHostRouting(t *testing.T) {
	t.Parallel()
	peer := redirect(podsOfA()[0].ifindex)
	peer.Flags = dataplane.RedirectPeer
	for _, tt := range []struct {
		name    string
		mode    dataplane.Delivery
		dst     addr
		verdict dataplane.Verdict
		ttl     uint8
	}{
		{"pod", dataplane.DeliverRedirect, podsOfA()[0].ip, pass(), 64},
		{"pod, host routing", dataplane.DeliverPeer, podsOfA()[0].ip, peer, 63},
		{"node, host routing", dataplane.DeliverPeer, nodeA(), pass(), 64},
		{"unknown, host routing", dataplane.DeliverPeer, outside(), pass(), 64},
		{"remote pod, host routing", dataplane.DeliverPeer, podsOfB()[0].ip, pass(), 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, deliver(tt.mode))
			const uplink = 2
			h := dataplane.Hook{Prog: dataplane.FromNetdev, Ifindex: uplink}
			w.load(h, w.cfg)
			f := frame{srcMAC: mac{2, 1}, dstMAC: mac{2, 2}, src: outside(), dst: tt.dst, ttl: 64}.tcp(1, 80, "S")
			r := w.run(h, &dataplane.Packet{Data: f.bytes(t), IngressIfindex: uplink})
			equal(t, "verdict", r.verdict, tt.verdict)
			equal(t, "ttl", partsOf(t, r.frame).TTL, tt.ttl)
			if tt.verdict == pass() {
				r.unchanged(t)
				return
			}
			k := maps.CTKey{DAddr: outside(), SAddr: tt.dst, DPort: be16(80), SPort: be16(1), Proto: 6, Flags: maps.TupleIn}
			equal(t, "identity", w.maps.CT4.Ref(&k).SrcSecID, code.IdentityWorld)
		})
	}
}

// TestHairpinToHostWithoutRouting: with endpoint routes a looped packet is
// delivered even where the endpoint is the host, whose entry has no device.
func TestHairpinToHostWithoutRouting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode    dataplane.Delivery
		verdict dataplane.Verdict
	}{
		{dataplane.DeliverRedirect, pass()},
		{dataplane.DeliverStack, redirect(0)},
	} {
		w := newWorld(t, deliver(tt.mode))
		k := maps.CTKey{DAddr: w.pod1.ip, SAddr: nodeA(), DPort: be16(80), SPort: be16(1), Proto: 6}
		must(t, w.maps.CT4.Set(&k, &maps.CTEntry{Lifetime: w.clock() + 60, Flags: maps.CTLBLoopback}, maps.Any))
		r := w.fromPod(w.pod1, w.pod1.tcp(nodeA(), 1, 80, "A").bytes(t))
		equal(t, "verdict", r.verdict, tt.verdict)
	}
}

// TestSkipIngressProxy: what comes from the ingress proxy is not reported again,
// whatever the policy says, unless it is refused.
func TestSkipIngressProxy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		tcIndex uint16
		entry   maps.PolicyEntry
		events  []string
	}{
		{"not from the proxy", 0, maps.PolicyEntry{}, []string{
			"verdict 0 from 51: remote 10178 port 80 proto 6 INGRESS L3-L4, 54 of 54",
			"to-endpoint from 51: 10178->10051 id 51 ifindex 18 orig 10.0.1.178 new, 54 of 54",
		}},
		{"from the proxy", 1, maps.PolicyEntry{}, []string{
			"to-endpoint from 51: 10178->10051 id 51 ifindex 18 orig 10.0.1.178 new, 54 of 54",
		}},
		{"from the proxy, to a proxy", 1, toProxy(), []string{
			"to-endpoint from 51: 10178->10051 id 51 ifindex 18 orig 10.0.1.178 new, 54 of 54",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			k := tcpPort(80, maps.PolicyIngress)
			k.SecLabel = w.pod1.identity
			w.policy(w.pod3, k, tt.entry)
			r := w.run(w.hook(dataplane.FromContainer, w.pod1), &dataplane.Packet{
				Data: w.pod1.tcp(w.pod3.ip, 1, 80, "S").bytes(t), IngressIfindex: w.pod1.ifindex, TCIndex: tt.tcIndex,
			})
			equal(t, "verdict", r.verdict, redirect(w.pod3.ifindex))
			equal(t, "events", r.events, tt.events)
		})
	}
}

// TestReverseNATOfFragmentAtEgress: the answer of a pod to itself is translated as
// it leaves; in a later fragment the payload has two bytes where the first has its
// checksum, and they are changed, unless they are zero for UDP.
func TestReverseNATOfFragmentAtEgress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		at      [2]byte
		changed bool
	}{
		{"payload", [2]byte{0x12, 0x34}, true},
		{"zero payload", [2]byte{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := service{id: 7, ip: addr{10, 96, 0, 7}, port: 53, backends: []backend{{ip: w.pod1.ip, port: 5353}}}
			w.addService(s)
			w.fromPod(w.pod1, w.pod1.udp(s.ip, 1, 53).bytes(t))
			first := w.pod1.udp(w.cfg.Loopback, 5353, 1)
			first.fragment, first.payload = layers.IPv4MoreFragments, make([]byte, 24)
			equal(t, "first", w.fromPod(w.pod1, first.bytes(t)).verdict, redirect(w.pod1.ifindex))

			payload := append([]byte("abcdef"), tt.at[0], tt.at[1], 'x')
			second := w.pod1.ipv4(w.cfg.Loopback).raw(layers.IPProtocolUDP, payload)
			second.fragment, second.offset = 0, 4
			r := w.fromPod(w.pod1, second.bytes(t))
			equal(t, "verdict", r.verdict, redirect(w.pod1.ifindex))
			equal(t, "addresses", [2]addr{addr(r.frame[26:30]), addr(r.frame[30:34])}, [2]addr{s.ip, w.pod1.ip})
			got := r.frame[34:]
			equal(t, "around", append(bytes.Clone(got[:6]), got[8:]...), []byte("abcdefx"))
			equal(t, "changed", binary.BigEndian.Uint16(got[6:]) != binary.BigEndian.Uint16(tt.at[:]), tt.changed)
		})
	}
}
