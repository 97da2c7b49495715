package bytecode

import "errors"

// Atomic operations as they stand in an instruction's constant (linux/bpf.h).
const (
	atomicAdd     = 0x00
	atomicOr      = 0x40
	atomicAnd     = 0x50
	atomicXor     = 0xa0
	atomicFetch   = 0x01
	atomicXchg    = 0xe0 | atomicFetch
	atomicCmpXchg = 0xf0 | atomicFetch
	atomicLoad    = 0x100
	atomicStore   = 0x110

	atomicWide = 1 << 16 // of inst.imm: 8 bytes
)

func (d *decoder) atomic(code byte, in *inst) error {
	size := sizeOf(code)
	if in.imm == atomicLoad || in.imm == atomicStore {
		// Version 4: a load or a store that others see in order; there is one CPU here.
		in.op = opLdx8 + step(code)
		if in.imm == atomicStore {
			in.op = opStx8 + step(code)
		}
		return nil
	}
	if size < 4 {
		return errOpcode
	}
	switch in.imm {
	case atomicAdd:
		in.op = opXadd32
		if size == 8 {
			in.op = opXadd64
		}
		return nil
	case atomicOr, atomicAnd, atomicXor, atomicAdd | atomicFetch, atomicOr | atomicFetch,
		atomicAnd | atomicFetch, atomicXor | atomicFetch, atomicXchg, atomicCmpXchg:
		if in.imm&atomicFetch != 0 && in.src == regFP && in.imm != atomicCmpXchg {
			return errReadOnly
		}
		in.op = opAtomic
		if size == 8 {
			in.imm |= atomicWide
		}
		return nil
	}
	return errors.New("no such atomic operation")
}

// atomic does a read-modify-write. Nothing else runs meanwhile, so it needs no lock.
//
// Differs: in engine bytecode a compare-and-exchange of a word always clears the upper half of r0, as the instruction set says. On x86-64, whose
// instruction leaves it when the words are equal, the kernel clears it by an instruction of its own, which the verifier adds
// where it sees all of r0 read later. Linux 6.18 does not see that if the path to the read meets, by pruning, one on which r0
// was written otherwise; then the upper half stays. Test: TestPrivilegedRandomPrograms.
func (m *machine) atomic(in *inst, r *registers) {
	n := uint64(4)
	kind := in.imm & 0xffff
	if in.imm&atomicWide != 0 || in.op == opXadd64 {
		n = 8
	}
	if in.op != opAtomic {
		kind = atomicAdd
	}
	addr := r[in.dst&15] + uint64(int64(in.off))
	b := m.write(addr, n)
	if b == nil {
		m.failAccess("write", addr, n)
		return
	}
	old, src := loadBytes(b), r[in.src&15]
	if n == 4 {
		src &= 0xffffffff
	}
	switch kind &^ atomicFetch {
	case atomicAdd:
		storeBytes(b, old+src)
	case atomicOr:
		storeBytes(b, old|src)
	case atomicAnd:
		storeBytes(b, old&src)
	case atomicXor:
		storeBytes(b, old^src)
	case atomicXchg &^ atomicFetch:
		storeBytes(b, src)
	default:
		want := r[0]
		if n == 4 {
			want &= 0xffffffff
		}
		if old == want {
			storeBytes(b, src)
		}
		r[0] = old
		return
	}
	if kind&atomicFetch != 0 {
		r[in.src&15] = old
	}
}
