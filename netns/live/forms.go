package live

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/hooklab/hooklab/internal/report"
)

// Schema names the form of WriteJSON.
const Schema = "hooklab.io/compare-live/v1"

// shownFields is how many fields of one difference the text lists.
const shownFields = 24

// WriteText writes the report for people: the sides, the counts, each difference.
func (r *Report) WriteText(out io.Writer) error {
	var b strings.Builder
	r.summary(&b)
	for i := range r.Differences {
		b.WriteString("\n")
		r.Differences[i].text(&b, i+1, r.Left.Engine, r.Right.Engine)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// summary is what every form of the report begins with.
func (r *Report) summary(b *strings.Builder) {
	fmt.Fprintf(b, "%s | %s\n%s\n", r.Left, r.Right, r.Input)
	for _, x := range r.Changes {
		fmt.Fprintf(b, "changed on one side: %s\n", x)
	}
	fmt.Fprintf(b, "%s run on both sides, %d | %d frames captured at %s, %s compared: %s\n",
		report.Count(r.Programs, "program"), r.LeftFrames, r.RightFrames, report.Count(r.Places, "place"), report.Count(r.Fields, "field"), r.verdict())
	for _, g := range r.reasons() {
		fmt.Fprintf(b, "differs legitimately: %s, such as %s: %s\n", report.Times(g.Count), g.What, g.Why)
	}
	for i := range r.Unrepeated {
		fmt.Fprintf(b, "not seen again when run once more: %s\n", r.Unrepeated[i].short())
	}
	for _, g := range r.NotCompared {
		if g.Count > 0 {
			fmt.Fprintf(b, "not compared: %s, %s: %s\n", g.What, report.Times(g.Count), g.Why)
		} else {
			fmt.Fprintf(b, "not compared: %s: %s\n", g.What, g.Why)
		}
	}
}

func (r *Report) verdict() string {
	if r.Same() {
		return "no difference"
	}
	return report.Count(len(r.Differences), "difference")
}

// where is the place and the packets.
func (d *Difference) where() string {
	switch {
	case d.Place == "":
		return d.What
	case d.What == "":
		return d.Place
	}
	return d.Place + ": " + d.What
}

// short is the difference in one line.
func (d *Difference) short() string {
	var rows []string
	for _, f := range d.Fields {
		rows = append(rows, fmt.Sprintf("%s %s | %s", f.Field, f.Left, f.Right))
	}
	return fmt.Sprintf("%s: %s: %s", d.Step, d.where(), strings.Join(rows, ", "))
}

func (d *Difference) text(b *strings.Builder, n int, left, right string) {
	fmt.Fprintf(b, "%d. %s differs: %s\n   %s\n", n, d.Class, d.Step, d.where())
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "   \t%s\t%s\n", left, right)
	for i, f := range d.Fields {
		if i == shownFields {
			fmt.Fprintf(t, "   and %d more\t\t\n", len(d.Fields)-i)
			break
		}
		fmt.Fprintf(t, "   %s\t%s\t%s\n", f.Field, f.Left, f.Right)
	}
	_ = t.Flush() // into memory
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(out io.Writer) error {
	list := func(d []Difference) []Difference { return append([]Difference{}, d...) }
	doc := struct {
		Schema      string         `json:"schema"`
		Left        Side           `json:"left"`
		Right       Side           `json:"right"`
		Input       string         `json:"input"`
		Changes     []string       `json:"changes"`
		Programs    int            `json:"programs"`
		Places      int            `json:"places"`
		Frames      map[string]int `json:"frames"`
		Fields      int            `json:"fields"`
		Same        bool           `json:"same"`
		Differences []Difference   `json:"differences"`
		Explained   []Difference   `json:"explained"`
		Unrepeated  []Difference   `json:"unrepeated"`
		NotCompared []Gap          `json:"notCompared"`
	}{
		Schema, r.Left, r.Right, r.Input, append([]string{}, r.Changes...), r.Programs, r.Places,
		map[string]int{"left": r.LeftFrames, "right": r.RightFrames},
		r.Fields, r.Same(),
		list(r.Differences), list(r.Explained), list(r.Unrepeated), r.NotCompared,
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

// WriteMarkdown writes the report as a page, as for a pull request's comment.
func (r *Report) WriteMarkdown(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s and %s: %s\n\n| | |\n|---|---|\n", r.Left.Engine, r.Right.Engine, r.verdict())
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, report.Cell(fmt.Sprintf(format, args...)))
	}
	row("left", "%s", r.Left)
	row("right", "%s", r.Right)
	row("input", "%s", r.Input)
	for _, x := range r.Changes {
		row("changed on one side", "%s", x)
	}
	row("compared", "%s, %s, %s", report.Count(r.Programs, "program"), report.Count(r.Places, "place"), report.Count(r.Fields, "field"))
	row("frames", "%d left, %d right", r.LeftFrames, r.RightFrames)
	for _, g := range r.reasons() {
		row("differs legitimately", "%s, such as %s: %s", report.Times(g.Count), g.What, g.Why)
	}
	for i := range r.Unrepeated {
		row("not seen again", "%s", r.Unrepeated[i].short())
	}
	for _, g := range r.NotCompared {
		row("not compared", "%s: %s", g.What, g.Why)
	}
	for i := range r.Differences {
		d := &r.Differences[i]
		fmt.Fprintf(&b, "\n## %d. %s: %s\n\n%s\n\n| field | %s | %s |\n|---|---|---|\n", i+1, d.Class, d.Step, d.where(), r.Left.Engine, r.Right.Engine)
		for _, f := range d.Fields {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", report.Cell(f.Field), report.Cell(f.Left), report.Cell(f.Right))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// WriteJUnit writes the report as a test suite: a failed case for each difference, one
// that passes for all that is alike, a skipped one for what was not compared.
func (r *Report) WriteJUnit(out io.Writer) error {
	s := report.Suite{Name: fmt.Sprintf("hooklab compare --live: %s and %s", r.Left.Engine, r.Right.Engine)}
	var text strings.Builder
	r.summary(&text)
	s.Output = text.String()
	for i := range r.Differences {
		d := &r.Differences[i]
		var b strings.Builder
		d.text(&b, i+1, r.Left.Engine, r.Right.Engine)
		s.Cases = append(s.Cases, report.Case{Class: d.Class, Name: fmt.Sprintf("%d. %s", i+1, d.Step), Failure: &report.Message{Message: d.where(), Text: b.String()}})
	}
	s.Cases = append(s.Cases, report.Case{Class: "compared", Name: fmt.Sprintf("%s of %s", report.Count(r.Fields, "field"), report.Count(r.Programs, "program"))})
	for _, g := range r.NotCompared {
		s.Cases = append(s.Cases, report.Case{Class: "not compared", Name: g.What, Skipped: &report.Message{Message: g.Why}})
	}
	return s.Write(out)
}
