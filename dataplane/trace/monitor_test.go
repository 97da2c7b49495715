package trace_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// TestMonitorLine compares lines with those that SPEC 14.12 gives.
func TestMonitorLine(t *testing.T) {
	t.Parallel()
	names := trace.Names{Device: func(i uint32) string { return map[uint32]string{12: "lxc2fa3dbdebd6c"}[i] }}
	common := func(subtype uint8, source uint16) trace.Common {
		return trace.Common{Subtype: subtype, Source: source, Hash: 0x1a2b}
	}
	const conn = "10.0.1.178:40000 -> 10.0.1.79:80 tcp SYN"
	for _, tt := range []struct {
		name string
		n    any
		want string
	}{
		{
			"to endpoint",
			trace.Trace{Common: common(0, 1272), SrcLabel: 19140, DstLabel: 62536, DstID: 51, Ifindex: 12, OrigIP: [16]byte{10, 0, 1, 178}},
			"-> endpoint 51 flow 0x1a2b , identity 19140->62536 state new ifindex lxc2fa3dbdebd6c orig-ip 10.0.1.178: " + conn,
		},
		{
			"to overlay, unknown device",
			trace.Trace{Common: common(4, 1272), SrcLabel: 1, DstLabel: 0, Reason: code.CTEstablished, Ifindex: 5},
			"-> overlay flow 0x1a2b , identity host->unknown state established ifindex 5 orig-ip 0.0.0.0: " + conn,
		},
		{
			"to stack",
			trace.Trace{Common: common(3, 0), SrcLabel: 19140, DstLabel: 2, Reason: code.CTUnknown},
			"-> stack flow 0x1a2b , identity 19140->world state unknown ifindex 0 orig-ip 0.0.0.0: " + conn,
		},
		{"from endpoint", trace.Trace{Common: common(5, 7)}, "<- endpoint 7 flow 0x1a2b , identity unknown->unknown state new ifindex 0 orig-ip 0.0.0.0: " + conn},
		{
			"IPv6",
			trace.Trace{Common: common(9, 7), Flags: 1, Reason: code.CTReply, OrigIP: [16]byte{0: 0xfd, 15: 1}},
			"<- overlay flow 0x1a2b , identity unknown->unknown state reply ifindex 0 orig-ip fd00::1: " + conn,
		},
		{
			"drop",
			trace.Drop{Common: common(151, 3), SrcLabel: 2, DstLabel: 0, DstID: 0, Line: 716, File: code.FileHost},
			"xx drop (Stale or unroutable IP) flow 0x1a2b to endpoint 0, file bpf_host.c line 716, , identity world->unknown: " + conn,
		},
		{"something else", "text", ""},
	} {
		if got := names.Line(tt.n, conn); got != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
}

// TestVerdictLine goes through all that the line of a policy verdict may say (SPEC 14.12).
func TestVerdictLine(t *testing.T) {
	t.Parallel()
	const conn = "10.0.1.178:40000 -> 10.0.1.79:80 tcp SYN"
	base := trace.Verdict{Common: trace.Common{Source: 51, Hash: 0x1a2b}, RemoteLabel: 19140, DstPort: 80, Proto: 6, Dir: code.Ingress, Match: code.MatchL3L4}
	for _, tt := range []struct {
		change func(*trace.Verdict)
		want   string // from the remote identity to the match
	}{
		{func(*trace.Verdict) {}, "remote ID 19140, proto 6, ingress, action allow, match L3-L4"},
		{func(v *trace.Verdict) { v.Dir = code.Egress }, "remote ID 19140, proto 6, egress, action allow, match L3-L4"},
		{func(v *trace.Verdict) { v.Dir = 0 }, "remote ID 19140, proto 6, egress, action allow, match L3-L4"},
		{func(v *trace.Verdict) { v.Proto = 17; v.Dir = code.Egress }, "remote ID 19140, proto 17, egress, action allow, match L3-L4"},

		{func(v *trace.Verdict) { v.Verdict, v.Match = -133, code.MatchNone }, "remote ID 19140, proto 6, ingress, action deny, match none"},
		{func(v *trace.Verdict) { v.Verdict = -181 }, "remote ID 19140, proto 6, ingress, action deny, match L3-L4"},
		{func(v *trace.Verdict) { v.Verdict = 0x1027 }, "remote ID 19140, proto 6, ingress, action redirect, match L3-L4"},
		{func(v *trace.Verdict) { v.Audited, v.Match = true, code.MatchNone }, "remote ID 19140, proto 6, ingress, action audit, match none"},
		{func(v *trace.Verdict) { v.Audited, v.Verdict = true, -133 }, "remote ID 19140, proto 6, ingress, action audit, match L3-L4"},

		{func(v *trace.Verdict) { v.Match = code.MatchL3 }, "remote ID 19140, proto 6, ingress, action allow, match L3-Only"},
		{func(v *trace.Verdict) { v.Match = code.MatchL4 }, "remote ID 19140, proto 6, ingress, action allow, match L4-Only"},
		{func(v *trace.Verdict) { v.Match = code.MatchAll }, "remote ID 19140, proto 6, ingress, action allow, match all"},
		{func(v *trace.Verdict) { v.Match = 7 }, "remote ID 19140, proto 6, ingress, action allow, match unknown"},
	} {
		v := base
		tt.change(&v)
		if got, want := (trace.Names{}).Line(v, conn), "Policy verdict log: flow 0x1a2b local EP ID 51, "+tt.want+", "+conn; got != want {
			t.Errorf("\n%s, want\n%s", got, want)
		}
	}
	for id, want := range []string{"unknown", "host", "world", "unmanaged", "health", "init", "remote-node", "kube-apiserver", "ingress", "9"} {
		v := base
		v.RemoteLabel = uint32(id)
		for _, numeric := range []bool{false, true} {
			if numeric {
				want = strconv.Itoa(id)
			}
			if got := (trace.Names{Numeric: numeric}).Line(v, conn); !strings.Contains(got, ", remote ID "+want+", proto ") {
				t.Errorf("numeric %v: %s, want identity %s", numeric, got, want)
			}
		}
	}
}
