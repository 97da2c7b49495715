package bytecode

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// world is a machine with the maps that test programs name.
type world struct {
	m    *machine
	addr map[string]uint64
}

func newWorld(t testing.TB) *world { //nolint:thelper // T, B and F
	t.Helper()
	array, err := maps.NewArray[[64]byte](maps.Spec{Name: "array", MaxEntries: 4})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := maps.NewHash[[4]byte, [16]byte](maps.Spec{Name: "hash", MaxEntries: 3})
	if err != nil {
		t.Fatal(err)
	}
	calls, err := maps.NewProgArray(maps.Spec{Name: "calls", MaxEntries: 4})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{m: newMachine(), addr: map[string]uint64{}}
	w.add(machineObject{kind: kindMap, name: "array", m: array, keySize: 4, valueSize: 64, entries: 4})
	w.add(machineObject{kind: kindMap, name: "hash", m: hash, keySize: 4, valueSize: 16, entries: 3})
	w.add(machineObject{kind: kindPrograms, name: "calls", calls: calls})
	w.add(machineObject{kind: kindEvents, name: "events"})
	w.add(machineObject{kind: kindRing, name: "ring"})
	return w
}

func (w *world) add(o machineObject) {
	w.addr[o.name] = address(w.m.addObject(o, region{}), 0)
}

// program decodes instructions.
func (w *world) program(t testing.TB, insns asm.Instructions) *program { //nolint:thelper // T, B and F
	t.Helper()
	p, err := w.tryProgram(insns)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) tryProgram(insns asm.Instructions) (*program, error) {
	a, err := assemble(insns)
	if err != nil {
		return nil, err
	}
	addr := map[int]uint64{}
	for at, ref := range a.refs {
		addr[at] = w.addr[ref]
	}
	return newProgram("test", "test", a, addr)
}

// result runs instructions and returns all of r0, which the program leaves in the first slots of cb.
func result(t *testing.T, insns asm.Instructions) uint64 {
	t.Helper()
	w := newWorld(t)
	insns = append(asm.Instructions{asm.Mov.Reg(asm.R9, asm.R1)}, insns...)
	insns = append(insns,
		asm.StoreMem(asm.R9, ctxCB, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	)
	p := &dataplane.Packet{Data: make([]byte, 64)}
	if _, err := w.m.run(w.program(t, insns), p, &dataplane.Env{}); err != nil {
		t.Fatal(err)
	}
	return uint64(p.CB[0]) | uint64(p.CB[1])<<32
}

// storeImm64 is what asm.StoreImm refuses to make.
func storeImm64(dst asm.Register, off int16, v int64) asm.Instruction {
	return asm.Instruction{OpCode: asm.StoreImmOp(asm.DWord), Dst: dst, Offset: off, Constant: v}
}

func load64(r asm.Register, v uint64) asm.Instruction { return asm.LoadImm(r, int64(v), asm.DWord) }

func TestALU(t *testing.T) {
	t.Parallel()
	const min64, min32 = 1 << 63, 1 << 31
	tests := []struct {
		name string
		op   asm.ALUOp
		a, b uint64
		w64  uint64
		w32  uint64 // 64 bits of the register after the 32-bit form
	}{
		{"add wraps", asm.Add, ^uint64(0), 1, 0, 0},
		{"add clears the upper half", asm.Add, 0xffffffff_00000001, 2, 0xffffffff_00000003, 3},
		{"sub below zero", asm.Sub, 0, 1, ^uint64(0), 0xffffffff},
		{"mul", asm.Mul, 0x1_00000003, 5, 0x5_0000000f, 15},
		{"div", asm.Div, 0x1_00000000, 3, 0x55555555, 0},
		{"div is unsigned", asm.Div, ^uint64(0), 2, 0x7fffffff_ffffffff, 0x7fffffff},
		{"div by zero", asm.Div, 7, 0, 0, 0},
		{"div by zero in the lower half", asm.Div, 7, 0x1_00000000, 0, 0},
		{"mod", asm.Mod, 0x1_00000005, 3, 0, 2},
		{"mod by zero keeps, and truncates", asm.Mod, 0x1_00000005, 0, 0x1_00000005, 5},
		{"sdiv", asm.SDiv, ^uint64(6), 2, ^uint64(2), 0xfffffffd},
		{"sdiv by zero", asm.SDiv, 7, 0, 0, 0},
		{"sdiv of the smallest by -1", asm.SDiv, min64, ^uint64(0), min64, 0},
		{"smod", asm.SMod, ^uint64(6), 4, ^uint64(2), 0xfffffffd},
		{"smod by -1", asm.SMod, min64, ^uint64(0), 0, 0},
		{"smod by zero keeps", asm.SMod, min64 | 3, 0, min64 | 3, 3},
		{"or", asm.Or, 0xf0f0_0000_0000, 0x0f0f, 0xf0f0_0000_0f0f, 0x0f0f},
		{"and", asm.And, 0xffff_ffff_ffff, 0xff00_0000_00ff, 0xff00_0000_00ff, 0xff},
		{"xor", asm.Xor, ^uint64(0), 0xffffffff, 0xffffffff_00000000, 0},
		{"lsh", asm.LSh, 1, 31, 1 << 31, 1 << 31},
		{"lsh by the width", asm.LSh, 3, 64, 3, 3},
		{"lsh by more than 32", asm.LSh, 3, 33, 3 << 33, 6},
		{"rsh", asm.RSh, min64, 63, 1, 0},
		{"rsh by more than the width", asm.RSh, 0x80, 67, 0x10, 0x10},
		{"arsh keeps the sign", asm.ArSh, min64, 63, ^uint64(0), 0},
		{"arsh in 32 bits", asm.ArSh, min32, 31, 1, 0xffffffff},
		{"arsh by the width", asm.ArSh, min32, 32, 0, min32},
		{"mov", asm.Mov, 1, 0x1234_5678_9abc, 0x1234_5678_9abc, 0x5678_9abc},
		{"movsx8", asm.MovSX8, 0, 0x180, ^uint64(0x7f), 0xffffff80},
		{"movsx16", asm.MovSX16, 0, 0x18000, ^uint64(0x7fff), 0xffff8000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			regs := asm.Instructions{load64(asm.R0, tt.a), load64(asm.R1, tt.b)}
			if got := result(t, append(regs[:2:2], tt.op.Reg(asm.R0, asm.R1))); got != tt.w64 {
				t.Errorf("64 bits: %#x, want %#x", got, tt.w64)
			}
			if got := result(t, append(regs[:2:2], tt.op.Reg32(asm.R0, asm.R1))); got != tt.w32 {
				t.Errorf("32 bits: %#x, want %#x", got, tt.w32)
			}
		})
	}
}

