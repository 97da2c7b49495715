package emu_test

import (
	"fmt"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// This file has boundaries and odd states that neither the recorded packets nor
// SPEC 18 reach.

// TestShortHeaderToService: what a truncated L4 header misses decides where it
// fails: ports, conntrack's flags, the checksum.
func TestShortHeaderToService(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		proto      layers.IPProtocol
		from, to   int // bytes of L4 header
		verdict    dataplane.Verdict
		translated bool
	}{
		{layers.IPProtocolUDP, 0, 3, dropped(-14), false},
		{layers.IPProtocolUDP, 4, 7, dropped(code.DropCsumL4), true},
		{layers.IPProtocolUDP, 8, 8, redirect(16), true},
		{layers.IPProtocolTCP, 0, 3, dropped(-14), false},
		{layers.IPProtocolTCP, 4, 13, dropped(code.DropNoService), false}, // conntrack's -135 is "no service" there
		{layers.IPProtocolTCP, 14, 17, dropped(code.DropCsumL4), true},
		{layers.IPProtocolTCP, 18, 20, redirect(16), true},
	} {
		for n := tt.from; n <= tt.to; n++ {
			t.Run(fmt.Sprintf("%s %d", tt.proto, n), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				l4 := append([]byte{0x9c, 0x40, 0, 80}, make([]byte, 16)...)[:n]
				r := w.fromPod(w.pod1, w.pod1.ipv4(w.web().ip).raw(tt.proto, l4).bytes(t))
				equal(t, "verdict", r.verdict, tt.verdict)
				equal(t, "translated", addr(r.frame[30:34]) == w.pod2.ip, tt.translated)
				if tt.verdict.Action == code.Drop {
					reason := uint8(-tt.verdict.Drop)
					equal(t, "events", r.events, []string{
						fmt.Sprintf("drop %d from 1272: 10178->0 id 0 file 8, %d of %d", reason, 34+n, 34+n),
					})
				}
			})
		}
	}
}

func TestBrokenService(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		damage func(w *world, s service)
	}{
		{"slot missing", func(w *world, s service) {
			must(t, w.maps.Services.Remove(&maps.LB4Key{Address: s.ip, DPort: be16(s.port), BackendSlot: 1}))
		}},
		{"backend missing", func(w *world, s service) { must(t, w.maps.Backends.Remove(&maps.LB4BackendKey{ID: s.backendID(0)})) }},
		{"backend 0 in the slot", func(w *world, s service) {
			must(t, w.maps.Services.Set(&maps.LB4Key{Address: s.ip, DPort: be16(s.port), BackendSlot: 1}, &maps.LB4Service{RevNAT: be16(s.id)}, maps.Any))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.web()
			tt.damage(w, s)
			r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
			equal(t, "verdict", r.verdict, dropped(code.DropNoService))
			equal(t, "conntrack", r.conntrack, nil)
			r.unchanged(t)
			equal(t, "draws", w.draws, 1)
		})
	}
}

