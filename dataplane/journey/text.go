package journey

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/maps"
)

// WriteText writes a journey for people. Its last line is the verdict.
func (j *Journey) WriteText(w io.Writer, o TextOptions) error {
	p := newPage(w, o)
	switch o.Detail {
	case Minimal:
		if len(j.Verdict.Path) == 0 {
			p.put(plain, string(j.Verdict.Outcome)+", because "+j.Verdict.Because)
		} else {
			p.put(plain, string(j.Verdict.Outcome)+" "+strings.Join(j.Verdict.Path, " → "))
		}
		return p.w.Flush()
	case Summary:
		j.head(p)
		for _, k := range j.Packets {
			k.writeSummary(p)
		}
	default:
		j.head(p)
		for _, k := range j.Packets {
			k.write(p)
		}
	}
	j.conclude(p, o.Detail != Summary)
	return p.w.Flush()
}

func (j *Journey) head(p *page) {
	p.line(bold, 0, 2, j.Question.String())
	p.line(dim, 0, 2, fmt.Sprintf("cluster %s, profile %s, kernel %s", orUnnamed(j.Cluster), j.Profile, j.Kernel))
	for _, a := range j.Assumed {
		p.line(dim, 0, 2, "assumed: "+a)
	}
}

func orUnnamed(s string) string {
	if s == "" {
		return "without a name"
	}
	return s
}

// title is a packet's headline.
func (p *Packet) title() string {
	s := fmt.Sprintf("── %d  %s", p.ID, p.brief)
	if p.ttl != 0 {
		s += fmt.Sprintf(", TTL %d, %d bytes", p.ttl, p.length)
	}
	return s + p.relationText(0)
}

// relationText is what a packet is to another one, "  (answers 2)". Ids count from that
// of the first packet before.
func (p *Packet) relationText(before int) string {
	if p.Of == 0 {
		return ""
	}
	return fmt.Sprintf("  (%s %d)", map[Relation]string{Answer: "answers", Failure: "because of", Asking: "asks for"}[p.Relation], before+p.Of)
}

// write writes every step of a packet, those of one place below its name.
func (p *Packet) write(out *page) {
	out.put(plain, "")
	out.rule(blue, p.title())
	place := ""
	for _, s := range p.Steps {
		if where := s.where(); where != place {
			out.put(bold, where)
			place = where
		}
		s.write(out)
	}
}

// where is the headline of what happens at one place.
func (s *Step) where() string {
	if s.Piece != 0 {
		return fmt.Sprintf("%s, fragment %d", s.Place, s.Piece)
	}
	return s.Place
}

// Columns of the text form.
const (
	stepIndent = 2
	runIndent  = 6
)

func (s *Step) write(p *page) {
	switch s.Kind {
	case StepTap:
		t := s.Tap
		what := fmt.Sprintf("◉ %s %s", s.Device, t.Direction)
		if t.TTL != 0 {
			what += fmt.Sprintf(" TTL %d", t.TTL)
		}
		p.line(cyan, stepIndent, 4, fmt.Sprintf("%s  %s > %s  %s", what, t.SrcMAC, t.DstMAC, t.Summary))
	case StepNoTap:
		p.line(yellow, stepIndent, 4, "◌ "+s.Text)
	case StepHook:
		p.line(bold, stepIndent, 4, "▶ "+s.Text)
		s.Run.write(p)
	case StepReceived:
		p.line(green, stepIndent, 4, "✓ "+s.Text)
	case StepLost:
		p.line(red, stepIndent, 4, "✗ "+s.Text)
	case StepSent, StepXDP, StepStack, StepWire, StepLeft:
		p.line(plain, stepIndent, 4, "· "+s.withChanges())
	}
}

// withChanges is a step with who decided and what changed.
func (s *Step) withChanges() string {
	text := s.Text
	if s.Actor != "" {
		text += " [" + s.Actor + "]"
	}
	if len(s.Changes) > 0 {
		text += ": " + changesText(s.Changes)
	}
	return text
}

func changesText(cs []Change) string {
	var out []string
	for _, c := range cs {
		out = append(out, fmt.Sprintf("%s %s → %s", c.Field, c.Before, c.After))
	}
	return strings.Join(out, ", ")
}

func (r *Run) write(p *page) {
	for i := range r.Lines {
		r.Lines[i].write(p)
	}
	for _, e := range r.Entries {
		e.write(p)
	}
	r.writeDecisions(p)
}

// writeDecisions writes what a run decided and its result.
func (r *Run) writeDecisions(p *page) {
	for _, d := range r.Decisions {
		p.line(plain, stepIndent+2, 4, "• "+d.withOthers())
	}
	c := bold
	if r.Drop != 0 {
		c = red
	}
	p.line(c, stepIndent+2, 4, "= "+r.Result)
}

// withOthers is a decision with what else might have been chosen.
func (d *Decision) withOthers() string {
	if len(d.Alternatives) == 0 {
		return d.Text
	}
	return d.Text + "; it might have been " + strings.Join(d.Alternatives, ", ")
}

func (l *Line) write(p *page) {
	indent := runIndent + 2*l.Depth
	switch l.Kind {
	case LineCall:
		p.columns(indent, l.text(), l.File)
	case LineTailCall:
		p.sourced(yellow, stepIndent+2, l)
	case LineHelper:
		p.sourced(dim, indent, l)
	case LineLookup, LineUpdate, LineRewrite:
		c := plain
		switch {
		case l.Kind == LineRewrite:
			c = cyan
		case l.Hit != nil && !*l.Hit:
			c = dim
		}
		p.sourced(c, indent, l)
	}
}

