package journey

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// running is a run that has begun.
type running struct {
	before  []byte // the frame
	mark    uint32
	journal maps.Journal
}

// begin keeps what is to be compared when the program has ended.
func (n *nodeView) begin(e *node.Event) *running {
	r := &running{before: slices.Clone(e.Packet.Data), mark: e.Packet.Mark}
	n.set.Record(&r.journal)
	return r
}

// end makes a Run of a program's steps and of what it did to the maps.
func (n *nodeView) end(r *running, e *node.Event) *Run {
	diff := r.journal.Diff()
	n.set.Record(nil)
	b := &runBuilder{node: n, hook: *e.Hook, object: e.Hook.Endpoint, frame: r.before, run: &Run{
		Program: e.Hook.Prog.String(), Direction: "ingress", Action: int32(e.Verdict.Action), Result: n.result(e),
		before: r.before, markBefore: r.mark,
	}}
	if e.Hook.Prog.Egress() {
		b.run.Direction = "egress"
	}
	if e.Verdict.Action == code.Drop {
		b.run.Drop = e.Verdict.Drop.Reason()
	}
	if buffer := e.Packet.Trace; buffer != nil {
		b.steps(buffer)
	}
	if b.cutUnknown() || b.strangeEndpoint(e) {
		return b.run
	}
	for _, d := range diff {
		if d.Map == maps.NameTailCallBuffer {
			continue
		}
		if k := decode[maps.MetricsKey](d.Key); d.Map == maps.NameMetrics && b.run.Drop != 0 && k.Reason == b.run.Drop {
			b.dropDir = code.Dir(k.Dir & 3)
		}
		c := EntryChange{Map: d.Map}
		c.Key, c.Before = n.entryText(d.Map, d.Key, d.Old)
		_, c.After = n.entryText(d.Map, d.Key, d.New)
		b.run.Entries = append(b.run.Entries, c)
	}
	b.decide(e)
	if b.run.Drop != 0 {
		b.explain(e)
	}
	return b.run
}

// cutUnknown ends a run at the first lookup that the state does not answer.
func (b *runBuilder) cutUnknown() bool {
	for i := range b.run.lookups {
		l := &b.run.lookups[i]
		why := b.node.unknown(l)
		if why == "" {
			continue
		}
		b.run.unknown = why
		b.run.Lines, b.run.lookups = b.run.Lines[:l.line], b.run.lookups[:i]
		b.run.Drop, b.run.Action, b.run.Result = 0, 0, "not known: "+why
		b.decideLookups()
		return true
	}
	return false
}

// strangeEndpoint ends a run at an endpoint that is in the state but not in the
// cluster's description.
func (b *runBuilder) strangeEndpoint(e *node.Event) bool {
	if !b.node.given {
		return false
	}
	why := ""
	if v := e.Verdict; v.Kind() == dataplane.Redirected && b.node.devices[v.Ifindex] == "" {
		why = fmt.Sprintf("the state of node %s redirects to ifindex %d, which is no device of the cluster's description", b.node.name, v.Ifindex)
	}
	for i := range b.run.Lines {
		l := &b.run.Lines[i]
		if l.Kind == LineTailCall && !*l.Hit && l.Map == maps.NamePolicyCall && !b.node.hasEndpoint(uint16(*l.Slot)) {
			why = fmt.Sprintf("the state of node %s has endpoint %d, which is not in the cluster's description", b.node.name, *l.Slot)
		}
	}
	if why == "" {
		return false
	}
	b.run.unknown = why
	b.run.Drop, b.run.Action, b.run.Result = 0, 0, "not known: "+why
	b.decideLookups()
	return true
}

func (n *nodeView) hasEndpoint(id uint16) bool {
	return slices.ContainsFunc(n.cluster.Endpoints(n.name), func(e cluster.NodeEndpoint) bool { return e.ID == id })
}

// result says what a program's verdict means for the frame.
func (n *nodeView) result(e *node.Event) string {
	v := e.Verdict
	switch v.Kind() {
	case dataplane.Dropped:
		return fmt.Sprintf("drop: %s, code %d", code.Reason(v.Drop.Reason()), v.Drop.Reason())
	case dataplane.Redirected:
		dev := n.device(v.Ifindex)
		switch {
		case v.Flags&dataplane.RedirectPeer != 0:
			return fmt.Sprintf("redirect_peer to %s: straight into the pod's eth0", dev)
		case v.Flags&dataplane.RedirectIngress != 0:
			return fmt.Sprintf("redirect to ingress of %s", dev)
		}
		return fmt.Sprintf("redirect to egress of %s", dev)
	case dataplane.Unspec:
		return fmt.Sprintf("raw return value %d (%s): neither event nor metric, and the frame goes on as if there were no program",
			int32(v.Action), code.Reason(v.Action.Reason()))
	case dataplane.Pass:
	}
	if e.Hook.Prog.Egress() {
		return "ok: " + e.Device.Name + " transmits"
	}
	return "ok: pass to the host stack"
}

// runBuilder makes lines of steps.
type runBuilder struct {
	node  *nodeView
	hook  dataplane.Hook
	run   *Run
	frame []byte // as it is at this step
	calls []int  // lines of the calls that are open

	object  uint16   // the endpoint whose program runs, 0 for none
	dropDir code.Dir // of the metric that counted the drop
}