// TestKnownFlowOfService: what a later packet of a service's flow does when the
// service has changed meanwhile (SPEC 6.3, steps 3 and 4).
func TestKnownFlowOfService(t *testing.T) {
	t.Parallel()
	const entry = "TCP 10.96.1.1 10.0.1.178 1 80 4: rx 0/%d tx 0/0 life %d bits %s rev %d sec 0 seen %s/0 report 1000/0"
	state := func(id uint32, s uint8) func(w *world) {
		return func(w *world) { w.maps.Backends.Ref(&maps.LB4BackendKey{ID: id}).State = s }
	}
	revNAT := func(id uint16) func(w *world) {
		return func(w *world) {
			k := maps.CTKey{DAddr: addr{10, 96, 1, 1}, SAddr: w.pod1.ip, DPort: be16(1), SPort: be16(80), Proto: 6, Flags: 4}
			w.maps.CT4.Ref(&k).RevNAT = be16(id)
		}
	}
	noSlot := func(slot uint16) func(w *world) {
		return func(w *world) {
			must(t, w.maps.Services.Remove(&maps.LB4Key{Address: addr{10, 96, 1, 1}, DPort: be16(80), BackendSlot: slot}))
		}
	}
	gone := func(id uint32) func(w *world) {
		return func(w *world) { must(t, w.maps.Backends.Remove(&maps.LB4BackendKey{ID: id})) }
	}
	for _, tt := range []struct {
		name    string
		change  []func(w *world)
		flags   string
		verdict dataplane.Verdict
		port    uint16
		draws   int
		entry   string
	}{
		{"nothing", nil, "A", redirect(16), 8000, 0, fmt.Sprintf(entry, 50, 21600, "0x10", 5, "12")},
		{"nothing, SYN", nil, "S", redirect(16), 8000, 0, ""},
		{"terminating, goes on", []func(*world){state(50, 1)}, "A", redirect(16), 8000, 0, fmt.Sprintf(entry, 50, 21600, "0x10", 5, "12")},
		{"terminating, SYN", []func(*world){state(50, 1)}, "S", redirect(16), 8001, 1, fmt.Sprintf(entry, 51, 60, "0x0", 5, "2")},
		{"quarantined, SYN", []func(*world){state(50, 2)}, "S", redirect(16), 8001, 1, fmt.Sprintf(entry, 51, 60, "0x0", 5, "2")},
		{"gone", []func(*world){gone(50)}, "A", redirect(16), 8001, 1, fmt.Sprintf(entry, 51, 21600, "0x10", 5, "12")},
		{"both gone", []func(*world){gone(50), gone(51)}, "A", dropped(code.DropNoService), 80, 1, fmt.Sprintf(entry, 50, 21600, "0x10", 5, "12")},
		{"entry without service", []func(*world){revNAT(0)}, "A", redirect(16), 8000, 0, fmt.Sprintf(entry, 50, 21600, "0x10", 5, "12")},
		{"entry of another service, new backend gone", []func(*world){revNAT(99), gone(51)}, "A", dropped(code.DropNoService), 80, 2, fmt.Sprintf(entry, 51, 21600, "0x10", 5, "12")},
		{"entry of another service, slot gone", []func(*world){revNAT(99), noSlot(2)}, "A", dropped(code.DropNoService), 80, 1, fmt.Sprintf(entry, 50, 21600, "0x10", 99, "12")},
		{"entry of another service", []func(*world){revNAT(99)}, "A", redirect(16), 8001, 1, fmt.Sprintf(entry, 51, 21600, "0x10", 5, "12")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := service{id: 5, ip: addr{10, 96, 1, 1}, port: 80, backends: []backend{{w.pod2.ip, 8000, 0}, {w.pod2.ip, 8001, 0}}}
			w.addService(s)
			w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
			for _, change := range tt.change {
				change(w)
			}
			w.rand, w.draws = 1, 0
			r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, tt.flags).bytes(t))
			equal(t, "verdict", r.verdict, tt.verdict)
			equal(t, "port", partsOf(t, r.frame).DstPort, tt.port)
			equal(t, "draws", w.draws, tt.draws)
			var got string
			for _, line := range r.conntrack {
				if line[4:17] == "TCP 10.96.1.1" {
					got = line[4:]
				}
			}
			equal(t, "service entry", got, tt.entry)
		})
	}
}

// TestServiceEntryCloses: a service entry sees one direction only, so neither FIN
// nor RST ends it; its lifetime stays.
func TestServiceEntryCloses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, flags, seen string }{{"FIN", "FA", "13"}, {"RST", "R", "6"}, {"both", "FR", "7"}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.web()
			w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
			r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, tt.flags).bytes(t))
			equal(t, "entry", r.conntrack[len(r.conntrack)-1],
				"set TCP 10.96.52.248 10.0.1.178 1 80 4: rx 0/50 tx 0/0 life 21600 bits 0x12 rev 5 sec 0 seen "+tt.seen+"/0 report 1000/0")
			// A SYN before the rebalance time opens it again, with its backend.
			r = w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
			equal(t, "entry after a SYN", r.conntrack[len(r.conntrack)-1],
				"set TCP 10.96.52.248 10.0.1.178 1 80 4: rx 0/50 tx 0/0 life 21600 bits 0x10 rev 5 sec 0 seen "+tt.seen+"/0 report 1000/0")
		})
	}
}

