package emu_test

import (
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// This file has conntrack's and the monitor's options; delivery_test.go has those
// of delivery.

// lifetimes are all different.
func lifetimes(c *dataplane.Config) {
	c.Lifetimes = dataplane.Lifetimes{
		TCP: 1001, NonTCP: 102, ServiceTCP: 1003, ServiceNonTCP: 104, SYN: 15, Close: 6, ServiceCloseRebalance: 7,
	}
}

// lives are the lifetimes of the changed entries, by key without protocol.
func (r *result) lives() map[string]string {
	m := map[string]string{}
	for _, line := range r.conntrack {
		f := strings.Fields(line)
		m[f[1]+" "+strings.TrimSuffix(f[6], ":")] = f[12] // "TCP 0": flags
	}
	return m
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup func(w *world)
		run   func(w *world) frame
		want  map[string]string
	}{
		{
			name: "TCP SYN", run: func(w *world) frame { return w.pod1.tcp(w.pod2.ip, 1, 80, "S") },
			want: map[string]string{"TCP 0": "15", "TCP 1": "15", "ICMPv4 2": "15", "ICMPv4 3": "15"},
		},
		{
			name: "TCP ACK", run: func(w *world) frame { return w.pod1.tcp(w.pod2.ip, 1, 80, "A") },
			setup: func(w *world) { w.established(1) },
			want:  map[string]string{"TCP 0": "1001", "TCP 1": "1001"},
		},
		{
			name: "TCP RST", run: func(w *world) frame { return w.pod1.tcp(w.pod2.ip, 1, 80, "R") },
			setup: func(w *world) { w.established(1) },
			want:  map[string]string{"TCP 0": "6", "TCP 1": "6"},
		},
		{
			name: "UDP", run: func(w *world) frame { return w.pod1.udp(w.pod2.ip, 1, 80) },
			want: map[string]string{"UDP 0": "102", "UDP 1": "102", "ICMPv4 2": "102", "ICMPv4 3": "102"},
		},
		{
			name: "echo", run: func(w *world) frame { return w.pod1.echo(w.pod2.ip, 1, false) },
			want: map[string]string{"ICMPv4 0": "102", "ICMPv4 1": "102", "ICMPv4 2": "102", "ICMPv4 3": "102"},
		},
		{
			name: "service, TCP SYN", run: func(w *world) frame { return w.pod1.tcp(w.web().ip, 1, 80, "S") },
			want: map[string]string{"TCP 4": "15", "TCP 0": "15", "TCP 1": "15", "ICMPv4 2": "15", "ICMPv4 3": "15"},
		},
		{
			name: "service, TCP ACK", run: func(w *world) frame { return w.pod1.tcp(w.web().ip, 1, 80, "A") },
			setup: func(w *world) { w.fromPod(w.pod1, w.pod1.tcp(w.web().ip, 1, 80, "S").bytes(w.tb)) },
			want:  map[string]string{"TCP 4": "1003", "TCP 0": "1001", "TCP 1": "1001"},
		},
		{
			name: "service, UDP", run: func(w *world) frame { return w.pod1.udp(w.web().ip, 1, 80) },
			want: map[string]string{"UDP 4": "104", "UDP 0": "102", "UDP 1": "102", "ICMPv4 2": "102", "ICMPv4 3": "102"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lifetimes)
			if tt.setup != nil {
				tt.setup(w)
			}
			w.now += 3
			equal(t, "lifetimes", w.fromPod(w.pod1, tt.run(w).bytes(t)).lives(), tt.want)
		})
	}
}

