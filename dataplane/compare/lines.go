package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// LineCoverage is a line of an engine's source code, and whether a compared packet
// reached it.
type LineCoverage struct {
	File    string `json:"file"`
	Line    uint32 `json:"line"`
	Text    string `json:"text"`
	Reached bool   `json:"reached"`
}

// liner is an engine that knows the source lines of its programs.
type liner interface {
	Cover() // note them, from the next Load on
	Lines(fn func(l *trace.Source, reached bool))
}

// lines are source lines with whether they were reached.
type lines map[trace.Source]bool

// take adds what an engine's programs reached, if it knows.
func (l lines) take(r dataplane.Runner) {
	if e, ok := r.(liner); ok {
		e.Lines(func(s *trace.Source, reached bool) { l[*s] = l[*s] || reached })
	}
}

func (l lines) merge(o lines) {
	for s, reached := range o {
		l[s] = l[s] || reached
	}
}

// list is sorted by file and line.
func (l lines) list() []LineCoverage {
	var list []LineCoverage
	for s, reached := range l {
		list = append(list, LineCoverage{s.File, s.Line, s.Text, reached})
	}
	slices.SortFunc(list, func(a, b LineCoverage) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Text, b.Text))
	})
	return list
}

// Lines are the source lines of the sides that know theirs: with Options.Lines those of
// BPF objects in the virtual machine.
func (r *Report) Lines() []LineCoverage { return r.lines.list() }

// linesText lists, by file, how many lines were reached, and those that were not.
func linesText(b *strings.Builder, list []LineCoverage) {
	if len(list) == 0 {
		return
	}
	reached := func(list []LineCoverage) (n int) {
		for i := range list {
			if list[i].Reached {
				n++
			}
		}
		return n
	}
	fmt.Fprintf(b, "lines of the programs' source: %d of %d reached\n", reached(list), len(list))
	for of := range slices.Values(slices.Compact(files(list))) {
		in := slices.DeleteFunc(slices.Clone(list), func(l LineCoverage) bool { return l.File != of })
		fmt.Fprintf(b, "%s: %d of %d\n", of, reached(in), len(in))
		for i := range in {
			if !in[i].Reached {
				fmt.Fprintf(b, "  %d not reached: %s\n", in[i].Line, in[i].Text)
			}
		}
	}
}

func files(list []LineCoverage) (names []string) {
	for i := range list {
		names = append(names, list[i].File)
	}
	return names
}
