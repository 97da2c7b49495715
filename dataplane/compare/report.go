package compare

import (
	"slices"
	"strings"
)

// Report is what a comparison found.
type Report struct {
	Left, Right Engine
	Input       string
	Packets     int
	Worlds      int      // clusters with their settings
	Paths       int      // distinct ways through the datapath
	Fields      int      // compared, one by one
	Differing   int      // packets
	Failed      []string // expectations
	Unsupported []string // packets that an engine could not run, and why
	Differences []*Difference
	Compared    []Count
	NotCompared []Count

	tally tally
	lines lines
	seen  *insight
}

// Count is how often a field was compared or was not, and why not.
type Count struct {
	Field string `json:"field"`
	Count int    `json:"count"`
	Why   string `json:"why,omitempty"`
}

// Difference is one kind of difference, told by the first packet that showed it.
type Difference struct {
	Class  Class
	Stage  Stage
	Fields []FieldDiff
	Count  int    // packets that showed it
	Where  string // the first of them
	// Repro is a scenario whose last packet shows it; Packets is how many it has, and
	// Shrunk says that it was made as small as it gets.
	Repro   *Scenario
	Packets int
	Shrunk  bool

	File string // where Repro was written to; empty: nowhere

	key      string
	scenario *Scenario // all steps of the round so far
	world    *World
}

func newDifference(fields []FieldDiff, stage Stage) *Difference {
	d := &Difference{Stage: stage, Fields: fields, Count: 1}
	for _, c := range classes() {
		if slices.ContainsFunc(fields, func(f FieldDiff) bool { return f.Class == c }) {
			d.Class = c
			break
		}
	}
	var kinds []string
	for i := range fields {
		if fields[i].Class == d.Class && !slices.Contains(kinds, fields[i].kind) {
			kinds = append(kinds, fields[i].kind)
		}
	}
	slices.Sort(kinds)
	d.key = strings.Join(append([]string{string(d.Class), stage.Func}, kinds...), "|")
	return d
}

func newReport(o *Options, f *Feed) *Report {
	r := &Report{Left: o.Left, Right: o.Right, Input: f.Title, seen: newInsight(nil), lines: lines{}}
	r.seen.where = o.Right.Function
	return r
}

// add takes a script's result into the report. Scripts are added in their order.
func (r *Report) add(p *play) {
	r.Packets += p.packets
	r.Worlds++
	r.Differing += p.differing
	r.tally.add(&p.tally)
	r.seen.merge(p.seen)
	r.lines.merge(p.lines)
	r.Failed = append(r.Failed, p.failed...)
	r.Unsupported = append(r.Unsupported, p.unsupported...)
	for _, d := range p.found {
		d.Repro, d.Packets = d.scenario, d.scenario.packets()
		r.include(d)
	}
}

// include counts a difference, and lists it if it is the first of its kind.
func (r *Report) include(d *Difference) {
	if i := slices.IndexFunc(r.Differences, func(x *Difference) bool { return x.key == d.key }); i >= 0 {
		r.Differences[i].Count += d.Count
		return
	}
	r.Differences = append(r.Differences, d)
}

func (r *Report) finish() {
	r.Paths = len(r.seen.paths)
	for f := range numFields {
		if n := r.tally.compared[f]; n > 0 {
			r.Fields += n
			r.Compared = append(r.Compared, Count{Field: f.String(), Count: n})
		}
		if n := r.tally.skipped[f]; n > 0 {
			r.NotCompared = append(r.NotCompared, Count{Field: f.String(), Count: n, Why: r.tally.why[f]})
		}
	}
}

// gaps are what was not compared: fields, and packets that an engine could not run.
func (r *Report) gaps() []Count {
	list := slices.Clone(r.NotCompared)
	for _, why := range r.Unsupported {
		i := slices.IndexFunc(list, func(c Count) bool { return c.Why == why })
		if i < 0 {
			i, list = len(list), append(list, Count{Field: "whole packets", Why: why})
		}
		list[i].Count++
	}
	return list
}

// Same says that nothing differs and everything was as expected.
func (r *Report) Same() bool { return r.Differing == 0 && len(r.Failed) == 0 }

// Coverage is what the compared packets reached of the datapath.
func (r *Report) Coverage() []FuncCoverage { return r.seen.reached.List() }