// TestJiffies has the numbers of SPEC 5.4: seconds times HZ, by 256.
func TestJiffies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                  string
		hz                    uint32
		syn, tcp, closed, ivl int
	}{{"HZ 250", 250, 58, 21093, 9, 4}, {"HZ 1000", 1000, 234, 84375, 39, 19}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *dataplane.Config) { c.Clock, c.KernelHz = dataplane.ClockJiffies, tt.hz })
			w.jiffies = 0x1_0000_1234_56 // more than 32 bits; >> 8 is 0x1_0000_1234, cut to 0x1234
			w.now = 7                    // not looked at
			key := maps.CTKey{DAddr: w.pod1.ip, SAddr: w.pod2.ip, DPort: be16(80), SPort: be16(1), Proto: 6}
			send := func(flags string) (*maps.CTEntry, *result) {
				r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, flags).bytes(t))
				return w.maps.CT4.Ref(&key), r
			}
			const start = 0x1234
			e, _ := send("S")
			equal(t, "SYN", e.Lifetime, start+uint32(tt.syn))
			equal(t, "report", e.LastTxReport, start)
			e, _ = send("A")
			equal(t, "established", e.Lifetime, start+uint32(tt.tcp))
			w.jiffies += uint64(tt.ivl) << 8
			_, r := send("A")
			equal(t, "events at the interval", r.events, nil)
			w.jiffies += 1 << 8
			e, r = send("A")
			equal(t, "events after the interval", len(r.events), 1)
			equal(t, "report", e.LastTxReport, start+uint32(tt.ivl)+1)
			e, _ = send("R")
			equal(t, "closed", e.Lifetime, start+uint32(tt.ivl)+1+uint32(tt.closed))
			k := maps.CTKey{DAddr: w.pod1.ip, SAddr: w.pod2.ip, DPort: be16(81), SPort: be16(1), Proto: 17}
			w.fromPod(w.pod1, w.pod1.udp(w.pod2.ip, 1, 81).bytes(t))
			equal(t, "UDP", w.maps.CTAny4.Ref(&k).Lifetime, start+uint32(tt.ivl)+1+uint32(tt.syn))
		})
	}
}

// TestKtimeSeconds: the ktime clock counts whole seconds, rounded down.
func TestKtimeSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &dataplane.Packet{Data: w.pod1.udp(w.pod2.ip, 1, 80).bytes(t)}
	if _, err := w.engine.Run(w.hook(dataplane.FromContainer, w.pod1), p, &dataplane.Env{KtimeNS: 41_999_999_999, Jiffies: 99 << 8}); err != nil {
		t.Fatal(err)
	}
	k := maps.CTKey{DAddr: w.pod1.ip, SAddr: w.pod2.ip, DPort: be16(80), SPort: be16(1), Proto: 17}
	equal(t, "lifetime", w.maps.CTAny4.Ref(&k).Lifetime, 41+60)
}

func TestReportInterval(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		interval uint32
		after    uint64
		events   int
	}{
		{"default, at 5 s", 5, 5, 0},
		{"default, after 6 s", 5, 6, 1},
		{"2 s, at 2 s", 2, 2, 0},
		{"2 s, after 3 s", 2, 3, 1},
		{"0 s, same second", 0, 0, 0},
		{"0 s, next second", 0, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *dataplane.Config) { c.ReportInterval = tt.interval })
			w.established(1)
			w.now += tt.after
			equal(t, "events", len(w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "A").bytes(t)).events), tt.events)
		})
	}
}

func TestReportFlags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		flags  uint8
		seen   uint8
		events int
	}{
		{"all", 0xff, 0x12, 1}, {"SYN FIN RST", 7, 0x02, 0}, {"none", 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *dataplane.Config) { c.ReportFlags = tt.flags })
			w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t))
			r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "A").bytes(t))
			equal(t, "events", len(r.events), tt.events)
			k := maps.CTKey{DAddr: w.pod1.ip, SAddr: w.pod2.ip, DPort: be16(80), SPort: be16(1), Proto: 6}
			equal(t, "flags seen", w.maps.CT4.Ref(&k).TxFlagsSeen, tt.seen)
		})
	}
}

