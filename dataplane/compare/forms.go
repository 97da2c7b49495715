package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/hooklab/hooklab/internal/report"
)

// Schema names the form of WriteJSON.
const Schema = "hooklab.io/compare/v1"

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(out io.Writer, coverage bool) error {
	type side struct {
		Name   string `json:"engine"`
		Source string `json:"source,omitempty"`
	}
	type difference struct {
		Class    Class       `json:"class"`
		Stage    Stage       `json:"stage"`
		Count    int         `json:"packets"`
		First    string      `json:"first,omitempty"`
		Fields   []FieldDiff `json:"fields"`
		Steps    int         `json:"scenarioPackets,omitempty"`
		Shrunk   bool        `json:"shrunk"`
		File     string      `json:"file,omitempty"`
		Scenario string      `json:"scenario,omitempty"`
	}
	doc := struct {
		Schema      string         `json:"schema"`
		Left        side           `json:"left"`
		Right       side           `json:"right"`
		Input       string         `json:"input"`
		Packets     int            `json:"packets"`
		Worlds      int            `json:"worlds"`
		Paths       int            `json:"paths"`
		Fields      int            `json:"fields"`
		Same        bool           `json:"same"`
		Differing   int            `json:"differing"`
		Compared    []Count        `json:"compared"`
		NotCompared []Count        `json:"notCompared"`
		Differences []difference   `json:"differences"`
		Failed      []string       `json:"failedExpectations"`
		Coverage    []FuncCoverage `json:"coverage,omitempty"`
		Lines       []LineCoverage `json:"lines,omitempty"`
	}{
		Schema,
		side{r.Left.Name, r.Left.Source},
		side{r.Right.Name, r.Right.Source},
		r.Input, r.Packets, r.Worlds, r.Paths, r.Fields,
		r.Same(), r.Differing, r.Compared, r.gaps(),
		[]difference{},
		append([]string{}, r.Failed...), nil, nil,
	}
	for _, d := range r.Differences {
		x := difference{Class: d.Class, Stage: d.Stage, Count: d.Count, First: d.Where, Fields: d.Fields, Steps: d.Packets, Shrunk: d.Shrunk, File: d.File}
		if d.Repro != nil {
			var b bytes.Buffer
			if err := d.Repro.Write(&b); err != nil {
				return err
			}
			x.Scenario = b.String()
		}
		doc.Differences = append(doc.Differences, x)
	}
	if coverage {
		doc.Coverage, doc.Lines = r.Coverage(), r.Lines()
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

// WriteMarkdown writes the report as a page, as for a pull request's comment.
func (r *Report) WriteMarkdown(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s and %s: %s\n\n", r.Left.Name, r.Right.Name, r.verdict())
	fmt.Fprintf(&b, "| | |\n|---|---|\n| left | %s |\n| right | %s |\n| input | %s |\n", report.Cell(r.Left.String()), report.Cell(r.Right.String()), report.Cell(r.Input))
	fmt.Fprintf(&b, "| compared | %s in %s, %s, %s |\n", report.Count(r.Packets, "packet"), report.Count(r.Worlds, "world"), report.Count(r.Paths, "path"), report.Count(r.Fields, "field"))
	for _, c := range r.gaps() {
		fmt.Fprintf(&b, "| not compared | %s, %s: %s |\n", report.Cell(c.Field), report.Times(c.Count), report.Cell(c.Why))
	}
	for i, d := range r.Differences {
		fmt.Fprintf(&b, "\n## %d. %s: %s\n\n%s, %s %s. First: %s.\n\n", i+1, d.Class, d.Stage.Func, report.Count(d.Count, "packet"), d.stageWords(), d.Stage, d.Where)
		fmt.Fprintf(&b, "| field | %s | %s |\n|---|---|---|\n", r.Left.Name, r.Right.Name)
		for j := range d.Fields {
			f := &d.Fields[j]
			fmt.Fprintf(&b, "| %s | %s | %s |\n", report.Cell(f.Field), report.Cell(f.Left), report.Cell(f.Right))
		}
		if d.Repro == nil {
			continue
		}
		fmt.Fprintf(&b, "\n<details><summary>%s</summary>\n\n```\n", d.reproWords())
		if err := d.Repro.Write(&b); err != nil {
			return err
		}
		b.WriteString("```\n\n</details>\n")
	}
	if len(r.Failed) > 0 {
		b.WriteString("\n## Failed expectations\n\n")
		for _, f := range r.Failed {
			fmt.Fprintf(&b, "- %s\n", f)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// WriteJUnit writes the report as a test suite: a case for each field that was compared
// and passes where nothing differed, a failed case for each difference and expectation,
// a skipped one for what was not compared.
func (r *Report) WriteJUnit(out io.Writer) error {
	name := r.Left.Name + " and " + r.Right.Name
	s := report.Suite{Name: "hooklab compare: " + name}
	var text strings.Builder
	r.summary(&text)
	s.Output = text.String()
	failed := map[string]bool{}
	for i, d := range r.Differences {
		var b strings.Builder
		d.text(&b, i+1, r.Left.Name, r.Right.Name)
		if d.Repro != nil {
			if err := d.Repro.Write(&b); err != nil {
				return err
			}
		}
		s.Cases = append(s.Cases, report.Case{
			Class: string(d.Class), Name: fmt.Sprintf("%d. %s", i+1, d.Stage.Func), Failure: &report.Message{Message: d.Where, Text: b.String()},
		})
		for j := range d.Fields {
			failed[d.Fields[j].field.String()] = true
		}
	}
	for _, f := range r.Failed {
		s.Cases = append(s.Cases, report.Case{Class: "expectation", Name: f, Failure: &report.Message{Message: f}})
	}
	for _, c := range r.Compared {
		if !failed[c.Field] {
			s.Cases = append(s.Cases, report.Case{Class: "compared", Name: fmt.Sprintf("%s, %s", c.Field, report.Times(c.Count))})
		}
	}
	for _, c := range r.gaps() {
		s.Cases = append(s.Cases, report.Case{Class: "not compared", Name: fmt.Sprintf("%s, %s", c.Field, report.Times(c.Count)), Skipped: &report.Message{Message: c.Why}})
	}
	return s.Write(out)
}

// WriteCoverage writes which decisions of the datapath the compared packets reached.
func (r *Report) WriteCoverage(out io.Writer) error {
	var b strings.Builder
	list := r.Coverage()
	reached, seen, unseen := 0, 0, 0
	for i := range list {
		if list[i].Reached {
			reached++
		}
		seen += len(list[i].Seen)
		unseen += len(list[i].Unseen)
	}
	fmt.Fprintf(&b, "reached on both sides: %d of %d functions, %d of %d outcomes of their decisions\n", reached, len(list), seen, seen+unseen)
	file := ""
	for i := range list {
		c := &list[i]
		if c.File != file {
			file = c.File
			fmt.Fprintf(&b, "%s\n", file)
		}
		if !c.Reached {
			fmt.Fprintf(&b, "  %s: not reached\n", c.Func)
			continue
		}
		fmt.Fprintf(&b, "  %s: returned %s\n", c.Func, strings.Join(c.Returns, ", "))
		if len(c.Seen) > 0 {
			fmt.Fprintf(&b, "    reached: %s\n", strings.Join(c.Seen, ", "))
		}
		if len(c.Unseen) > 0 {
			fmt.Fprintf(&b, "    not reached: %s\n", strings.Join(c.Unseen, ", "))
		}
	}
	linesText(&b, r.Lines())
	_, err := io.WriteString(out, b.String())
	return err
}
