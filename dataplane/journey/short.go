package journey

import (
	"fmt"
	"strings"
)

// writeSummary writes a line for each hook and what the host stacks and the wire did,
// and one on where tcpdump sees the packet.
func (k *Packet) writeSummary(p *page) {
	p.put(plain, "")
	p.rule(blue, k.title())
	for _, s := range k.Steps {
		where := s.Place + ": "
		switch s.Kind {
		case StepHook:
			p.line(plain, stepIndent, 4, where+s.Text+s.Run.inShort())
		case StepStack, StepWire:
			text := where + s.Text
			if len(s.Changes) > 0 {
				text += ": " + changesText(s.Changes)
			}
			p.line(plain, stepIndent, 4, text)
		case StepReceived:
			p.line(green, stepIndent, 4, where+s.Text)
		case StepLost:
			p.line(red, stepIndent, 4, where+s.Text)
		case StepLeft:
			p.line(plain, stepIndent, 4, where+s.Text)
		case StepSent, StepTap, StepNoTap, StepXDP:
		}
	}
	seen, unseen := k.taps()
	text := "tcpdump sees it on " + strings.Join(seen, ", ")
	if len(unseen) > 0 {
		text += "; not on " + strings.Join(unseen, ", ")
	}
	p.line(dim, stepIndent, 4, text)
}

// inShort is what a run decided.
func (r *Run) inShort() string {
	var out []string
	for i := range r.Decisions {
		out = append(out, r.Decisions[i].withOthers())
	}
	return " → " + strings.Join(append(out, r.Result), "; ")
}

// taps are the devices on which tcpdump sees a packet, and those that it passes unseen.
func (k *Packet) taps() (seen, unseen []string) {
	for _, s := range k.Steps {
		switch s.Kind {
		case StepTap:
			text := fmt.Sprintf("%s %s of %s", s.Device, s.Tap.Direction, trimPlace(s.Place))
			if s.Tap.TTL != 0 {
				text += fmt.Sprintf(" (TTL %d)", s.Tap.TTL)
			}
			seen = append(seen, text)
		case StepNoTap:
			unseen = append(unseen, fmt.Sprintf("%s of %s", s.Device, trimPlace(s.Place)))
		default:
		}
	}
	return seen, unseen
}
