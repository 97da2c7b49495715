package emu_test

import (
	"fmt"
	"testing"
)

// TestICMPTypes: three types of ICMP are errors about other flows; all others are
// flows of their own, without ports unless they are echoes.
func TestICMPTypes(t *testing.T) {
	t.Parallel()
	for typ := range uint8(20) {
		t.Run(fmt.Sprint(typ), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.established(1)
			r := w.fromPod(w.pod2, w.pod2.ipv4(w.pod1.ip).icmp(typ, 0, 7).bytes(t))
			status, ports := "new", "0 0"
			switch typ {
			case 3, 11, 12:
				status = "related"
			case 0: // as if it answered an echo that was never sent
				ports = "7 0"
			case 8:
				ports = "0 7"
			}
			equal(t, "event", r.events, []string{
				"to-endpoint from 1272: 74565->10178 id 1272 ifindex 14 orig 10.0.1.79 " + status + ", 42 of 42",
			})
			if status == "related" {
				equal(t, "changed entries", len(r.conntrack), 2)
				return
			}
			got := ""
			for _, line := range r.conntrack {
				var op, proto, daddr, saddr string
				var dport, sport, flags int
				if _, err := fmt.Sscanf(line, "%s %s %s %s %d %d %d", &op, &proto, &daddr, &saddr, &dport, &sport, &flags); err != nil {
					t.Fatal(err)
				}
				if op == "add" && flags == 0 {
					got = fmt.Sprint(dport, sport)
				}
			}
			equal(t, "ports of the new entry", got, ports)
		})
	}
}

// TestEveryFINIsReported: FIN and RST are told even if their flags are no news.
func TestEveryFINIsReported(t *testing.T) {
	t.Parallel()
	for _, flags := range []string{"FA", "RA"} {
		w := newWorld(t)
		w.established(1)
		for range 3 {
			r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, flags).bytes(t))
			equal(t, flags+": events", r.events, []string{
				"to-endpoint from 436: 10178->74565 id 436 ifindex 16 orig 10.0.1.178 established, 54 of 54",
			})
		}
	}
}

// TestFINFromBothSides: the second FIN ends the connection in 10 s.
func TestFINFromBothSides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.established(1)
	w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "FA").bytes(t))
	r := w.fromPod(w.pod2, w.pod2.tcp(w.pod1.ip, 80, 1, "FA").bytes(t))
	equal(t, "conntrack", r.conntrack, []string{
		"set TCP 10.0.1.178 10.0.1.79 80 1 0: rx 2/108 tx 3/162 life 10 bits 0x13 rev 0 sec 10178 seen 13/13 report 1000/1000",
		"set TCP 10.0.1.178 10.0.1.79 80 1 1: rx 3/162 tx 2/108 life 10 bits 0x13 rev 0 sec 10178 seen 13/13 report 1000/1000",
	})
	// The last ACK is counted and does not prolong it.
	w.now += 2
	r = w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "A").bytes(t))
	equal(t, "conntrack after the last ACK", r.conntrack, []string{
		"set TCP 10.0.1.178 10.0.1.79 80 1 0: rx 2/108 tx 4/216 life 8 bits 0x13 rev 0 sec 10178 seen 13/13 report 1000/1000",
		"set TCP 10.0.1.178 10.0.1.79 80 1 1: rx 4/216 tx 2/108 life 8 bits 0x13 rev 0 sec 10178 seen 13/13 report 1000/1000",
	})
}
