package kernel

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// Offsets in struct __sk_buff.
const (
	skbPktType        = 4
	skbMark           = 8
	skbQueueMapping   = 12
	skbIngressIfindex = 36
	skbIfindex        = 40
	skbTCIndex        = 44
	skbCB             = 48
	skbHash           = 68
)

// maxPrograms is the size of the prog array through which the harness enters programs.
const maxPrograms = 1 << 16

// newHarness loads the program that BPF_PROG_TEST_RUN starts: it gives the packet the metadata that the syscall does not
// take, enters the program in control.Slot of targets, and notes what the packet looks like afterwards. The program is
// entered from a function of its own, so that control comes back from the tail call. before is what it does first.
func newHarness(control, targets int, before asm.Instructions) (*ebpf.Program, error) {
	spec := &ebpf.ProgramSpec{
		Name: "hooklab_run", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: append(harnessMain(control, before), harnessEnter(control, targets)...),
	}
	p, err := ebpf.NewProgram(spec)
	if err != nil {
		return nil, fmt.Errorf("load the harness: %w", err)
	}
	return p, nil
}

// function describes a function of the harness to the kernel, which wants that where functions make tail calls.
func function(name string) *btf.Func {
	return &btf.Func{
		Name: name, Linkage: btf.StaticFunc,
		Type: &btf.FuncProto{
			Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed},
			Params: []btf.FuncParam{{Name: "skb", Type: &btf.Pointer{Target: &btf.Void{}}}},
		},
	}
}

func harnessMain(control int, before asm.Instructions) asm.Instructions {
	const skb, page = asm.R6, asm.R7
	first := btf.WithFuncMetadata(asm.Mov.Reg(skb, asm.R1).WithSymbol("hooklab_run"), function("hooklab_run"))
	in := asm.Instructions{
		first,
		asm.LoadMapValue(page, control, 0),
	}
	in = append(append(in, before...),
		asm.Mov.Reg(asm.R1, skb),
		asm.LoadMem(asm.R2, page, offPktType, asm.Word),
		asm.FnSkbChangeType.Call(),

		asm.LoadMem(asm.R2, page, offHash, asm.Word),
		asm.JEq.Imm(asm.R2, 0, "type"),
		asm.Mov.Reg(asm.R1, skb),
		asm.FnSetHash.Call(),

		asm.LoadMem(asm.R1, page, offRestore, asm.Half).WithSymbol("type"),
		asm.JEq.Imm(asm.R1, 0, "tunnel"),
		asm.Mov.Reg(asm.R1, skb),
		asm.Mov.Imm(asm.R2, 12),
		asm.Mov.Reg(asm.R3, page),
		asm.Add.Imm(asm.R3, int32(offEtherType)),
		asm.Mov.Imm(asm.R4, 2),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnSkbStoreBytes.Call(),

		asm.LoadMem(asm.R1, page, offTunnel, asm.Word).WithSymbol("tunnel"),
		asm.JEq.Imm(asm.R1, 0, "enter"),
		asm.Mov.Reg(asm.R1, skb),
		asm.Mov.Reg(asm.R2, page),
		asm.Add.Imm(asm.R2, int32(offTunnelKey)),
		asm.Mov.Imm(asm.R3, int32(unsafe.Sizeof(tunnelKey{}))),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnSkbSetTunnelKey.Call(),
		asm.StoreMem(page, offTunnelErr, asm.R0, asm.Word),

		asm.LoadMem(asm.R1, page, offMark, asm.Word).WithSymbol("enter"),
		asm.StoreMem(skb, skbMark, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, page, offTCIndex, asm.Word),
		asm.StoreMem(skb, skbTCIndex, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, page, offQueue, asm.Word),
		asm.StoreMem(skb, skbQueueMapping, asm.R1, asm.Word),
	)
	for i := range int16(5) {
		in = append(in, asm.LoadMem(asm.R1, page, offCB+4*i, asm.Word), asm.StoreMem(skb, skbCB+4*i, asm.R1, asm.Word))
	}
	in = append(in,
		asm.Mov.Reg(asm.R1, skb),
		asm.Call.Label("hooklab_enter"),
		asm.StoreMem(page, offRet, asm.R0, asm.Word),
	)
	for _, f := range []struct{ from, to int16 }{
		{skbMark, offMarkOut},
		{skbTCIndex, offTCIndexOut},
		{skbPktType, offPktTypeOut},
		{skbQueueMapping, offQueueOut},
		{skbHash, offHashOut},
		{skbCB, offCBOut},
		{skbCB + 4, offCBOut + 4},
		{skbCB + 8, offCBOut + 8},
		{skbCB + 12, offCBOut + 12},
		{skbCB + 16, offCBOut + 16},
	} {
		in = append(in, asm.LoadMem(asm.R1, skb, f.from, asm.Word), asm.StoreMem(page, f.to, asm.R1, asm.Word))
	}
	return append(in,
		asm.Mov.Reg(asm.R1, skb),
		asm.Mov.Reg(asm.R2, page),
		asm.Add.Imm(asm.R2, int32(offTunnelKeyOut)),
		asm.Mov.Imm(asm.R3, int32(unsafe.Sizeof(tunnelKey{}))),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnSkbGetTunnelKey.Call(),
		asm.StoreMem(page, offTunnelOK, asm.R0, asm.Word),
		asm.LoadMem(asm.R0, page, offRet, asm.Word),
		asm.Return(),
	)
}

func harnessEnter(control, targets int) asm.Instructions {
	first := btf.WithFuncMetadata(asm.LoadMapValue(asm.R4, control, 0).WithSymbol("hooklab_enter"), function("hooklab_enter"))
	return asm.Instructions{
		first,
		asm.LoadMem(asm.R3, asm.R4, offSlot, asm.Word),
		asm.LoadMapPtr(asm.R2, targets),
		asm.FnTailCall.Call(),
		// Not reached if there is such a program.
		asm.LoadMapValue(asm.R4, control, 0),
		asm.StoreImm(asm.R4, offMissed, 1, asm.Word),
		asm.Mov.Imm(asm.R0, -1),
		asm.Return(),
	}
}
