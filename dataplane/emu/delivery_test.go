package emu_test

import (
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

func deliver(d dataplane.Delivery) func(*dataplane.Config) {
	return func(c *dataplane.Config) { c.Delivery = d }
}

// TestDelivery sends one packet to pod1 from each side under each delivery mode
// (SPEC 4, 10.5, 16).
func TestDelivery(t *testing.T) {
	t.Parallel()
	remote := podsOfB()[0]
	peer := dataplane.Verdict{Action: code.Redirect, Ifindex: 14, Flags: dataplane.RedirectPeer}
	type outcome struct {
		Verdict dataplane.Verdict
		PktType uint8
		Mark    uint32
		TTL     uint8
		DstMAC  mac
		Receive bool // the receiver's policy and conntrack have run
	}
	podMAC, lxcMAC := podsOfA()[0].mac, podsOfA()[1].nodeMAC
	const other = dataplane.PacketOtherHost
	for _, tt := range []struct {
		name                   string
		mode                   dataplane.Delivery
		local, host, fromOther outcome
	}{
		{
			"redirect", dataplane.DeliverRedirect,
			outcome{redirect(14), 0, 0, 63, podMAC, true},
			outcome{redirect(14), 0, 0, 63, podMAC, true},
			outcome{redirect(14), other, 0, 63, podMAC, true},
		},
		{
			"peer", dataplane.DeliverPeer, // but not for what the host sends
			outcome{peer, 0, 0, 63, podMAC, true},
			outcome{redirect(14), 0, 0, 63, podMAC, true},
			outcome{peer, 0, 0, 63, podMAC, true},
		},
		{
			"to-container", dataplane.DeliverToContainer,
			outcome{redirect(14), 0, 0x23450f01, 63, podMAC, false},
			outcome{redirect(14), 0, 0x00010f00, 63, podMAC, false},
			outcome{redirect(14), other, 0x35dd0f00, 63, podMAC, false},
		},
		{
			// Only the pod's own program has no routing: it leaves all to the stack.
			// The others deliver up to the policy program, whose end is the stack.
			"stack", dataplane.DeliverStack,
			outcome{pass(), 0, 0x23450f01, 64, lxcMAC, false},
			outcome{pass(), dataplane.PacketHost, 0, 63, podMAC, true},
			outcome{pass(), dataplane.PacketHost, 0, 63, podMAC, true},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, deliver(tt.mode))
			see := func(r *result) outcome {
				p := partsOf(t, r.frame)
				k := maps.CTKey{DAddr: p.Src, SAddr: p.Dst, DPort: be16(80), SPort: be16(1), Proto: 6, Flags: maps.TupleIn}
				return outcome{r.verdict, r.packet.PktType, r.packet.Mark, p.TTL, p.DstMAC, w.maps.CT4.Ref(&k) != nil}
			}
			equal(t, "from another pod", see(w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 1, 80, "S").bytes(t))), tt.local)
			equal(t, "from the host", see(w.fromHost(frame{src: w.router, dst: w.pod1.ip, ttl: 64}.tcp(1, 80, "S").bytes(t), 0xc00)), tt.host)
			equal(t, "from the overlay", see(w.fromOverlay(remote.tcp(w.pod1.ip, 1, 80, "S").bytes(t), remote.identity)), tt.fromOther)
		})
	}
}

// TestPeerIsHost: redirect_peer makes a broadcast frame, too, one for the host.
func TestPeerIsHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deliver(dataplane.DeliverPeer))
	p := &dataplane.Packet{Data: w.pod2.tcp(w.pod1.ip, 1, 80, "S").bytes(t), PktType: dataplane.PacketBroadcast}
	r := w.run(w.hook(dataplane.FromContainer, w.pod2), p)
	equal(t, "packet type", r.packet.PktType, dataplane.PacketHost)
}

