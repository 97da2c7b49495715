package compare

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/maps"
)

// RunRecorded compares an engine with packets that were recorded through the real
// programs. The right side of the report is the record.
func RunRecorded(ctx context.Context, left Engine, v *conformance.Vectors, source string) (*Report, error) {
	r := &Report{
		Left: left, Right: Engine{Name: "recorded", Source: source}, Input: source, seen: newInsight(nil),
	}
	for gi := range v.Groups {
		g := &v.Groups[gi]
		for si := range g.Scenarios {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := r.recorded(&v.World, g, &g.Scenarios[si]); err != nil {
				return nil, fmt.Errorf("%s/%s: %w", g.Name, g.Scenarios[si].Name, err)
			}
		}
	}
	r.finish()
	return r, nil
}

// playback is one recorded scenario under way.
type playback struct {
	w    *conformance.World
	side *side
	lim  limits
}

func (r *Report) recorded(w *conformance.World, g *conformance.Group, s *conformance.Scenario) (err error) {
	runner, err := r.Left.New()
	if err != nil {
		return err
	}
	defer func() {
		if e := runner.Close(); err == nil {
			err = e
		}
	}()
	if err := w.Load(runner, g.Config); err != nil {
		return err
	}
	p := &playback{w: w, side: &side{runner: runner, caps: runner.Caps(), ring: trace.NewRing(ringSize)}}
	if p.side.caps.Trace {
		p.side.steps = trace.NewBuffer(traceSize)
	}
	if p.side.maps, err = newTracked(runner, p.names(), nil); err != nil {
		return err
	}
	p.side.maps.full = p.side.maps.set == nil
	p.lim = limitsOf(r.Left.Name, r.Right.Name, p.side.caps, dataplane.Caps{RedirectTarget: true, TunnelKey: true, PktType: true, Events: true})
	p.lim[FieldScratch] = "scratch memory of the programs"
	p.lim[FieldQueue] = "not recorded"
	p.lim[FieldDropLine] = "not recorded, nor is the file"
	if err := p.change(w.Maps, nil); err != nil {
		return err
	}
	if err := p.change(s.Add, s.Del); err != nil {
		return err
	}
	r.Worlds++
	for i := range s.Steps {
		fields, stage, err := p.step(&s.Steps[i], r)
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		r.Packets++
		if len(fields) == 0 {
			continue
		}
		r.Differing++
		d := newDifference(fields, stage)
		d.Where = fmt.Sprintf("%s.json, scenario %q, step %d: %s on %s, %s", g.Name, s.Name, i, s.Steps[i].Hook, s.Steps[i].Dev, s.Steps[i].Desc)
		r.include(d)
	}
	return nil
}

func (p *playback) names() []string {
	var w World
	names := w.compared()
	for _, ep := range p.w.Endpoints {
		names = append(names, maps.PolicyName(ep.ID))
	}
	return names
}

// change writes entries and deletes others, also in the programs' own maps.
func (p *playback) change(add, del []conformance.Entry) error {
	for _, e := range add {
		m, err := p.side.runner.Map(p.w.MapName(e.Map))
		if err != nil {
			return err
		}
		if err := m.Update(e.Key, e.Value, maps.Any); err != nil {
			return fmt.Errorf("update %s %x: %w", e.Map, []byte(e.Key), err)
		}
	}
	for _, e := range del {
		m, err := p.side.runner.Map(p.w.MapName(e.Map))
		if err != nil {
			return err
		}
		_ = m.Delete(e.Key) // which need not be there
	}
	return nil
}

