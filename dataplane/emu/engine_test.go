package emu_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/maps"
)

var _ dataplane.Runner = (*emu.Engine)(nil)

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		hook     dataplane.Hook
		endpoint uint16
		want     string
	}{
		{"no endpoint", dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: 9}, 0, "load from-container on ifindex 9: endpoint id 0: want 1 to 65534"},
		{"endpoint beyond the policy map", dataplane.Hook{Prog: dataplane.ToContainer, Ifindex: 9, Endpoint: 65535}, 65535, "endpoint id 65535: want 1 to 65534"},
		{"another's configuration", dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: 9, Endpoint: 4}, 5, "endpoint id 4: the configuration is that of 5"},
		{"no such program", dataplane.Hook{Prog: 99, Ifindex: 9}, 0, "load prog(99) on ifindex 9: no such program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := emu.New(maps.NewSet(maps.Sizes{}))
			c := dataplane.DefaultConfig()
			c.Endpoint.ID = tt.endpoint
			before := e.Maps().Names()
			if err := e.Load(tt.hook, c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			equal(t, "maps", e.Maps().Names(), before)
			equal(t, "hooks", len(e.Hooks()), 0)
		})
	}
}

// A load that fails half way leaves nothing behind.
func TestLoadWithoutRoomForPolicy(t *testing.T) {
	t.Parallel()
	e := emu.New(maps.NewSet(maps.Sizes{PolicyCall: 100}))
	before := e.Maps().Names()
	c := dataplane.DefaultConfig()
	c.Endpoint.ID = 100
	h := dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: 9, Endpoint: 100}
	if err := e.Load(h, c); !errors.Is(err, maps.ErrFull) {
		t.Errorf("error %v, want %v", err, maps.ErrFull)
	}
	equal(t, "maps", e.Maps().Names(), before)
	equal(t, "hooks", len(e.Hooks()), 0)
}

func TestRunAndUnloadErrors(t *testing.T) {
	t.Parallel()
	e := emu.New(maps.NewSet(maps.Sizes{}))
	h := dataplane.Hook{Prog: dataplane.FromHost, Ifindex: 4}
	if _, err := e.Run(h, &dataplane.Packet{}, &dataplane.Env{}); err == nil || err.Error() != "run from-host on ifindex 4: not loaded" {
		t.Errorf("error %v, want: not loaded", err)
	}
	if err := e.Unload(h); err == nil || err.Error() != "unload from-host on ifindex 4: not loaded" {
		t.Errorf("error %v, want: not loaded", err)
	}
	if _, err := e.Map("cilium_nonsense"); !errors.Is(err, maps.ErrNotSupported) {
		t.Errorf("error %v, want %v", err, maps.ErrNotSupported)
	}
	must(t, e.Close())
}

// TestUnload: with the last hook of a pod go its maps and its slot, not before.
func TestUnload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addIngressProgram(w.pod2)
	has := func() [3]bool {
		_, slot := w.maps.PolicyCall.Prog(436)
		return [3]bool{w.maps.Policy(436) != nil, w.maps.Calls("cilium_calls_00436") != nil, slot}
	}
	must(t, w.engine.Unload(w.hook(dataplane.ToContainer, w.pod2)))
	equal(t, "with one hook left: policy, calls, slot", has(), [3]bool{true, true, true})
	must(t, w.engine.Unload(w.hook(dataplane.FromContainer, w.pod2)))
	equal(t, "without hooks: policy, calls, slot", has(), [3]bool{})
	// Others go on, and packets to the pod that is gone are dropped.
	r := w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40000, 80, "S").bytes(t))
	equal(t, "to the pod that is gone", r.verdict, dropped(-140))
	equal(t, "to another", w.fromPod(w.pod1, w.pod1.tcp(w.pod1.ip, 1, 2, "S").bytes(t)).verdict, redirect(14))
	// A pod that comes back starts with an empty policy map.
	w.load(w.hook(dataplane.FromContainer, w.pod2), w.podConfig(w.pod2))
	equal(t, "policy entries", w.maps.Policy(436).Len(), 0)
	equal(t, "to the new one", w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 40001, 80, "S").bytes(t)).verdict, dropped(-133))
}

// TestReload: a hook that is loaded again has the new configuration and the old maps.
func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tails := w.calls("cilium_calls_01272").Len()
	c := w.podConfig(w.pod1)
	c.Endpoint.Identity = 4711
	w.load(w.hook(dataplane.FromContainer, w.pod1), c)
	equal(t, "slots", w.calls("cilium_calls_01272").Len(), tails)
	r := w.fromPod(w.pod1, w.pod1.tcp(podsOfB()[0].ip, 40000, 80, "S").bytes(t))
	equal(t, "verdict", r.verdict, redirect(vxlanIfindex))
	equal(t, "VNI", r.packet.TunnelOut.ID, 4711)
}

func TestHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	equal(t, "hooks", w.engine.Hooks(), []dataplane.Hook{
		{Prog: dataplane.ToHost, Ifindex: 3},
		{Prog: dataplane.FromHost, Ifindex: 4},
		{Prog: dataplane.ToHost, Ifindex: 4},
		{Prog: dataplane.FromOverlay, Ifindex: 5},
		{Prog: dataplane.ToOverlay, Ifindex: 5},
		{Prog: dataplane.FromContainer, Ifindex: 14, Endpoint: 1272},
		{Prog: dataplane.FromContainer, Ifindex: 16, Endpoint: 436},
		{Prog: dataplane.FromContainer, Ifindex: 18, Endpoint: 51},
	})
	equal(t, "name", w.engine.Name(), "emulated")
	equal(t, "caps", w.engine.Caps(), dataplane.Caps{RedirectTarget: true, TunnelKey: true, PktType: true, Events: true, Trace: true, PartialCsum: true})
}

// TestVerdictIsClean: nothing of an earlier decision, nor of an earlier run,
// shows in a verdict. A redirect that ends as a drop has no device.
func TestVerdictIsClean(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	equal(t, "drop", w.fromPod(w.pod1, w.pod1.tcp(addr{}, 1, 2, "S").bytes(t)).verdict, dropped(-184))
	equal(t, "redirect after a drop", w.fromPod(w.pod1, w.pod1.tcp(w.pod2.ip, 1, 2, "S").bytes(t)).verdict, redirect(16))
	equal(t, "pass after a redirect", w.fromPod(w.pod1, w.pod1.tcp(outside(), 1, 2, "S").bytes(t)).verdict, pass())
	equal(t, "raw after a pass", w.fromPod(w.pod1, w.pod1.ipv4(w.pod2.ip).raw(132, make([]byte, 12)).bytes(t)).verdict, raw(-137))
}
