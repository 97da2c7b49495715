package kernel

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf/asm"
)

// Replaced counts, by helper, the calls in loaded programs that the engine has put instructions of its own around or in the
// place of.
type Replaced map[asm.BuiltinFunc]int

// String is "bpf_redirect 3, …".
func (r Replaced) String() string {
	names := helperNames()
	var parts []string
	for _, f := range slices.Sorted(maps.Keys(r)) {
		parts = append(parts, fmt.Sprintf("%s %d", names[f], r[f]))
	}
	return strings.Join(parts, ", ")
}

func helperNames() map[asm.BuiltinFunc]string {
	return map[asm.BuiltinFunc]string{
		asm.FnKtimeGetNs: "bpf_ktime_get_ns", asm.FnGetPrandomU32: "bpf_get_prandom_u32", asm.FnJiffies64: "bpf_jiffies64",
		asm.FnRedirect: "bpf_redirect", asm.FnRedirectPeer: "bpf_redirect_peer", asm.FnSkbSetTunnelKey: "bpf_skb_set_tunnel_key",
	}
}

// record replaces a program's calls of helpers whose effect the engine chooses (clock, chance) and puts before those whose
// effect it must see (redirects, tunnel key) a note of their arguments; these are still called. Registers 0 to 5 are lost by
// a call anyway. With realClock the clock stays.
func record(in asm.Instructions, control int, realClock bool, count Replaced) (asm.Instructions, error) {
	out := make(asm.Instructions, 0, len(in)+64)
	first := make([]int, len(in)) // of an instruction's successors in out
	for i, ins := range in {
		first[i] = len(out)
		f := asm.BuiltinFunc(ins.Constant)
		with := replacement(f, control)
		clock := f == asm.FnKtimeGetNs || f == asm.FnJiffies64
		if !ins.IsBuiltinCall() || with == nil || clock && realClock {
			out = append(out, ins)
			continue
		}
		count[f]++
		switch f {
		case asm.FnRedirect, asm.FnRedirectPeer, asm.FnSkbSetTunnelKey:
			with = append(with, asm.Instruction{OpCode: ins.OpCode, Src: ins.Src, Constant: ins.Constant})
		default:
		}
		with[0].Metadata = ins.Metadata // a source line
		out = append(out, with...)
	}
	return out, moveJumps(in, out, first)
}

// moveJumps makes jumps lead where they led before. Their offsets count words of 8 bytes, of which some instructions have two.
func moveJumps(in, out asm.Instructions, first []int) error {
	starts := func(insns asm.Instructions) []int {
		at, n := make([]int, len(insns)), 0
		for i := range insns {
			at[i] = n
			n += int(insns[i].Width())
		}
		return at
	}
	was, is := starts(in), starts(out)
	for i := range in {
		far, ok := jump(&in[i])
		if !ok {
			continue
		}
		target, ok := slices.BinarySearch(was, was[i]+1+far)
		if !ok {
			return fmt.Errorf("instruction %d jumps by %d, to no instruction", i, far)
		}
		far = is[first[target]] - is[first[i]] - 1
		ins := &out[first[i]]
		if ins.OpCode.Class() == asm.Jump32Class && ins.OpCode.JumpOp() == asm.Ja {
			ins.Constant = int64(far)
			continue
		}
		if far != int(int16(far)) {
			return fmt.Errorf("instruction %d: a jump by %d is too far", i, far)
		}
		ins.Offset = int16(far)
	}
	return nil
}

// jump is how far an instruction jumps, if it is a jump by a number.
func jump(ins *asm.Instruction) (far int, ok bool) {
	if !ins.OpCode.Class().IsJump() || ins.Reference() != "" {
		return 0, false
	}
	switch ins.OpCode.JumpOp() {
	case asm.Call, asm.Exit, asm.InvalidJumpOp:
		return 0, false
	case asm.Ja:
		if ins.OpCode.Class() == asm.Jump32Class {
			return int(ins.Constant), true
		}
	default:
	}
	return int(ins.Offset), true
}

func replacement(f asm.BuiltinFunc, control int) asm.Instructions {
	page := func(r asm.Register) asm.Instruction { return asm.LoadMapValue(r, control, 0) }
	switch f {
	case asm.FnKtimeGetNs:
		return asm.Instructions{page(asm.R0), asm.LoadMem(asm.R0, asm.R0, offKtime, asm.DWord)}
	case asm.FnJiffies64:
		return asm.Instructions{page(asm.R0), asm.LoadMem(asm.R0, asm.R0, offJiffies, asm.DWord)}
	case asm.FnGetPrandomU32:
		return asm.Instructions{
			page(asm.R1),
			asm.LoadMem(asm.R2, asm.R1, offDrawn, asm.DWord),
			asm.Mov.Reg(asm.R3, asm.R2),
			asm.Add.Imm(asm.R3, 1),
			asm.StoreMem(asm.R1, offDrawn, asm.R3, asm.DWord),
			asm.And.Imm(asm.R2, randoms-1),
			asm.LSh.Imm(asm.R2, 2),
			asm.Add.Reg(asm.R1, asm.R2),
			asm.LoadMem(asm.R0, asm.R1, offRand, asm.Word),
		}
	case asm.FnRedirect, asm.FnRedirectPeer:
		kind := int64(redirectPlain)
		if f == asm.FnRedirectPeer {
			kind = redirectPeer
		}
		return asm.Instructions{
			page(asm.R3),
			asm.StoreImm(asm.R3, offRedirectKind, kind, asm.Word),
			asm.StoreMem(asm.R3, offRedirectTo, asm.R1, asm.Word),
			asm.StoreMem(asm.R3, offRedirectFlags, asm.R2, asm.DWord),
		}
	case asm.FnSkbSetTunnelKey:
		return asm.Instructions{
			page(asm.R5),
			asm.LoadMem(asm.R0, asm.R5, offTunnelSets, asm.DWord),
			asm.Add.Imm(asm.R0, 1),
			asm.StoreMem(asm.R5, offTunnelSets, asm.R0, asm.DWord),
		}
	default:
		return nil
	}
}
