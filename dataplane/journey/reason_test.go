package journey_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/maps"
)

// TestReasons explains the drops that malformed and unusual frames cause.
func TestReasons(t *testing.T) {
	t.Parallel()
	c := article(t)
	pod, err := c.Pod("pod1-1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Pod("pod1-2")
	if err != nil {
		t.Fatal(err)
	}
	good := func(proto uint8) []byte { return frame(pod.IP, other.IP, pod.MAC, pod.NodeMAC, proto) }
	changed := func(proto uint8, change func(b []byte)) []byte {
		b := good(proto)
		change(b)
		header.IPv4(b[14:]).SetChecksum(header.IPv4HeaderChecksum(header.IPv4(b[14:])))
		return b
	}
	fromPod := sim.Point{Pod: "pod1-1"}
	tests := []struct {
		name    string
		at      sim.Point
		frame   []byte
		code    uint8
		because string
	}{
		{"IPv6", fromPod, changed(1, func(b []byte) { header.Ethernet(b).SetType(0x86dd) }), 139, "only IPv4 and ARP are supported"},
		{"802.3", fromPod, changed(1, func(b []byte) { header.Ethernet(b).SetType(28) }), 166, "it is no Ethernet II frame"},
		{"short IPv4", fromPod, good(1)[:33], 134, "the frame is shorter than the header that it should have"},
		{"short UDP", fromPod, good(header.ProtoUDP)[:37], 14, "the transport header is too short for its ports"},
		{
			"fragment without the first", fromPod, changed(header.ProtoUDP, func(b []byte) { b[21] = 1 }), 175,
			"the first fragment with the ports has not been here",
		},
		{
			"tunnel without key",
			sim.Point{Node: "cilium-worker", Device: "cilium_vxlan"},
			good(1), 147,
			"the frame came without a tunnel key",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j, err := journey.Inject(c, engine, journey.Question{From: "a frame", To: "pod1-2"}, tt.at, tt.frame)
			if err != nil {
				t.Fatal(err)
			}
			v := j.Verdict
			if v.Outcome != journey.Dropped || v.Drop == nil {
				t.Fatalf("got %+v\n%s", v, text(t, j, journey.Full))
			}
			if v.Drop.Code != tt.code || v.Because != tt.because {
				t.Errorf("got %d because %s, want %d because %s", v.Drop.Code, v.Because, tt.code, tt.because)
			}
		})
	}
}

// unloaded is an engine that has lost the policy program of an endpoint.
type unloaded struct {
	dataplane.Runner
	set      *maps.Set
	endpoint uint32
}

func (u unloaded) Run(h dataplane.Hook, p *dataplane.Packet, env *dataplane.Env) (dataplane.Verdict, error) {
	if err := u.set.PolicyCall.Delete(maps.Bytes(&u.endpoint)); err != nil && !errors.Is(err, maps.ErrKeyNotExist) {
		return dataplane.Verdict{}, err
	}
	return u.Runner.Run(h, p, env)
}

// TestMissedTailCall says whose program is missing.
func TestMissedTailCall(t *testing.T) {
	t.Parallel()
	lost := func(m *maps.Set) (dataplane.Runner, error) { return unloaded{emu.New(m), m, 436}, nil }
	j, err := journey.Ask(article(t), lost, journey.Question{From: "pod1-1", To: "pod1-2"})
	if err != nil {
		t.Fatal(err)
	}
	want := &journey.Drop{
		Code: 140, Reason: "Missed tail call", Direction: "EGRESS", Program: "from-container", Map: "cilium_call_policy",
		Missed: []string{"slot 436"}, Needed: "the program in that slot", Command: "bpftool map dump name cilium_call_policy",
	}
	if diff := cmp.Diff(want, j.Verdict.Drop); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const because = "cilium_call_policy has nothing in slot 436 (policy program of endpoint 436 (default/pod1-2)): the endpoint's programs are not loaded"
	if j.Verdict.Because != because {
		t.Errorf("got because %s", j.Verdict.Because)
	}
}