func TestALUConstants(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		a    uint64
		ins  asm.Instruction
		want uint64
	}{
		{"constants are sign extended", 0, asm.Mov.Imm(asm.R0, -1), ^uint64(0)},
		{"not in 32 bits", 0, asm.Mov.Imm32(asm.R0, -1), 0xffffffff},
		{"and with a negative one", ^uint64(0), asm.And.Imm(asm.R0, -256), ^uint64(255)},
		{"add of a negative one in 32 bits", 1 << 32, asm.Add.Imm32(asm.R0, -1), 0xffffffff},
		{"div by a sign extended constant", ^uint64(0), asm.Div.Imm(asm.R0, -1), 1},
		{"sdiv", ^uint64(99), asm.SDiv.Imm(asm.R0, -10), 10},
		{"sdiv in 32 bits", 0xffffff9c, asm.SDiv.Imm32(asm.R0, 10), 0xfffffff6},
		{"smod", ^uint64(98), asm.SMod.Imm(asm.R0, 10), ^uint64(8)},
		{"smod in 32 bits", 0xffffff9d, asm.SMod.Imm32(asm.R0, -10), 0xfffffff7},
		{"mod in 32 bits", 0xffffffff_00000007, asm.Mod.Imm32(asm.R0, 4), 3},
		{"neg", 1, asm.Neg.Imm(asm.R0, 0), ^uint64(0)},
		{"neg in 32 bits", 1, asm.Neg.Imm32(asm.R0, 0), 0xffffffff},
		{"movsx32", 0, asm.MovSX32.Reg(asm.R0, asm.R1), 0xffffffff_80000000},
		{"be16", 0x11223344_55667788, asm.HostTo(asm.BE, asm.R0, asm.Half), 0x8877},
		{"be32", 0x11223344_55667788, asm.HostTo(asm.BE, asm.R0, asm.Word), 0x88776655},
		{"be64", 0x11223344_55667788, asm.HostTo(asm.BE, asm.R0, asm.DWord), 0x88776655_44332211},
		{"le16", 0x11223344_55667788, asm.HostTo(asm.LE, asm.R0, asm.Half), 0x7788},
		{"le32", 0x11223344_55667788, asm.HostTo(asm.LE, asm.R0, asm.Word), 0x55667788},
		{"le64", 0x11223344_55667788, asm.HostTo(asm.LE, asm.R0, asm.DWord), 0x11223344_55667788},
		{"bswap16", 0x11223344_55667788, asm.BSwap(asm.R0, asm.Half), 0x8877},
		{"bswap32", 0x11223344_55667788, asm.BSwap(asm.R0, asm.Word), 0x88776655},
		{"bswap64", 0x11223344_55667788, asm.BSwap(asm.R0, asm.DWord), 0x88776655_44332211},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := result(t, asm.Instructions{load64(asm.R0, tt.a), load64(asm.R1, 1<<31), tt.ins})
			if got != tt.want {
				t.Errorf("%#x, want %#x", got, tt.want)
			}
		})
	}
}

