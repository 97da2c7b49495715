package cluster

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrInput is what every error about the user's description satisfies with
// errors.Is. The command line exits 4 on it.
var ErrInput = errors.New("bad cluster description")

// shownProblems is how many problems an InputError prints; the first are usually
// the cause of the others.
const shownProblems = 5

// Problem is one thing wrong with the description, and where.
type Problem struct {
	File     string // as the user named it; "" for a change at run time
	Line     int    // 1-based, 0 if unknown
	Document int    // 1-based number of the YAML document in the file, 0 if unknown
	Object   string // "Pod default/web", "" above the level of objects
	Field    string // "spec.ports[0].port"
	Text     string // what is wrong, with the value and the allowed ones
}

// String is the problem on one line:
// "cluster.yaml:12: document 2, Pod default/web: spec.nodeName: no such node …".
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			b.WriteString(":" + strconv.Itoa(p.Line))
		}
		b.WriteString(": ")
	}
	where := p.Object
	if p.Document > 0 {
		where = strings.TrimSuffix("document "+strconv.Itoa(p.Document)+", "+where, ", ")
	}
	if where != "" {
		b.WriteString(where + ": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// InputError is all that was found wrong with a description, in the order in which
// it was found. It satisfies errors.Is(err, ErrInput).
type InputError struct{ Problems []Problem }

// Error prints the first problems, one on a line.
func (e *InputError) Error() string {
	lines := make([]string, 0, shownProblems+1)
	for i, p := range e.Problems {
		if i == shownProblems {
			lines = append(lines, fmt.Sprintf("and %d more problems", len(e.Problems)-i))
			break
		}
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// Is makes errors.Is(err, ErrInput) true.
func (e *InputError) Is(target error) bool { return target == ErrInput }

// inputErrorf is an InputError of one problem that has no place in a file.
func inputErrorf(object, field, format string, args ...any) error {
	return &InputError{Problems: []Problem{{Object: object, Field: field, Text: fmt.Sprintf(format, args...)}}}
}

// origin is where an object was described.
type origin struct {
	file      string
	doc, line int
	object    string
}

func (o origin) problem(field, text string) Problem {
	return Problem{File: o.file, Line: o.line, Document: o.doc, Object: o.object, Field: field, Text: text}
}

// maxProblems bounds what a hopeless file can make us collect.
const maxProblems = 100

// problems collects what is wrong.
type problems []Problem

func (ps *problems) add(p Problem) {
	if len(*ps) < maxProblems {
		*ps = append(*ps, p)
	}
}

func (ps *problems) addf(o origin, field, format string, args ...any) {
	ps.add(o.problem(field, fmt.Sprintf(format, args...)))
}

// err is nil without problems.
func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return &InputError{Problems: ps}
}

// quote shows a value on one line, however long or strange it is.
func quote(s string) string {
	const most = 48
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}