// TestRebalance: a SYN on a closing service entry gets a new backend only after
// the rebalance time.
func TestRebalance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		limit  uint32
		after  uint64
		flags  string
		draws  int
		sentTo uint16 // port of the backend
	}{
		{"before", 60, 59, "S", 0, 8000},
		{"at", 60, 60, "S", 1, 8001},
		{"another time", 7, 7, "S", 1, 8001},
		{"no SYN", 60, 1000, "A", 0, 8000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *dataplane.Config) { c.Lifetimes.ServiceCloseRebalance = tt.limit })
			s := service{id: 5, ip: addr{10, 96, 1, 1}, port: 80, backends: []backend{{w.pod2.ip, 8000, 0}, {w.pod2.ip, 8001, 0}}}
			w.addService(s)
			w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
			w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "FA").bytes(t))
			w.rand, w.draws = 1, 0
			w.now += tt.after
			r := w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, tt.flags).bytes(t))
			equal(t, "draws", w.draws, tt.draws)
			equal(t, "backend", partsOf(t, r.frame).DstPort, tt.sentTo)
		})
	}
}

func TestAggregation(t *testing.T) {
	t.Parallel()
	const (
		fromEndpoint = "from-endpoint from 1272: 10178->0 id 0 ifindex 0 orig 0.0.0.0 unknown, 54 of 54"
		opened       = "to-endpoint from 436: 10178->74565 id 436 ifindex 16 orig 10.0.1.178 new, 54 of 54"
		goesOn       = "to-endpoint from 436: 10178->74565 id 436 ifindex 16 orig 10.0.1.178 established, 54 of 54"
		fromOverlay  = "from-overlay from 0: 0->0 id 0 ifindex 5 orig 0.0.0.0 unknown, 54 of 54"
		arrived      = "to-endpoint from 1272: 13789->10178 id 1272 ifindex 14 orig 10.0.2.230 new, 54 of 54"
		fromHost     = "from-host from 4096: 1->0 id 0 ifindex 0 orig 0.0.0.0 unknown, 54 of 54"
		toOverlay    = "to-overlay from 4096: 6->0 id 0 ifindex 5 orig 0.0.0.0 unknown, 54 of 54"
		toStack      = "to-stack from 4096: 0->0 id 0 ifindex 4 orig 0.0.0.0 unknown, 54 of 54"
	)
	remote := podsOfB()[0]
	for _, tt := range []struct {
		name              string
		level             dataplane.Aggregation
		first, second     []string // SYN, then ACK without news, from pod1 to pod2
		overlay, host, to []string
	}{
		{
			"none", dataplane.AggregateNone,
			[]string{fromEndpoint, opened},
			[]string{fromEndpoint, goesOn},
			[]string{fromOverlay, arrived},
			[]string{fromHost, toOverlay},
			[]string{toStack},
		},
		{
			"low", dataplane.AggregateLow,
			[]string{opened},
			[]string{goesOn},
			[]string{arrived},
			[]string{toOverlay},
			[]string{toStack},
		},
		{"medium", dataplane.AggregateMedium, []string{opened}, nil, []string{arrived}, []string{toOverlay}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *dataplane.Config) { c.Aggregation = tt.level })
			ack := w.pod1.tcp(w.pod2.ip, 1, 80, "A").bytes(t)
			equal(t, "SYN", w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t)).events, tt.first)
			w.fromPod(w.pod1, append([]byte{}, ack...)) // the ACK flag is news once
			equal(t, "ACK", w.fromPod(w.pod1, ack).events, tt.second)
			equal(t, "from the overlay", w.fromOverlay(remote.tcp(w.pod1.ip, 1, 80, "S").bytes(t), remote.identity).events, tt.overlay)
			out := frame{src: w.router, dst: remote.ip, ttl: 64}.tcp(1, 2, "A").bytes(t)
			equal(t, "host to overlay", w.fromHost(out, 0xc00).events, tt.host)
			r := w.run(dataplane.Hook{Prog: dataplane.ToHost, Ifindex: hostIfindex}, &dataplane.Packet{Data: out})
			equal(t, "to-host", r.events, tt.to)
		})
	}
}

