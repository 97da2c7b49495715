package emu_test

import (
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// This file has the cases of SPEC 18 about connection tracking: 25 to 33.

// rawDelta is the one change of a map under a key that contains part, as bytes.
func (r *result) rawDelta(t *testing.T, name, key string) maps.Delta {
	t.Helper()
	for _, d := range r.deltas {
		if d.Map == name && hexOf(d.Key) == key {
			return d
		}
	}
	t.Fatalf("no change of %s %s", name, key)
	return maps.Delta{}
}

func TestSpec18_25_RevNATIndexIsBigEndian(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.web()
	r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 40000, 80, "S").bytes(t))
	for _, tt := range []struct{ what, key string }{
		{"service entry", "0a6034f8" + "0a0001b2" + "9c40" + "0050" + "0604"},
		{"connection", "0a0001b2" + "0a00014f" + "1f90" + "9c40" + "0600"},
	} {
		d := r.rawDelta(t, maps.NameCT4, tt.key)
		equal(t, tt.what, hexOf(d.New[38:40]), "0005")
	}
	// The maps that the agent fills have the same bytes.
	v := make([]byte, 12)
	must(t, w.maps.Services.Lookup([]byte{10, 96, 52, 248, 0, 80, 0, 0, 0, 0, 0, 0}, v))
	equal(t, "service", hexOf(v[6:8]), "0005")
	v = make([]byte, 6)
	must(t, w.maps.RevNAT.Lookup([]byte{0, 5}, v))
	equal(t, "reverse NAT", hexOf(v), "0a6034f80050")
	// And with an id that is no palindrome the answer is translated.
	back := w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 8080, 40000, "SA").bytes(t))
	equal(t, "source of the answer", partsOf(t, back.frame).Src, s.ip)
}

func TestSpec18_26_ConntrackKeyPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	// daddr = the pod that opens, saddr = its peer, dport = 80, sport = 40000.
	key := "0a0001b2" + "0a00014f" + "0050" + "9c40" + "06"
	for _, flags := range []string{"00", "01"} {
		equal(t, "operation", r.rawDelta(t, maps.NameCT4, key+flags).Op, maps.Add)
	}
	equal(t, "TCP entries", r.conntrack[0][:3]+r.conntrack[1][:3], "addadd")
	equal(t, "entries in all", len(r.conntrack), 4)
	// The answer finds both under the same keys: no third pair.
	r = w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 40000, "SA").bytes(t))
	for _, flags := range []string{"00", "01"} {
		equal(t, "operation", r.rawDelta(t, maps.NameCT4, key+flags).Op, maps.Change)
	}
	equal(t, "entries of the answer", len(r.conntrack), 2)
	equal(t, "events", r.events, []string{
		"to-endpoint from 1272: 74565->10178 id 1272 ifindex 14 orig 10.0.1.79 reply, 54 of 54",
	})
}

func TestSpec18_27_ServiceEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := service{id: 5, ip: addr{10, 96, 52, 248}, port: 80, backends: []backend{{w.pod3.ip, 80, 0}, {w.pod2.ip, 8080, 0}}}
	w.addService(s)
	w.rand = 7 // 7 mod 2 + 1 = slot 2
	r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 40000, 80, "S").bytes(t))
	equal(t, "conntrack", r.conntrack[2],
		"add TCP 10.96.52.248 10.0.1.178 40000 80 4: rx 0/51 tx 0/0 life 60 bits 0x0 rev 5 sec 0 seen 2/0 report 1000/0")
	// Later packets leave the backend in the same field.
	r = w.fromPod(w.pod1, w.pod1.tcp(s.ip, 40000, 80, "A").bytes(t))
	equal(t, "conntrack", r.conntrack[2],
		"set TCP 10.96.52.248 10.0.1.178 40000 80 4: rx 0/51 tx 0/0 life 21600 bits 0x10 rev 5 sec 0 seen 12/0 report 1000/0")
}

