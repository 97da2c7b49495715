package maps

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSetSpecs checks the description of every map against Cilium's defaults.
func TestSetSpecs(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{})
	s.AddPolicy(1272)
	s.AddCalls(CallsName(1272))
	s.AddCalls(HostCallsName(4096))
	s.AddCalls(NetdevCallsName(3))
	s.AddCalls(NameOverlayCalls)
	want := []Spec{
		{"cilium_call_policy", TypeProgArray, 4, 4, 65535, 0},
		{"cilium_calls_01272", TypeProgArray, 4, 4, 33, 0},
		{"cilium_calls_hostns_04096", TypeProgArray, 4, 4, 33, 0},
		{"cilium_calls_netdev_00003", TypeProgArray, 4, 4, 33, 0},
		{"cilium_calls_overlay_2", TypeProgArray, 4, 4, 33, 0},
		{"cilium_ct4_global", TypeLRUHash, 14, 56, 524288, 0},
		{"cilium_ct_any4_global", TypeLRUHash, 14, 56, 262144, 0},
		{"cilium_ipcache", TypeLPMTrie, 24, 12, 512000, 1},
		{"cilium_ipv4_frag_datagrams", TypeLRUHash, 12, 4, 8192, 0},
		{"cilium_lb4_backends_v2", TypeHash, 4, 8, 65536, 1},
		{"cilium_lb4_reverse_nat", TypeHash, 2, 6, 65536, 1},
		{"cilium_lb4_services_v2", TypeHash, 12, 12, 65536, 1},
		{"cilium_lxc", TypeHash, 20, 48, 65535, 1},
		{"cilium_metrics", TypePerCPUHash, 8, 16, 1024, 1},
		{"cilium_policy_01272", TypeHash, 8, 24, 16384, 1},
		{"cilium_tail_call_buffer4", TypePerCPUArray, 4, 32, 1, 0},
		{"cilium_tunnel_map", TypeHash, 20, 20, 65536, 1},
	}
	var got []Spec
	for _, name := range s.Names() {
		m, err := s.Lookup(name)
		must(t, err)
		got = append(got, m.Spec())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("specs (-want +got):\n%s", d)
	}
}

func TestSetSizes(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{CT4: 10, Policy: 3, LXC: ^uint32(0)})
	if s.CT4.Spec().MaxEntries != 10 || s.AddPolicy(1).Spec().MaxEntries != 3 || s.LXC.Spec().MaxEntries != maxSlots {
		t.Error("sizes are not those asked for")
	}
}

func TestSetLookupUnknown(t *testing.T) {
	t.Parallel()
	_, err := NewSet(Sizes{}).Lookup("cilium_lcx")
	if !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), "cilium_lxc") || !strings.Contains(err.Error(), `"cilium_lcx"`) {
		t.Errorf("error %v does not name what there is", err)
	}
}

// TestSetDynamic makes and removes the maps of endpoints and devices.
func TestSetDynamic(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{})
	if s.Policy(5) != nil || s.Calls(CallsName(5)) != nil {
		t.Fatal("a new set has maps of endpoints")
	}
	p, c := s.AddPolicy(5), s.AddCalls(CallsName(5))
	if s.AddPolicy(5) != p || s.Policy(5) != p || s.AddCalls(CallsName(5)) != c || s.Calls(CallsName(5)) != c {
		t.Error("adding twice makes another map")
	}
	s.RemoveCalls(PolicyName(5)) // is not a calls map
	if s.Policy(5) != p {
		t.Error("a policy map was removed as a calls map")
	}
	s.RemovePolicy(5)
	s.RemoveCalls(CallsName(5))
	s.RemovePolicy(5)
	s.RemoveCalls("nothing")
	if s.Policy(5) != nil || s.Calls(CallsName(5)) != nil || slices.Contains(s.Names(), PolicyName(5)) {
		t.Error("maps are still there")
	}
}

func TestProgArray(t *testing.T) {
	t.Parallel()
	s := NewSet(Sizes{})
	early := s.AddCalls(CallsName(1))
	if got := early.ProgName(3); got != "" {
		t.Errorf("name %q without a source of names", got)
	}
	s.SetProgNames(func(id uint32) string { return map[uint32]string{3: "2/7"}[id] })
	late := s.AddCalls(NameOverlayCalls)
	for _, a := range []*ProgArray{early, late, s.PolicyCall} {
		if got := a.ProgName(3); got != "2/7" {
			t.Errorf("%s: name %q", a.Spec().Name, got)
		}
	}
	for _, slot := range []uint32{0, 300, 65534} {
		must(t, s.PolicyCall.Set(slot, slot+1))
		if id, ok := s.PolicyCall.Prog(slot); !ok || id != slot+1 {
			t.Errorf("slot %d: %d, %t", slot, id, ok)
		}
	}
	if err := s.PolicyCall.Set(65535, 1); !errors.Is(err, ErrFull) {
		t.Errorf("endpoint id 65535: %v", err)
	}
	if _, ok := s.PolicyCall.Prog(1 << 31); ok {
		t.Error("a slot out of range holds a program")
	}
	if n := s.PolicyCall.Len(); n != 3 {
		t.Errorf("%d slots in use, want 3", n)
	}
	for _, limit := range []int{0, 1, 100} {
		if got := storeContent(t, s.PolicyCall, limit); len(got) != 3 {
			t.Errorf("limit %d: listed %d slots, want 3", limit, len(got))
		}
	}
}

func TestTypeString(t *testing.T) {
	t.Parallel()
	for typ, want := range map[Type]string{
		TypeHash: "hash", TypeArray: "array", TypeProgArray: "prog_array", TypePerCPUHash: "percpu_hash",
		TypePerCPUArray: "percpu_array", TypeLRUHash: "lru_hash", TypeLPMTrie: "lpm_trie", 27: "type 27",
	} {
		if got := typ.String(); got != want {
			t.Errorf("%d: %q, want %q", uint32(typ), got, want)
		}
	}
}