// TestNATPortZero: port 0 in a backend or a reverse entry leaves the port.
func TestNATPortZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := service{id: 5, ip: addr{10, 96, 1, 1}, port: 80, backends: []backend{{w.pod2.ip, 0, 0}}}
	w.addService(s)
	must(t, w.maps.RevNAT.Set(&maps.RevNATKey{ID: be16(5)}, &maps.RevNAT{Address: s.ip}, maps.Any))
	got := partsOf(t, w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t)).frame)
	equal(t, "request", parts{Dst: got.Dst, DstPort: got.DstPort}, parts{Dst: w.pod2.ip, DstPort: 80})
	got = partsOf(t, w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 1, "SA").bytes(t)).frame)
	equal(t, "answer", parts{Src: got.Src, SrcPort: got.SrcPort}, parts{Src: s.ip, SrcPort: 80})
	// With another port in the entry the answer's port changes all the same.
	must(t, w.maps.RevNAT.Set(&maps.RevNATKey{ID: be16(5)}, &maps.RevNAT{Address: s.ip, Port: be16(8443)}, maps.Any))
	got = partsOf(t, w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 1, "SA").bytes(t)).frame)
	equal(t, "answer with a port", parts{Src: got.Src, SrcPort: got.SrcPort}, parts{Src: s.ip, SrcPort: 8443})
}

// TestRelatedReverseNAT: at egress an ICMP error of a translated connection has
// its source rewritten, and only that; at ingress it is left as it is.
func TestRelatedReverseNAT(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.web()
	w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
	unreachable := w.pod2.ipv4(w.pod1.ip).icmp(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodePort, 0)
	r := w.fromPod(w.pod2, unreachable.bytes(t))
	equal(t, "source at ingress", partsOf(t, r.frame).Src, w.pod2.ip)
	equal(t, "events", r.events, []string{
		"to-endpoint from 1272: 74565->10178 id 1272 ifindex 14 orig 10.0.1.79 related, 42 of 42",
	})
	// The entry of the server's side has no service; give it one.
	k := maps.CTKey{DAddr: w.pod1.ip, SAddr: w.pod2.ip, Proto: 1, Flags: maps.TupleIn | maps.TupleRelated}
	w.maps.CTAny4.Ref(&k).RevNAT = be16(s.id)
	b := unreachable.bytes(t)
	r = w.fromPod(w.pod2, append([]byte{}, b...))
	equal(t, "source at egress", partsOf(t, r.frame).Src, s.ip)
	equal(t, "ICMP", hexOf(r.frame[34:]), hexOf(b[34:]))
}

// TestConnectionOfAnotherService: an established connection whose entry has
// another service is made anew.
func TestConnectionOfAnotherService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.established(1)
	s := service{id: 5, ip: addr{10, 96, 1, 1}, port: 80, backends: []backend{{w.pod2.ip, 80, 0}}}
	w.addService(s)
	r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "A").bytes(t))
	equal(t, "conntrack", r.conntrack[:2], []string{
		"set TCP 10.0.1.178 10.0.1.79 80 1 0: rx 0/0 tx 1/54 life 60 bits 0x0 rev 5 sec 10178 seen 2/0 report 1000/0",
		"set TCP 10.0.1.178 10.0.1.79 80 1 1: rx 3/162 tx 1/54 life 21600 bits 0x10 rev 0 sec 10178 seen 12/12 report 1000/1000",
	})
}

// TestDeadEntry: packets of a connection that is closed in both directions are
// counted, do not prolong it, and are reported every time.
func TestDeadEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.established(1)
	w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "R").bytes(t))
	for i := range uint64(3) {
		w.now++
		r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "A").bytes(t))
		equal(t, "conntrack", r.conntrack, []string{
			fmt.Sprintf("set TCP 10.0.1.178 10.0.1.79 80 1 0: rx 1/54 tx %d/%d life %d bits 0x13 rev 0 sec 10178 seen 16/12 report 1000/1000", 4+i, 54*(4+i), 9-i),
			fmt.Sprintf("set TCP 10.0.1.178 10.0.1.79 80 1 1: rx %d/%d tx 1/54 life %d bits 0x13 rev 0 sec 10178 seen 12/16 report 1000/1000", 4+i, 54*(4+i), 9-i),
		})
		equal(t, "events", r.events, []string{
			"to-endpoint from 436: 10178->74565 id 436 ifindex 16 orig 10.0.1.178 established, 54 of 54",
		})
	}
}

// TestOptions: the L4 header is where the header length says.
func TestOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.pod1.tcp(w.web().ip, 1, 80, "S").bytes(t)
	withOptions := append(append(append([]byte{}, b[:34]...), 1, 1, 1, 0), b[34:]...)
	withOptions[14], withOptions[17] = 0x46, withOptions[17]+4
	withOptions[24], withOptions[25] = 0, 0
	sum := ^sumOf(withOptions[14:38])
	withOptions[24], withOptions[25] = byte(sum>>8), byte(sum)
	r := w.fromPod(w.pod1, withOptions)
	equal(t, "verdict", r.verdict, redirect(16))
	got := partsOf(t, r.frame)
	equal(t, "translated", parts{Dst: got.Dst, DstPort: got.DstPort}, parts{Dst: w.pod2.ip, DstPort: 8080})
	equal(t, "options", hexOf(r.frame[34:38]), "01010100")
}

