package journey

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Detail is how much WriteText tells.
type Detail string

// Details.
const (
	Full    Detail = "full"    // every function, lookup, rewrite and tap
	Summary Detail = "summary" // a line for each hook and decision
	Minimal Detail = "minimal" // verdict and path in one line
)

// TextOptions are how WriteText writes. The zero value is full detail, 100 columns and
// no colour.
type TextOptions struct {
	Detail Detail
	Width  int
	Colour bool
}

// Limits of a line.
const (
	defaultWidth = 100
	minWidth     = 60
	fileColumn   = 24 // from the right
)

// colour is an escape sequence of a terminal.
type colour string

const (
	plain  colour = ""
	bold   colour = "\x1b[1m"
	dim    colour = "\x1b[2m"
	red    colour = "\x1b[1;31m"
	green  colour = "\x1b[1;32m"
	yellow colour = "\x1b[33m"
	cyan   colour = "\x1b[36m"
	blue   colour = "\x1b[1;34m"

	reset = "\x1b[0m"
)

// page writes lines that fit its width.
type page struct {
	w      *bufio.Writer
	width  int
	colour bool
}

func newPage(w io.Writer, o TextOptions) *page {
	width := o.Width
	if width == 0 {
		width = defaultWidth
	}
	return &page{w: bufio.NewWriter(w), width: max(width, minWidth), colour: o.Colour}
}

// line writes a text behind its indentation, and what does not fit on further lines,
// which stand hang columns further right. Words longer than a line are not broken.
func (p *page) line(c colour, indent, hang int, text string) {
	prefix := strings.Repeat(" ", indent)
	line, n := prefix, indent
	begun := false
	for word := range strings.SplitSeq(text, " ") {
		w := utf8.RuneCountInString(word)
		if begun && n+1+w > p.width {
			p.put(c, line)
			line, n, begun = strings.Repeat(" ", indent+hang), indent+hang, false
		}
		if begun {
			line, n = line+" ", n+1
		}
		line, n, begun = line+word, n+w, true
	}
	p.put(c, line)
}

// columns writes a text with another one in the right column.
func (p *page) columns(indent int, left, right string) {
	gap := max(p.width-fileColumn-indent-utf8.RuneCountInString(left), 2)
	fmt.Fprint(p.w, strings.Repeat(" ", indent)+left)
	p.put(dim, strings.Repeat(" ", gap)+right)
}

// rule writes a text with a line to the right edge.
func (p *page) rule(c colour, text string) {
	n := p.width - utf8.RuneCountInString(text) - 1
	if n < 0 {
		p.line(c, 0, 3, text)
		return
	}
	p.put(c, text+" "+strings.Repeat("─", n))
}

func (p *page) put(c colour, s string) {
	s = strings.TrimRight(s, " ")
	if p.colour && c != plain && s != "" {
		s = string(c) + s + reset
	}
	fmt.Fprintln(p.w, s)
}
