package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// TestMasquerade lets two pods use the same source port to the same server: on the
// wire both have the node's address, and different ports.
func TestMasquerade(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"tcp", "udp"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, real112, nil)
			ports := map[uint16]bool{}
			for _, from := range []string{"pod1-1", "pod1-2"} {
				start, port := w.TCP, uint16(80)
				if proto == "udp" {
					start, port = w.UDP, 53
				}
				r := w.run(start(from, "web", port, sim.Message{SrcPort: 40000, Data: []byte("x")}))
				if r.Outcome != sim.Answered {
					t.Fatalf("%s: %s", from, w.summary(r))
				}
				d, back := r.Deliveries[0], r.Replies[0]
				if d.Src.Addr().String() != "172.18.0.3" || back.Dst.Port() != 40000 {
					t.Errorf("%s: server sees %s, client is %s", from, d.Src, back.Dst)
				}
				ports[d.Src.Port()] = true
			}
			if len(ports) != 2 || !ports[40000] {
				t.Errorf("got ports %v, want 40000 and another one", ports)
			}
		})
	}
}

// TestMasqueradeErrors brings ICMP errors of all hops back to the pod, with the
// packet that they quote translated too.
func TestMasqueradeErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		start func(w *world) (*sim.Conversation, error)
		want  string
	}{
		{"port unreachable", func(w *world) (*sim.Conversation, error) {
			return w.UDP("pod1-1", "web", 9, sim.Message{SrcPort: 40000, Data: []byte("x")})
		}, "192.0.2.80>10.0.1.11 3/3"},
		{"time exceeded", func(w *world) (*sim.Conversation, error) {
			return w.UDP("pod1-1", "web", 9, sim.Message{SrcPort: 40000, TTL: 3})
		}, "172.18.0.1>10.0.1.11 11/0"},
		{"fragmentation needed", func(w *world) (*sim.Conversation, error) {
			return w.UDP("pod1-1", "web", 9, sim.Message{SrcPort: 40000, Data: make([]byte, 1400), DontFragment: true})
		}, "172.18.0.1>10.0.1.11 3/4"},
		{"fragmentation needed, ping", func(w *world) (*sim.Conversation, error) {
			return w.Ping("pod1-1", "web", sim.Message{Data: make([]byte, 1400), DontFragment: true})
		}, "172.18.0.1>10.0.1.11 3/4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got string
			w := newWorld(t, real112, func(o *sim.Options) {
				o.WorldMTU = 1280
				o.Observer = func(e *sim.Event) {
					if e.Kind == sim.In && e.Place.Name == "default/pod1-1" && e.Relation == sim.Failure {
						got = icmpError(t, e.Data)
					}
				}
			})
			r := w.run(tt.start(w))
			if r.Outcome != sim.Unreachable || got != tt.want {
				t.Errorf("got %s, %q; want %q", w.summary(r), got, tt.want)
			}
		})
	}
}

// icmpError decodes an error at the pod with an independent decoder: checksums, and
// that it quotes what the pod sent.
func icmpError(tb testing.TB, frame []byte) string {
	tb.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	ip, ok1 := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	icmp, ok2 := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if !ok1 || !ok2 {
		tb.Fatalf("not ICMP: %v", p)
	}
	if header.Sum(0).Partial(append(slices.Clone(icmp.Contents), icmp.Payload...)).Fold() != 0 {
		tb.Error("wrong ICMP checksum")
	}
	q := header.IPv4(icmp.Payload)
	if header.IPv4HeaderChecksum(q[:20]) != q.Checksum() {
		tb.Error("wrong IP checksum of the quoted packet")
	}
	if q.Src() != [4]byte{10, 0, 1, 11} || q.Dst() != [4]byte{192, 0, 2, 80} {
		tb.Errorf("quotes %v > %v", q.Src(), q.Dst())
	}
	if q.Protocol() != header.ProtoICMP && (q[20] != 40000>>8 || q[21] != 40000&0xff) {
		tb.Errorf("quotes source port % x", q[20:22])
	}
	return fmt.Sprintf("%s>%s %d/%d", ip.SrcIP, ip.DstIP, icmp.TypeCode.Type(), icmp.TypeCode.Code())
}

