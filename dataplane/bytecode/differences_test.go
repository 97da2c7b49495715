package bytecode

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf/asm"

	"github.com/hooklab/hooklab/dataplane"
)

// TestDifferencesOfHelpers: what the helpers do otherwise than the kernel's, as their comments say.
func TestDifferencesOfHelpers(t *testing.T) {
	t.Parallel()
	const einval, notForwarded = 0xffffffff - 21, 4
	context := func(fn asm.BuiltinFunc, args ...asm.Instruction) asm.Instructions {
		return append(append(asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1), storeImm64(asm.R10, -64, 7),
			storeImm64(asm.R10, -56, 0), storeImm64(asm.R10, -48, 0), storeImm64(asm.R10, -40, 0),
			storeImm64(asm.R10, -32, 0), storeImm64(asm.R10, -24, 0), storeImm64(asm.R10, -16, 0),
			storeImm64(asm.R10, -8, 0), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -64),
		}, args...), fn.Call(), asm.Return())
	}
	size := func(n int32) asm.Instruction { return asm.Mov.Imm(asm.R3, n) }
	flags := func(n int32) asm.Instruction { return asm.Mov.Imm(asm.R4, n) }
	const keyIPv6, keyZeroChecksum, keyDontFragment = 1, 2, 4
	for _, tt := range []struct {
		name  string
		insns asm.Instructions
		want  uint32
	}{
		{"no route is found", context(asm.FnFibLookup, size(64), flags(0)), notForwarded},
		{"a tunnel key for IPv6", context(asm.FnSkbSetTunnelKey, size(keySize), flags(keyIPv6)), einval},
		{"flags about the outer header", context(asm.FnSkbSetTunnelKey, size(keySize), flags(keyZeroChecksum|keyDontFragment)), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := &dataplane.Packet{Data: make([]byte, 64), Ifindex: 1}
			got, err := w.m.run(w.program(t, tt.insns), p, &dataplane.Env{})
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("returned %#x, want %#x", got, tt.want)
			}
			if set := tt.want == 0; p.TunnelOut.Present != set || set && p.TunnelOut.ID != 7 {
				t.Errorf("tunnel key %+v", p.TunnelOut)
			}
		})
	}
	t.Run("the hash has no secret", func(t *testing.T) {
		t.Parallel()
		hash := func(b byte) uint32 {
			w := newWorld(t)
			p := &dataplane.Packet{Data: make([]byte, 64), Ifindex: 1}
			p.Data[12], p.Data[14], p.Data[30] = 8, 0x45, b
			got, err := w.m.run(w.program(t, asm.Instructions{asm.FnGetHashRecalc.Call(), asm.Return()}), p, &dataplane.Env{})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		first, again, other := hash(1), hash(1), hash(2)
		if first != again || first == other || first == 0 {
			t.Errorf("hashes %#x, %#x, %#x: want equal ones for equal flows only", first, again, other)
		}
	})
}

// TestFused: pairs that are done at once do what they do one by one, also for who jumps between them.
func TestFused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		insns asm.Instructions
		fused op
		want  uint64
	}{
		{"move and add", asm.Instructions{
			load64(asm.R1, 40), asm.Mov.Reg(asm.R0, asm.R1), asm.Add.Imm(asm.R0, 2),
		}, opMovAdd64, 42},
		{"move and add below zero", asm.Instructions{
			load64(asm.R1, 40), asm.Mov.Reg(asm.R0, asm.R1), asm.Add.Imm(asm.R0, -41),
		}, opMovAdd64, ^uint64(0)},
		{"a jump between move and add", asm.Instructions{
			load64(asm.R0, 1), load64(asm.R1, 40), asm.JEq.Imm(asm.R0, 1, "between"),
			asm.Mov.Reg(asm.R0, asm.R1), asm.Add.Imm(asm.R0, 2).WithSymbol("between"),
		}, opMovAdd64, 3},
		{"the lower half", asm.Instructions{
			load64(asm.R0, 0x1234_5678_9abc_def0), asm.LSh.Imm(asm.R0, 32), asm.RSh.Imm(asm.R0, 32),
		}, opMask32, 0x9abc_def0},
		{"a jump between the shifts", asm.Instructions{
			load64(asm.R0, 0x1234_5678_9abc_def0), asm.JNE.Imm(asm.R0, 1, "between"),
			asm.LSh.Imm(asm.R0, 32), asm.RSh.Imm(asm.R0, 32).WithSymbol("between"),
		}, opMask32, 0x1234_5678},
		{"other shifts", asm.Instructions{
			load64(asm.R0, 0x1234_5678_9abc_def0), asm.LSh.Imm(asm.R0, 32), asm.RSh.Imm(asm.R0, 31),
		}, opLsh64K, 0x1_3579_bde0},
		{"other registers", asm.Instructions{
			load64(asm.R0, 1), load64(asm.R1, 40), asm.Mov.Reg(asm.R2, asm.R1), asm.Add.Imm(asm.R0, 2),
		}, opMov64X, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := result(t, tt.insns); got != tt.want {
				t.Errorf("r0 is %#x, want %#x", got, tt.want)
			}
			code := newWorld(t).program(t, append(tt.insns, asm.Return())).plain.code
			if !slices.ContainsFunc(code, func(in inst) bool { return in.op == tt.fused }) {
				t.Errorf("no instruction %d in %v", tt.fused, code)
			}
		})
	}
}
