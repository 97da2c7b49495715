package journey

import (
	"fmt"
	"slices"
	"strings"
)

// writeSummary writes a line for each hook, each decision and what the host stacks and
// the wire did, and one on where tcpdump sees the packet. ARP that is answered is one line.
func (p *Packet) writeSummary(out *page) {
	out.put(plain, "")
	if p.Relation == Asking && p.Fate.Outcome == Delivered {
		out.line(dim, 0, 5, p.title()+": "+strings.Join(p.path(), " → "))
		return
	}
	out.rule(blue, p.title())
	place := ""
	for _, s := range p.Steps {
		if s.Kind == StepSent || s.Kind == StepTap || s.Kind == StepNoTap || s.Kind == StepXDP {
			continue
		}
		if where := s.where(); where != place {
			out.put(bold, where)
			place = where
		}
		if s.Run == nil {
			s.write(out)
			continue
		}
		out.line(bold, stepIndent, 4, "▶ "+s.Text)
		s.Run.writeDecisions(out)
	}
	seen, unseen := p.taps()
	text := "tcpdump sees it on " + strings.Join(seen, ", ")
	if len(unseen) > 0 {
		text += "; not on " + strings.Join(unseen, ", ")
	}
	out.line(dim, stepIndent, 4, text)
}

// taps are the devices on which tcpdump sees a packet, with the TTLs that it has there,
// and those that it passes unseen.
func (p *Packet) taps() (seen, unseen []string) {
	ttls := map[string][]string{}
	var where []string
	times := map[string]int{}
	for _, s := range p.Steps {
		switch s.Kind {
		case StepTap:
			text := fmt.Sprintf("%s %s of %s", s.Device, s.Tap.Direction, trimPlace(s.Place))
			if _, met := ttls[text]; !met {
				where = append(where, text)
				ttls[text] = nil
			}
			times[text]++
			if ttl := fmt.Sprint(s.Tap.TTL); s.Tap.TTL != 0 && !slices.Contains(ttls[text], ttl) {
				ttls[text] = append(ttls[text], ttl)
			}
		case StepNoTap:
			unseen = append(unseen, fmt.Sprintf("%s of %s", s.Device, trimPlace(s.Place)))
		default:
		}
	}
	for _, text := range where {
		t := ttls[text]
		if len(t) > 3 { // a loop
			t = []string{t[0], t[1], "…", t[len(t)-1]}
		}
		line := text
		if len(t) > 0 {
			line += " (TTL " + strings.Join(t, ", ") + ")"
		}
		if n := times[text]; n > 1 {
			line += fmt.Sprintf(" %d times", n)
		}
		seen = append(seen, line)
	}
	return seen, counted(unseen)
}

// counted are texts, those that occur several times once.
func counted(texts []string) []string {
	times := map[string]int{}
	var out []string
	for _, t := range texts {
		if times[t]++; times[t] == 1 {
			out = append(out, t)
		}
	}
	for i, t := range out {
		if n := times[t]; n > 1 {
			out[i] = fmt.Sprintf("%s %d times", t, n)
		}
	}
	return out
}