func TestSpec18_28_MidStreamACK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "A").bytes(t))
	equal(t, "verdict", r.verdict, redirect(16))
	equal(t, "conntrack", r.conntrack[:2], []string{
		"add TCP 10.0.1.178 10.0.1.79 80 40000 0: rx 0/0 tx 1/54 life 60 bits 0x0 rev 0 sec 10178 seen 2/0 report 1000/0",
		"add TCP 10.0.1.178 10.0.1.79 80 40000 1: rx 1/54 tx 0/0 life 60 bits 0x0 rev 0 sec 10178 seen 0/2 report 0/1000",
	})
	w.now++
	r = w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "A").bytes(t))
	equal(t, "conntrack of the second", r.conntrack, []string{
		"set TCP 10.0.1.178 10.0.1.79 80 40000 0: rx 0/0 tx 2/108 life 21600 bits 0x10 rev 0 sec 10178 seen 12/0 report 1001/0",
		"set TCP 10.0.1.178 10.0.1.79 80 40000 1: rx 2/108 tx 0/0 life 21600 bits 0x10 rev 0 sec 10178 seen 0/12 report 0/1001",
	})
}

// established opens a connection from pod1 to port 80 of pod2.
func (w *world) established(sport uint16) {
	w.tb.Helper()
	w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, sport, 80, "S").bytes(w.tb))
	w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, sport, "SA").bytes(w.tb))
	w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, sport, 80, "A").bytes(w.tb))
}

func TestSpec18_29_AnyRSTClosesBothDirections(t *testing.T) {
	t.Parallel()
	t.Run("from the client", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.established(40000)
		r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "R").bytes(t))
		equal(t, "conntrack", r.conntrack, []string{
			"set TCP 10.0.1.178 10.0.1.79 80 40000 0: rx 1/54 tx 3/162 life 10 bits 0x13 rev 0 sec 10178 seen 16/12 report 1000/1000",
			"set TCP 10.0.1.178 10.0.1.79 80 40000 1: rx 3/162 tx 1/54 life 10 bits 0x13 rev 0 sec 10178 seen 12/16 report 1000/1000",
		})
	})
	t.Run("from the server", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.established(40000)
		r := w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 40000, "RA").bytes(t))
		equal(t, "conntrack", r.conntrack, []string{
			"set TCP 10.0.1.178 10.0.1.79 80 40000 0: rx 2/108 tx 2/108 life 10 bits 0x13 rev 0 sec 10178 seen 12/16 report 1000/1000",
			"set TCP 10.0.1.178 10.0.1.79 80 40000 1: rx 2/108 tx 2/108 life 10 bits 0x13 rev 0 sec 10178 seen 16/12 report 1000/1000",
		})
	})
	t.Run("FIN closes its direction", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.established(40000)
		r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "FA").bytes(t))
		equal(t, "conntrack", r.conntrack, []string{
			"set TCP 10.0.1.178 10.0.1.79 80 40000 0: rx 1/54 tx 3/162 life 21600 bits 0x12 rev 0 sec 10178 seen 13/12 report 1000/1000",
			"set TCP 10.0.1.178 10.0.1.79 80 40000 1: rx 3/162 tx 1/54 life 21600 bits 0x11 rev 0 sec 10178 seen 12/13 report 1000/1000",
		})
	})
}

func TestSpec18_30_SYNReopens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.established(40000)
	w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "R").bytes(t))
	w.now += 3
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	equal(t, "conntrack", r.conntrack, []string{
		"set TCP 10.0.1.178 10.0.1.79 80 40000 0: rx 1/54 tx 4/216 life 21600 bits 0x10 rev 0 sec 10178 seen 16/12 report 1000/1000",
		"set TCP 10.0.1.178 10.0.1.79 80 40000 1: rx 4/216 tx 1/54 life 21600 bits 0x10 rev 0 sec 10178 seen 12/16 report 1000/1000",
	})
	// Nothing is new and no report is due, so aggregation hides the packet.
	equal(t, "events", r.events, nil)
	w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "R").bytes(t))
	w.now += 6
	r = w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	equal(t, "events when a report is due", r.events, []string{
		"to-endpoint from 436: 10178->74565 id 436 ifindex 16 orig 10.0.1.178 reopened, 54 of 54",
	})
}