func TestJumps(t *testing.T) {
	t.Parallel()
	const big, neg = 1 << 40, ^uint64(0) // neg is the largest and -1; in 32 bits big is 0
	tests := []struct {
		op         asm.JumpOp
		a, b       uint64
		w64, w32   bool
		constAgain bool // b fits a constant
	}{
		{asm.JEq, 5, 5, true, true, true},
		{asm.JEq, big, 0, false, true, true},
		{asm.JEq, neg, neg, true, true, true},
		{asm.JNE, big, 0, true, false, true},
		{asm.JGT, neg, 1, true, true, true},
		{asm.JGT, big, 1, true, false, true},
		{asm.JGE, 7, 7, true, true, true},
		{asm.JGE, big, 7, true, false, true},
		{asm.JLT, 1, neg, true, true, true},
		{asm.JLT, big, 1, false, true, true},
		{asm.JLE, 7, 7, true, true, true},
		{asm.JLE, big, 7, false, true, true},
		{asm.JSGT, 1, neg, true, true, true},
		{asm.JSGT, 0x80000000, 0, true, false, true},
		{asm.JSGE, neg, neg, true, true, true},
		{asm.JSGE, 0x80000000, 0, true, false, true},
		{asm.JSLT, neg, 0, true, true, true},
		{asm.JSLT, 0x80000000, 0, false, true, true},
		{asm.JSLE, neg, neg, true, true, true},
		{asm.JSLE, 0x80000000, 0, false, true, true},
		{asm.JSet, 6, 2, true, true, true},
		{asm.JSet, big, big, true, false, false},
		{asm.JSet, big, neg, true, false, true},
	}
	for _, tt := range tests {
		check := func(form string, jump asm.Instruction, want bool) {
			got := result(t, asm.Instructions{
				load64(asm.R1, tt.a), load64(asm.R2, tt.b), asm.Mov.Imm(asm.R0, 1),
				jump, asm.Mov.Imm(asm.R0, 0), asm.Mov.Imm(asm.R3, 0).WithSymbol("out"),
			})
			if (got == 1) != want {
				t.Errorf("%v %s of %#x and %#x: taken %v, want %v", tt.op, form, tt.a, tt.b, got == 1, want)
			}
		}
		check("reg", tt.op.Reg(asm.R1, asm.R2, "out"), tt.w64)
		check("reg32", tt.op.Reg32(asm.R1, asm.R2, "out"), tt.w32)
		if tt.constAgain {
			check("imm", tt.op.Imm(asm.R1, int32(tt.b), "out"), tt.w64)
			check("imm32", tt.op.Imm32(asm.R1, int32(tt.b), "out"), tt.w32)
		}
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	slot := func(insns ...asm.Instruction) asm.Instructions {
		return append(asm.Instructions{
			load64(asm.R2, 0x8182838485868788),
			asm.Mov.Reg(asm.R3, asm.R10),
			asm.StoreMem(asm.R10, -8, asm.R2, asm.DWord),
			asm.Mov.Imm(asm.R0, -1), asm.Mov.Imm(asm.R4, 0x55),
		}, insns...)
	}
	tests := []struct {
		name  string
		insns []asm.Instruction
		want  uint64
	}{
		{"byte", []asm.Instruction{asm.LoadMem(asm.R0, asm.R10, -8, asm.Byte)}, 0x88},
		{"half", []asm.Instruction{asm.LoadMem(asm.R0, asm.R10, -8, asm.Half)}, 0x8788},
		{"word", []asm.Instruction{asm.LoadMem(asm.R0, asm.R10, -8, asm.Word)}, 0x85868788},
		{"double word", []asm.Instruction{asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0x8182838485868788},
		{"through another register", []asm.Instruction{asm.LoadMem(asm.R0, asm.R3, -7, asm.Half)}, 0x8687},
		{"signed byte", []asm.Instruction{asm.LoadMemSX(asm.R0, asm.R10, -8, asm.Byte)}, 0xffffffffffffff88},
		{"signed half", []asm.Instruction{asm.LoadMemSX(asm.R0, asm.R3, -8, asm.Half)}, 0xffffffffffff8788},
		{"signed word", []asm.Instruction{asm.LoadMemSX(asm.R0, asm.R3, -8, asm.Word)}, 0xffffffff85868788},
		{"store of a byte", []asm.Instruction{asm.StoreMem(asm.R3, -7, asm.R4, asm.Byte), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0x8182838485865588},
		{"store of a constant is sign extended", []asm.Instruction{storeImm64(asm.R3, -8, -2), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0xfffffffffffffffe},
		{"store of a constant half", []asm.Instruction{asm.StoreImm(asm.R10, -6, 0x1234, asm.Half), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0x8182838412348788},
		{"add", []asm.Instruction{asm.AddAtomic.Mem(asm.R3, asm.R4, asm.DWord, -8), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0x81828384858687dd},
		{"add of a word stays in it", []asm.Instruction{asm.Mov.Imm(asm.R4, -1), asm.AddAtomic.Mem(asm.R3, asm.R4, asm.Word, -8), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0x8182838485868787},
		{"fetch and add", []asm.Instruction{asm.FetchAdd.Mem(asm.R3, asm.R4, asm.Word, -8), asm.Mov.Reg(asm.R0, asm.R4)}, 0x85868788},
		{"or", []asm.Instruction{asm.OrAtomic.Mem(asm.R3, asm.R4, asm.DWord, -8), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0x81828384858687dd},
		{"fetch and and", []asm.Instruction{asm.FetchAnd.Mem(asm.R3, asm.R4, asm.DWord, -8), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord), asm.Add.Reg(asm.R0, asm.R4)}, 0x8182838485868788},
		{"xor", []asm.Instruction{asm.XorAtomic.Mem(asm.R3, asm.R4, asm.DWord, -8), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0x81828384858687dd},
		{"exchange", []asm.Instruction{asm.Xchg.Mem(asm.R3, asm.R4, asm.DWord, -8), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord), asm.Sub.Reg(asm.R0, asm.R4)}, 0x7e7d7c7b7a7978cd},
		{"compare and exchange, equal", []asm.Instruction{asm.Mov.Reg(asm.R0, asm.R2), asm.CmpXchg.Mem(asm.R3, asm.R4, asm.DWord, -8), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0x55},
		{"compare and exchange, unequal", []asm.Instruction{asm.CmpXchg.Mem(asm.R3, asm.R4, asm.DWord, -8)}, 0x8182838485868788},
		{"compare and exchange of a word", []asm.Instruction{asm.Mov.Reg(asm.R0, asm.R2), asm.CmpXchg.Mem(asm.R3, asm.R4, asm.Word, -8)}, 0x85868788},
		{"load acquire", []asm.Instruction{asm.LoadAcquire(asm.R0, asm.R3, asm.Half, -8)}, 0x8788},
		{"store release", []asm.Instruction{asm.StoreRelease(asm.R3, asm.R4, asm.Word, -8), asm.LoadMem(asm.R0, asm.R10, -8, asm.DWord)}, 0x8182838400000055},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := result(t, slot(tt.insns...)); got != tt.want {
				t.Errorf("%#x, want %#x", got, tt.want)
			}
		})
	}
}

// run executes instructions on a packet and returns what the program returned.
func (w *world) run(t testing.TB, p *dataplane.Packet, insns asm.Instructions) (uint32, error) { //nolint:thelper // T, B and F
	t.Helper()
	return w.m.run(w.program(t, insns), p, &dataplane.Env{})
}

func TestLegacyLoads(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		ins  asm.Instruction
		want uint32
	}{
		{"abs byte", asm.LoadAbs(1, asm.Byte), 2},
		{"abs half is big endian", asm.LoadAbs(1, asm.Half), 0x0203},
		{"abs word", asm.LoadAbs(0, asm.Word), 0x01020304},
		{"from the network header", asm.LoadAbs(-0x100000, asm.Byte), 15},
		{"from the link header", asm.LoadAbs(-0x200000+2, asm.Byte), 3},
		{"ind", asm.LoadInd(asm.R0, asm.R7, 1, asm.Half), 0x0405},
		{"outside ends the program with 0", asm.LoadAbs(63, asm.Half), 0},
	}
	for _, tt := range tests {
		w := newWorld(t)
		p := &dataplane.Packet{Data: make([]byte, 64)}
		for i := range p.Data {
			p.Data[i] = byte(i + 1)
		}
		ins := tt.ins
		if ins.OpCode.Mode() == asm.IndMode {
			ins.Src = asm.R7
		}
		got, err := w.run(t, p, asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1), asm.Mov.Imm(asm.R7, 2), asm.Mov.Imm(asm.R0, 99), ins, asm.Return(),
		})
		if err != nil || got != tt.want {
			t.Errorf("%s: %#x, %v; want %#x", tt.name, got, err, tt.want)
		}
	}
}

func TestCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got, err := w.run(t, &dataplane.Packet{Data: make([]byte, 64)}, asm.Instructions{
		asm.Mov.Imm(asm.R6, 6), asm.Mov.Imm(asm.R1, 20),
		storeImm64(asm.R10, -8, 7),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Call.Label("twice"),
		asm.LoadMem(asm.R1, asm.R10, -8, asm.DWord),
		asm.Add.Reg(asm.R0, asm.R6), asm.Add.Reg(asm.R0, asm.R1),
		asm.Return(),
		asm.Mov.Imm(asm.R6, 99).WithSymbol("twice"), // must not reach the caller
		storeImm64(asm.R10, -8, 50),                 // neither, it is another frame
		storeImm64(asm.R2, -8, 3),                   // but this is the caller's
		asm.Mov.Reg(asm.R0, asm.R1), asm.Add.Reg(asm.R0, asm.R1),
		asm.Return(),
	})
	if err != nil || got != 49 {
		t.Errorf("%d, %v; want 49", got, err)
	}
}

func TestTailCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	calls := w.m.objects[w.addr["calls"]>>32].calls
	jump := func(slot int32) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.LoadMem(asm.R7, asm.R6, ctxCB, asm.Word), asm.Add.Imm(asm.R7, 1),
			asm.StoreMem(asm.R6, ctxCB, asm.R7, asm.Word),
			asm.LoadMapPtr(asm.R2, 0).WithReference("calls"), asm.Mov.Imm(asm.R3, slot),
			asm.FnTailCall.Call(),
			asm.Mov.Imm(asm.R0, 42),
			asm.Return(),
		}
	}
	self := w.program(t, jump(1))
	w.m.tails = []*program{self}
	if err := calls.Set(1, 1); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		slot int32
		runs uint32
	}{
		{"an empty slot goes on", 2, 1},
		{"a slot out of range goes on", 4, 1},
		{"33 jumps", 1, 34},
	} {
		p := &dataplane.Packet{Data: make([]byte, 64)}
		got, err := w.run(t, p, jump(tt.slot))
		if err != nil || got != 42 || p.CB[0] != tt.runs {
			t.Errorf("%s: returned %d, %v after %d programs, want 42 after %d", tt.name, got, err, p.CB[0], tt.runs)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	ret := asm.Return()
	tests := []struct {
		name  string
		insns asm.Instructions
		want  string
	}{
		{"null", asm.Instructions{asm.Mov.Imm(asm.R1, 0), asm.LoadMem(asm.R0, asm.R1, 8, asm.Word), ret}, "instruction 1: read of 4 bytes at 0x8, which is no address"},
		{"below the stack", asm.Instructions{asm.LoadMem(asm.R0, asm.R10, -513, asm.Byte), ret}, "stack"},
		{"above the stack", asm.Instructions{asm.StoreImm(asm.R10, 8*stackSize, 0, asm.Byte), ret}, "write of 1 bytes at offset 4096 of the stack"},
		{"behind the packet", asm.Instructions{asm.LoadMem(asm.R2, asm.R1, ctxData, asm.Word), asm.LoadMem(asm.R0, asm.R2, 61, asm.Word), ret}, "read of 4 bytes at offset 61 of packet, where 64 may be"},
		{"before the packet", asm.Instructions{asm.LoadMem(asm.R2, asm.R1, ctxData, asm.Word), asm.LoadMem(asm.R0, asm.R2, -1, asm.Byte), ret}, "read of 1 bytes"},
		{"a field that classifiers do not have", asm.Instructions{asm.LoadMem(asm.R0, asm.R1, 88, asm.Word), ret}, "offset 88 of the context"},
		{"a field that is read-only", asm.Instructions{asm.StoreImm(asm.R1, ctxHash, 0, asm.Word), ret}, "write of 4 bytes at offset 68 of the context"},
		{"behind the context", asm.Instructions{asm.LoadMem(asm.R0, asm.R1, ctxSize, asm.Word), ret}, "offset 192 of the context"},
		{"a map's memory", asm.Instructions{asm.LoadMapPtr(asm.R1, 0).WithReference("hash"), asm.LoadMem(asm.R0, asm.R1, 0, asm.Word), ret}, "of hash"},
		{"no map for a lookup", asm.Instructions{asm.Mov.Reg(asm.R2, asm.R10), asm.FnMapLookupElem.Call(), ret}, "no map with entries"},
		{"a key outside", asm.Instructions{asm.LoadMapPtr(asm.R1, 0).WithReference("hash"), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, 4*1024), asm.FnMapLookupElem.Call(), ret}, "argument 2: read"},
		{"no context", asm.Instructions{asm.Mov.Imm(asm.R1, 1), asm.Mov.Imm(asm.R2, 0), asm.FnSkbPullData.Call(), ret}, "not the context"},
		{"an endless loop", asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol("again"), asm.Ja.Label("again"), ret}, "more than"},
		{"endless recursion", asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol("again"), asm.Call.Label("again"), ret}, "more than 8 nested calls"},
		{"running off the end", asm.Instructions{asm.Mov.Imm(asm.R0, 0)}, "not an instruction"},
		{"atomic operation outside", asm.Instructions{asm.Mov.Imm(asm.R1, 0), asm.FetchAdd.Mem(asm.R1, asm.R1, asm.Word, 0), ret}, "no address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			_, err := w.run(t, &dataplane.Packet{Data: make([]byte, 64)}, tt.insns)
			var f *Fault
			if !errors.As(err, &f) || !errors.Is(err, ErrFault) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want a fault with %q", err, tt.want)
			}
		})
	}
}

