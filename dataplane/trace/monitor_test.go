package trace_test

import (
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
		{
			"verdict",
			trace.Verdict{Common: common(0, 51), RemoteLabel: 19140, DstPort: 80, Proto: 6, Dir: code.Ingress, Match: code.MatchL3L4},
			"Policy verdict log: flow 0x1a2b local EP ID 51, remote ID 19140, proto 6, ingress, action allow, match L3-L4, " + conn,
		},
		{
			"denied",
			trace.Verdict{Common: common(0, 51), RemoteLabel: 2, Verdict: -133, Proto: 17, Dir: code.Egress},
			"Policy verdict log: flow 0x1a2b local EP ID 51, remote ID world, proto 17, egress, action deny, match none, " + conn,
		},
		{"something else", "text", ""},
	} {
		if got := names.Line(tt.n, conn); got != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
	numeric := trace.Names{Numeric: true}
	if got := numeric.Identity(1); got != "1" {
		t.Errorf("numeric identity %q, want 1", got)
	}
}