func TestCaptureLen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *dataplane.Config) { c.CaptureLen = 40 })
	f := w.pod1.tcp(w.pod2.ip, 1, 80, "S")
	equal(t, "trace", w.fromPod(w.pod1, f.bytes(t)).events, []string{
		"to-endpoint from 436: 10178->74565 id 436 ifindex 16 orig 10.0.1.178 new, 40 of 54",
	})
	f.src = outside()
	equal(t, "drop", w.fromPod(w.pod1, f.bytes(t)).events, []string{"drop 132 from 1272: 10178->0 id 0 file 8, 40 of 54"})
	equal(t, "verdict", w.fromPod(w.pod3, w.pod3.udp(w.pod1.ip, 1, 80).bytes(t)).events, []string{
		"verdict -133 from 51: remote 10178 port 80 proto 17 EGRESS none, 40 of 50",
		"drop 133 from 51: 10051->10178 id 0 file 8, 40 of 50",
	})
	// The default captures 128 bytes of longer frames.
	w = newWorld(t)
	f = w.pod1.tcp(w.pod2.ip, 1, 80, "S")
	f.payload = make([]byte, 200)
	equal(t, "long frame", w.fromPod(w.pod1, f.bytes(t)).events, []string{
		"to-endpoint from 436: 10178->74565 id 436 ifindex 16 orig 10.0.1.178 new, 128 of 254",
	})
}

// TestVerdictFilter: bit 0 asks for verdicts of ingress, bit 1 for those of egress.
func TestVerdictFilter(t *testing.T) {
	t.Parallel()
	const (
		egress  = "verdict 0 from 1272: remote 74565 port 80 proto 6 EGRESS all, 54 of 54"
		ingress = "verdict 0 from 436: remote 10178 port 80 proto 6 INGRESS all, 54 of 54"
		arrived = "to-endpoint from 436: 10178->74565 id 436 ifindex 16 orig 10.0.1.178 new, 54 of 54"
	)
	for _, tt := range []struct {
		name   string
		filter uint32
		want   []string
	}{
		{"none", 0, []string{arrived}},
		{"ingress", 1, []string{ingress, arrived}},
		{"egress", 2, []string{egress, arrived}},
		{"both", 3, []string{egress, ingress, arrived}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, p := range []pod{w.pod1, w.pod2} {
				c := w.podConfig(p)
				c.Endpoint.VerdictFilter = tt.filter
				w.load(w.hook(dataplane.FromContainer, p), c)
			}
			equal(t, "SYN", w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t)).events, tt.want)
			equal(t, "the same again", w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 80, "S").bytes(t)).events, nil)
		})
	}
}

func TestAddressesOfConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *dataplane.Config) {
		c.PodCIDRMask = addr{255, 255, 255, 128}
		c.Loopback = addr{169, 254, 1, 1}
	})
	w.tunnel(addr{10, 0, 3, 128}, nodeC())
	r := w.fromPod(w.pod1, w.pod1.tcp(addr{10, 0, 3, 200}, 1, 2, "S").bytes(t))
	equal(t, "tunnel by /25", r.packet.TunnelOut.Remote, nodeC())
	equal(t, "not in the /25", w.fromPod(w.pod1, w.pod1.tcp(addr{10, 0, 3, 127}, 1, 2, "S").bytes(t)).verdict, pass())
	s := service{id: 1, ip: addr{10, 96, 0, 1}, port: 80, backends: []backend{{w.pod1.ip, 80, 0}}}
	w.addService(s)
	r = w.fromPod(w.pod1, w.pod1.tcp(s.ip, 1, 80, "S").bytes(t))
	equal(t, "loopback", partsOf(t, r.frame).Src, addr{169, 254, 1, 1})
}