// TestToContainer is the second half of the mode to-container: conntrack, policy
// and reverse NAT at the egress of the pod's device.
func TestToContainer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deliver(dataplane.DeliverToContainer))
	for _, p := range []pod{w.pod1, w.pod2, w.pod3} {
		w.addIngressProgram(p)
	}
	s := w.web()
	r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
	equal(t, "request", r.verdict, redirect(16))
	equal(t, "metrics", r.metrics, []string{"0 EGRESS +1 54"})
	r = w.toContainer(w.pod2, r.frame, r.packet.Mark)
	equal(t, "request at the pod", r.verdict, pass())
	equal(t, "conntrack", r.conntrack, []string{
		"add TCP 10.0.1.178 10.0.1.79 8080 1 1: rx 1/54 tx 0/0 life 60 bits 0x0 rev 0 sec 10178 seen 0/2 report 0/1000",
		"add ICMPv4 10.0.1.178 10.0.1.79 0 0 3: rx 1/54 tx 0/0 life 60 bits 0x10 rev 0 sec 10178 seen 0/2 report 0/1000",
	})
	equal(t, "metrics", r.metrics, []string{"0 INGRESS +2 108", "3 INGRESS +1 54"})
	equal(t, "events", r.events, []string{"to-endpoint from 436: 10178->74565 id 436 ifindex 0 orig 10.0.1.178 new, 54 of 54"})
	equal(t, "mark", r.packet.Mark, 0)

	r = w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 8080, 1, "SA").bytes(t))
	equal(t, "answer", r.verdict, redirect(14))
	equal(t, "source before to-container", partsOf(t, r.frame).Src, w.pod2.ip)
	r = w.toContainer(w.pod1, r.frame, r.packet.Mark)
	equal(t, "answer at the pod", r.verdict, pass())
	equal(t, "source after to-container", partsOf(t, r.frame).Src, s.ip)
	equal(t, "port after to-container", partsOf(t, r.frame).SrcPort, 80)

	// Policy is applied there, too.
	r = w.fromPod(w.pod1, w.pod1.tcp(w.pod3.ip, 1, 80, "S").bytes(t))
	equal(t, "to pod3", r.verdict, redirect(18))
	r = w.toContainer(w.pod3, r.frame, r.packet.Mark)
	equal(t, "at pod3", r.verdict, dropped(code.DropPolicy))
	equal(t, "events at pod3", r.events, []string{
		"verdict -133 from 51: remote 10178 port 80 proto 6 INGRESS none, 54 of 54",
		"drop 133 from 51: 10178->10051 id 51 file 8, 54 of 54",
	})
}