// TestRules looks at who translated and marked, as an observer is told.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, from, to string
		port           uint16
		want           []string
	}{
		{"pod to external", "pod1-1", "lan", 80, []string{
			"cilium's rules masquerade non-cluster source 10.0.1.11 > 172.18.0.3 reply false",
			"cilium's rules masquerade non-cluster destination 172.18.0.3 > 10.0.1.11 reply true",
		}},
		{"host to ClusterIP, remote backend", "n1", "svc/far", 80, []string{
			"kube-proxy ClusterIP destination 10.96.0.13 > 10.0.2.11 reply false",
			"mark 0 > 0xc00 by cilium's rules",
			"cilium's rules host->cluster source 172.18.0.3 > 10.0.1.1 reply false",
			"cilium's rules host->cluster destination 10.0.1.1 > 172.18.0.3 reply true",
			"kube-proxy ClusterIP source 10.0.2.11 > 10.96.0.13 reply true",
		}},
		{"host to pod: the route's source, no rule", "n1", "pod2-1", 80, []string{"mark 0 > 0xc00 by cilium's rules"}},
		{"pod to pod", "pod1-1", "pod2-1", 80, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			w := newWorld(t, real112, func(o *sim.Options) {
				o.Observer = func(e *sim.Event) {
					switch {
					case e.Packet > 6: // the first packet and its answer are enough
					case e.Kind == sim.Translated:
						end := "destination"
						if e.NAT.Source {
							end = "source"
						}
						got = append(got, fmt.Sprintf("%s %s %s %s > %s reply %t", e.Actor, e.NAT.Rule, end, e.NAT.From.Addr(), e.NAT.To.Addr(), e.NAT.Reply))
					case e.Kind == sim.Marked:
						got = append(got, fmt.Sprintf("mark %d > %#x by %s", e.Marks[0], e.Marks[1], e.Actor))
					}
				}
			})
			if r := w.run(w.TCP(tt.from, tt.to, tt.port, sim.Message{Flags: header.TCPSYN, Timeout: time.Millisecond})); len(r.Replies) == 0 {
				t.Fatal(w.summary(r))
			}
			// A bare SYN's second answer, and what follows, is not of interest.
			if n := len(tt.want); len(got) < n || !slices.Equal(got[:n], tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if len(tt.want) == 0 && len(got) != 0 {
				t.Errorf("got %q, want nothing", got)
			}
		})
	}
}

// TestInvalid lets segments that begin no connection leave a pod: no rule translates
// those, so they go out with the pod's own address.
func TestInvalid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		flags      uint8
		translated bool
	}{
		{header.TCPSYN, true},
		{header.TCPACK, true}, // picked up (nf_conntrack_tcp_loose)
		{header.TCPRST, false},
		{header.TCPRST | header.TCPACK, false},
		{header.TCPFIN | header.TCPACK, false},
		{header.TCPSYN | header.TCPACK, false},
	} {
		var state sim.FlowState
		translated := false
		w := newWorld(t, real112, func(o *sim.Options) {
			o.Observer = func(e *sim.Event) {
				if e.Kind == sim.Tracked && state == 0 {
					state = e.Flow
				}
				translated = translated || e.Kind == sim.Translated && e.NAT.Rule == sim.Masquerade && !e.NAT.Reply
			}
		})
		w.run(w.TCP("pod1-1", "lan", 80, sim.Message{Flags: tt.flags, Timeout: time.Millisecond}))
		if translated != tt.translated || (state == sim.FlowInvalid) == tt.translated {
			t.Errorf("flags %#x: %s, translated: %t", tt.flags, state, translated)
		}
	}
}

// TestIdentityMark checks the mark with which the stack gets a pod's packet (SPEC 3.5).
func TestIdentityMark(t *testing.T) {
	t.Parallel()
	var marks []uint32
	w := newWorld(t, real112, func(o *sim.Options) {
		o.Observer = func(e *sim.Event) {
			if e.Kind == sim.Routed && e.Route.Device == "eth0" {
				marks = append(marks, e.Mark)
			}
		}
	})
	w.run(w.Ping("pod1-1", "web", sim.Message{}))
	if len(marks) != 1 || marks[0] != 1001<<16|0xf00 {
		t.Errorf("got marks %#x, want 0x3e90f00", marks)
	}
}

// TestBackends spreads the host's connections over a service's backends, and none to
// one that is terminating.
func TestBackends(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, func(o *sim.Options) { o.Observer = nil })
	for _, name := range []string{"more-1", "more-2"} {
		if _, err := w.cluster.AddPod(pod(name, "n2", "far")); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.cluster.SetPhase("more-2", terminating); err != nil {
		t.Fatal(err)
	}
	w.Refresh()
	for _, from := range []string{"n1", "pod1-1"} {
		got := map[string]int{}
		for range 40 {
			r := w.run(w.TCP(from, "svc/far", 80, sim.Message{}))
			if r.Outcome != sim.Answered {
				t.Fatal(w.summary(r))
			}
			got[r.Deliveries[0].Place.Name]++
		}
		if len(got) != 2 || got["default/pod2-1"] < 5 || got["default/more-1"] < 5 {
			t.Errorf("%s: got %v", from, got)
		}
	}
}
