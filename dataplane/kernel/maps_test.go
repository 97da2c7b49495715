package kernel_test

import (
	"testing"

	"github.com/hooklab/hooklab/dataplane/kernel"
)

// TestPrivilegedMapSizes: no hash map is larger than the options allow, and what the
// object declares smaller stays as it is.
func TestPrivilegedMapSizes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		max  uint32 // of the options
		name string
		want uint32
	}{
		{0, "cilium_ct4_global", kernel.DefaultMaxEntries},
		{0, "cilium_metrics", 1024},
		{64, "cilium_ct_any4_global", 64},
	} {
		m, err := newTwin(t, kernel.Options{MaxEntries: tt.max}).Map(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Spec().MaxEntries; got != tt.want {
			t.Errorf("options of %d entries: %s has %d, want %d", tt.max, tt.name, got, tt.want)
		}
	}
}

// TestPrivilegedAttachedMapSizes: the maps of a lab are as large as those of an agent that
// sizes them by memory.
func TestPrivilegedAttachedMapSizes(t *testing.T) {
	t.Parallel()
	a := newAttacher(t, kernel.AttachOptions{})
	m, err := a.Map("cilium_ct4_global")
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Spec().MaxEntries; got != kernel.DefaultAttachedEntries {
		t.Errorf("cilium_ct4_global has %d entries, want %d", got, kernel.DefaultAttachedEntries)
	}
}
