package bytecode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// assembly is a program as raw instructions with what they refer to and where they come from.
type assembly struct {
	raw   []byte
	refs  map[int]string // map symbols of long loads, by raw instruction
	at    []int32        // raw instruction → position in lines, -1: none begins here
	lines []trace.Source
}

// assemble turns a loader's instructions into raw ones and resolves jumps and calls in them. The error wraps ErrProgram.
func assemble(insns asm.Instructions) (*assembly, error) {
	insns = slices.Clone(insns) // Marshal resolves in place
	for i := range insns {
		if op := insns[i].OpCode.AtomicOp(); op != asm.InvalidAtomic {
			// Marshal of cilium/ebpf v0.22.0 writes the constant as it was, which asm.AtomicOp.Mem leaves 0.
			insns[i].Constant = int64(op >> 8)
		}
	}
	a := &assembly{refs: map[int]string{}}
	var buf bytes.Buffer
	if err := insns.Marshal(&buf, binary.LittleEndian); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	a.raw = buf.Bytes()
	a.at = make([]int32, len(a.raw)/8)
	for i := range a.at {
		a.at[i] = -1
	}
	known := map[trace.Source]int32{}
	for it := insns.Iterate(); it.Next(); {
		if it.Ins.IsLoadFromMap() {
			a.refs[int(it.Offset)] = it.Ins.Reference()
		}
		src, ok := it.Ins.Source().(*btf.Line)
		if !ok || src == nil || src.LineNumber() == 0 {
			continue
		}
		l := trace.Source{File: path.Clean(src.FileName()), Line: src.LineNumber(), Text: strings.TrimSpace(src.Line())}
		n, seen := known[l]
		if !seen {
			n = int32(len(a.lines))
			known[l] = n
			a.lines = append(a.lines, l)
		}
		a.at[it.Offset] = n
	}
	return a, nil
}