// TestToContainerInputs has what to-container does with other frames (SPEC 10.5).
func TestToContainerInputs(t *testing.T) {
	t.Parallel()
	tcp := func(w *world, src addr) []byte {
		return frame{src: src, dst: w.pod1.ip, ttl: 64}.tcp(1, 80, "S").bytes(t)
	}
	for _, tt := range []struct {
		name     string
		mode     dataplane.Delivery
		frame    func(w *world) []byte
		mark     uint32
		verdict  dataplane.Verdict
		metrics  []string
		events   []string
		markOut  uint32
		identity uint32 // in the new entry, if there is one
	}{
		{
			name: "ARP", mark: 0xc00, verdict: pass(), metrics: []string{"3 INGRESS +1 42"},
			frame: func(w *world) []byte {
				return arpRequest(t, w.cfg.HostMAC, broadcast(), w.cfg.HostMAC, w.router, w.pod1.ip)
			},
		},
		{
			name: "bad ether type keeps the mark", mark: 0xc00, markOut: 0xc00, verdict: dropped(-166), metrics: []string{"166 INGRESS +1 20"},
			frame:  func(*world) []byte { return make([]byte, 20) },
			events: []string{"drop 166 from 1272: 0->10178 id 1272 file 8, 20 of 20"},
		},
		{
			name: "IPv6", mark: 0xc00, verdict: dropped(-139), metrics: []string{"3 INGRESS +1 54", "139 INGRESS +1 54"},
			frame:  func(*world) []byte { return append(append(make([]byte, 12), 0x86, 0xdd), make([]byte, 40)...) },
			events: []string{"drop 139 from 1272: 1->10178 id 1272 file 8, 54 of 54"},
		},
		{
			name: "short IPv4 escapes", verdict: raw(-134), metrics: []string{"3 INGRESS +1 20"},
			frame: func(*world) []byte { return append(append(make([]byte, 12), 8, 0), make([]byte, 6)...) },
		},
		{
			name: "host", mark: 0xc00, verdict: pass(), metrics: []string{"0 INGRESS +2 108", "3 INGRESS +1 54"},
			frame:    func(w *world) []byte { return tcp(w, w.router) },
			events:   []string{"to-endpoint from 1272: 1->10178 id 1272 ifindex 0 orig 10.0.1.197 new, 54 of 54"},
			identity: 1,
		},
		{
			name: "world, known to the ipcache", verdict: pass(), metrics: []string{"0 INGRESS +2 108", "3 INGRESS +1 54"},
			frame:    func(w *world) []byte { return tcp(w, w.pod2.ip) },
			events:   []string{"to-endpoint from 1272: 74565->10178 id 1272 ifindex 0 orig 10.0.1.79 new, 54 of 54"},
			identity: 74565,
		},
		{
			name: "identity in the mark", mark: 0x35dd0f00, verdict: pass(), metrics: []string{"0 INGRESS +2 108", "3 INGRESS +1 54"},
			frame:    func(w *world) []byte { return tcp(w, addr{10, 0, 2, 230}) },
			events:   []string{"to-endpoint from 1272: 13789->10178 id 1272 ifindex 0 orig 10.0.2.230 new, 54 of 54"},
			identity: 13789,
		},
		{
			name: "endpoint routes", mode: dataplane.DeliverStack, verdict: pass(), metrics: []string{"0 INGRESS +2 108", "3 INGRESS +1 54"},
			frame:    func(w *world) []byte { return tcp(w, outside()) },
			events:   []string{"to-endpoint from 1272: 2->10178 id 1272 ifindex 0 orig 8.8.8.8 new, 54 of 54"},
			identity: 2,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mode := tt.mode
			if mode == dataplane.DeliverRedirect {
				mode = dataplane.DeliverToContainer
			}
			w := newWorld(t, deliver(mode))
			w.addIngressProgram(w.pod1)
			p := &dataplane.Packet{Data: tt.frame(w), Mark: tt.mark, PktType: dataplane.PacketOtherHost}
			r := w.run(w.hook(dataplane.ToContainer, w.pod1), p)
			equal(t, "verdict", r.verdict, tt.verdict)
			r.unchanged(t)
			equal(t, "mark", r.packet.Mark, tt.markOut)
			equal(t, "metrics", r.metrics, tt.metrics)
			equal(t, "events", r.events, tt.events)
			wantType := dataplane.PacketOtherHost
			if mode == dataplane.DeliverStack {
				wantType = dataplane.PacketHost
			}
			equal(t, "packet type", r.packet.PktType, wantType)
			if tt.identity != 0 {
				got := frameIdentity(w, r.frame)
				equal(t, "identity", got, tt.identity)
			}
		})
	}
}

// frameIdentity is the source identity in the receiver's entry of a TCP frame
// from port 1 to port 80.
func frameIdentity(w *world, b []byte) uint32 {
	k := maps.CTKey{DAddr: addr(b[26:30]), SAddr: addr(b[30:34]), DPort: be16(80), SPort: be16(1), Proto: 6, Flags: maps.TupleIn}
	e := w.maps.CT4.Ref(&k)
	if e == nil {
		return 0
	}
	return e.SrcSecID
}

// TestHairpinWithoutRouting: a pod's packet to itself is delivered even where the
// stack does all else.
func TestHairpinWithoutRouting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deliver(dataplane.DeliverStack))
	s := service{id: 10, ip: addr{10, 96, 5, 5}, port: 80, backends: []backend{{w.pod1.ip, 8080, 0}}}
	w.addService(s)
	r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
	equal(t, "verdict", r.verdict, redirect(14))
	equal(t, "TTL", partsOf(t, r.frame).TTL, 63)
	r = w.fromPod(w.pod1, w.pod1.tcp(addr{169, 254, 42, 1}, 8080, 1, "SA").bytes(t))
	equal(t, "verdict of the answer", r.verdict, redirect(14))
	equal(t, "source of the answer", partsOf(t, r.frame).Src, s.ip)
	// A tunnel is still a tunnel, and a local pod is the stack's.
	equal(t, "remote", w.fromPod(w.pod1, w.pod1.tcp(podsOfB()[0].ip, 1, 80, "S").bytes(t)).verdict, redirect(vxlanIfindex))
	f := w.pod1.tcp(w.pod2.ip, 1, 80, "S")
	f.ttl = 1
	equal(t, "local, TTL 1", w.fromPod(w.pod1, f.bytes(t)).verdict, pass())
}