// step runs one recorded packet and compares.
func (p *playback) step(s *conformance.Step, r *Report) ([]FieldDiff, Stage, error) {
	if err := p.change(s.Add, s.Del); err != nil {
		return nil, Stage{}, err
	}
	h, device, err := p.w.Hook(s)
	if err != nil {
		return nil, Stage{}, err
	}
	before, err := p.side.maps.read()
	if err != nil {
		return nil, Stage{}, err
	}
	in := s.Packet(device)
	env := &dataplane.Env{KtimeNS: uint64(math.Round(s.Now * 1e9)), Rand: func() uint32 { return s.Rand }}
	typeIn := in.PktType
	l, err := p.side.pass(h, in, env)
	if err != nil {
		return nil, Stage{}, err
	}
	want, err := p.outcome(s, l, before, typeIn)
	if err != nil {
		return nil, Stage{}, err
	}
	for i, e := range l.Events {
		l.Events[i] = blankFile(e)
	}
	r.seen.note(l)
	fields := contrast(l, want, &p.lim, &r.tally)
	if len(fields) == 0 {
		return nil, Stage{}, nil
	}
	return fields, blame(fields, l, want, r.seen.lessons, likeness{}), nil
}

// blankFile is a notification without the file of a drop, which the record has not.
func blankFile(b []byte) []byte {
	const file = 30
	if len(b) < trace.DropSize || b[0] != trace.TypeDrop {
		return b
	}
	c := bytes.Clone(b)
	c[file] = 0
	return c
}

// outcome is what was recorded. What the record does not have is taken from the engine:
// the TOS of a tunnel key, and the reason of a drop without notification.
func (p *playback) outcome(s *conformance.Step, l *Outcome, before contents, typeIn uint8) (*Outcome, error) {
	o := &Outcome{
		Verdict: dataplane.Verdict{Action: code.Ret(s.Ret)}, Mark: s.CtxOut.Mark, TCIndex: s.CtxOut.TCIndex, PktType: typeIn, Draws: s.RandCalls,
	}
	var err error
	if o.Frame, err = s.Frame(); err != nil {
		return nil, err
	}
	if s.CtxOut.PktType != nil {
		o.PktType = *s.CtxOut.PktType
	}
	if t := s.CtxOut.Tunnel; t != nil {
		o.Tunnel = dataplane.TunnelKey{Present: true, ID: t.ID, Remote: t.Remote.As4(), TTL: t.TTL, TOS: l.Tunnel.TOS}
	}
	if s.Redirect != nil {
		o.Verdict.Ifindex = s.Redirect.Ifindex
		if s.Redirect.Kind == "redirect_peer" {
			o.Verdict.Flags |= dataplane.RedirectPeer
		}
		if s.Redirect.Flags&1 != 0 {
			o.Verdict.Flags |= dataplane.RedirectIngress
		}
	}
	if o.Verdict.Action == code.Drop {
		o.Verdict.Drop = l.Verdict.Drop
	}
	for i := range s.Events {
		e, err := s.Notification(i)
		if err != nil {
			return nil, err
		}
		o.Events = append(o.Events, e)
		if e[0] == trace.TypeDrop && o.Verdict.Action == code.Drop {
			o.Verdict.Drop = -code.Ret(e[1])
		}
	}
	p.changes(o, s, before)
	return o, nil
}

// changes are the map changes that were recorded; counters are recorded as increments.
func (p *playback) changes(o *Outcome, s *conformance.Step, before contents) {
	for _, e := range s.State {
		c := Change{Map: p.w.MapName(e.Map), Key: e.Key}
		if e.Op != "del" {
			c.New = e.Value
		}
		o.Changes = append(o.Changes, c)
	}
	count := func(name string, key []byte, size, at int, packets, octets uint64) {
		v := make([]byte, size)
		copy(v, before[name][string(key)])
		binary.LittleEndian.PutUint64(v[at:], binary.LittleEndian.Uint64(v[at:])+packets)
		binary.LittleEndian.PutUint64(v[at+8:], binary.LittleEndian.Uint64(v[at+8:])+octets)
		o.Changes = append(o.Changes, Change{Map: name, Key: key, New: v})
	}
	for _, m := range s.Metrics {
		count(maps.NameMetrics, []byte{m.Reason, m.Dir, 7: 0}, 16, 0, m.Count, m.Bytes)
	}
	for i := range s.Policy {
		u := &s.Policy[i]
		count(p.w.MapName("cilium_policy:"+u.Endpoint), u.Key(), 24, 8, u.Packets, u.Bytes)
	}
	sortChanges(o.Changes)
}