func TestSpec18_31_RelatedEntryIsNeverRefreshed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.established(40000)
	w.now += 30
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "A").bytes(t))
	equal(t, "changed entries", len(r.conntrack), 2) // the flow's own two
	// An ICMP error of the peer finds the related entry of the client's side.
	f := w.pod2.ipv4(w.pod1.ip).icmp(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodePort, 0)
	r = w.fromPod(w.pod2, f.bytes(t))
	equal(t, "verdict", r.verdict, redirect(14))
	equal(t, "conntrack", r.conntrack, []string{
		"set ICMPv4 10.0.1.178 10.0.1.79 0 0 2: rx 1/42 tx 1/54 life 60 bits 0x10 rev 0 sec 10178 seen 2/0 report 1000/1030",
		"set ICMPv4 10.0.1.178 10.0.1.79 0 0 3: rx 1/54 tx 1/42 life 60 bits 0x10 rev 0 sec 10178 seen 0/2 report 1030/1000",
	})
	equal(t, "events", r.events, []string{
		"to-endpoint from 1272: 74565->10178 id 1272 ifindex 14 orig 10.0.1.79 related, 42 of 42",
	})
}

func TestSpec18_32_EchoEntry(t *testing.T) {
	t.Parallel()
	w, remote := newWorld(t), podsOfB()[0]
	r := w.fromPod(w.pod1, w.pod1.echo(remote.ip, 0x1234, false).bytes(t))
	equal(t, "request", r.conntrack, []string{
		"add ICMPv4 10.0.1.178 10.0.2.230 0 0 2: rx 0/0 tx 1/42 life 60 bits 0x10 rev 0 sec 10178 seen 0/0 report 1000/0",
		"add ICMPv4 10.0.1.178 10.0.2.230 0 4660 0: rx 0/0 tx 1/42 life 60 bits 0x0 rev 0 sec 10178 seen 0/0 report 1000/0",
	})
	r = w.fromOverlay(remote.echo(w.pod1.ip, 0x1234, true).bytes(t), remote.identity)
	equal(t, "answer", r.conntrack, []string{
		"set ICMPv4 10.0.1.178 10.0.2.230 0 4660 0: rx 1/42 tx 1/42 life 60 bits 0x0 rev 0 sec 10178 seen 0/0 report 1000/1000",
	})
	equal(t, "answer with another id", len(w.fromOverlay(remote.echo(w.pod1.ip, 0x1235, true).bytes(t), remote.identity).conntrack), 2)
}

func TestSpec18_33_RelatedByOuterAddressesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.established(40000)
	unreachable := func(from pod) []byte {
		// The embedded packet is of no flow that exists; nobody reads it.
		f := from.ipv4(w.pod1.ip).icmp(layers.ICMPv4TypeTimeExceeded, 0, 0)
		f.payload = make([]byte, 28)
		return f.bytes(t)
	}
	r := w.fromPod(w.pod2, unreachable(w.pod2))
	equal(t, "event of the peer's", r.events, []string{
		"to-endpoint from 1272: 74565->10178 id 1272 ifindex 14 orig 10.0.1.79 related, 70 of 70",
	})
	// A router between is a new flow with entries of its own.
	router := frame{src: addr{172, 18, 0, 9}, dst: w.pod1.ip, ttl: 64}.icmp(layers.ICMPv4TypeTimeExceeded, 0, 0)
	r = w.fromHost(router.bytes(t), 0)
	equal(t, "verdict of a router's", r.verdict, redirect(14))
	equal(t, "conntrack of a router's", r.conntrack, []string{
		"add ICMPv4 172.18.0.9 10.0.1.178 0 0 3: rx 1/42 tx 0/0 life 60 bits 0x10 rev 0 sec 2 seen 0/0 report 0/1000",
	})
	equal(t, "event of a router's", r.events, []string{
		"to-endpoint from 1272: 2->10178 id 1272 ifindex 14 orig 172.18.0.9 new, 42 of 42",
	})
	equal(t, "status", code.CTRelated.String(), "related")
}