// TestFullMaps: a full LRU map takes new connections in place of the ones
// used longest ago; a full metrics map loses counts and nothing else.
func TestFullMaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.maps = maps.NewSet(maps.Sizes{CT4: 2, CTAny4: 2, Metrics: 1})
	w.engine = emu.New(w.maps)
	w.addPod(w.pod1)
	for _, sport := range []uint16{1, 2, 3} {
		r := w.fromPod(w.pod1, w.pod1.tcp(outside(), sport, 80, "S").bytes(t))
		equal(t, "verdict", r.verdict, pass())
	}
	var left []uint16
	for k := range w.maps.CT4.All() {
		left = append(left, uint16(k.SPort[1]))
	}
	equal(t, "connections left", len(left), 2)
	for _, sport := range left {
		if sport == 1 {
			t.Error("the oldest connection is still there")
		}
	}
	f := w.pod1.tcp(outside(), 1, 80, "S")
	f.src = outside()
	r := w.fromPod(w.pod1, f.bytes(t))
	equal(t, "drop with full metrics", r.verdict, dropped(-132))
	equal(t, "metrics", r.metrics, nil)
	equal(t, "events", len(r.events), 1)
}

// TestWithoutListener: events that nobody takes are counted as lost, and nothing
// else changes; so it is with no ring at all.
func TestWithoutListener(t *testing.T) {
	t.Parallel()
	for _, ring := range []*trace.Ring{nil, trace.NewRing(0)} {
		w := newWorld(t)
		p := &dataplane.Packet{Data: w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t), Events: ring}
		v, err := w.engine.Run(w.hook(dataplane.FromContainer, w.pod1), p, w.env())
		must(t, err)
		equal(t, "verdict", v, redirect(16))
		if ring != nil {
			equal(t, "lost", ring.Lost(), 1)
		}
	}
}

// TestFromOverlayInputs has frames of cilium_vxlan other than IPv4 of a pod.
func TestFromOverlayInputs(t *testing.T) {
	t.Parallel()
	w, remote := newWorld(t), podsOfB()[0]
	run := func(p *dataplane.Packet) *result {
		p.CB = [5]uint32{1, 2, 3, 4, 5}
		return w.run(dataplane.Hook{Prog: dataplane.FromOverlay, Ifindex: vxlanIfindex}, p)
	}
	tcp := remote.tcp(w.pod1.ip, 1, 80, "S")
	r := run(&dataplane.Packet{Data: tcp.bytes(t)})
	equal(t, "no tunnel key", r.verdict, dropped(code.DropNoTunnelKey))
	equal(t, "metrics", r.metrics, []string{"3 INGRESS +1 54", "147 INGRESS +1 54"})

	r = run(&dataplane.Packet{Data: tcp.bytes(t), Mark: 0x12345d00})
	equal(t, "decrypted, without a key", r.verdict, redirect(14))
	equal(t, "its mark stays", r.packet.Mark, 0x12345d00)
	equal(t, "its identity is the ipcache's", frameIdentity(w, r.frame), remote.identity)
	equal(t, "its metrics", r.metrics, []string{"0 INGRESS +1 54", "3 INGRESS +1 54"})

	r = run(&dataplane.Packet{Data: append(append(make([]byte, 12), 0x86, 0xdd), make([]byte, 40)...)})
	equal(t, "IPv6", r.verdict, dropped(code.DropUnknownL3))
	equal(t, "events of IPv6", r.events, []string{"drop 139 from 0: 0->0 id 0 file 0, 54 of 54"})

	r = run(&dataplane.Packet{Data: arpRequest(t, remote.mac, broadcast(), remote.mac, remote.ip, w.pod1.ip)})
	equal(t, "ARP", r.verdict, pass())
	equal(t, "metrics of ARP", r.metrics, []string{"3 INGRESS +1 42"})

	r = run(&dataplane.Packet{Data: make([]byte, 13)})
	equal(t, "short", r.verdict, pass())
	equal(t, "metrics of short", r.metrics, nil)
	equal(t, "scratch of short", r.packet.CB, [5]uint32{})

	r = run(&dataplane.Packet{Data: tcp.bytes(t)[:33], TunnelIn: dataplane.TunnelKey{Present: true, ID: 9}})
	equal(t, "short IPv4", r.verdict, dropped(code.DropInvalid))
}

