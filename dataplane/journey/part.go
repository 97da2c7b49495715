package journey

import (
	"fmt"
	"io"
	"strings"
)

// Parting is where two journeys of one question go different ways.
type Parting struct {
	Same   int    // steps and lines that are the same
	Where  string // "packet 2, node worker, from-container", the last of them
	After  string // what it was
	First  string // what the first journey does then, "" if it has ended
	Second string // what the second does
}

// Part compares two journeys, without what maps contain, which is written differently
// by different releases. It is nil if they do the same.
func Part(a, b *Journey) *Parting {
	first, second := a.moves(), b.moves()
	p := &Parting{}
	for i := range max(len(first), len(second)) {
		x, y := at(first, i), at(second, i)
		if x == y {
			p.Same, p.Where, p.After = p.Same+1, x.where, x.what
			continue
		}
		p.First, p.Second = x.what, y.what
		return p
	}
	return nil
}

// WriteParting writes where two journeys part, under their profiles, and how each ends.
// The detail does not matter.
func WriteParting(w io.Writer, a, b *Journey, o TextOptions) error {
	p := newPage(w, o)
	p.line(bold, 0, 2, a.Question.String())
	width := max(len(a.Profile), len(b.Profile)) + 1
	line := func(j *Journey, text string) {
		p.line(plain, 0, width+1, fmt.Sprintf("%-*s %s", width, j.Profile+":", text))
	}
	p.put(plain, "")
	if d := Part(a, b); d != nil {
		p.line(bold, 0, 2, fmt.Sprintf("%s and %s do the same for %d steps, the last in %s: %s", a.Profile, b.Profile, d.Same, d.Where, d.After))
		line(a, orEnd(d.First))
		line(b, orEnd(d.Second))
	} else {
		p.line(bold, 0, 2, fmt.Sprintf("%s and %s do the same", a.Profile, b.Profile))
	}
	p.put(plain, "")
	for _, j := range []*Journey{a, b} {
		line(j, strings.Join(j.Verdict.Path, " → "))
	}
	for _, j := range []*Journey{a, b} {
		p.put(plain, fmt.Sprintf("%-*s %s", width, j.Profile+":", j.Verdict.line()))
	}
	return p.w.Flush()
}

func orEnd(s string) string {
	if s == "" {
		return "nothing more"
	}
	return s
}

// move is one thing that happened, without what depends on texts of entries.
type move struct{ where, what string }

func at(ms []move, i int) move {
	if i < len(ms) {
		return ms[i]
	}
	return move{}
}

// moves are all steps of all packets, those of programs line by line.
func (j *Journey) moves() []move {
	var out []move
	for _, p := range j.Packets {
		for _, s := range p.Steps {
			where := fmt.Sprintf("packet %d, %s", p.ID, s.Place)
			if s.Run == nil {
				out = append(out, move{where, s.withChanges()})
				continue
			}
			where += ", " + s.Run.Program + " at " + s.Run.Direction + " of " + s.Device
			out = append(out, move{where, s.Text})
			for i := range s.Run.Lines {
				out = append(out, move{where, s.Run.Lines[i].move()})
			}
			out = append(out, move{where, s.Run.Result})
		}
	}
	return out
}

// move is a line without values.
func (l *Line) move() string {
	hit := ""
	if l.Hit != nil && !*l.Hit {
		hit = " (miss)"
	}
	switch l.Kind {
	case LineCall, LineHelper:
		return strings.TrimSpace(l.Func + " " + l.Result)
	case LineTailCall:
		return fmt.Sprintf("tail call %d of %s%s", *l.Slot, l.Map, hit)
	case LineLookup:
		return fmt.Sprintf("lookup of %s %s%s", l.Map, l.Key, hit)
	case LineUpdate:
		return fmt.Sprintf("update of %s %s", l.Map, l.Key)
	case LineRewrite:
		return "rewrite of " + changesText(l.Changes)
	}
	return l.Note
}
