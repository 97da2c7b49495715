package bytecode

import (
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

// traceCall records a helper call.
func (m *machine) traceCall(in *inst, r *registers, ret uint64) {}

// traceEnter records that a program begins, after a tail call in the place of the one that ran.
func (m *machine) traceEnter(p *program) {
	if m.traced != nil && m.traced.known {
		m.p.Trace.Leave(m.traced.fn, nil)
	}
	m.traced = p
	if p.known {
		m.p.Trace.Enter(p.fn)
	}
}

// traceEnd records that the run is over.
func (m *machine) traceEnd(ret code.Ret) {
	if m.traced != nil && m.traced.known {
		m.p.Trace.Leave(m.traced.fn, &ret)
	}
	m.traced = nil
}

// atLine notes that a line of the source is reached.
func (m *machine) atLine(n int) {
	if c := m.prog.covered; c != nil {
		c[n] = true
	}
}
