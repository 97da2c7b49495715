package bytecode

import "github.com/hooklab/hooklab/dataplane/trace"

// Cover makes the engine note which lines of source code the programs reach that are loaded from now on.
func (e *Engine) Cover() { e.coverage, e.machine.cover = true, true }

// Lines calls fn for each line of source code of each loaded program, in no order, and says whether a run has reached it.
// Lines of functions that several programs have, come once for each. Without Cover there are none.
func (e *Engine) Lines(fn func(l *trace.Source, reached bool)) {
	for _, l := range e.loaded {
		for _, p := range l.programs {
			for i, reached := range p.covered {
				fn(&p.lines[i], reached)
			}
		}
	}
}
