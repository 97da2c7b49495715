package bytecode

import (
	"fmt"
	"math/rand/v2"

	"github.com/cilium/ebpf/asm"
)

// generator makes random programs that the kernel's verifier takes. r0 to r5 and r9 hold numbers, r6 the context, r7
// the packet, of which 64 bytes are there, r8 a value of the map "array" of 64 bytes. The stack holds numbers from -64 to
// -1, keys of the map "hash" at -4.
type generator struct {
	r       *rand.Rand
	insns   asm.Instructions
	labels  int
	pending []pendingLabel
	subs    bool // calls functions; else it may use LD_ABS
	looping bool
}

// pendingLabel is where a jump leads, after some more units.
type pendingLabel struct {
	name string
	left int
}

func randomProgram(seed uint64) asm.Instructions {
	g := &generator{r: rand.New(rand.NewPCG(seed, 0x5eed))}
	g.subs = g.r.IntN(2) == 0
	g.prologue()
	for range 10 + g.r.IntN(90) {
		g.unit()
		g.arrive()
	}
	for _, p := range g.pending {
		g.label(p.name)
	}
	if g.subs {
		g.emit(asm.Call.Label("function0"))
		g.scramble()
		g.emit(asm.Call.Label("function1"))
		g.scramble()
	}
	for i, r := range []asm.Register{asm.R0, asm.R1, asm.R2, asm.R3, asm.R4, asm.R5, asm.R9} {
		g.emit(asm.StoreMem(asm.R8, int16(8*i), r, asm.DWord))
	}
	g.emit(asm.Xor.Reg(asm.R0, asm.R9), asm.Return(), asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"), asm.Return())
	if g.subs {
		for i := range 2 {
			g.function(fmt.Sprintf("function%d", i))
		}
	}
	return g.insns
}

func (g *generator) emit(insns ...asm.Instruction) { g.insns = append(g.insns, insns...) }

func (g *generator) label(name string) { g.emit(asm.Add.Imm(asm.R9, 0).WithSymbol(name)) }

// arrive places the labels that are due.
func (g *generator) arrive() {
	kept := g.pending[:0]
	for _, p := range g.pending {
		if p.left--; p.left <= 0 {
			g.label(p.name)
		} else {
			kept = append(kept, p)
		}
	}
	g.pending = kept
}

func (g *generator) newLabel() string {
	g.labels++
	return fmt.Sprintf("l%d", g.labels)
}

// scalar is a register that holds a number and may be written.
func (g *generator) scalar() asm.Register {
	if i := g.r.IntN(7); i < 6 || g.looping {
		return asm.R0 + asm.Register(i%6)
	}
	return asm.R9
}

// number is one that finds edges: small, around powers of two, anything.
func (g *generator) number() int64 {
	switch g.r.IntN(6) {
	case 0:
		return int64(g.r.IntN(4)) - 1
	case 1:
		return int64(1)<<g.r.IntN(64) - int64(g.r.IntN(2))
	case 2:
		return -(int64(1) << g.r.IntN(63))
	case 3:
		return int64(int32(g.r.Uint32()))
	default:
		return int64(g.r.Uint64())
	}
}

func (g *generator) constant() int32 { return int32(g.number()) }

func (g *generator) size() asm.Size {
	return []asm.Size{asm.Byte, asm.Half, asm.Word, asm.DWord}[g.r.IntN(4)]
}

// scramble gives numbers to the registers that a call has cleared.
func (g *generator) scramble() {
	for r := asm.R1; r <= asm.R5; r++ {
		g.emit(asm.LoadImm(r, g.number(), asm.DWord))
	}
}

// packet points r7 to the packet, or leaves the program if it has become short.
func (g *generator) packet() {
	g.emit(
		asm.LoadMem(asm.R7, asm.R6, ctxData, asm.Word), asm.LoadMem(asm.R2, asm.R6, ctxDataEnd, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R7), asm.Add.Imm(asm.R3, 64), asm.JGT.Reg(asm.R3, asm.R2, "exit"),
	)
}

func (g *generator) prologue() {
	g.emit(asm.Mov.Reg(asm.R6, asm.R1))
	g.packet()
	g.emit(asm.StoreImm(asm.R10, -4, 0, asm.Word))
	g.lookup("array")
	g.emit(asm.JEq.Imm(asm.R0, 0, "exit"), asm.Mov.Reg(asm.R8, asm.R0))
	g.scramble()
	g.emit(asm.LoadImm(asm.R0, g.number(), asm.DWord), asm.LoadImm(asm.R9, g.number(), asm.DWord))
	for off := int16(-64); off < 0; off += 8 {
		g.emit(asm.StoreMem(asm.R10, off, g.scalar(), asm.DWord))
	}
}

func (g *generator) unit() {
	switch n := g.r.IntN(100); {
	case n < 35:
		g.alu()
	case n < 47:
		g.jump()
	case n < 68:
		g.memory()
	case n < 74:
		g.atomic()
	case n < 80:
		g.context()
	case n < 83:
		g.loop()
	case n < 87:
		g.call()
	default:
		g.helper()
	}
}

func (g *generator) alu() {
	ops := []asm.ALUOp{
		asm.Add, asm.Sub, asm.Mul, asm.Div, asm.SDiv, asm.Or, asm.And, asm.LSh, asm.RSh, asm.Neg, asm.Mod, asm.SMod,
		asm.Xor, asm.Mov, asm.ArSh, asm.MovSX8, asm.MovSX16, asm.MovSX32, asm.Swap,
	}
	op := ops[g.r.IntN(len(ops))]
	dst, src := g.scalar(), g.scalar()
	wide := g.r.IntN(2) == 0
	if op == asm.Swap {
		size := []asm.Size{asm.Half, asm.Word, asm.DWord}[g.r.IntN(3)]
		g.emit([]asm.Instruction{asm.HostTo(asm.BE, dst, size), asm.HostTo(asm.LE, dst, size), asm.BSwap(dst, size)}[g.r.IntN(3)])
		return
	}
	imm := g.constant()
	switch op {
	case asm.Neg:
		src, imm = dst, 0
	case asm.LSh, asm.RSh, asm.ArSh:
		imm &= 31
		if wide {
			imm = int32(g.r.IntN(64))
		}
	case asm.Div, asm.Mod, asm.SDiv, asm.SMod:
		if imm == 0 {
			imm = 1
		}
	default:
	}
	reg := op == asm.MovSX8 || op == asm.MovSX16 || op == asm.MovSX32 || op != asm.Neg && g.r.IntN(2) == 0
	switch {
	case op == asm.MovSX32:
		g.emit(op.Reg(dst, src))
	case wide && reg:
		g.emit(op.Reg(dst, src))
	case wide:
		g.emit(op.Imm(dst, imm))
	case reg:
		g.emit(op.Reg32(dst, src))
	default:
		g.emit(op.Imm32(dst, imm))
	}
}

func (g *generator) jump() {
	if g.looping {
		g.alu()
		return
	}
	ops := []asm.JumpOp{
		asm.JEq, asm.JGT, asm.JGE, asm.JSet, asm.JNE, asm.JSGT, asm.JSGE, asm.JLT, asm.JLE, asm.JSLT, asm.JSLE,
	}
	op := ops[g.r.IntN(len(ops))]
	l := g.newLabel()
	g.pending = append(g.pending, pendingLabel{l, 2 + g.r.IntN(4)})
	a, b := g.scalar(), g.scalar()
	g.emit([]asm.Instruction{
		op.Reg(a, b, l), op.Reg32(a, b, l), op.Imm(a, g.constant(), l), op.Imm32(a, g.constant(), l),
	}[g.r.IntN(4)])
}

// memory loads or stores in the packet, the map value or the stack, at a constant place or, in the first two, at one that a
// register tells.
func (g *generator) memory() {
	size := g.size()
	room := 64 - size.Sizeof()
	base, off := []asm.Register{asm.R7, asm.R8, asm.R10}[g.r.IntN(3)], int16(g.r.IntN(room+1))
	value := g.scalar()
	if base == asm.R10 {
		off = off/int16(size.Sizeof())*int16(size.Sizeof()) - 64
	} else if g.r.IntN(3) == 0 {
		index := g.scalarNot(asm.R5)
		g.emit(asm.And.Imm(index, 31), asm.Mov.Reg(asm.R5, base), asm.Add.Reg(asm.R5, index))
		base, off = asm.R5, off%int16(33-size.Sizeof())
		if base == asm.R5 && g.insns[len(g.insns)-2].Src == asm.R7 {
			g.emit(
				asm.LoadMem(asm.R3, asm.R6, ctxDataEnd, asm.Word), asm.Mov.Reg(asm.R4, asm.R5), asm.Add.Imm(asm.R4, 32),
				asm.JGT.Reg(asm.R4, asm.R3, "exit"), asm.LoadImm(asm.R3, g.number(), asm.DWord), asm.LoadImm(asm.R4, g.number(), asm.DWord),
			)
		}
		defer func() { g.emit(asm.LoadImm(asm.R5, g.number(), asm.DWord)) }()
		if value == asm.R5 {
			value = asm.R4
		}
	}
	switch g.r.IntN(5) {
	case 0, 1:
		g.emit(asm.LoadMem(value, base, off, size))
	case 2:
		if size == asm.DWord {
			size = asm.Word
		}
		g.emit(asm.LoadMemSX(value, base, off, size))
	case 3:
		g.emit(asm.StoreMem(base, off, value, size))
	default:
		g.emit(asm.Instruction{OpCode: asm.StoreImmOp(size), Dst: base, Offset: off, Constant: int64(g.constant())})
	}
}

func (g *generator) atomic() {
	ops := []asm.AtomicOp{
		asm.AddAtomic, asm.FetchAdd, asm.AndAtomic, asm.FetchAnd, asm.OrAtomic, asm.FetchOr, asm.XorAtomic, asm.FetchXor,
		asm.Xchg, asm.CmpXchg,
	}
	op, size, base, off := ops[g.r.IntN(len(ops))], asm.Word, asm.R8, int16(0)
	if g.r.IntN(2) == 0 {
		size = asm.DWord
	}
	if g.r.IntN(2) == 0 {
		base, off = asm.R10, -64
	}
	ins := op.Mem(base, g.scalar(), size, off+int16(g.r.IntN(8)*8))
	ins.Constant = int64(op >> 8) // see assemble
	g.emit(ins)
	if op == asm.CmpXchg && size == asm.Word {
		// All of r0 is read before paths meet, so that the kernel clears its upper half: see (*machine).atomic, and seed
		// 21701 without this line.
		g.emit(asm.Add.Imm(asm.R0, 0))
	}
}

func (g *generator) context() {
	if g.r.IntN(2) == 0 {
		fields := []int16{
			ctxLen, ctxPktType, ctxMark, ctxProtocol, ctxVLANPresent, ctxVLANTCI, ctxPriority, ctxIngressIfindex, ctxIfindex,
			ctxTCIndex, ctxCB, ctxCB + 4, ctxCB + 16, ctxHash, ctxTCClassID, ctxWireLen, ctxGSOSegs, ctxGSOSize, ctxQueueMapping,
		}
		g.emit(asm.LoadMem(g.scalar(), asm.R6, fields[g.r.IntN(len(fields))], asm.Word))
		return
	}
	if g.r.IntN(2) == 0 {
		fields := []int16{ctxMark, ctxPriority, ctxTCIndex, ctxTCClassID, ctxQueueMapping}
		g.emit(asm.StoreMem(asm.R6, fields[g.r.IntN(len(fields))], g.scalar(), asm.Word))
		return
	}
	size := g.size()
	off := int16(ctxCB + g.r.IntN(16/size.Sizeof())*size.Sizeof())
	g.emit([]asm.Instruction{asm.StoreMem(asm.R6, off, g.scalar(), size), asm.LoadMem(g.scalar(), asm.R6, off, size)}[g.r.IntN(2)])
}

func (g *generator) loop() {
	if g.looping {
		g.alu()
		return
	}
	l := g.newLabel()
	g.looping = true
	g.emit(asm.Mov.Imm(asm.R9, 0))
	g.label(l)
	for range 1 + g.r.IntN(4) {
		if g.r.IntN(2) == 0 {
			g.alu()
		} else {
			g.memory()
		}
	}
	g.emit(asm.Add.Imm(asm.R9, 1), asm.JLT.Imm(asm.R9, int32(2+g.r.IntN(6)), l))
	g.looping = false
}

func (g *generator) call() {
	if g.subs {
		g.emit(asm.Call.Label(fmt.Sprintf("function%d", g.r.IntN(2))))
		g.scramble()
		return
	}
	size := []asm.Size{asm.Byte, asm.Half, asm.Word}[g.r.IntN(3)]
	if g.r.IntN(2) == 0 {
		g.emit(asm.LoadAbs(int32(g.r.IntN(66)), size))
	} else {
		index := g.scalar()
		ins := asm.LoadInd(asm.R0, index, int32(g.r.IntN(40)), size)
		ins.Src = index
		g.emit(asm.And.Imm(index, 31), ins)
	}
	g.scramble()
}

// function is one that mixes its arguments.
func (g *generator) function(name string) {
	g.emit(asm.Mov.Reg(asm.R0, asm.R1).WithSymbol(name), asm.StoreMem(asm.R10, -8, asm.R2, asm.DWord), asm.Mov.Imm(asm.R9, 1))
	for range 3 + g.r.IntN(8) {
		g.alu()
	}
	g.emit(asm.LoadMem(asm.R1, asm.R10, -8, asm.DWord), asm.Xor.Reg(asm.R0, asm.R1), asm.Return())
}

func (g *generator) lookup(m string) {
	g.emit(asm.LoadMapPtr(asm.R1, 0).WithReference(m), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -4), asm.FnMapLookupElem.Call())
}

