package journey

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

// WritePcapng writes the frames of journeys as one pcapng capture: an interface for
// each device as tcpdump would see it ("worker/eth0"), and two for each hook, before
// and after its program ("worker/lxc1:from-container@entry", "…@exit", in the words of
// xdpdump). Comments tell what the program did and decided, and what happened to the
// packet until the next frame. The id of a packet is that of Packet.ID, in a
// further journey after those of the ones before; time is virtual, since boot.
func WritePcapng(w io.Writer, js []*Journey) error {
	c := &capture{ids: map[string]int{}}
	var section dissect.Section
	for _, j := range js {
		if about := j.Question.String() + "\n" + j.Verdict.line(); len(js) == 1 {
			section.Comment = about
		} else {
			c.pending = []string{about} // said of its first frame
		}
		for _, p := range j.Packets {
			for _, s := range p.Steps {
				c.step(p, s)
			}
		}
		c.before += len(j.Packets)
		c.pending = nil
	}
	out, err := dissect.NewWriter(w, section)
	if err != nil {
		return err
	}
	for _, i := range c.interfaces {
		if _, err := out.AddInterface(i); err != nil {
			return err
		}
	}
	for i := range c.records {
		if err := out.Write(c.records[i]); err != nil {
			return err
		}
	}
	return nil
}

// capture collects interfaces and records.
type capture struct {
	ids        map[string]int // of interfaces by name
	interfaces []dissect.Interface
	records    []dissect.Record
	pending    []string // comments for the next record
	before     int      // packets of the journeys before
}

func (c *capture) step(p *Packet, s *Step) {
	dev := trimPlace(s.Place) + "/" + s.Device
	switch {
	case s.Tap != nil:
		dir := dissect.Inbound
		if s.Tap.Direction == "Out" {
			dir = dissect.Outbound
		}
		c.add(p, s, dev, "what tcpdump sees on "+s.Device+" of "+s.Place, s.frame, dir)
	case s.Run != nil:
		hook := dev + ":" + s.Run.Program
		about := s.Run.Program + " at " + s.Run.Direction + " of " + s.Device + ", " + s.Place
		dir := dissect.Inbound
		if s.Run.Direction == "egress" {
			dir = dissect.Outbound
		}
		c.add(p, s, hook+"@entry", "before "+about, s.Run.before, dir, markNote(s.Run.markBefore)...)
		c.add(p, s, hook+"@exit", "after "+about, s.frame, dir, s.Run.notes(s.mark)...)
	case s.Kind != StepSent && s.Kind != StepXDP:
		c.comment(p, s.Place+": "+s.withChanges())
	}
}

// add adds a frame, and its interface when it is the first there.
func (c *capture) add(p *Packet, s *Step, name, about string, frame []byte, dir dissect.Direction, notes ...string) {
	id, ok := c.ids[name]
	if !ok {
		id = len(c.interfaces)
		c.ids[name] = id
		c.interfaces = append(c.interfaces, dissect.Interface{Name: name, Description: about})
	}
	title := strings.TrimSpace(fmt.Sprintf("packet %d%s", c.before+p.ID, p.relationText(c.before)))
	c.records = append(c.records, dissect.Record{
		Interface: id, Time: time.Unix(0, int64(s.at)), Data: frame, Direction: dir, ID: uint64(c.before + p.ID),
		Comments: slices.Concat([]string{title}, c.pending, notes),
	})
	c.pending = nil
}

// comment adds to what is said of the packet's frame before, or of its first one.
func (c *capture) comment(p *Packet, text string) {
	if n := len(c.records); n > 0 && c.records[n-1].ID == uint64(c.before+p.ID) {
		r := &c.records[n-1]
		r.Comments = append(r.Comments, text)
		return
	}
	c.pending = append(c.pending, text)
}

// notes are a run's functions in the order of their calls, its decisions, the entries
// that it changed and its verdict.
func (r *Run) notes(mark uint32) []string {
	var calls []string
	for _, l := range r.Lines {
		switch l.Kind {
		case LineCall:
			calls = append(calls, l.Func)
		case LineTailCall:
			calls = append(calls, fmt.Sprintf("[tail call %d]", *l.Slot))
		case LineLookup, LineUpdate, LineRewrite, LineHelper:
		}
	}
	out := []string{"functions: " + strings.Join(calls, " ")}
	for _, d := range r.Decisions {
		out = append(out, d.withOthers())
	}
	for _, e := range r.Entries {
		out = append(out, e.line())
	}
	out = append(out, markNote(mark)...)
	return append(out, "verdict: "+r.Result)
}

func markNote(mark uint32) []string {
	if mark == 0 {
		return nil
	}
	return []string{fmt.Sprintf("mark 0x%x", mark)}
}
