package bytecode

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Fields of a BPF instruction's first byte (linux/bpf.h, linux/bpf_common.h).
const (
	classLD    = 0x00
	classLDX   = 0x01
	classST    = 0x02
	classSTX   = 0x03
	classALU   = 0x04
	classJMP   = 0x05
	classJMP32 = 0x06
	classALU64 = 0x07

	modeIMM   = 0x00
	modeABS   = 0x20
	modeIND   = 0x40
	modeMEM   = 0x60
	modeMEMSX = 0x80
	modeATOM  = 0xc0

	sourceX = 0x08

	aluDiv = 0x3
	aluNeg = 0x8
	aluMod = 0x9
	aluMov = 0xb
	aluEnd = 0xd

	jmpA    = 0x0
	jmpCall = 0x8
	jmpExit = 0x9

	pseudoMapFD    = 1
	pseudoMapValue = 2
	pseudoCall     = 1

	regFP = 10
)

// ErrProgram is wrapped by every refusal of a program that cannot be decoded.
var ErrProgram = errors.New("bad program")

// maxInsns bounds a program, as BPF_COMPLEXITY_LIMIT_INSNS does in the kernel.
const maxInsns = 1_000_000

// decoder turns raw instructions into decoded ones.
type decoder struct {
	raw  []byte
	code []inst
	at   []int32        // decoded index → raw index
	from []int32        // raw index → decoded index, -1 in the middle of a long one
	line func(int) int  // position of a raw instruction in the source, -1: no new one; nil: plain code
	addr map[int]uint64 // values of the long loads that refer to maps, by raw index
	jump []fixup
}

// fixup is a jump whose target is not decoded yet.
type fixup struct {
	at     int // decoded index
	target int // raw index
}

// decode turns raw instructions (8 bytes each, little endian) into code. addr gives the
// values of loads that refer to maps. The error wraps ErrProgram and names the instruction.
func decode(raw []byte, addr map[int]uint64, line func(int) int) (*decoder, error) {
	if len(raw)%8 != 0 || len(raw) == 0 || len(raw) > maxInsns*8 {
		return nil, fmt.Errorf("%w: %d bytes, want 1 to %d instructions of 8", ErrProgram, len(raw), maxInsns)
	}
	n := len(raw) / 8
	d := &decoder{raw: raw, addr: addr, line: line, code: make([]inst, 0, n+1), from: make([]int32, n)}
	for i := 0; i < n; {
		d.from[i] = int32(len(d.code))
		if line != nil {
			if l := line(i); l >= 0 {
				d.emit(i, inst{op: opLine, imm: uint64(l)})
			}
		}
		width, err := d.one(i)
		if err != nil {
			return nil, fmt.Errorf("%w: instruction %d (%x): %w", ErrProgram, i, raw[8*i:8*i+8], err)
		}
		if width == 2 {
			d.from[i+1] = -1
		}
		i += width
	}
	d.emit(n, inst{op: opInvalid})
	if err := d.link(); err != nil {
		return d, err
	}
	d.fuse()
	// The machine looks one instruction ahead: a pointer behind the last one would be one
	// behind the allocation, which the garbage collector does not take.
	d.emit(n, inst{op: opInvalid})
	return d, nil
}

func (d *decoder) emit(raw int, in inst) {
	d.code = append(d.code, in)
	d.at = append(d.at, int32(raw))
}

// fuse lets the first of two instructions that compilers put together do both and step over the second, which stays where it
// is for those that jump to it.
func (d *decoder) fuse() {
	for i := range len(d.code) - 1 {
		a, b := &d.code[i], &d.code[i+1]
		switch {
		case a.op == opMov64X && b.op == opAdd64K && a.dst == b.dst: // an address: of the stack, or in a structure
			a.op, a.imm = opMovAdd64, b.imm
		case a.op == opLsh64K && b.op == opRsh64K && a.dst == b.dst && a.imm == 32 && b.imm == 32: // a word, before version 3
			a.op = opMask32
		}
	}
}

// link resolves the jumps. A jump back goes through an instruction of its own behind the
// code, which pays for it, so that jumps ahead, which end by themselves, pay nothing.
func (d *decoder) link() error {
	for _, f := range d.jump {
		if f.target < 0 || f.target >= len(d.from) || d.from[f.target] < 0 {
			return fmt.Errorf("%w: instruction %d: jump to %d, which is no instruction", ErrProgram, d.at[f.at], f.target)
		}
		to := int(d.from[f.target])
		in := &d.code[f.at]
		if in.op != opCallFunc && to <= f.at {
			back := len(d.code)
			d.emit(int(d.at[f.at]), inst{op: opBack, off: jumpOff(back, to), imm: uint64(f.at-to) + 1})
			in = &d.code[f.at]
			to = back
		}
		in.off = jumpOff(f.at, to)
	}
	return nil
}

