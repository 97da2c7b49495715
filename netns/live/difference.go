package live

import (
	"fmt"
	"net/netip"
	"slices"
)

// Difference is what two sides saw differently of one program at one place.
type Difference struct {
	Step   string `json:"step"`
	Line   int    `json:"line,omitempty"` // in the script
	Class  string `json:"class"`          // result, lost, headers or answers
	Place  string `json:"place,omitempty"`
	What   string `json:"what,omitempty"` // the packets
	Fields []Row  `json:"fields"`
	// Explained says why the sides legitimately differ here; empty: they should not.
	Explained string `json:"explained,omitempty"`
}

// Row is one field on both sides.
type Row struct {
	Field string `json:"field"`
	Left  string `json:"left"`
	Right string `json:"right"`
}

// Classes of differences.
const (
	classResult  = "result"  // how the program ended
	classLost    = "lost"    // packets that one side has and the other has not
	classHeaders = "headers" // the same packets with other headers
	classAnswers = "answers" // who answers
)

func (d *Difference) same(e *Difference) bool {
	return d.Class == e.Class && d.Place == e.Place && d.What == e.What &&
		slices.EqualFunc(d.Fields, e.Fields, func(a, b Row) bool { return a.Field == b.Field })
}

// none stands for what a side does not have.
const none = "none"

// compareTalks compares what was seen of two attempts and counts the fields.
func compareTalks(l, r *talk, list []place, counted bool, fields *int) []Difference {
	var all []Difference
	for i := range list {
		for _, what := range lines(l.at[i], r.at[i]) {
			a, b := find(l.at[i], what), find(r.at[i], what)
			d := Difference{Class: classHeaders, Place: list[i].label, What: what}
			if a == nil || b == nil {
				d.Class = classLost
			}
			d.Fields = compareLines(a, b, counted, fields)
			if len(d.Fields) > 0 {
				all = append(all, d)
			}
		}
	}
	return all
}

// lines are what either side saw, in the order of the left one's appearance.
func lines(l, r []*line) []string {
	var all []string
	for _, x := range slices.Concat(l, r) {
		if !x.unseen() && !slices.Contains(all, x.what) {
			all = append(all, x.what)
		}
	}
	return all
}

func find(list []*line, what string) *line {
	for _, l := range list {
		if l.what == what {
			return l
		}
	}
	return nil
}

// compareLines compares packets of one kind. How often a segment of TCP was sent is left
// to its timers.
func compareLines(l, r *line, counted bool, fields *int) []Row {
	*fields++
	if l == nil || r == nil {
		text := func(x *line) string {
			switch {
			case x == nil:
				return none
			case x.tcp:
				return "seen"
			}
			return fmt.Sprint(x.count)
		}
		return []Row{{"packets", text(l), text(r)}}
	}
	var rows []Row
	compare := func(name, a, b string) {
		*fields++
		if a != b {
			rows = append(rows, Row{name, a, b})
		}
	}
	if !l.tcp && counted {
		compare("packets", fmt.Sprint(l.count), fmt.Sprint(r.count))
	}
	if l.tcp && len(l.parts)+len(r.parts) > 0 {
		compare("bytes", fmt.Sprint(l.bytes()), fmt.Sprint(r.bytes()))
	}
	for i := range l.fields {
		compare(l.fields[i].name, l.value(l.fields[i].name), r.value(l.fields[i].name))
	}
	for i := range r.fields {
		if l.value(r.fields[i].name) == "" {
			compare(r.fields[i].name, none, r.value(r.fields[i].name))
		}
	}
	return rows
}

// compareARP compares who answers for an address. Which addresses are asked for depends on
// how long ago they were used, so those that one side did not ask for are only counted.
func compareARP(l, r []arpTable, list []place, fields, skipped *int) []Difference {
	var all []Difference
	for i := range list {
		var addrs []netip.Addr
		for _, t := range []arpTable{l[i], r[i]} {
			for a := range t.answers {
				addrs = append(addrs, a)
			}
		}
		slices.SortFunc(addrs, netip.Addr.Compare)
		for _, a := range slices.Compact(addrs) {
			x, y := l[i].answers[a], r[i].answers[a]
			if x == "" && !l[i].asked[a] || y == "" && !r[i].asked[a] {
				*skipped++
				continue
			}
			*fields++
			if x != y {
				row := Row{"answer", cmpOr(x), cmpOr(y)}
				all = append(all, Difference{Step: "ARP", Class: classAnswers, Place: list[i].label, What: "who has " + a.String(), Fields: []Row{row}})
			}
		}
	}
	return all
}

func cmpOr(s string) string {
	if s == "" {
		return none
	}
	return s
}
