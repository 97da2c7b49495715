package object

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
)

// pod is a configuration in which every constant differs from the others.
func pod() (dataplane.Hook, dataplane.Config) {
	c := dataplane.DefaultConfig()
	c.Endpoint = dataplane.EndpointConfig{
		ID: 0x1234, IPv4: [4]byte{10, 0, 1, 7}, NodeMAC: [6]byte{2, 3, 4, 5, 6, 7}, Identity: 0xabcde, VerdictFilter: 3,
	}
	return dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: 11, Endpoint: 0x1234}, c
}

func TestBTFObject(t *testing.T) {
	t.Parallel()
	o, err := Parse(LXC, "bpf_lxc.o", compile(t, btfObject))
	if err != nil {
		t.Fatal(err)
	}
	h, c := pod()
	in, err := o.Instance(h, c)
	if err != nil {
		t.Fatal(err)
	}
	var programs []string
	for _, p := range in.Programs {
		line := p.Section + " " + p.Func
		if p.IsEntry {
			line += ", entry " + p.Entry.String()
		}
		if p.Tail.Map != "" {
			m, _ := in.Map(p.Tail.Map)
			line += fmt.Sprintf(", slot %d of %s", p.Tail.Slot, m.Name)
		}
		programs = append(programs, line)
	}
	if d := cmp.Diff([]string{
		"1/65535 handle_policy, entry policy, slot 4660 of cilium_call_policy",
		"2/7 tail_handle_ipv4, slot 7 of cilium_calls_04660",
		"from-container handle_xgress, entry from-container",
	}, programs); d != "" {
		t.Errorf("programs (-want +got):\n%s", d)
	}
	var names []string
	for _, m := range in.Maps {
		names = append(names, m.Symbol+" "+m.Name)
	}
	if d := cmp.Diff([]string{
		".rodata .rodata", "cilium_call_policy cilium_call_policy", "cilium_calls_00000 cilium_calls_04660",
		"cilium_lxc cilium_lxc", "cilium_policy_00000 cilium_policy_04660",
	}, names); d != "" {
		t.Errorf("maps (-want +got):\n%s", d)
	}
	constants := map[string][]byte{}
	for _, v := range o.vars {
		m, _ := in.Map(v.section)
		constants[v.name] = m.Data()[v.offset : v.offset+v.size]
	}
	if d := cmp.Diff(map[string][]byte{
		"SECLABEL": {0xde, 0xbc, 0x0a, 0}, "LXC_ID": {0x34, 0x12}, "NODE_MAC": {2, 3, 4, 5, 6, 7},
		"LXC_IPV4": {10, 0, 1, 7}, "ENABLE_ROUTING": {1},
	}, constants); d != "" {
		t.Errorf("constants (-want +got):\n%s", d)
	}
	lines := 0
	for _, ins := range in.Programs[0].Instructions {
		if _, ok := ins.Source().(*btf.Line); ok {
			lines++
		}
	}
	if lines == 0 {
		t.Error("no line information")
	}
}
