package object

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/internal/testkit"
)

// TestPrivilegedVerifierTakesObjects loads objects of both kinds of map definitions into the kernel, and runs the pod's first
// program: it must have the constants of the instance.
func TestPrivilegedVerifierTakesObjects(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	agent, err := Read(agentDir(t, agentFiles(t), nil), overlayMAC())
	if err != nil {
		t.Fatal(err)
	}
	newer, err := NewBundle(compile(t, btfObject), bpf.Host(), bpf.Overlay())
	if err != nil {
		t.Fatal(err)
	}
	const ip, labelNB, label, mac1, mac2, lastMAC, shot = 0x0701000a, 0xdebc0a00, 0xabcde, 0x05040302, 0x0706, 7, 2
	for _, x := range []struct {
		name          string
		b             *Bundle
		mark, returns uint32
	}{
		{"legacy maps, addresses as values", agent, ip ^ labelNB, mac1 + mac2},
		{"BTF maps, constants in read-only data", newer, ip + label + lastMAC, shot},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			h, c := pod()
			for _, other := range []dataplane.Hook{{Prog: dataplane.FromHost, Ifindex: 5}, {Prog: dataplane.FromOverlay, Ifindex: 3}} {
				intoKernel(t, x.b, other, x.b.Config(c))
			}
			first := intoKernel(t, x.b, h, x.b.Config(c))["from-container"]
			opt := &ebpf.RunOptions{Data: make([]byte, 64), DataOut: make([]byte, 64), Context: make([]byte, 192), ContextOut: make([]byte, 192)}
			got, err := first.Run(opt)
			if err != nil {
				t.Fatal(err)
			}
			const mark = 8 // in struct __sk_buff
			if m := binary.NativeEndian.Uint32(opt.ContextOut.([]byte)[mark:]); got != x.returns || m != x.mark {
				t.Errorf("returned %#x with mark %#x, want %#x and %#x", got, m, x.returns, x.mark)
			}
		})
	}
}

// intoKernel loads an instance and returns its programs by section.
func intoKernel(t *testing.T, b *Bundle, h dataplane.Hook, c dataplane.Config) map[string]*ebpf.Program {
	t.Helper()
	in, err := b.Instance(h, c)
	if err != nil {
		t.Fatal(err)
	}
	maps := map[string]*ebpf.Map{}
	for i := range in.Maps {
		spec := *in.Maps[i].Spec
		spec.Name, spec.Pinning = "", ebpf.PinNone
		if in.Maps[i].Scope != ScopeData {
			spec.Contents = nil
		}
		m, err := ebpf.NewMap(&spec)
		if err != nil {
			t.Fatalf("map %s: %v", in.Maps[i].Name, err)
		}
		t.Cleanup(func() { m.Close() })
		maps[in.Maps[i].Symbol] = m
	}
	programs := map[string]*ebpf.Program{}
	for i := range in.Programs {
		p := &in.Programs[i]
		spec := &ebpf.ProgramSpec{Name: p.Func, Type: ebpf.SchedCLS, License: in.Object.License, Instructions: append(p.Instructions[:0:0], p.Instructions...)}
		for j := range spec.Instructions {
			ins := &spec.Instructions[j]
			if ref := ins.Reference(); ins.IsLoadFromMap() && ref != "" {
				if err := ins.AssociateMap(maps[ref]); err != nil {
					t.Fatalf("%s: %v", p.Section, err)
				}
			}
		}
		prog, err := ebpf.NewProgram(spec)
		if err != nil {
			t.Fatalf("%s: %+v", p.Section, err)
		}
		t.Cleanup(func() { prog.Close() })
		programs[p.Section] = prog
	}
	return programs
}
