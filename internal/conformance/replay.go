package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// Difference is one place where an engine left the record.
type Difference struct {
	Group, Scenario string
	Step            int // from 0
	Desc            string
	Field           string
	Got, Want       string
}

// String is the difference on two lines.
func (d Difference) String() string {
	return fmt.Sprintf("%s/%s step %d (%s): %s\n  got  %s\n  want %s", d.Group, d.Scenario, d.Step, d.Desc, d.Field, d.Got, d.Want)
}

// Report is what a replay found. NotCompared counts, by field, what the engine
// cannot observe.
type Report struct {
	Steps       int
	Differing   int // steps with at least one difference
	Differences []Difference
	NotCompared map[string]int
}

// String is the summary line.
func (r *Report) String() string {
	return fmt.Sprintf("%d steps replayed, %d differ", r.Steps, r.Differing)
}

// Replay runs all scenarios, each against a fresh engine, and compares every
// step. The error says that a replay was not possible.
func Replay(v *Vectors, newEngine func() (dataplane.Runner, error)) (*Report, error) {
	r := &Report{NotCompared: map[string]int{}}
	for _, g := range v.Groups {
		for _, s := range g.Scenarios {
			if err := replayScenario(r, &v.World, &g, &s, newEngine); err != nil {
				return nil, fmt.Errorf("%s/%s: %w", g.Name, s.Name, err)
			}
		}
	}
	return r, nil
}

// replayer is one scenario under way.
type replayer struct {
	w      *World
	e      dataplane.Runner
	caps   dataplane.Caps
	ring   *trace.Ring
	report *Report
	at     Difference // group, scenario and step of what is compared
	failed bool
}

func replayScenario(r *Report, w *World, g *Group, s *Scenario, newEngine func() (dataplane.Runner, error)) (err error) {
	e, err := newEngine()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := w.Load(e, g.Config); err != nil {
		return err
	}
	rp := &replayer{w: w, e: e, caps: e.Caps(), ring: trace.NewRing(64), report: r}
	if err := rp.change(w.Maps, nil); err != nil {
		return err
	}
	if err := rp.change(s.Add, s.Del); err != nil {
		return err
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		rp.at = Difference{Group: g.Name, Scenario: s.Name, Step: i, Desc: step.Hook + "@" + step.Dev + " " + step.Desc}
		rp.failed = false
		if err := rp.step(step); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		r.Steps++
		if rp.failed {
			r.Differing++
		}
	}
	return nil
}

// change writes entries and deletes others, of which some may not be there.
func (rp *replayer) change(add, del []Entry) error {
	for _, en := range add {
		m, err := rp.e.Map(rp.w.MapName(en.Map))
		if err != nil {
			return err
		}
		if err := m.Update(en.Key, en.Value, maps.Any); err != nil {
			return fmt.Errorf("update %s %x: %w", en.Map, []byte(en.Key), err)
		}
	}
	for _, en := range del {
		m, err := rp.e.Map(rp.w.MapName(en.Map))
		if err != nil {
			return err
		}
		if err := m.Delete(en.Key); err != nil && !errors.Is(err, maps.ErrKeyNotExist) {
			return fmt.Errorf("delete %s %x: %w", en.Map, []byte(en.Key), err)
		}
	}
	return nil
}

// step runs one packet and compares all that came of it.
func (rp *replayer) step(s *Step) error {
	if err := rp.change(s.Add, s.Del); err != nil {
		return err
	}
	h, device, err := rp.w.Hook(s)
	if err != nil {
		return err
	}
	before, err := rp.snapshot()
	if err != nil {
		return err
	}
	env := &dataplane.Env{KtimeNS: uint64(math.Round(s.Now * 1e9)), Rand: func() uint32 { return s.Rand }}
	p := rp.packet(s, device)
	typeIn := p.PktType
	v, err := rp.e.Run(h, p, env)
	if err != nil {
		return err
	}
	after, err := rp.snapshot()
	if err != nil {
		return err
	}
	rp.verdict(s, v)
	rp.packetOut(s, p, typeIn)
	rp.want("random numbers", fmt.Sprint(env.Drawn), fmt.Sprint(s.RandCalls))
	rp.maps(s, before, after)
	rp.events(s)
	return nil
}

func (rp *replayer) packet(s *Step, device [6]byte) *dataplane.Packet {
	p := s.Packet(device)
	p.Events = rp.ring
	return p
}

// Packet is the step's input as a device with that MAC hands it to its program.
func (s *Step) Packet(device [6]byte) *dataplane.Packet {
	p := &dataplane.Packet{
		Data:    append([]byte(nil), s.In...),
		Ifindex: s.Ctx.Ifindex, IngressIfindex: s.Ctx.IngressIfindex, Mark: s.Ctx.Mark, TCIndex: s.Ctx.TCIndex, CB: s.Ctx.CB,
	}
	if t := s.Ctx.Tunnel; t != nil {
		p.TunnelIn = dataplane.TunnelKey{Present: true, ID: t.ID, Remote: t.Remote.As4(), TTL: t.TTL}
	}
	if len(p.Data) >= 6 {
		p.PktType = packetType([6]byte(p.Data[:6]), device)
	}
	return p
}