// jumpOff is the distance from behind instruction from to instruction to.
func jumpOff(from, to int) int32 { return int32(to-from-1) * instSize }

// one decodes the raw instruction i and returns how many of 8 bytes it takes.
func (d *decoder) one(i int) (int, error) {
	b := d.raw[8*i:]
	in := inst{
		dst: b[1] & 0xf, src: b[1] >> 4, off: int32(int16(binary.LittleEndian.Uint16(b[2:]))),
		imm: uint64(int64(int32(binary.LittleEndian.Uint32(b[4:])))),
	}
	if in.dst > regFP || in.src > regFP {
		return 0, fmt.Errorf("register %d", max(in.dst, in.src))
	}
	code := b[0]
	var err error
	switch code & 7 {
	case classLD:
		return d.ld(i, code, in)
	case classLDX:
		err = d.ldx(code, &in)
	case classST, classSTX:
		err = d.store(code, &in)
	case classALU, classALU64:
		err = d.alu(code, &in)
	default:
		err = d.jmp(i, code, &in)
	}
	if err != nil {
		return 0, err
	}
	d.emit(i, in)
	return 1, nil
}

// errOpcode refuses a first byte that no instruction has.
var errOpcode = errors.New("no such opcode")

var errReadOnly = errors.New("r10 is read-only")

func (d *decoder) ld(i int, code byte, in inst) (int, error) {
	switch code & 0xe0 {
	case modeIMM:
		if code != 0x18 {
			return 0, errOpcode
		}
		if 8*i+16 > len(d.raw) {
			return 0, errors.New("the second half is missing")
		}
		if in.dst == regFP {
			return 0, errReadOnly
		}
		b := d.raw[8*i+8:]
		if binary.LittleEndian.Uint32(b) != 0 {
			return 0, errors.New("the second half has fields other than the constant")
		}
		value := in.imm&0xffffffff | uint64(binary.LittleEndian.Uint32(b[4:]))<<32
		switch in.src {
		case 0:
		case pseudoMapFD, pseudoMapValue:
			v, ok := d.addr[i]
			if !ok {
				return 0, errors.New("refers to a map that nobody has named")
			}
			value = v
			if in.src == pseudoMapValue {
				value += uint64(binary.LittleEndian.Uint32(b[4:]))
			}
		default:
			return 0, fmt.Errorf("64-bit constant of kind %d is not supported", in.src)
		}
		d.emit(i, inst{op: opMov64K, dst: in.dst, imm: value})
		return 2, nil
	case modeABS, modeIND:
		width := sizeOf(code)
		if width == 8 {
			return 0, errOpcode
		}
		in.op, in.off = opLdAbs, int32(width)
		if code&0xe0 == modeIND {
			in.op = opLdInd
		}
		d.emit(i, in)
		return 1, nil
	}
	return 0, errOpcode
}

// sizeOf is the width of a memory operand in bytes.
func sizeOf(code byte) int { return [4]int{4, 2, 1, 8}[code>>3&3] }

// step is the place of a width in groups of instructions that are ordered by it.
func step(code byte) op { return [4]op{2, 1, 0, 3}[code>>3&3] }

// frame says whether an operand below the frame pointer lies in the frame.
func frame(off int32, size int) bool { return off >= -stackSize && int(off)+size <= 0 }

func (d *decoder) ldx(code byte, in *inst) error {
	if in.dst == regFP {
		return errReadOnly
	}
	switch code & 0xe0 {
	case modeMEM:
		in.op = opLdx8 + step(code)
		if in.src == regFP && frame(in.off, sizeOf(code)) {
			in.op = opLdxFP8 + step(code)
		}
		return nil
	case modeMEMSX:
		if sizeOf(code) == 8 {
			return errOpcode
		}
		in.op = opLdxS8 + step(code)
		return nil
	}
	return errOpcode
}

func (d *decoder) store(code byte, in *inst) error {
	fp := in.dst == regFP && frame(in.off, sizeOf(code))
	switch {
	case code&7 == classST && code&0xe0 == modeMEM:
		in.op = opSt8 + step(code)
		if fp {
			in.op = opStFP8 + step(code)
		}
		return nil
	case code&7 == classSTX && code&0xe0 == modeMEM:
		in.op = opStx8 + step(code)
		if fp {
			in.op = opStxFP8 + step(code)
		}
		return nil
	case code&7 == classSTX && code&0xe0 == modeATOM:
		return d.atomic(code, in)
	}
	return errOpcode
}

