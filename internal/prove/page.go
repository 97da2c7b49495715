package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane/compare"
)

// page is the summary.
func (p *proof) page() ([]byte, error) {
	var b bytes.Buffer
	kernel, err := output("uname", "-r")
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "# The proof\n\n")
	fmt.Fprintf(&b, "Written by `make prove PACKETS=%d KERNEL_PACKETS=%d SEED=%d` at commit %s, on Linux %s with %d CPUs. Every packet is generated,\n"+
		"over clusters of every profile and setting (see [COMPARE.md](COMPARE.md)), and compared in all that came of it. The packets come in\n"+
		"chunks, each with a seed of its own: chunk N is `hooklab compare --packets %d --seed %d+N`, N from 0.\n",
		p.packets, p.kernel, p.seed, p.commit, kernel, runtime.NumCPU(), p.size, p.seed*maxChunks)
	for _, e := range engines() {
		p.engine(&b, e)
	}
	if err := p.goCode(&b); err != nil {
		return nil, err
	}
	if err := p.cCode(&b); err != nil {
		return nil, err
	}
	p.decisions(&b)
	return b.Bytes(), nil
}

// engine tells what was compared with one engine.
func (p *proof) engine(b *bytes.Buffer, engine string) {
	fmt.Fprintf(b, "\n## emulated and %s\n\n", engine)
	list := p.chunks[engine]
	if len(list) == 0 {
		b.WriteString("Not run: it needs root.\n")
		return
	}
	var packets, worlds, fields, differing int
	var seconds float64
	rates := make([]float64, 0, len(list))
	compared, gaps := map[string]int{}, map[compare.Count]int{}
	for _, c := range list {
		r := &c.Report
		packets, worlds, fields, differing = packets+r.Packets, worlds+r.Worlds, fields+r.Fields, differing+r.Differing
		seconds += c.Seconds
		if r.Packets > p.size/2 { // the last ones make up for packets that could not be compared
			rates = append(rates, float64(r.Packets)/c.Seconds*60)
		}
		for _, x := range r.Compared {
			compared[x.Field] += x.Count
		}
		for _, x := range r.NotCompared {
			gaps[compare.Count{Field: x.Field, Why: x.Why}] += x.Count
		}
	}
	slices.Sort(rates)
	last := &list[len(list)-1].Report
	fmt.Fprintf(b, "| | |\n|---|---|\n")
	fmt.Fprintf(b, "| left | %s (%s) |\n| right | %s (%s) |\n", last.Left.Engine, last.Left.Source, last.Right.Engine, last.Right.Source)
	fmt.Fprintf(b, "| compared | %d packets in %d worlds and %d chunks, %d fields |\n| **packets that differ** | **%d** |\n", packets, worlds, len(list), fields, differing)
	fmt.Fprintf(b, "| rate | %.0f packets a minute in %.0f seconds, with all else that the machine did%s |\n", float64(packets)/seconds*60, seconds, spread(rates))
	for _, f := range slices.Sorted(maps.Keys(compared)) {
		fmt.Fprintf(b, "| compared: %s | %d times |\n", f, compared[f])
	}
	for _, g := range slices.SortedFunc(maps.Keys(gaps), func(x, y compare.Count) int { return cmp.Or(cmp.Compare(x.Field, y.Field), cmp.Compare(x.Why, y.Why)) }) {
		fmt.Fprintf(b, "| not compared: %s | %d times: %s |\n", g.Field, gaps[g], g.Why)
	}
	for _, c := range list {
		for i := range c.Report.Differences {
			d := &c.Report.Differences[i]
			fmt.Fprintf(b, "\nSeed %d: %s differs, %d packets, %s. First: %s.\n\n```\n%s```\n", c.Seed, d.Class, d.Packets, d.Stage, d.First, d.Scenario)
		}
	}
}

// spread is between which rates the chunks were.
func spread(sorted []float64) string {
	if len(sorted) < 2 {
		return ""
	}
	return fmt.Sprintf("; chunks between %.0f and %.0f", sorted[0], sorted[len(sorted)-1])
}

// decisions tells what the C functions returned and which of their questions were answered.
func (p *proof) decisions(b *bytes.Buffer) {
	type function struct{ file, name string }
	var order []function
	returns, seen, unseen := map[function]map[string]bool{}, map[function]map[string]bool{}, map[function]map[string]bool{}
	note := func(of map[function]map[string]bool, f function, list []string) {
		if of[f] == nil {
			of[f] = map[string]bool{}
		}
		for _, s := range list {
			of[f][s] = true
		}
	}
	for _, e := range engines() {
		for _, c := range p.chunks[e] {
			for i := range c.Report.Coverage {
				x := &c.Report.Coverage[i]
				f := function{x.File, x.Func}
				if returns[f] == nil {
					order = append(order, f)
				}
				note(returns, f, x.Returns)
				note(seen, f, x.Seen)
				note(unseen, f, x.Unseen)
			}
		}
	}
	reached := 0
	for _, f := range order {
		for s := range seen[f] {
			delete(unseen[f], s)
		}
		if len(returns[f]) > 0 {
			reached++
		}
	}
	fmt.Fprintf(b, "\n## Decisions\n\n%d of %d C functions were reached on both sides. By function: how many codes it returned, which of its questions to maps and\n"+
		"its tail calls were answered or missed, and which were not.\n\n| function | codes | reached | not reached |\n|---|---|---|---|\n", reached, len(order))
	for _, f := range order {
		fmt.Fprintf(b, "| `%s` (%s) | %d | %s | %s |\n", f.name, f.file, len(returns[f]), words(seen[f]), words(unseen[f]))
	}
}

func words(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ", ") }
