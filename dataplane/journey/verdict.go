package journey

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// fateOf is what became of a packet: received, if any of its forms was.
func fateOf(p *Packet) Fate {
	if p.undecided != "" {
		return Fate{Outcome: Unknown, Place: p.lastPlace(), Text: p.undecided}
	}
	if len(p.ends) == 0 {
		return Fate{Outcome: Unknown, Place: p.lastPlace(), Text: "the simulation ended before the packet did"}
	}
	best := p.ends[0]
	for _, e := range p.ends {
		if e.rank() > best.rank() {
			best = e
		}
	}
	return best.fate(p)
}

func (p *Packet) lastPlace() string {
	if len(p.Steps) == 0 {
		return ""
	}
	return p.Steps[len(p.Steps)-1].Place
}

// rank orders ends: what was received counts more than what was lost.
func (e *ended) rank() int {
	switch {
	case e.kind == sim.Received:
		return 3
	case e.kind == sim.Left:
		return 2
	case e.refused():
		return 1
	}
	return 0
}

// refused is a packet that reached its receiver's stack, where nothing wanted it.
func (e *ended) refused() bool {
	return e.kind == sim.Lost && (e.cause == sim.PortClosed || e.cause == sim.ProtocolUnknown || e.cause == sim.Unexpected)
}

func (e *ended) fate(p *Packet) Fate {
	f := Fate{Outcome: Lost, Place: e.place}
	switch {
	case e.kind == sim.Received:
		f.Outcome, f.Text = Delivered, "received as "+brief(e.data)
	case e.kind == sim.Left:
		f.Outcome, f.Text = ToStack, "left the cluster as "+brief(e.data)
	case e.refused():
		f.refusal = ", where " + refusal(e.cause)
		f.Outcome, f.Text = Delivered, "arrived as "+brief(e.data)+f.refusal
	case e.kind == sim.Lost && (e.cause == sim.EngineFailed || e.cause == sim.Endless || e.cause == sim.Overflow), e.loss == node.LossEngine:
		f.Outcome, f.Text = Unknown, e.cause.String()
	case e.kind == sim.Lost && e.cause == sim.Rejected:
		f.Outcome, f.Text = Dropped, "rejected by kube-proxy's rule, not by Cilium: the service has no backend"
	case e.kind == sim.Lost:
		f.Text = e.cause.String()
	case e.run != nil:
		f.Outcome, f.Text = Dropped, fmt.Sprintf("%s, code %d, in %s", code.Reason(e.run.Drop), e.run.Drop, e.run.Program)
	case e.loss == node.LossOtherHost:
		f.Text = "the host stack ignored the frame: its MAC is another host's"
	default:
		f.Text = e.loss.String()
	}
	if raw := p.rawError(); raw != nil && f.Outcome == Lost {
		f.Text += fmt.Sprintf(" (%s let it go on with %s, which counts as no verdict)", raw.Program, code.Ret(raw.Action))
	}
	return f
}

func refusal(r sim.Reason) string {
	switch r {
	case sim.PortClosed:
		return "nothing listens on that port"
	case sim.ProtocolUnknown:
		return "nobody there speaks that protocol"
	default:
		return "no socket expects it"
	}
}

// rawError is a run that ended with an error which the kernel does not know, or nil
// (SPEC 3.6).
func (p *Packet) rawError() *Run {
	for _, s := range p.Steps {
		if s.Run != nil && s.Run.Action < 0 {
			return s.Run
		}
	}
	return nil
}

// Asked is the question's own packet, nil if none was sent.
func (j *Journey) Asked() *Packet {
	for _, p := range j.Packets {
		if p.Relation == Request {
			return p
		}
	}
	return nil
}

// judged is the packet that the verdict is about: the question's own, or of several
// the first that did not arrive.
func (j *Journey) judged() *Packet {
	if j.Question.Count > 1 {
		for _, p := range j.Packets {
			if p.Relation == Request && p.Fate.Outcome != Delivered {
				return p
			}
		}
	}
	if j.Question.Conversation {
		for _, p := range j.Packets {
			if p.Relation != Asking && p.Fate.Outcome != Delivered {
				return p
			}
		}
	}
	return j.Asked()
}