// packetType is what the stack derives from the destination MAC (eth_type_trans).
func packetType(dst, device [6]byte) uint8 {
	switch {
	case dst == device:
		return dataplane.PacketHost
	case dst == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}:
		return dataplane.PacketBroadcast
	case dst[0]&1 != 0:
		return dataplane.PacketMulticast
	}
	return dataplane.PacketOtherHost
}

// want notes a difference.
func (rp *replayer) want(field, got, want string) {
	if got == want {
		return
	}
	d := rp.at
	d.Field, d.Got, d.Want = field, got, want
	rp.report.Differences = append(rp.report.Differences, d)
	rp.failed = true
}

// observed tells whether the engine can observe a field, and counts it if not.
func (rp *replayer) observed(can bool, field string) bool {
	if !can {
		rp.report.NotCompared[field]++
	}
	return can
}

func (rp *replayer) verdict(s *Step, v dataplane.Verdict) {
	rp.want("return code", fmt.Sprint(int32(v.Action)), fmt.Sprint(s.Ret))
	rp.want("verdict", v.Kind().String(), s.Verdict)
	if !rp.observed(rp.caps.RedirectTarget, "redirect") {
		return
	}
	got := Redirect{Ifindex: v.Ifindex, Kind: "redirect"}
	if v.Flags&dataplane.RedirectPeer != 0 {
		got.Kind = "redirect_peer"
	}
	if v.Flags&dataplane.RedirectIngress != 0 {
		got.Flags = 1
	}
	want := Redirect{Kind: "redirect"}
	if s.Redirect != nil {
		want = *s.Redirect
	}
	rp.want("redirect", fmt.Sprint(got), fmt.Sprint(want))
}

func (rp *replayer) packetOut(s *Step, p *dataplane.Packet, typeIn uint8) {
	rp.want("frame", hex.EncodeToString(p.Data), s.out())
	rp.want("mark", fmt.Sprintf("%#x", p.Mark), fmt.Sprintf("%#x", s.CtxOut.Mark))
	rp.want("tc_index", fmt.Sprint(p.TCIndex), fmt.Sprint(s.CtxOut.TCIndex))
	if rp.observed(rp.caps.PktType, "packet type") {
		typeOut := typeIn
		if s.CtxOut.PktType != nil {
			typeOut = *s.CtxOut.PktType
		}
		rp.want("packet type", fmt.Sprint(p.PktType), fmt.Sprint(typeOut))
	}
	if rp.observed(rp.caps.TunnelKey, "tunnel key") {
		key := p.TunnelOut
		if !key.Present {
			key = p.TunnelIn
		}
		got, want := "none", "none"
		if key.Present {
			got = fmt.Sprint(Tunnel{ID: key.ID, Remote: netip.AddrFrom4(key.Remote), TTL: key.TTL})
		}
		if s.CtxOut.Tunnel != nil {
			want = fmt.Sprint(*s.CtxOut.Tunnel)
		}
		rp.want("tunnel key", got, want)
	}
}

// Frame is the expected frame.
func (s *Step) Frame() ([]byte, error) { return hex.DecodeString(s.out()) }

// Notification is the expected notification of that index; source line and file of drops
// are zero.
func (s *Step) Notification(i int) ([]byte, error) { return hex.DecodeString(s.event(i)) }

// out is the expected frame as hex.
func (s *Step) out() string {
	if s.Out == "=" {
		return hex.EncodeToString(s.In)
	}
	return s.Out
}

// events compares notifications, byte for byte but for the source line and file
// of drops.
func (rp *replayer) events(s *Step) {
	if !rp.observed(rp.caps.Events, "events") {
		return
	}
	for i := 0; ; i++ {
		field := fmt.Sprintf("event %d", i)
		raw, ok := rp.ring.Next()
		if !ok && i >= len(s.Events) {
			return
		}
		got, want := "none", "none"
		if ok {
			got = blankLine(raw)
		}
		if i < len(s.Events) {
			want = s.event(i)
		}
		rp.want(field, got, want)
	}
}

// event is the expected notification as hex.
func (s *Step) event(i int) string {
	ev := &s.Events[i]
	capture := ev.Cap
	switch ev.Cap {
	case "in":
		capture = hex.EncodeToString(s.In[:ev.Data.Cap])
	case "out":
		capture = s.out()[:2*ev.Data.Cap]
	}
	return hex.EncodeToString(ev.Header) + capture
}

func blankLine(raw []byte) string {
	b := append([]byte(nil), raw...)
	if b[0] == trace.TypeDrop && len(b) >= trace.DropSize {
		binary.LittleEndian.PutUint16(b[28:], 0)
		b[30] = 0
	}
	return hex.EncodeToString(b)
}