// TestFromHostInputs has frames of cilium_host other than IPv4 to a pod.
func TestFromHostInputs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	to := func(dst addr) []byte { return frame{src: w.router, dst: dst, ttl: 64}.tcp(1, 80, "S").bytes(t) }
	w.ipcache(addr{93, 184, 216, 0}, 24, 16777300, addr{})
	for _, tt := range []struct {
		name    string
		frame   []byte
		verdict dataplane.Verdict
		metrics []string
		dstMAC  mac
	}{
		{"host's own address", to(nodeA()), pass(), []string{"3 INGRESS +1 54"}, w.cfg.NetMAC},
		{"known CIDR", to(addr{93, 184, 216, 34}), pass(), []string{"3 INGRESS +1 54"}, w.cfg.NetMAC},
		{"other node", to(nodeB()), pass(), []string{"3 INGRESS +1 54"}, w.cfg.NetMAC},
		{"world", to(outside()), dropped(-151), []string{"3 INGRESS +1 54", "151 INGRESS +1 54"}, w.cfg.NetMAC},
		{"length for a type", make([]byte, 20), pass(), []string{"0 EGRESS +1 20"}, mac{}},
		{"short", make([]byte, 13), pass(), []string{"0 EGRESS +1 13"}, mac{}},
		{"short IPv4", to(w.pod1.ip)[:33], dropped(-134), []string{"3 INGRESS +1 33", "134 INGRESS +1 33"}, mac{}},
		{"IPv6", append(append(make([]byte, 12), 0x86, 0xdd), make([]byte, 40)...), pass(), []string{"3 INGRESS +1 54"}, mac{}},
	} {
		r := w.fromHost(tt.frame, 0xc00)
		equal(t, tt.name+": verdict", r.verdict, tt.verdict)
		equal(t, tt.name+": metrics", r.metrics, tt.metrics)
		equal(t, tt.name+": destination", mac(r.frame[:6]), tt.dstMAC)
	}
	must(t, w.maps.IPCache.Remove(new(maps.NewIPCacheKey(addr{}, 0))))
	equal(t, "unknown to the ipcache", w.fromHost(to(outside()), 0xc00).verdict, dropped(-151))
	p := &dataplane.Packet{Data: to(podsOfB()[0].ip), Mark: 0xe00, CB: [5]uint32{4: 4711}}
	r := w.run(dataplane.Hook{Prog: dataplane.FromHost, Ifindex: hostIfindex}, p)
	equal(t, "identity of the encrypt mark", r.packet.TunnelOut.ID, 4711)
}

// TestDropLine: file and line of the C source in a drop notification.
func TestDropLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.pod1.tcp(w.pod2.ip, 1, 80, "S")
	f.src = outside()
	p := &dataplane.Packet{Data: f.bytes(t), Events: w.ring}
	if _, err := w.engine.Run(w.hook(dataplane.FromContainer, w.pod1), p, w.env()); err != nil {
		t.Fatal(err)
	}
	b, _ := w.ring.Next()
	n, _, err := trace.DecodeNotification(b)
	must(t, err)
	equal(t, "notification", n, any(trace.Drop{
		Common:   trace.Common{Type: trace.TypeDrop, Subtype: 132, Source: 1272, Len: 54, CapLen: 54},
		SrcLabel: 10178, Line: 0, File: code.FileLXC,
	}))
	// The exit code, file and line as the report's program gets them.
	equal(t, "scratch", p.CB, [5]uint32{10178, 0, 132, 0, 2 | 8<<8})
}

// TestVLANTag: a tag in the bytes is not looked behind.
func TestVLANTag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t)
	tagged := append(append(append([]byte{}, b[:12]...), 0x81, 0, 0, 7), b[12:]...)
	equal(t, "from a pod", w.fromPod(w.pod1, append([]byte{}, tagged...)).verdict, dropped(code.DropUnknownL3))
	equal(t, "from the overlay", w.fromOverlay(append([]byte{}, tagged...), 9).verdict, pass())
	equal(t, "from the host", w.fromHost(tagged, 0).verdict, pass())
}