// judge writes the verdict. failed is why the simulation stopped early, or nil.
func (j *Journey) judge(failed error) {
	p := j.judged()
	if p == nil || failed != nil {
		j.Verdict = Verdict{Outcome: Unknown, Text: "what becomes of it", Because: "the sender has no way to send it"}
		if failed != nil {
			j.Verdict.Because = failed.Error()
		}
		return
	}
	v := &j.Verdict
	v.Outcome, v.Place, v.Path = p.Fate.Outcome, p.Fate.Place, p.path()
	v.Packet, v.Text = p.ID, verdictText(p.Fate)
	if p != j.Asked() {
		v.Text += fmt.Sprintf(" of packet %d", p.ID)
	}
	v.Fields, v.Entries = p.dependencies()
	v.Because, v.Reasons = because(p), reasons(p)
	if run := p.lastRun(); p.Fate.Outcome == Dropped && run != nil && run.explained != nil {
		v.Drop, v.Because = &run.explained.Drop, run.explained.because
	}
	v.Answer = j.answer(p)
}

func verdictText(f Fate) string {
	switch f.Outcome {
	case Delivered:
		return "to " + f.Place + f.refusal
	case ToStack:
		return "and " + f.Text
	case Dropped:
		return "at " + f.Place + " (" + f.Text + ")"
	default:
		return "at " + f.Place
	}
}

// reasons are the decisions that brought the packet where it ended, in order.
func reasons(p *Packet) []string {
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, s := range p.Steps {
		if s.Kind == StepStack && len(s.Changes) > 0 && s.Changes[0].Field != "ip.ttl" && s.Changes[0].Field != "mark" {
			add(fmt.Sprintf("the host stack %s: %s", s.Text, changesText(s.Changes)))
		}
		if s.Run == nil {
			continue
		}
		for _, d := range s.Run.Decisions {
			add(d.Text)
		}
		if s.Run.Action < 0 {
			add(fmt.Sprintf("%s returned %s, which is no verdict: the frame went on as if there were no program",
				s.Run.Program, code.Ret(s.Run.Action)))
		}
	}
	return out
}

// because is the decision that counted most: where the packet was sent last, or what
// ended it.
func because(p *Packet) string {
	if p.Fate.Outcome == Delivered || p.Fate.Outcome == ToStack {
		for _, s := range slices.Backward(p.Steps) {
			if s.Run == nil {
				if s.Kind == StepStack && strings.HasPrefix(s.Text, "routes it by") && !p.hooked() {
					return "the host stack of " + trimPlace(s.Place) + " " + s.Text
				}
				continue
			}
			for _, d := range slices.Backward(s.Run.Decisions) {
				if d.Topic == TopicRoute {
					return d.Text
				}
			}
		}
	}
	return p.Fate.Text
}

// hooked says that a program saw the packet.
func (p *Packet) hooked() bool { return p.lastRun() != nil }

// answer says what came of the first answer to a packet.
func (j *Journey) answer(p *Packet) string {
	for _, a := range j.Packets {
		if a.Of != p.ID || a.Relation == Asking || a.Relation == Request {
			continue
		}
		what := "the answer (" + a.short() + ")"
		if a.Relation == Failure {
			what = "an error report (" + a.short() + ")"
		}
		if a.Fate.Outcome == Delivered {
			return fmt.Sprintf("%s came to %s", what, a.Fate.Place)
		}
		if a.Fate.Outcome == Unknown {
			return fmt.Sprintf("what becomes of %s is not known: %s", what, a.Fate.Text)
		}
		return fmt.Sprintf("%s did not arrive: %s at %s: %s", what, a.Fate.Outcome, a.Fate.Place, a.Fate.Text)
	}
	return ""
}

// short is a packet's number and content.
func (p *Packet) short() string {
	return fmt.Sprintf("packet %d, %s", p.ID, p.brief)
}

// path is where a packet came by.
func (p *Packet) path() []string {
	var out []string
	add := func(s string) {
		if len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
	}
	for _, s := range p.Steps {
		switch s.Kind {
		case StepSent, StepReceived, StepLeft, StepLost:
			add(s.Place)
		case StepHook:
			add(s.Run.Program + "@" + s.Device)
		case StepWire:
			if strings.HasPrefix(s.Text, "cilium_vxlan encapsulates") {
				add("VXLAN " + s.Outer.Src + " > " + s.Outer.Dst)
			}
		case StepStack:
			if strings.HasPrefix(s.Place, "node ") {
				add("host stack")
			}
		case StepTap, StepNoTap, StepXDP:
		}
	}
	return out
}
