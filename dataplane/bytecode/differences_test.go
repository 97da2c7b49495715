package bytecode

import (
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
		if hash(1) != hash(1) || hash(1) == hash(2) || hash(1) == 0 {
			t.Errorf("hashes %#x, %#x, %#x: want equal ones for equal flows only", hash(1), hash(1), hash(2))
		}
	})
}