func TestRefusedPrograms(t *testing.T) {
	t.Parallel()
	ins := func(op, regs byte, off int16, imm int32) []byte {
		b := []byte{op, regs, 0, 0, 0, 0, 0, 0}
		binary.LittleEndian.PutUint16(b[2:], uint16(off))
		binary.LittleEndian.PutUint32(b[4:], uint32(imm))
		return b
	}
	tests := []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "0 bytes"},
		{"not a multiple of 8", make([]byte, 9), "9 bytes"},
		{"register 11", ins(0xb7, 11, 0, 0), "register 11"},
		{"write to r10", ins(0xb7, 10, 0, 0), "read-only"},
		{"opcode", ins(0xff, 0, 0, 0), "no such opcode"},
		{"jump behind the end", ins(0x05, 0, 0, 0), "jump to 1"},
		{"jump before the start", ins(0x05, 0, -2, 0), "jump to -1"},
		{"jump into a long instruction", append(append(ins(0x05, 0, 1, 0), ins(0x18, 0, 0, 0)...), ins(0, 0, 0, 0)...), "jump to 2"},
		{"half of a long instruction", ins(0x18, 0, 0, 0), "second half"},
		{"division by a constant zero", ins(0x37, 0, 0, 0), "division"},
		{"shift by 64", ins(0x67, 0, 0, 64), "shift"},
		{"shift by 32 in 32 bits", ins(0x64, 0, 0, 32), "shift"},
		{"swap of 24 bits", ins(0xdc, 0, 0, 24), "swap of 24 bits"},
		{"unknown helper", ins(0x85, 0, 0, 152), "RedirectNeigh (152)"},
		{"helper without a number", ins(0x85, 0, 0, -1), "not supported"},
		{"kernel function", ins(0x85, 0x20, 0, 1), "kernel function"},
		{"atomic byte", ins(0xd3, 0, 0, 0), "no such opcode"},
		{"atomic nand", ins(0xc3, 0, 0, 0x30), "no such atomic"},
	}
	for _, tt := range tests {
		_, err := newProgram("test", "test", &assembly{raw: tt.raw}, nil)
		if !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
