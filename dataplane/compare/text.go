package compare

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/hooklab/hooklab/internal/report"
)

// shownFields is how many fields of one difference the text lists.
const shownFields = 24

// WriteText writes the report for people: the sides, the counts, each difference.
func (r *Report) WriteText(out io.Writer) error {
	var b strings.Builder
	r.summary(&b)
	for i, d := range r.Differences {
		d.text(&b, i+1, r.Left.Name, r.Right.Name)
	}
	for _, f := range r.Failed {
		fmt.Fprintf(&b, "\n%s", f)
	}
	if len(r.Failed) > 0 {
		b.WriteString("\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// summary is what every form of the report begins with.
func (r *Report) summary(b *strings.Builder) {
	fmt.Fprintf(b, "%s | %s\n%s\n", &r.Left, &r.Right, r.Input)
	fmt.Fprintf(b, "%s compared in %s on %s, %s: %s\n", report.Count(r.Packets, "packet"), report.Count(r.Worlds, "world"),
		report.Count(r.Paths, "path"), report.Count(r.Fields, "field"), r.verdict())
	for _, c := range r.gaps() {
		fmt.Fprintf(b, "not compared: %s, %s: %s\n", c.Field, report.Times(c.Count), c.Why)
	}
}

// verdict is the outcome in a few words.
func (r *Report) verdict() string {
	var parts []string
	if r.Differing == 0 {
		parts = append(parts, "no difference")
	} else {
		parts = append(parts, fmt.Sprintf("%s in %s", report.Count(r.Differing, "packet differs", "packets differ"), report.Count(len(r.Differences), "way")))
	}
	if len(r.Failed) > 0 {
		parts = append(parts, report.Count(len(r.Failed), "expectation failed", "expectations failed"))
	}
	return strings.Join(parts, ", ")
}

func (d *Difference) text(b *strings.Builder, n int, left, right string) {
	fmt.Fprintf(b, "\n%d. %s differs, %s\n", n, d.Class, report.Count(d.Count, "packet"))
	fmt.Fprintf(b, "   %s %s\n", d.stageWords(), d.Stage)
	if others := d.Stage.others(); len(others) > 0 {
		fmt.Fprintf(b, "   or in what else ran since both last did the same: %s\n", strings.Join(others, ", "))
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "   \t%s\t%s\n", left, right)
	for i := range d.Fields {
		if i == shownFields {
			fmt.Fprintf(t, "   and %d more\t\t\n", len(d.Fields)-i)
			break
		}
		f := &d.Fields[i]
		fmt.Fprintf(t, "   %s\t%s\t%s\n", f.Field, f.Left, f.Right)
	}
	_ = t.Flush() // into memory
	if d.Where != "" {
		fmt.Fprintf(b, "   first: %s\n", d.Where)
	}
	if d.Repro != nil {
		fmt.Fprintf(b, "   %s\n", d.reproWords())
	}
}

// stageWords say how the stage was found.
func (d *Difference) stageWords() string {
	if d.Stage.Sure {
		return "the two sides part in"
	}
	return "made in"
}

// reproWords say what the scenario is that shows the difference.
func (d *Difference) reproWords() string {
	s := "to see it: " + report.Count(d.Packets, "packet")
	if !d.Shrunk {
		s += ", not shrunk"
	}
	if d.File != "" {
		s += ", hooklab compare --scenario " + d.File
	}
	return s
}
