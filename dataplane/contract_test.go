package dataplane_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

func TestProg(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		prog    dataplane.Prog
		section string
		egress  bool
	}{
		{dataplane.FromContainer, "from-container", false},
		{dataplane.ToContainer, "to-container", true},
		{dataplane.FromHost, "from-host", true},
		{dataplane.ToHost, "to-host", false},
		{dataplane.FromNetdev, "from-netdev", false},
		{dataplane.ToNetdev, "to-netdev", true},
		{dataplane.FromOverlay, "from-overlay", false},
		{dataplane.ToOverlay, "to-overlay", true},
		{dataplane.PolicyProg, "policy", false},
	} {
		if got := tt.prog.String(); got != tt.section {
			t.Errorf("program %d is %q, want %q", tt.prog, got, tt.section)
		}
		if got, ok := dataplane.ParseProg(tt.section); got != tt.prog || !ok {
			t.Errorf("ParseProg(%q) = %d %t, want %d true", tt.section, got, ok, tt.prog)
		}
		if got := tt.prog.Egress(); got != tt.egress {
			t.Errorf("%s.Egress() = %t, want %t", tt.section, got, tt.egress)
		}
	}
	if got, want := dataplane.Prog(9).String(), "prog(9)"; got != want {
		t.Errorf("an unknown program is %q, want %q", got, want)
	}
	for _, section := range []string{"", "from-lxc", "prog(9)"} {
		if got, ok := dataplane.ParseProg(section); ok {
			t.Errorf("ParseProg(%q) = %s, want none", section, got)
		}
	}
}

func TestVerdictKind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		action code.Ret
		kind   dataplane.Kind
		text   string
	}{
		{code.OK, dataplane.Pass, "ok"},
		{code.Drop, dataplane.Dropped, "drop"},
		{code.Redirect, dataplane.Redirected, "redirect"},
		{-137, dataplane.Unspec, "unspec"},
		{-1, dataplane.Unspec, "unspec"}, // TC_ACT_UNSPEC itself
		{1, dataplane.Unspec, "unspec"},  // TC_ACT_RECLASSIFY, which cls_bpf maps to it
		{3, dataplane.Unspec, "unspec"},
		{1 << 20, dataplane.Unspec, "unspec"},
	} {
		got := dataplane.Verdict{Action: tt.action}.Kind()
		if got != tt.kind || got.String() != tt.text {
			t.Errorf("action %d is %s, want %s", tt.action, got, tt.text)
		}
	}
}

func TestPacketViews(t *testing.T) { // not parallel: AllocsPerRun counts everybody
	for _, tt := range []struct {
		size      int
		eth, ipv4 bool
	}{{0, false, false}, {13, false, false}, {14, true, false}, {33, true, false}, {34, true, true}, {60, true, true}} {
		p := &dataplane.Packet{Data: make([]byte, tt.size)}
		if got := p.Eth() != nil; got != tt.eth {
			t.Errorf("frame of %d bytes: Ethernet %t, want %t", tt.size, got, tt.eth)
		}
		if got := p.IPv4() != nil; got != tt.ipv4 {
			t.Errorf("frame of %d bytes: IPv4 %t, want %t", tt.size, got, tt.ipv4)
		}
	}
	// Views cannot grow into what follows them.
	p := &dataplane.Packet{Data: make([]byte, 60)}
	if len(p.Eth()) != 14 || cap(p.Eth()) != 14 || len(p.IPv4()) != 20 || cap(p.IPv4()) != 20 {
		t.Errorf("views have %d/%d and %d/%d bytes, want 14/14 and 20/20", len(p.Eth()), cap(p.Eth()), len(p.IPv4()), cap(p.IPv4()))
	}
	if n := testing.AllocsPerRun(10, func() { _, _, _ = p.Eth(), p.IPv4(), p.Load(3, 4) }); n != 0 {
		t.Errorf("%v allocations a run, want 0", n)
	}
}

func TestPacketLoad(t *testing.T) {
	t.Parallel()
	p := &dataplane.Packet{Data: []byte{0, 1, 2, 3}}
	for _, tt := range []struct {
		off, n int
		want   []byte
	}{
		{0, 4, []byte{0, 1, 2, 3}},
		{1, 2, []byte{1, 2}},
		{3, 1, []byte{3}},
		{4, 0, []byte{}},
		{4, 1, nil},
		{0, 5, nil},
		{-1, 2, nil},
		{1 << 40, 1, nil},
	} {
		got := p.Load(tt.off, tt.n)
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("Load(%d, %d) differs (-want +got):\n%s", tt.off, tt.n, d)
		}
		if cap(got) != len(got) {
			t.Errorf("Load(%d, %d) has capacity %d, want %d", tt.off, tt.n, cap(got), len(got))
		}
	}
}

func TestPacketReset(t *testing.T) {
	t.Parallel()
	buffer, ring := trace.NewBuffer(1), trace.NewRing(1)
	p := &dataplane.Packet{
		Data: []byte{1}, PktType: 3, TCIndex: 1, QueueMapping: 2, Ifindex: 3, IngressIfindex: 4, Mark: 5, Hash: 6, CB: [5]uint32{7},
		TunnelIn: dataplane.TunnelKey{Present: true}, TunnelOut: dataplane.TunnelKey{Present: true}, Trace: buffer, Events: ring,
	}
	p.Csum.Partial, p.GSO.Size = true, 1448
	p.Reset([]byte{2})
	want := dataplane.Packet{Data: []byte{2}, Trace: buffer, Events: ring}
	if p.Trace != buffer || p.Events != ring {
		t.Error("Reset lost the trace buffer or the ring")
	}
	want.Trace, want.Events, p.Trace, p.Events = nil, nil, nil, nil
	if d := cmp.Diff(want, *p); d != "" {
		t.Errorf("packet after Reset differs (-want +got):\n%s", d)
	}
}

func TestEnvNextRand(t *testing.T) {
	t.Parallel()
	if got := (&dataplane.Env{}).NextRand(); got != 0 {
		t.Errorf("without a source: %d, want 0", got)
	}
	n := uint32(0)
	e := dataplane.Env{Rand: func() uint32 { n++; return n }}
	if a, b := e.NextRand(), e.NextRand(); a != 1 || b != 2 {
		t.Errorf("drew %d and %d, want 1 and 2", a, b)
	}
}

// TestDefaultConfig has SPEC 0.1 as a table.
func TestDefaultConfig(t *testing.T) {
	t.Parallel()
	want := dataplane.Config{
		PodCIDRMask: [4]byte{255, 255, 255, 0},
		Loopback:    [4]byte{169, 254, 42, 1},
		TunnelPort:  8472,
		LocalNodeID: 6,
		Delivery:    dataplane.DeliverRedirect,
		Lifetimes: dataplane.Lifetimes{
			TCP: 21600, NonTCP: 60, ServiceTCP: 21600, ServiceNonTCP: 60, SYN: 60, Close: 10, ServiceCloseRebalance: 60,
		},
		ReportInterval: 5,
		ReportFlags:    0xff,
		Clock:          dataplane.ClockKtime,
		KernelHz:       250,
		Aggregation:    3,
		CaptureLen:     128,
	}
	if d := cmp.Diff(want, dataplane.DefaultConfig()); d != "" {
		t.Errorf("default configuration differs (-want +got):\n%s", d)
	}
}
