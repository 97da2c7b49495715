package journey

import (
	"bytes"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// Moment is a point at which a journey can be stopped: after each step, and within a
// program after each function call, lookup, update, rewrite and tail call.
type Moment struct {
	N       int    // from 1
	Packet  int    // its ID; 0 while it is not on its way yet
	Summary string // of the packet as it was sent
	Place   string
	Device  string
	Program string // that runs, if one does
	Text    string
	Depth   int      // functions that were open
	Stack   []string // the functions that are open, the innermost last
	Func    string   // that was called
	Map     string   // that was asked or written
	Changes []Change
	Frame   []byte
	Mark    uint32
}

// liveRun is a program that is running.
type liveRun struct {
	packet *Packet
	moment Moment
	frame  *dataplane.Packet
	trace  *trace.Buffer
	build  func() *runBuilder
	shown  int // lines
}

// momentOf is what all moments of a packet have in common.
func (r *recorder) momentOf(p *Packet) Moment {
	m := Moment{Summary: p.brief}
	for i, k := range r.packets {
		if k == p {
			m.Packet = i + 1
		}
	}
	return m
}

// pauseBefore stops at the begin of a program.
func (r *recorder) pauseBefore(p *Packet, e *sim.Event, n *nodeView) {
	hook, before := *e.Node.Hook, r.run.before
	direction := "ingress"
	if hook.Prog.Egress() {
		direction = "egress"
	}
	m := r.momentOf(p)
	m.Place, m.Device, m.Program = e.Place.String(), e.Device, hook.Prog.String()
	r.live = &liveRun{
		packet: p, moment: m, frame: e.Node.Packet, trace: e.Node.Packet.Trace,
		build: func() *runBuilder {
			return &runBuilder{node: n, hook: hook, object: hook.Endpoint, frame: bytes.Clone(before), run: &Run{}}
		},
	}
	m.Text = "▶ " + m.Program + " at " + direction + " of " + m.Device
	m.Frame, m.Mark = before, e.Node.Packet.Mark
	r.pause(&m)
}

// pauseInside stops after a step of a program. What a function has changed is told with
// the step that follows, and a return is no step of its own.
func (r *recorder) pauseInside() {
	if r.live == nil || r.live.trace == nil {
		return
	}
	steps := r.live.trace.Steps()
	switch steps[len(steps)-1].Kind {
	case trace.KindRewrite, trace.KindMark, trace.KindLeave:
		return
	default:
		r.pauseLines()
	}
}

// pauseLines stops at each line that is new.
func (r *recorder) pauseLines() {
	l := r.live
	b := l.build()
	b.steps(l.trace)
	for ; l.shown < len(b.run.Lines); l.shown++ {
		line := &b.run.Lines[l.shown]
		m := l.moment
		m.Text, m.Depth, m.Map, m.Changes = line.text(), line.Depth, line.Map, line.Changes
		m.Frame, m.Mark = bytes.Clone(l.frame.Data), l.frame.Mark
		if line.Kind == LineCall {
			m.Func = line.Func
		}
		for _, i := range b.calls {
			m.Stack = append(m.Stack, b.run.Lines[i].Func)
		}
		r.pause(&m)
	}
}

// pauseAfter stops after the steps that an event has made.
func (r *recorder) pauseAfter(p *Packet, steps []*Step) {
	for _, s := range steps {
		m := r.momentOf(p)
		m.Place, m.Device, m.Text, m.Frame, m.Mark, m.Changes = s.Place, s.Device, s.line(), s.frame, s.mark, s.Changes
		if s.Run != nil {
			r.pauseLines()
			r.live = nil
			m.Program, m.Text = s.Run.Program, "= "+s.Run.Result
		}
		r.pause(&m)
	}
}

// line is a step in one line.
func (s *Step) line() string {
	switch s.Kind {
	case StepTap:
		return "◉ " + s.Device + " " + s.Tap.Direction + "  " + s.Tap.Summary
	case StepNoTap:
		return "◌ " + s.Text
	case StepReceived:
		return "✓ " + s.Text
	case StepLost:
		return "✗ " + s.Text
	case StepSent, StepXDP, StepHook, StepStack, StepWire, StepLeft:
	}
	return "· " + s.withChanges()
}
