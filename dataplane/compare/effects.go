package compare

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// effect is one thing that a program did to the packet, to a map or to the world outside,
// or asked a map for.
type effect struct {
	spot    spot
	was, is string
	step    int // of the trace: it was done before that step was over
	epoch   int // landmarks before it
	// Where the program was, if its source is known: its function, and how many of
	// recorder.places were behind it.
	fn    string
	place int
}

// spot is what an effect changes: a byte of the frame, an entry of a map, the n-th
// notification.
type spot struct {
	field Field
	n     int
	name  string
}

// derived says that what is there follows from other things: checksums and counters.
func (s spot) derived() bool {
	const check = header.EthernetSize + header.IPv4Checksum
	return s.field == FieldFrame && (s.n == check || s.n == check+1 || s.n == check+26 || s.n == check+27 || s.n == check+16 || s.n == check+17) ||
		s.field == FieldMaps
}

// recorder watches one run of a program and notes its effects. It looks whenever the
// engine tells that it goes on: at each step of its trace, and at each place in its source.
type recorder struct {
	where func(file string, line uint32) string // nil: places are unknown

	side    *side
	p       *dataplane.Packet
	env     *dataplane.Env
	was     map[spot]string
	entries map[spot]bool // of maps, that differed at the last look
	events  [][]byte
	effects []effect
	places  []string // functions that the program was in, one after the other
	names   map[*trace.Source]string
	buf     *trace.Buffer
	marks   []int    // landmarks
	at      []effect // where the program was at each step
}

func (r *recorder) begin(s *side, p *dataplane.Packet, e *dataplane.Env) {
	r.side, r.p, r.env, r.buf = s, p, e, s.steps
	r.was, r.entries, r.names = map[spot]string{}, map[spot]bool{}, map[*trace.Source]string{}
	r.each(func(at spot, v string) { r.was[at] = v })
	s.steps.OnStep(r.look)
	s.steps.OnPlace(r.place)
}

// end returns the notifications that the run left.
func (r *recorder) end(v *dataplane.Verdict) [][]byte {
	r.place()
	r.look()
	r.side.steps.OnStep(nil)
	r.side.steps.OnPlace(nil)
	r.note(spot{field: FieldTarget}, "", fmt.Sprint(v.Ifindex, v.Flags))
	r.note(spot{field: FieldReturn}, "", fmt.Sprint(int32(v.Action), int32(v.Drop)))
	r.marks = landmarks(r.buf, nil)
	for i := range r.effects {
		e := &r.effects[i]
		e.epoch, _ = slices.BinarySearch(r.marks, e.step)
	}
	for i := range r.at {
		r.at[i].epoch, _ = slices.BinarySearch(r.marks, i)
	}
	return r.events
}

// place notes the function that the program was in until now.
func (r *recorder) place() {
	r.look()
	if name, n := r.here(), len(r.places); name != "" && (n == 0 || r.places[n-1] != name) {
		r.places = append(r.places, name)
	}
}

// here is the function that the program is in, "" if its source is unknown.
func (r *recorder) here() string {
	src := r.buf.Place()
	if src == nil || r.where == nil {
		return ""
	}
	name, ok := r.names[src]
	if !ok {
		name = r.where(src.File, src.Line)
		r.names[src] = name
	}
	return name
}

func (r *recorder) note(at spot, was, is string) {
	r.effects = append(r.effects, effect{spot: at, was: was, is: is, step: len(r.buf.Steps()) - 1, fn: r.here(), place: len(r.places)})
}

// look notes what has changed since the last look.
func (r *recorder) look() {
	for len(r.at) < len(r.buf.Steps()) {
		r.at = append(r.at, effect{spot: spot{field: FieldAccess}, step: len(r.at), fn: r.here(), place: len(r.places)})
	}
	r.each(func(at spot, v string) {
		if was := r.was[at]; was != v {
			r.note(at, was, v)
			r.was[at] = v
		}
	})
	for {
		b, ok := r.side.ring.Next()
		if !ok {
			return
		}
		r.note(spot{field: FieldEvents, n: len(r.events)}, "", string(blankLine(b)))
		r.events = append(r.events, bytes.Clone(b))
	}
}

// each calls f with everything that a program can change and how it is now.
func (r *recorder) each(f func(at spot, v string)) {
	for i := range r.p.Data {
		f(spot{field: FieldFrame, n: i}, string(r.p.Data[i:i+1]))
	}
	number := func(field Field, n int, v uint32) {
		f(spot{field: field, n: n}, string(binary.LittleEndian.AppendUint32(nil, v)))
	}
	number(FieldMark, 0, r.p.Mark)
	number(FieldTCIndex, 0, uint32(r.p.TCIndex))
	number(FieldQueue, 0, uint32(r.p.QueueMapping))
	number(FieldPktType, 0, uint32(r.p.PktType))
	number(FieldRandom, 0, uint32(r.env.Drawn))
	for i, v := range r.p.CB {
		number(FieldScratch, i, v)
	}
	f(spot{field: FieldTunnel}, tunnelText(&r.p.TunnelOut))
	r.maps(f)
}

