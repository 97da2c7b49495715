package bpf_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/internal/testkit"
)

// objects are the three objects by the name of their source.
func objects() map[string][]byte {
	return map[string][]byte{"bpf_lxc": bpf.LXC(), "bpf_host": bpf.Host(), "bpf_overlay": bpf.Overlay()}
}

func load(t *testing.T, object []byte) *ebpf.CollectionSpec {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestPrivilegedVerifier loads every program of every object as every profile
// configures it.
func TestPrivilegedVerifier(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	profiles := map[string][]string{
		"base":        {"ENABLE_ROUTING"},
		"hostrouting": {"ENABLE_ROUTING", "ENABLE_HOST_ROUTING"},
		"ingressprog": {"ENABLE_ROUTING", "USE_BPF_PROG_FOR_INGRESS_POLICY"},
		"eproutes":    {"ENABLE_ENDPOINT_ROUTES"},
		"jiffies":     {"ENABLE_ROUTING", "ENABLE_JIFFIES"},
	}
	for name, object := range objects() {
		for profile, on := range profiles {
			t.Run(name+"/"+profile, func(t *testing.T) {
				t.Parallel()
				spec := load(t, object)
				for name, v := range spec.Variables {
					if strings.HasPrefix(name, "ENABLE_") || strings.HasPrefix(name, "USE_") {
						if err := v.Set(slices.Contains(on, name)); err != nil {
							t.Fatal(err)
						}
					}
				}
				for _, p := range spec.Programs {
					p.Type = ebpf.SchedCLS
				}
				for _, m := range spec.Maps {
					m.MaxEntries = min(m.MaxEntries, 64) // the tests' machine is small
				}
				coll, err := ebpf.NewCollection(spec)
				if err != nil {
					t.Fatalf("%+v", err)
				}
				defer coll.Close()
				for name, p := range coll.Programs {
					info, err := p.Info()
					if err != nil {
						t.Fatal(err)
					}
					n, _ := info.VerifiedInstructions()
					jited, _ := info.JitedSize()
					t.Logf("%s: %d instructions verified, %d bytes jited", name, n, jited)
				}
			})
		}
	}
}