func (g *generator) helper() {
	if g.looping {
		return
	}
	key := func() {
		r := g.scalar()
		g.emit(asm.And.Imm(r, 7), asm.StoreMem(asm.R10, -4, r, asm.Word))
	}
	stack := func(r asm.Register, off int32) { g.emit(asm.Mov.Reg(r, asm.R10), asm.Add.Imm(r, off)) }
	switch g.r.IntN(12) {
	case 0:
		key()
		g.lookup([]string{"hash", "array"}[g.r.IntN(2)])
		l := g.newLabel()
		g.emit(
			asm.Mov.Imm(asm.R1, 17), asm.JEq.Imm(asm.R0, 0, l), asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
			asm.Add.Imm(asm.R1, 1), asm.StoreMem(asm.R0, 8, asm.R1, asm.Word), asm.Mov.Reg(asm.R0, asm.R1).WithSymbol(l),
			asm.Mov.Reg(asm.R0, asm.R1),
		)
	case 1, 2:
		key()
		g.emit(asm.LoadMapPtr(asm.R1, 0).WithReference("hash"))
		stack(asm.R2, -4)
		stack(asm.R3, -40)
		g.emit(asm.Mov.Imm(asm.R4, int32(g.r.IntN(4))), asm.FnMapUpdateElem.Call())
	case 3:
		key()
		g.emit(asm.LoadMapPtr(asm.R1, 0).WithReference("hash"))
		stack(asm.R2, -4)
		g.emit(asm.FnMapDeleteElem.Call())
	case 4:
		g.emit(asm.Mov.Reg(asm.R2, g.scalar()), asm.And.Imm(asm.R2, 127), asm.Mov.Reg(asm.R1, asm.R6))
		stack(asm.R3, -48)
		g.emit(asm.Mov.Imm(asm.R4, int32(1+g.r.IntN(32))), asm.FnSkbLoadBytes.Call())
	case 5:
		g.emit(asm.Mov.Reg(asm.R2, g.scalar()), asm.And.Imm(asm.R2, 127), asm.Mov.Reg(asm.R1, asm.R6))
		stack(asm.R3, -48)
		g.emit(asm.Mov.Imm(asm.R4, int32(1+g.r.IntN(32))), asm.Mov.Imm(asm.R5, int32(g.r.IntN(5))), asm.FnSkbStoreBytes.Call())
		g.packet()
	case 6:
		stack(asm.R1, -32)
		stack(asm.R3, -64)
		g.emit(
			asm.Mov.Reg(asm.R5, g.scalarNot(asm.R1, asm.R3)), asm.Mov.Imm(asm.R2, int32(g.r.IntN(5)*4)),
			asm.Mov.Imm(asm.R4, int32(g.r.IntN(9)*4)), asm.FnCsumDiff.Call(),
		)
	case 7, 8:
		g.csum()
		g.packet()
	case 9:
		g.emit(asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, int32(g.r.IntN(5))), asm.FnSkbChangeType.Call())
		g.packet()
	case 10:
		g.room()
		g.packet()
	default:
		g.emit(asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, int32(g.r.IntN(130))), asm.FnSkbPullData.Call())
		g.packet()
	}
	g.scramble()
}