func (d *decoder) alu(code byte, in *inst) error {
	wide := code&7 == classALU64
	x := code&sourceX != 0
	group := code >> 4
	if in.dst == regFP {
		return errReadOnly
	}
	switch {
	case group == aluEnd:
		return d.end(wide, x, in)
	case group > aluEnd:
		return errOpcode
	case group == aluNeg:
		in.op = opNeg32
		if wide {
			in.op = opNeg64
		}
		if x {
			return errOpcode
		}
		return nil
	case in.off != 0:
		return d.extended(wide, x, group, in)
	}
	base := opAdd32K
	switch {
	case wide && x:
		base = opAdd64X
	case wide:
		base = opAdd64K
	case x:
		base = opAdd32X
	}
	in.op = base + op(group)
	if !x && (group == aluDiv || group == aluMod) && in.imm == 0 {
		return errors.New("division by the constant 0")
	}
	if !x && (group == 6 || group == 7 || group == 12) && in.imm >= map[bool]uint64{false: 32, true: 64}[wide] {
		return fmt.Errorf("shift by the constant %d", int64(in.imm))
	}
	if !wide {
		in.imm &= 0xffffffff
	}
	return nil
}

// extended decodes what version 4 of the instruction set tells by the offset: signed
// division and moves with sign extension.
func (d *decoder) extended(wide, x bool, group byte, in *inst) error {
	if in.off == 1 && (group == aluDiv || group == aluMod) {
		if !x && in.imm == 0 {
			return errors.New("division by the constant 0")
		}
		in.op = opSDiv64K
		if group == aluMod {
			in.op++
		}
		if x {
			in.op += 2
		}
		if !wide {
			in.op += 4
		}
		return nil
	}
	if group != aluMov || !x {
		return errOpcode
	}
	ops := map[int32]op{8: opMovSX8To64, 16: opMovSX16To64, 32: opMovSX32To64}
	if !wide {
		ops = map[int32]op{8: opMovSX8To32, 16: opMovSX16To32}
	}
	o, ok := ops[in.off]
	if !ok {
		return errOpcode
	}
	in.op = o
	return nil
}

// end decodes byte swaps: to little endian (32-bit class, K), to big endian (X), or
// unconditionally (64-bit class, version 4).
func (d *decoder) end(wide, x bool, in *inst) error {
	if wide && x || in.off != 0 {
		return errOpcode
	}
	swap := wide || x
	switch {
	case in.imm == 16 && swap:
		in.op = opSwap16
	case in.imm == 32 && swap:
		in.op = opSwap32
	case in.imm == 64 && swap:
		in.op = opSwap64
	case in.imm == 16:
		in.op = opTrunc16
	case in.imm == 32:
		in.op = opTrunc32
	case in.imm == 64:
		*in = inst{op: opMov64X, dst: in.dst, src: in.dst}
	default:
		return fmt.Errorf("swap of %d bits", int64(in.imm))
	}
	return nil
}

func (d *decoder) jmp(i int, code byte, in *inst) error {
	narrow := code&7 == classJMP32
	x := code&sourceX != 0
	group := code >> 4
	switch {
	case group == jmpA:
		if x {
			return errOpcode
		}
		target := i + 1 + int(in.off)
		if narrow {
			target = i + 1 + int(int64(in.imm))
		}
		in.op = opJA
		d.jump = append(d.jump, fixup{len(d.code), target})
		return nil
	case group == jmpCall && !narrow && !x:
		return d.call(i, in)
	case group == jmpExit && !narrow && !x:
		in.op = opExit
		return nil
	case group == jmpCall || group == jmpExit || group > 0xd:
		return errOpcode
	}
	if group > jmpExit {
		group -= 2 // call and exit stand between the conditions
	}
	base := opJeq64K
	switch {
	case narrow && x:
		base = opJeq32X
	case narrow:
		base = opJeq32K
	case x:
		base = opJeq64X
	}
	in.op = base + op(group) - 1
	if narrow {
		in.imm &= 0xffffffff
	}
	d.jump = append(d.jump, fixup{len(d.code), i + 1 + int(in.off)})
	return nil
}

func (d *decoder) call(i int, in *inst) error {
	switch in.src {
	case 0:
		id := int64(in.imm)
		if id == helperTailCall {
			in.op = opTailCall
			return nil
		}
		if id < 0 || id >= int64(len(helperIndex)) || helperIndex[id] == 0 {
			return fmt.Errorf("%w: %s", ErrHelper, helperName(id))
		}
		in.op, in.imm = opCall, uint64(helperIndex[id])
		if id == helperMapLookup {
			in.op = opLookup
		}
		return nil
	case pseudoCall:
		in.op = opCallFunc
		d.jump = append(d.jump, fixup{len(d.code), i + 1 + int(int64(in.imm))})
		in.imm = uint64(len(d.raw) / 8)
		return nil
	}
	return fmt.Errorf("%w: call of kind %d (a kernel function)", ErrHelper, in.src)
}
