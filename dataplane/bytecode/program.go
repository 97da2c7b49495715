package bytecode

import (
	"fmt"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// program is one decoded program: an entry, or the target of a tail call.
type program struct {
	name    string // C function
	section string
	plain   *decoder
	lined   *decoder // with opLine where a line begins; made when first needed
	raw     []byte
	addr    map[int]uint64
	at      []int32 // raw instruction → position in lines, -1: none begins here
	lines   []trace.Source
	covered []bool // by position in lines; nil: nobody counts

	fn    trace.Func // what name is in a trace, if known
	known bool
}

// newProgram decodes a program. addr are the values of the loads that refer to maps, by raw instruction. The error wraps ErrProgram.
func newProgram(name, section string, a *assembly, addr map[int]uint64) (*program, error) {
	p := &program{name: name, section: section, raw: a.raw, addr: addr, at: a.at, lines: a.lines}
	var err error
	if p.plain, err = decode(a.raw, addr, nil); err != nil {
		return nil, fmt.Errorf("program %s (section %q): %w", name, section, err)
	}
	return p, nil
}

// instrumented is the code with a mark where each line begins. It is the plain code if nothing is known about lines.
func (p *program) instrumented() *decoder {
	if p.lined == nil {
		p.lined = p.plain
		if len(p.lines) != 0 {
			if d, err := decode(p.raw, p.addr, func(i int) int { return int(p.at[i]) }); err == nil {
				p.lined = d
			}
		}
	}
	return p.lined
}

// lineAt finds the position in the source that raw instruction pc belongs to.
func (p *program) lineAt(pc int) (*trace.Source, bool) {
	for i := min(pc, len(p.at)-1); i >= 0; i-- {
		if n := p.at[i]; n >= 0 {
			return &p.lines[n], true
		}
	}
	return nil, false
}
