package bytecode

import "unsafe"

// op is the machine's own instruction code. Unlike a BPF opcode it tells the width of
// operands and where the second one comes from, and the codes are dense, so that the
// interpreter's switch is one jump through a table.
type op uint16

// inst is a decoded instruction. Its meaning depends on op: off is the offset of a
// memory operand, or how far to jump in bytes of decoded code; imm is a constant, sign
// extended as the instruction says.
type inst struct {
	op       op
	dst, src uint8
	off      int32
	imm      uint64
}

const instSize = int32(unsafe.Sizeof(inst{}))

// Suffix K takes the constant, X the source register. The order of the arithmetic
// groups is that of the BPF opcodes (bits 4 to 7), which decode relies on.
const (
	opInvalid op = iota // not an instruction: the end of the code, the middle of a 16-byte one

	opAdd64K
	opSub64K
	opMul64K
	opDiv64K
	opOr64K
	opAnd64K
	opLsh64K
	opRsh64K
	opNeg64
	opMod64K
	opXor64K
	opMov64K
	opArsh64K

	opAdd64X
	opSub64X
	opMul64X
	opDiv64X
	opOr64X
	opAnd64X
	opLsh64X
	opRsh64X
	_
	opMod64X
	opXor64X
	opMov64X
	opArsh64X

	opAdd32K
	opSub32K
	opMul32K
	opDiv32K
	opOr32K
	opAnd32K
	opLsh32K
	opRsh32K
	opNeg32
	opMod32K
	opXor32K
	opMov32K
	opArsh32K

	opAdd32X
	opSub32X
	opMul32X
	opDiv32X
	opOr32X
	opAnd32X
	opLsh32X
	opRsh32X
	_
	opMod32X
	opXor32X
	opMov32X
	opArsh32X

	opSDiv64K
	opSMod64K
	opSDiv64X
	opSMod64X
	opSDiv32K
	opSMod32K
	opSDiv32X
	opSMod32X
	opMovSX8To64
	opMovSX16To64
	opMovSX32To64
	opMovSX8To32
	opMovSX16To32

	opSwap16 // to big endian, or unconditionally
	opSwap32
	opSwap64
	opTrunc16 // to little endian: the machine's own order
	opTrunc32

	opJA
	opJeq64K
	opJgt64K
	opJge64K
	opJset64K
	opJne64K
	opJsgt64K
	opJsge64K
	opJlt64K
	opJle64K
	opJslt64K
	opJsle64K

	opJeq64X
	opJgt64X
	opJge64X
	opJset64X
	opJne64X
	opJsgt64X
	opJsge64X
	opJlt64X
	opJle64X
	opJslt64X
	opJsle64X

	opJeq32K
	opJgt32K
	opJge32K
	opJset32K
	opJne32K
	opJsgt32K
	opJsge32K
	opJlt32K
	opJle32K
	opJslt32K
	opJsle32K

	opJeq32X
	opJgt32X
	opJge32X
	opJset32X
	opJne32X
	opJsgt32X
	opJsge32X
	opJlt32X
	opJle32X
	opJslt32X
	opJsle32X

	opBack // jump back by off, and pay imm instructions for it

	opLdx8
	opLdx16
	opLdx32
	opLdx64
	opLdxS8
	opLdxS16
	opLdxS32
	opStx8
	opStx16
	opStx32
	opStx64
	opSt8
	opSt16
	opSt32
	opSt64

	// The same through the frame pointer: in range, which decode has checked.
	opLdxFP8
	opLdxFP16
	opLdxFP32
	opLdxFP64
	opStxFP8
	opStxFP16
	opStxFP32
	opStxFP64
	opStFP8
	opStFP16
	opStFP32
	opStFP64

	opXadd32
	opXadd64
	opAtomic // imm: atomic operation and width

	opLdAbs // imm: offset; off: width
	opLdInd

	opCall     // imm: index into the table of helpers
	opLookup   // bpf_map_lookup_elem
	opTailCall // bpf_tail_call
	opCallFunc // off: where to; imm: length of the code
	opExit

	opLine // imm: a position in the source; only in instrumented code

	// Two instructions that compilers put together, see fuse.
	opMovAdd64 // dst = src + imm
	opMask32   // dst <<= 32, dst >>= 32
)
