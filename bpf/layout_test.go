package bpf_test

import (
	"fmt"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/maps"
)

// templates are the Go maps that stand for the maps of one object.
func templates(s *maps.Set) map[string]maps.Store {
	return map[string]maps.Store{
		"cilium_calls_65535":        s.AddCalls(maps.CallsName(1)),
		"cilium_calls_hostns_65535": s.AddCalls(maps.HostCallsName(1)),
		"cilium_policy_65535":       s.AddPolicy(1),
	}
}

// TestMapSpecs: the C definition of a map is the Go one.
func TestMapSpecs(t *testing.T) {
	t.Parallel()
	set := maps.NewSet(maps.Sizes{})
	set.AddCalls(maps.NameOverlayCalls)
	own := templates(set)
	for object, elf := range objects() {
		for name, m := range load(t, elf).Maps {
			if strings.HasPrefix(name, ".rodata") || name == "cilium_events" {
				continue
			}
			store := own[name]
			if store == nil {
				var err error
				if store, err = set.Lookup(name); err != nil {
					t.Errorf("%s: %v", object, err)
					continue
				}
			}
			want := store.Spec()
			got := maps.Spec{
				Name: want.Name, Type: maps.Type(m.Type), KeySize: m.KeySize, ValueSize: m.ValueSize,
				MaxEntries: m.MaxEntries, Flags: m.Flags,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s (-Go +C):\n%s", object, name, diff)
			}
		}
	}
}

// TestLayouts compares the structs in the objects' BTF with those of package maps,
// field by field.
func TestLayouts(t *testing.T) {
	t.Parallel()
	spec := load(t, bpf.LXC())
	for _, tt := range []struct {
		name       string
		key, value any
	}{
		{"cilium_lxc", maps.EndpointKey{}, maps.EndpointInfo{}},
		{"cilium_ipcache", maps.IPCacheKey{}, maps.RemoteEndpointInfo{}},
		{"cilium_tunnel_map", maps.TunnelKey{}, maps.TunnelEndpoint{}},
		{"cilium_ct4_global", maps.CTKey{}, maps.CTEntry{}},
		{"cilium_ct_any4_global", maps.CTKey{}, maps.CTEntry{}},
		{"cilium_ipv4_frag_datagrams", maps.FragKey{}, maps.FragPorts{}},
		{"cilium_lb4_services_v2", maps.LB4Key{}, maps.LB4Service{}},
		{"cilium_lb4_backends_v2", maps.LB4BackendKey{}, maps.LB4Backend{}},
		{"cilium_lb4_reverse_nat", maps.RevNATKey{}, maps.RevNAT{}},
		{"cilium_metrics", maps.MetricsKey{}, maps.MetricsValue{}},
		{"cilium_policy_65535", maps.PolicyKey{}, maps.PolicyEntry{}},
	} {
		m := spec.Maps[tt.name]
		if m == nil {
			t.Errorf("%s: not in the object", tt.name)
			continue
		}
		compareLayout(t, tt.name+" key", m.Key, tt.key)
		compareLayout(t, tt.name+" value", m.Value, tt.value)
	}
	buffer := spec.Maps["cilium_tail_call_buffer4"]
	compareLayout(t, "cilium_tail_call_buffer4", buffer.Value, maps.CTBuffer4{})
}

func compareLayout(t *testing.T, what string, c btf.Type, g any) {
	t.Helper()
	if diff := cmp.Diff(goFields("", reflect.TypeOf(g), 0), cFields(t, c, 0)); diff != "" {
		t.Errorf("%s, offset:size of fields (-Go +C):\n%s", what, diff)
	}
}

// cFields are offset and size of all fields but padding; nested structs are opened.
func cFields(t *testing.T, c btf.Type, at uint32) []string {
	t.Helper()
	s, ok := btf.UnderlyingType(c).(*btf.Struct)
	if !ok {
		n, err := btf.Sizeof(c)
		if err != nil {
			t.Fatal(err)
		}
		return []string{fmt.Sprintf("%d:%d", at, n)}
	}
	var l []string
	for _, m := range s.Members {
		if !strings.HasPrefix(m.Name, "pad") {
			l = append(l, cFields(t, m.Type, at+m.Offset.Bytes())...)
		}
	}
	return l
}

func goFields(name string, g reflect.Type, at uintptr) []string {
	if strings.HasPrefix(name, "Pad") {
		return nil
	}
	if g.Kind() != reflect.Struct {
		return []string{fmt.Sprintf("%d:%d", at, g.Size())}
	}
	var l []string
	for f := range g.Fields() {
		l = append(l, goFields(f.Name, f.Type, at+f.Offset)...)
	}
	return l
}

// TestBundle: the loader takes the objects and knows every constant and map.
func TestBundle(t *testing.T) {
	t.Parallel()
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kind object.Kind
		want string
	}{
		{object.LXC, "1/65535 2/1 2/13 2/25 2/27 2/29 2/6 2/7 from-container to-container"},
		{object.Host, "2/1 2/22 2/7 from-host from-netdev to-host to-netdev"},
		{object.Overlay, "2/1 2/7 from-overlay to-overlay"},
	} {
		var sections []string
		for _, p := range b.Object(tt.kind).Programs {
			sections = append(sections, p.Section)
		}
		if got := strings.Join(sections, " "); got != tt.want {
			t.Errorf("%s: sections %s, want %s (SPEC 1)", tt.kind, got, tt.want)
		}
	}
}

// TestSourceLines: what is dropped and traced is told by file and line, and no path
// of the machine that compiled the objects is in them.
func TestSourceLines(t *testing.T) {
	t.Parallel()
	for name, elf := range objects() {
		files := map[string]bool{}
		for _, p := range load(t, elf).Programs {
			lines := 0
			for _, ins := range p.Instructions {
				l, ok := ins.Source().(*btf.Line)
				if !ok {
					continue
				}
				lines++
				files[path.Clean(l.FileName())] = true
			}
			if lines == 0 {
				t.Errorf("%s: %s has no line information", name, p.Name)
			}
		}
		for f := range files {
			if strings.HasPrefix(f, "/") {
				t.Errorf("%s: file %q: want a path relative to the sources", name, f)
			}
		}
		if main := name + ".c"; !files[main] {
			t.Errorf("%s: files %v: want %s among them", name, files, main)
		}
	}
}
