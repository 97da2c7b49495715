package bytecode

import (
	"strconv"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// funcOf finds what a program is called in a trace: its C function in the C file of its object.
func funcOf(kind object.Kind, name string) (trace.Func, bool) {
	for _, f := range trace.Funcs() {
		if f.Name() == name && f.File() == kind.String()+".c" {
			return f, true
		}
	}
	return 0, false
}

// traceMap finds what a map is called in a trace, 0 for one that traces leave out.
func traceMap(name string) trace.Map {
	for m := trace.MapLXC; m <= trace.MapPolicyCall; m++ {
		if m != trace.MapPolicy && m.Name(0) == name {
			return m
		}
	}
	return 0
}

// traceCall records a helper call with its arguments. Map operations that a trace knows have a step of their own.
func (m *machine) traceCall(in *inst, r *registers, ret uint64) {
	h := &helperTable[in.imm]
	if o := r[1] >> 32; (h.id == 2 || h.id == 3) && o < uint64(len(m.objects)) && m.objects[o].traced != 0 {
		return
	}
	b := append(m.text[:0], "bpf_"...)
	b = append(b, h.name...)
	b = append(b, '(')
	for i := range h.args {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = m.appendArg(b, r[1+i])
	}
	m.text = append(b, ')')
	m.p.Trace.Helper(m.text, ret)
}

// appendArg writes an argument: an address by what stands there, a number in decimal or, if it is a large one, in
// hexadecimal.
func (m *machine) appendArg(b []byte, v uint64) []byte {
	region, off := v>>32, int64(v&0xffffffff)
	switch {
	case v == address(regionContext, 0):
		return append(b, "ctx"...)
	case region == regionPacket:
		return strconv.AppendInt(append(b, "packet+"...), off, 10)
	case region == regionStack:
		return strconv.AppendInt(append(b, "stack"...), off-int64(m.depth+1)*stackSize, 10)
	case region >= firstRegion && region < uint64(len(m.objects)) && off == 0:
		return append(b, m.objects[region].name...)
	case region >= firstRegion && region < uint64(len(m.regions)):
		return strconv.AppendInt(append(b, "value+"...), off, 10)
	case int64(v) > -4096 && v < 1<<16 || int64(v) > -4096 && int64(v) < 0:
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendUint(append(b, "0x"...), v, 16)
}

// traceEnter records that a program begins, after a tail call in the place of the one that ran.
func (m *machine) traceEnter(p *program) {
	if m.traced != nil && m.traced.known {
		m.p.Trace.Leave(m.traced.fn, code.OK)
	}
	m.traced = p
	if p.known {
		m.p.Trace.Enter(p.fn)
	}
}

// traceEnd records that the run is over.
func (m *machine) traceEnd(ret code.Ret) {
	if m.traced != nil && m.traced.known {
		m.p.Trace.Leave(m.traced.fn, ret)
	}
	m.traced = nil
}

// atLine notes that a line of the source is reached.
func (m *machine) atLine(n int) {
	if c := m.prog.covered; c != nil {
		c[n] = true
	}
	if m.p.Trace != nil {
		m.p.Trace.SetSource(&m.prog.lines[n])
	}
}