func (b *runBuilder) steps(buffer *trace.Buffer) {
	steps := buffer.Steps()
	for i := 0; i < len(steps); i++ {
		s := &steps[i]
		switch s.Kind {
		case trace.KindEnter:
			b.calls = append(b.calls, len(b.run.Lines))
			b.add(s, Line{Kind: LineCall, Func: s.Func.Name(), File: s.Func.File()})
		case trace.KindLeave:
			b.leave(s)
		case trace.KindTailCall:
			hit, slot := !s.Ret.IsErr(), s.Slot
			b.add(s, Line{Kind: LineTailCall, Map: b.progArray(s), Slot: &slot, Hit: &hit, Note: b.slotText(s.Map, slot)})
			if hit && s.Map == trace.MapPolicyCall {
				b.object = uint16(slot)
			}
		case trace.KindLookup, trace.KindUpdate:
			b.entry(s, buffer.Key(s), buffer.Value(s))
		case trace.KindRewrite:
			i = b.rewrite(buffer, i)
		case trace.KindHelper:
			b.add(s, Line{Kind: LineHelper, Func: string(buffer.Key(s)), Result: helperResult(buffer.Value(s))})
		case trace.KindMark:
			b.add(s, Line{Kind: LineRewrite, Changes: []Change{{"mark", markText(buffer.Key(s)), markText(buffer.Value(s))}}})
		}
	}
	if n := buffer.Lost(); n > 0 {
		b.run.Lines = append(b.run.Lines, Line{Kind: LineCall, Note: fmt.Sprintf("%d more steps found no room", n)})
	}
}

func (b *runBuilder) add(s *trace.Step, l Line) {
	l.Depth = int(s.Depth)
	if s.Source != nil {
		l.Source = fmt.Sprintf("%s:%d", s.Source.File, s.Source.Line)
	}
	b.run.Lines = append(b.run.Lines, l)
}

// helperResult is what a helper returned: a small number in decimal.
func helperResult(b []byte) string {
	v := int64(binary.LittleEndian.Uint64(b))
	if v > -4096 && v < 1<<32 {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("0x%x", uint64(v))
}

// leave notes an error behind the call that it ended.
func (b *runBuilder) leave(s *trace.Step) {
	if len(b.calls) == 0 {
		return
	}
	l := &b.run.Lines[b.calls[len(b.calls)-1]]
	b.calls = b.calls[:len(b.calls)-1]
	if s.Ret.IsErr() {
		l.Result = s.Ret.String()
	}
}

// entry is a lookup or an update.
func (b *runBuilder) entry(s *trace.Step, key, value []byte) {
	l := b.node.lookupOf(s.Map, s.Endpoint, key, value)
	line := Line{Kind: LineUpdate, Map: l.name, Key: l.text, Value: l.value}
	if s.Kind == trace.KindLookup {
		line.Kind, line.Hit = LineLookup, &l.hit
		if l.m == trace.MapIPCache && l.hit {
			if l.matched = b.node.matched(l.ip); l.matched != l.text {
				line.Note = "by " + l.matched
			}
		}
		l.line = len(b.run.Lines)
		for _, i := range b.calls {
			l.in = append(l.in, b.run.Lines[i].Func)
		}
		b.run.lookups = append(b.run.lookups, l)
	}
	b.add(s, line)
}

// rewrite joins the stretches that changed at one point and returns the last one's
// index.
func (b *runBuilder) rewrite(buffer *trace.Buffer, i int) int {
	steps := buffer.Steps()
	after := slices.Clone(b.frame)
	first := &steps[i]
	for ; i < len(steps) && steps[i].Kind == trace.KindRewrite; i++ {
		if off := int(steps[i].Slot); off < len(after) {
			copy(after[off:], buffer.Value(&steps[i]))
		}
	}
	b.add(first, Line{Kind: LineRewrite, Changes: changes(b.frame, after), frame: after})
	b.frame = after
	return i - 1
}

// progArray is the name of a tail call's map; each object has calls of its own (SPEC 1).
func (b *runBuilder) progArray(s *trace.Step) string {
	switch {
	case s.Map != trace.MapCalls:
		return s.Map.Name(s.Endpoint)
	case b.object != 0:
		return maps.CallsName(b.object)
	case b.hook.Prog == dataplane.FromOverlay || b.hook.Prog == dataplane.ToOverlay:
		return "cilium_calls_overlay_2"
	case b.node.device(b.hook.Ifindex) == node.Net.String():
		return maps.NetdevCallsName(b.hook.Ifindex)
	}
	return maps.HostCallsName(b.node.hostEndpoint)
}

func markText(b []byte) string {
	if len(b) != 4 {
		return "?"
	}
	return fmt.Sprintf("0x%x", binary.LittleEndian.Uint32(b))
}

// slotText says what a slot of a prog array is for (SPEC 1).
func (b *runBuilder) slotText(m trace.Map, slot uint32) string {
	switch {
	case m == trace.MapPolicyCall:
		return "policy program of endpoint " + b.node.endpoint(uint16(slot))
	case slot == 7 && b.hook.Prog == dataplane.FromOverlay:
		return "CILIUM_CALL_IPV4_FROM_OVERLAY"
	case slot == 7 && b.hook.Prog == dataplane.FromNetdev:
		return "CILIUM_CALL_IPV4_FROM_NETDEV"
	}
	return map[uint32]string{
		1: "CILIUM_CALL_DROP_NOTIFY", 6: "CILIUM_CALL_ARP", 7: "CILIUM_CALL_IPV4_FROM_LXC", 13: "CILIUM_CALL_IPV4_TO_ENDPOINT",
		22: "CILIUM_CALL_IPV4_FROM_HOST", 25: "CILIUM_CALL_IPV4_FROM_LXC_CONT", 27: "CILIUM_CALL_IPV4_CT_INGRESS",
		29: "CILIUM_CALL_IPV4_CT_EGRESS",
	}[slot]
}
