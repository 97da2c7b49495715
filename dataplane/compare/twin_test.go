package compare_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/compare/generate"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
)

// twin is our own BPF objects.
func twin(t *testing.T) *object.Bundle {
	t.Helper()
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTwinBytecode is the bounded part of `make prove`: the emulation and our twin, in
// the virtual machine, agree on generated packets.
func TestTwinBytecode(t *testing.T) {
	t.Parallel()
	b := twin(t)
	agree(t, compare.Engine{Name: "bytecode", New: func() (dataplane.Runner, error) {
		return bytecode.New(maps.NewSet(maps.Sizes{}), b), nil
	}}, 11)
}

// TestPrivilegedTwinKernel is the same in the kernel.
func TestPrivilegedTwinKernel(t *testing.T) {
	t.Parallel()
	b := twin(t)
	probe, err := kernel.New(b, kernel.Options{})
	if errors.Is(err, netns.ErrPermission) || errors.Is(err, dataplane.ErrNotSupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	agree(t, compare.Engine{Name: "kernel", New: func() (dataplane.Runner, error) { return kernel.New(b, kernel.Options{}) }}, 13)
}

// agree compares the emulation with a side that runs the twin.
func agree(t *testing.T, right compare.Engine, seed uint64) {
	t.Helper()
	r, err := compare.Run(context.Background(), &compare.Options{Left: emulated(), Right: right, Workers: 2, Shrink: 100},
		generate.Feed(&generate.Options{Seed: seed, Packets: provePackets}))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	if !r.Same() {
		t.Error(b.String())
	}
	if r.Packets+len(r.Unsupported) != provePackets || r.Worlds < 50 {
		t.Errorf("%d packets in %d worlds, want %d in 50 or more", r.Packets, r.Worlds, provePackets)
	}
	for _, c := range r.Coverage() {
		if !c.Reached && provePackets >= 50000 {
			t.Errorf("no packet reached %s (%s)", c.Func, c.File)
		}
	}
}