// sourced writes a line, and below it where that is in the C source, if an object has said so.
func (p *page) sourced(c colour, indent int, l *Line) {
	text := l.text()
	if l.Source != "" {
		text += "  [" + l.Source + "]"
	}
	p.line(c, indent, 4, text)
}

// text is the line without its place and file.
func (l *Line) text() string {
	switch l.Kind {
	case LineTailCall:
		s := fmt.Sprintf("⇒ tail call %d of %s", *l.Slot, l.Map)
		if l.Note != "" {
			s += ", " + l.Note
		}
		if !*l.Hit {
			s += ": missed"
		}
		return s
	case LineLookup:
		answer := "miss"
		if *l.Hit {
			answer = compact(l.Map, l.Value)
			if l.Note != "" {
				answer = l.Note + ": " + answer
			}
		}
		return fmt.Sprintf("? %s %s → %s", l.Map, l.Key, answer)
	case LineUpdate:
		return fmt.Sprintf("! %s %s", l.Map, l.Key)
	case LineRewrite:
		return "~ " + changesText(l.Changes)
	case LineHelper:
		return "# " + l.Func + " = " + l.Result
	case LineCall:
	}
	switch {
	case l.Func == "":
		return l.Note
	case l.Result != "":
		return l.Func + " = " + l.Result
	}
	return l.Func
}

// compact leaves the zero fields out of a conntrack entry.
func compact(name, value string) string {
	if name != maps.NameCT4 && name != maps.NameCTAny4 {
		return value
	}
	words := strings.Fields(value)
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return strings.HasSuffix(w, "=0") || strings.HasSuffix(w, "=0x00") }), " ")
}

func (e *EntryChange) write(p *page) { p.line(plain, stepIndent+2, 4, e.line()) }

// line is the change in one line.
func (e *EntryChange) line() string {
	switch {
	case e.Before == "":
		return fmt.Sprintf("+ %s %s: %s", e.Map, e.Key, compact(e.Map, e.After))
	case e.After == "":
		return fmt.Sprintf("- %s %s: %s", e.Map, e.Key, compact(e.Map, e.Before))
	}
	return fmt.Sprintf("± %s %s: %s", e.Map, e.Key, wordsChanged(e.Before, e.After))
}

// wordsChanged are the words in which two texts of an entry differ.
func wordsChanged(before, after string) string {
	a, b := strings.Fields(before), strings.Fields(after)
	if len(a) != len(b) {
		return before + " → " + after
	}
	var out []string
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		_, value, found := strings.Cut(b[i], "=")
		if !found {
			value = b[i]
		}
		out = append(out, a[i]+" → "+value)
	}
	return strings.Join(out, ", ")
}

// conclude writes the reasons and the verdict. A summary has told the decisions
// already, and leaves out what they depended on.
func (j *Journey) conclude(p *page, decisions bool) {
	v := &j.Verdict
	p.put(plain, "")
	p.rule(blue, "── why")
	if decisions {
		for _, r := range v.Reasons {
			p.line(plain, stepIndent, 2, "• "+r)
		}
	}
	if d := v.Drop; d != nil {
		where := d.Program
		if d.Source != "" {
			where += " at " + d.Source
		}
		p.line(red, stepIndent, 2, fmt.Sprintf("✗ xx drop (%s) code %d, %s, by %s", d.Reason, d.Code, d.Direction, where))
		j.dropLine(p, "asked in vain", d.Map, strings.Join(d.Missed, ", "))
		j.dropLine(p, "denied by", d.Map, d.Denied)
		j.dropLine(p, "it needed", "", d.Needed)
		j.dropLine(p, "look at it with", "", d.Command)
	}
	if v.Answer != "" {
		p.line(plain, stepIndent, 2, "• "+v.Answer)
	}
	if decisions {
		j.dependencies(p)
	}
	if h := j.State; h != nil {
		kept := "the changes are kept"
		if !h.Kept {
			kept = "nothing is kept"
		}
		p.line(dim, stepIndent, 4, fmt.Sprintf("state %s before, %s after; %s", h.Before, h.After, kept))
	}
	c := green
	if v.Outcome != Delivered && v.Outcome != ToStack {
		c = red
	}
	p.put(c, v.line())
}

// String is the verdict in one line.
func (v *Verdict) String() string { return v.line() }

func (v *Verdict) line() string {
	return fmt.Sprintf("VERDICT %s %s, because %s", v.Outcome, v.Text, v.Because)
}

func (j *Journey) dropLine(p *page, what, name, text string) {
	if text != "" {
		p.line(plain, stepIndent+2, 2, strings.Join(strings.Fields(what+": "+name+" "+text), " "))
	}
}

// dependencies writes the fields and entries that decided, by node.
func (j *Journey) dependencies(p *page) {
	v := &j.Verdict
	if len(v.Fields) > 0 {
		p.line(dim, stepIndent, 4, "depended on the fields "+strings.Join(v.Fields, ", "))
	}
	for _, there := range []bool{true, false} {
		what := "and on the entries "
		if !there {
			what = "and on there being no "
		}
		node, text := "", ""
		for _, e := range v.Entries {
			at, entry, _ := strings.Cut(e, " ")
			name, absent := strings.CutPrefix(entry, "no ")
			if absent == there {
				continue
			}
			if text != "" {
				text += "; "
			}
			if at != node {
				text += at + ": "
			}
			node, text = at, text+name
		}
		if text != "" {
			p.line(dim, stepIndent, 4, what+text)
		}
	}
}