// maps calls f with the entries that differ from what they were at the beginning, and with
// those that do so no more.
func (r *recorder) maps(f func(at spot, v string)) {
	if r.side.maps.set == nil {
		return
	}
	for at := range r.entries {
		r.entries[at] = false
	}
	for _, d := range r.side.maps.journal.Diff() {
		if r.side.maps.stores[d.Map] == nil {
			continue
		}
		at := spot{field: FieldMaps, name: d.Map + string(d.Key)}
		r.entries[at] = true
		if d.New == nil {
			f(at, "removed")
		} else {
			f(at, string(d.New))
		}
	}
	for at, is := range r.entries {
		if !is {
			f(at, "")
			delete(r.entries, at)
		}
	}
}

// deviation is an effect that one side had and the other not, or with another outcome; or
// one that both had, see deviations.
type deviation struct {
	l, r  *effect // either may be nil
	epoch int
}

// same says that effects of one spot have the same outcome. The left side has no source
// lines, which a drop leaves in cb[4].
func same(l, r *effect) bool {
	if l.is == r.is {
		return true
	}
	if l.spot.field != FieldScratch || l.spot.n != 4 {
		return false
	}
	a, b := binary.LittleEndian.Uint32([]byte(l.is)), binary.LittleEndian.Uint32([]byte(r.is))
	return a>>16 == 0 && a == b&0xffff
}

// deviations compares the effects of two runs, spot by spot: what the left side was seen to
// do the right side did too, in the same order. The right side may have been looked at more
// often. common are what both did.
func deviations(l, r *recorder) (list []deviation, common []deviation) {
	var spots []spot
	ls, rs := map[spot][]*effect{}, map[spot][]*effect{}
	for i := range l.effects {
		e := &l.effects[i]
		if ls[e.spot] == nil {
			spots = append(spots, e.spot)
		}
		ls[e.spot] = append(ls[e.spot], e)
	}
	for i := range r.effects {
		e := &r.effects[i]
		if ls[e.spot] == nil && rs[e.spot] == nil {
			spots = append(spots, e.spot)
		}
		rs[e.spot] = append(rs[e.spot], e)
	}
	for _, s := range spots {
		d, matched := deviate(ls[s], rs[s])
		common = append(common, matched...)
		if d != nil {
			list = append(list, *d)
		}
	}
	for i := range max(len(l.marks), len(r.marks)) {
		if i < len(l.marks) && i < len(r.marks) && alike(l.buf, l.marks[i], r.buf, r.marks[i]) {
			common = append(common, deviation{l: &l.at[l.marks[i]], r: &r.at[r.marks[i]], epoch: i})
			continue
		}
		d := deviation{epoch: i}
		if i < len(l.marks) {
			d.l = &l.at[l.marks[i]]
		}
		if i < len(r.marks) {
			d.r = &r.at[r.marks[i]]
		}
		return append(list, d), common
	}
	return list, common
}

// persisted is the first of some effects on one spot, but for the last, that was there at a
// landmark, where the other side would have been seen to have it. The parts of a map's entry
// are written one by one.
func persisted(list []*effect) *effect {
	for i := 1; i < len(list) && list[i].spot.field != FieldMaps; i++ {
		if list[i-1].epoch < list[i].epoch {
			return list[i-1]
		}
	}
	return nil
}

// deviate compares the effects on one spot.
func deviate(ls, rs []*effect) (d *deviation, matched []deviation) {
	j := 0
	for _, l := range ls {
		k := j
		for k < len(rs) && !same(l, rs[k]) {
			k++
		}
		if k == len(rs) {
			d := &deviation{l: l, epoch: l.epoch}
			if j < len(rs) {
				d.r, d.epoch = rs[j], min(l.epoch, rs[j].epoch)
			}
			return d, matched
		}
		if r := persisted(rs[j : k+1]); r != nil {
			return &deviation{r: r, epoch: r.epoch}, matched
		}
		matched = append(matched, deviation{l: l, r: rs[k], epoch: l.epoch})
		j = k + 1
	}
	if j == len(rs) {
		return nil, matched
	}
	last := rs[len(rs)-1]
	if r := persisted(rs[j:]); r != nil {
		return &deviation{r: r, epoch: r.epoch}, matched
	}
	if len(ls) == 0 && last.is == rs[0].was || len(ls) > 0 && same(ls[len(ls)-1], last) {
		return nil, matched
	}
	return &deviation{r: rs[j], epoch: rs[j].epoch}, matched
}