// scalarNot is a number's register among those that a helper keeps.
func (g *generator) scalarNot(not ...asm.Register) asm.Register {
	for {
		r := g.scalar()
		ok := true
		for _, n := range not {
			ok = ok && r != n
		}
		if ok {
			return r
		}
	}
}

func (g *generator) csum() {
	size := []int32{0, 2, 4, 4, 4, 3}[g.r.IntN(6)]
	g.emit(
		asm.Mov.Reg(asm.R3, g.scalar()), asm.LoadImm(asm.R4, g.number(), asm.DWord), asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, int32(14+g.r.IntN(60))),
	)
	if size == 0 && g.r.IntN(4) != 0 {
		g.emit(asm.Mov.Imm(asm.R3, 0))
	}
	if g.r.IntN(2) == 0 {
		g.emit(asm.Mov.Imm(asm.R5, size), asm.FnL3CsumReplace.Call())
		return
	}
	g.emit(asm.Mov.Imm(asm.R5, size|int32(g.r.IntN(8))<<4), asm.FnL4CsumReplace.Call())
}

// room changes the packet's length.
func (g *generator) room() {
	g.emit(asm.Mov.Reg(asm.R1, asm.R6))
	switch g.r.IntN(3) {
	case 0:
		g.emit(asm.Mov.Imm(asm.R2, int32(8+g.r.IntN(200))), asm.Mov.Imm(asm.R3, 0), asm.FnSkbChangeTail.Call())
	case 1:
		g.emit(asm.Mov.Imm(asm.R2, int32(g.r.IntN(32))), asm.Mov.Imm(asm.R3, 0), asm.FnSkbChangeHead.Call())
	default:
		g.emit(
			asm.Mov.Imm(asm.R2, int32(g.r.IntN(60)-30)), asm.Mov.Imm(asm.R3, int32(g.r.IntN(2))),
			asm.Mov.Imm(asm.R4, 0), asm.FnSkbAdjustRoom.Call(),
		)
	}
}
