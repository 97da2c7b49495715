package journey

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// WriteMermaid writes journeys as a sequence diagram of Mermaid: a column for each
// place, an arrow from place to place, a note for each program and host stack. Of
// several journeys each begins with its question, right across.
func WriteMermaid(w io.Writer, js []*Journey) error {
	d := &diagram{w: bufio.NewWriter(w), ids: map[string]string{}}
	fmt.Fprintln(d.w, "sequenceDiagram")
	for _, j := range js {
		for _, p := range j.Packets {
			for _, s := range p.Steps {
				d.participant(s.Place)
			}
		}
	}
	across := "p1"
	if n := len(d.ids); n > 1 {
		across = fmt.Sprintf("p1,p%d", n)
	}
	for _, j := range js {
		if len(js) > 1 && len(d.ids) > 0 {
			d.line("Note over %s: %s", across, escape(j.Question.String()))
		}
		for _, p := range j.Packets {
			d.packet(p)
		}
		v := &j.Verdict
		id, ok := d.ids[v.Place]
		if !ok && len(js) > 1 && len(d.ids) > 0 { // else the next question would follow at once
			id, ok = across, true
		}
		if ok {
			d.line("Note over %s: VERDICT %s<br/>%s", id, v.Outcome, escape(v.Because))
		}
	}
	return d.w.Flush()
}

type diagram struct {
	w   *bufio.Writer
	ids map[string]string // of places
}

func (d *diagram) line(format string, args ...any) {
	fmt.Fprintf(d.w, "    "+format+"\n", args...)
}

func (d *diagram) participant(place string) {
	if _, ok := d.ids[place]; ok {
		return
	}
	id := fmt.Sprintf("p%d", len(d.ids)+1)
	d.ids[place] = id
	d.line("participant %s as %s", id, escape(place))
}

// packet draws a packet's way.
func (d *diagram) packet(p *Packet) {
	at := ""
	summary := p.brief
	for _, s := range p.Steps {
		if s.Tap != nil {
			summary = s.Tap.brief
			if s.Tap.TTL != 0 {
				summary += fmt.Sprintf(", TTL %d", s.Tap.TTL)
			}
		}
		if at != "" && s.Place != at {
			d.line("%s->>%s: %d %s", d.ids[at], d.ids[s.Place], p.ID, escape(summary))
		}
		at = s.Place
		switch s.Kind {
		case StepHook:
			d.line("Note over %s: %s<br/>%s", d.ids[at], escape(s.Text), escape(s.Run.Result))
		case StepLost:
			d.line("Note over %s: LOST %s", d.ids[at], escape(s.Text))
		case StepStack:
			if len(s.Changes) > 0 {
				d.line("Note over %s: host stack %s<br/>%s", d.ids[at], escape(s.Text), escape(changesText(s.Changes)))
			}
		case StepWire:
			d.line("Note over %s: %s", d.ids[at], escape(s.Text))
		case StepSent, StepTap, StepNoTap, StepXDP, StepReceived, StepLeft:
		}
	}
}

// escape replaces what Mermaid would read as its own.
func escape(s string) string {
	return strings.NewReplacer("#", "#35;", ";", "#59;", "<", "#lt;", ">", "#gt;", "\n", " ").Replace(s)
}
