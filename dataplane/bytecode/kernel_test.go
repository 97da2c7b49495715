package bytecode

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/maps"
)

// outcome is all that a program's runs leave behind.
type outcome struct {
	ret   uint32
	frame []byte
	ctx   [ctxSize]byte
	array [64]byte
	hash  string
}

func (o *outcome) String() string {
	return fmt.Sprintf("return %#x\nmark %x cb %x\nframe %x\narray %x\nhash %s",
		o.ret, o.ctx[ctxMark:ctxMark+4], o.ctx[ctxCB:ctxHash], o.frame, o.array, o.hash)
}

// TestPrivilegedRandomPrograms runs random programs that the verifier takes in the machine and in the kernel, on several
// packets each, and compares everything that can be seen. HOOKLAB_PROGRAMS says how many, HOOKLAB_SEED from where on.
func TestPrivilegedRandomPrograms(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	number := func(env string, normal uint64) uint64 {
		if n, err := strconv.ParseUint(os.Getenv(env), 10, 64); err == nil {
			return n
		}
		return normal
	}
	n, first := number("HOOKLAB_PROGRAMS", 10_000), number("HOOKLAB_SEED", 1)
	const workers = 2
	for worker := range uint64(workers) {
		t.Run(fmt.Sprint("worker", worker), func(t *testing.T) {
			t.Parallel()
			k := newKernelWorld(t)
			insns := 0
			for i := worker; i < n; i += workers {
				program := randomProgram(first + i)
				insns += len(program)
				if err := k.compare(t, first+i, program); err != nil {
					t.Fatalf("seed %d: %v\n%v", first+i, err, program)
				}
			}
			t.Logf("%d programs, %d instructions, %d packets, 0 differences", n/workers, insns, n/workers*packetsPerProgram)
		})
	}
}

const packetsPerProgram = 3

// kernelWorld is the maps of a world in the kernel.
type kernelWorld struct {
	array, hash *ebpf.Map
}

func newKernelWorld(t *testing.T) *kernelWorld {
	t.Helper()
	make := func(s *ebpf.MapSpec) *ebpf.Map {
		m, err := ebpf.NewMap(s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	return &kernelWorld{
		array: make(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 64, MaxEntries: 4}),
		hash:  make(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 16, MaxEntries: 3}),
	}
}

func (k *kernelWorld) compare(t *testing.T, seed uint64, insns asm.Instructions) error {
	t.Helper()
	w := newWorld(t)
	prog, err := w.tryProgram(insns)
	if err != nil {
		return err
	}
	if err := k.reset(); err != nil {
		return err
	}
	spec := &ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: append(asm.Instructions(nil), insns...), License: "Dual MIT/GPL"}
	for name, m := range map[string]*ebpf.Map{"array": k.array, "hash": k.hash} {
		if err := spec.Instructions.AssociateMap(name, m); err != nil && !errors.Is(err, asm.ErrUnreferencedSymbol) {
			return err
		}
	}
	kernel, err := ebpf.NewProgram(spec)
	if err != nil {
		if verifier, ok := errors.AsType[*ebpf.VerifierError](err); ok {
			t.Logf("%+v", verifier)
		}
		return fmt.Errorf("the kernel refuses it: %w", err)
	}
	defer kernel.Close()
	r := rand.New(rand.NewPCG(seed, 1))
	for range packetsPerProgram {
		frame := randomFrame(r)
		want, err := k.run(kernel, frame)
		if err != nil {
			return err
		}
		got, err := w.outcome(prog, frame)
		if err != nil {
			return err
		}
		if got.String() != want.String() {
			return fmt.Errorf("differs on %s\nmachine: %v\nkernel:  %v", hex.EncodeToString(frame), got, want)
		}
	}
	return nil
}

// randomFrame is an IPv4 frame, addressed to another host, with anything inside.
func randomFrame(r *rand.Rand) []byte {
	b := make([]byte, 64+r.IntN(60))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] = 2
	b[12], b[13], b[14] = 8, 0, 0x45
	return b
}

func (k *kernelWorld) reset() error {
	for i := range uint32(4) {
		if err := k.array.Put(i, make([]byte, 64)); err != nil {
			return err
		}
	}
	for i := range uint32(8) {
		if err := k.hash.Delete(i); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	return nil
}

func (k *kernelWorld) run(p *ebpf.Program, frame []byte) (*outcome, error) {
	o := &outcome{}
	opt := &ebpf.RunOptions{Data: frame, DataOut: make([]byte, 1024), Context: make([]byte, ctxSize), ContextOut: &o.ctx}
	var err error
	if o.ret, err = p.Run(opt); err != nil {
		return nil, err
	}
	o.frame = opt.DataOut
	if err := k.array.Lookup(uint32(0), &o.array); err != nil {
		return nil, err
	}
	for i := range uint32(8) {
		var v [16]byte
		if err := k.hash.Lookup(i, &v); err == nil {
			o.hash += fmt.Sprintf(" %d:%x", i, v)
		}
	}
	return o, nil
}

func (w *world) outcome(prog *program, frame []byte) (*outcome, error) {
	o := &outcome{}
	p := &dataplane.Packet{Data: bytes.Clone(frame), PktType: dataplane.PacketOtherHost, Ifindex: 1}
	var err error
	if o.ret, err = w.m.run(prog, p, &dataplane.Env{}); err != nil {
		return nil, err
	}
	o.frame = p.Data
	binary.LittleEndian.PutUint32(o.ctx[ctxMark:], p.Mark)
	for i, v := range p.CB {
		binary.LittleEndian.PutUint32(o.ctx[ctxCB+4*i:], v)
	}
	_ = w.m.objects[w.addr["array"]>>32].m.Lookup(make([]byte, 4), o.array[:])
	for i := range uint32(8) {
		v := make([]byte, 16)
		if err := w.m.objects[w.addr["hash"]>>32].m.Lookup(binary.LittleEndian.AppendUint32(nil, i), v); err == nil {
			o.hash += fmt.Sprintf(" %d:%x", i, v)
		} else if !errors.Is(err, maps.ErrKeyNotExist) {
			return nil, err
		}
	}
	return o, nil
}
