package live

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane/header"
)

// book sorts the frames of one side into the conversations that they belong to. Frames
// belong to the attempt that began their flow, not to the one that runs when they are
// seen: what comes late spoils nothing.
type book struct {
	view   *view
	flows  []map[flow]int // by place: the attempt that began it
	syns   []map[synKey]bool
	talks  map[int]*talk // by attempt
	arp    []arpTable    // by place
	frames int
	other  int // frames that are neither IPv4 nor ARP, or cut off
}

type synKey struct {
	flow flow
	seq  uint32
}

// arpTable is who was asked for and who answered, at one place.
type arpTable struct {
	asked   map[netip.Addr]bool
	answers map[netip.Addr]string
}

// talk is what was seen of one attempt, by place.
type talk struct {
	at   [][]*line
	ends map[netip.AddrPort]bool
}

// line is all that is alike: the packets of one kind from one end to the other.
type line struct {
	what   string
	count  int
	tcp    bool
	fields []values
	parts  []part // of TCP data
}

// values are those that a field had, sorted.
type values struct {
	name string
	all  []string
}

type part struct{ from, to int64 }

func newBook(v *view, places int) *book {
	b := &book{view: v, talks: map[int]*talk{}}
	for range places {
		b.flows, b.syns = append(b.flows, map[flow]int{}), append(b.syns, map[synKey]bool{})
		b.arp = append(b.arp, arpTable{map[netip.Addr]bool{}, map[netip.Addr]string{}})
	}
	return b
}

// talk is what was seen of an attempt.
func (b *book) talk(attempt int) *talk {
	t := b.talks[attempt]
	if t == nil {
		t = &talk{at: make([][]*line, len(b.flows)), ends: map[netip.AddrPort]bool{}}
		b.talks[attempt] = t
	}
	return t
}

// add sorts frames in.
func (b *book) add(list []frame) {
	for i := range list {
		f := &list[i]
		b.frames++
		if b.addARP(f) {
			continue
		}
		s, ok := b.view.look(f)
		if !ok {
			b.other++
			continue
		}
		t := b.talk(b.attempt(f, &s))
		for _, e := range s.ends {
			t.ends[e] = true
		}
		t.add(f.place, &s)
	}
}

// attempt is whose frame it is.
func (b *book) attempt(f *frame, s *sighting) int {
	flows := b.flows[f.place]
	if s.flow.frag { // it follows the first one
		if at, ok := flows[s.flow]; ok {
			return at
		}
		return f.attempt
	}
	if s.tcp && s.syn && !s.ack {
		key := synKey{s.flow, s.seq}
		if !b.syns[f.place][key] {
			b.syns[f.place][key] = true
			flows[s.flow] = f.attempt
		}
	}
	at, ok := flows[s.flow]
	if !ok {
		at = f.attempt
		flows[s.flow] = at
	}
	if s.first != nil {
		flows[*s.first] = at
	}
	return at
}

// addARP notes who asks and who answers; it is false for other frames.
func (b *book) addARP(f *frame) bool {
	if len(f.data) < header.EthernetSize+header.ARPSize || header.Ethernet(f.data).Type() != header.EtherTypeARP {
		return false
	}
	a, t := header.ARP(f.data[header.EthernetSize:]), &b.arp[f.place]
	// Only what the place itself has asked: the others' questions and some of their
	// answers come by as the bridge has learnt.
	switch {
	case f.out && a.Op() == header.ARPRequest:
		t.asked[netip.AddrFrom4(a.TargetIP())] = true
	case !f.out && a.Op() == header.ARPReply && t.asked[netip.AddrFrom4(a.SenderIP())]:
		t.answers[netip.AddrFrom4(a.SenderIP())] = b.view.mac(a.SenderMAC())
	}
	return true
}

// add adds a packet to the line of its like.
func (t *talk) add(place int, s *sighting) {
	i := slices.IndexFunc(t.at[place], func(l *line) bool { return l.what == s.what })
	if i < 0 {
		i = len(t.at[place])
		t.at[place] = append(t.at[place], &line{what: s.what, tcp: s.tcp})
	}
	l := t.at[place][i]
	l.count++
	for _, f := range s.fields {
		l.note(f)
	}
	if s.data > 0 {
		l.parts = append(l.parts, part{int64(s.seq), int64(s.seq) + int64(s.data)})
	}
	if s.alsoFIN {
		end := *s
		end.alsoFIN, end.data = false, 0
		end.what = strings.TrimSuffix(s.what, "data") + "FIN"
		t.add(place, &end)
	}
}

func (l *line) note(f field) {
	i := slices.IndexFunc(l.fields, func(v values) bool { return v.name == f.name })
	if i < 0 {
		i = len(l.fields)
		l.fields = append(l.fields, values{name: f.name})
	}
	v := &l.fields[i]
	if at, found := slices.BinarySearch(v.all, f.value); !found {
		v.all = slices.Insert(v.all, at, f.value)
	}
}

// value is what a field had, empty if the packets do not have it.
func (l *line) value(name string) string {
	for i := range l.fields {
		if l.fields[i].name == name {
			return strings.Join(l.fields[i].all, ", ")
		}
	}
	return ""
}

// bytes is how many bytes of data went over, each counted once.
func (l *line) bytes() int64 {
	if len(l.parts) == 0 {
		return 0
	}
	const wrap = 1 << 32
	parts, base := slices.Clone(l.parts), l.parts[0].from
	for i := range parts { // sequence numbers begin anywhere and start again at 0
		d := int64(int32(uint32(parts[i].from - base)))
		parts[i] = part{d, d + (parts[i].to-parts[i].from+wrap)%wrap}
	}
	slices.SortFunc(parts, func(a, b part) int { return int(a.from - b.from) })
	sum, end := int64(0), parts[0].from
	for _, p := range parts {
		if p.to > end {
			sum += p.to - max(p.from, end)
			end = p.to
		}
	}
	return sum
}

// unseen says that a line is about what legitimately varies: pure acknowledgements.
func (l *line) unseen() bool { return strings.HasSuffix(l.what, " TCP acknowledgement") }

// backend is which of a service's backends is in a conversation, "" if none is seen.
func (t *talk) backend(list []netip.AddrPort) string {
	for _, b := range list {
		if t.ends[b] {
			return fmt.Sprint(b)
		}
	}
	return ""
}
