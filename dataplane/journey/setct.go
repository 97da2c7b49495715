package journey

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// CTState is what conntrack knows of a packet's connection.
type CTState string

// States that a question may want. The zero value takes what the maps say.
const (
	CTNew         CTState = "new"         // no entry
	CTEstablished CTState = "established" // the sender began it
	CTReply       CTState = "reply"       // the receiver began it
)

// CTStates are the states that a question may want.
func CTStates() []string { return []string{string(CTNew), string(CTEstablished), string(CTReply)} }

// maxDryRuns is how often a program is tried at most: each run may come further than
// the one before, and no program has as many lookups in cilium_ct4_global.
const maxDryRuns = 8

// forcing makes conntrack of one node know a packet's connection as a question wants.
type forcing struct {
	want    CTState
	node    *nodeView
	ktime   uint64 // see sim.Clock
	jiffies uint64
	seen    map[ctLookup]bool
	kept    map[ctLookup]maps.CTEntry // that the programs would make
	done    []string                  // what was changed, in words
}

// ctLookup is one call of ct_lookup4: the tuple under which the connection is found if
// the packet is a reply (SPEC 5.2).
type ctLookup struct {
	name string // of the map
	key  maps.CTKey
}

// forward is the key under which the connection is found if the packet's sender began
// it.
func (l ctLookup) forward() ctLookup {
	k := &l.key
	k.DAddr, k.SAddr = k.SAddr, k.DAddr
	k.DPort, k.SPort = k.SPort, k.DPort
	k.Flags ^= maps.TupleIn
	return l
}

// force lets the program that is about to run find a packet's connection as the
// question wants it. Which entries that takes the program says itself: it runs on a
// copy of the packet, and the maps are put back, until it asks for nothing new.
func (n *nodeView) force(want CTState, e *node.Event, ktime, jiffies uint64) ([]string, error) {
	f := &forcing{
		want: want, node: n, ktime: ktime, jiffies: jiffies,
		seen: map[ctLookup]bool{}, kept: map[ctLookup]maps.CTEntry{},
	}
	n.ctForced = true
	for range maxDryRuns {
		lookups, err := f.dryRun(e)
		if err != nil {
			return f.done, err
		}
		if len(lookups) == 0 {
			break
		}
		for _, l := range lookups {
			f.set(l)
		}
	}
	return f.done, nil
}

// dryRun runs the program on a copy and returns the connections that it asked for and
// that have not been seen before.
func (f *forcing) dryRun(e *node.Event) ([]ctLookup, error) {
	p := *e.Packet
	p.Data, p.Events, p.Trace = slices.Clone(e.Packet.Data), nil, trace.NewBuffer(stepsOfOneRun)
	var j maps.Journal
	f.node.set.Record(&j)
	env := dataplane.Env{KtimeNS: f.ktime, Jiffies: f.jiffies, Rand: f.node.chance.peek()}
	_, err := f.node.runner.Run(*e.Hook, &p, &env)
	for _, d := range j.Diff() {
		if l, ok := ctDelta(&d); ok {
			f.kept[l] = decode[maps.CTEntry](d.New)
		}
	}
	if back := j.Rollback(); back != nil {
		return nil, back
	}
	f.node.set.Record(nil)
	j.Reset()
	if err != nil {
		return nil, nil // the run itself says so
	}
	return f.asked(p.Trace), nil
}

// ctDelta is a connection that a program has made, none of a service and no RELATED
// entry: those end without being refreshed.
func ctDelta(d *maps.Delta) (ctLookup, bool) {
	if d.Op != maps.Add || d.Map != maps.NameCT4 && d.Map != maps.NameCTAny4 {
		return ctLookup{}, false
	}
	l := ctLookup{d.Map, decode[maps.CTKey](d.Key)}
	return l, l.key.Flags&(maps.TupleService|maps.TupleRelated) == 0
}

// asked are the calls of ct_lookup4 in a run. The second lookup of a call is the
// reverse of the first one; those for services are left as they are.
func (f *forcing) asked(b *trace.Buffer) []ctLookup {
	var out []ctLookup
	steps := b.Steps()
	var last ctLookup
	for i := range steps {
		s := &steps[i]
		if s.Kind != trace.KindLookup || s.Map != trace.MapCT4 && s.Map != trace.MapCTAny4 {
			continue
		}
		l := ctLookup{s.Map.Name(s.Endpoint), decode[maps.CTKey](b.Key(s))}
		second := l == last.forward()
		last = l
		if second || l.key.Flags&maps.TupleService != 0 || f.seen[l] {
			continue
		}
		f.seen[l] = true
		out = append(out, l)
	}
	return out
}

// set makes the entries of one connection.
func (f *forcing) set(l ctLookup) {
	forward := l.forward()
	switch f.want {
	case CTNew:
		f.remove(l)
		f.remove(forward)
	case CTReply:
		f.add(l, maps.CTEntry{})
	case CTEstablished:
		f.remove(l)
		entry := f.kept[forward]
		f.add(forward, entry)
		// A looped connection has a second entry, under which the answer is found.
		if entry.Flags&maps.CTLBLoopback != 0 {
			for _, k := range f.looped(forward) {
				f.add(k, f.kept[k])
			}
		}
	}
}

// looped are the other entries of a looped connection, in a fixed order.
func (f *forcing) looped(of ctLookup) []ctLookup {
	var out []ctLookup
	for k, v := range f.kept {
		if k != of && v.Flags&maps.CTLBLoopback != 0 {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b ctLookup) int { return strings.Compare(a.key.String(), b.key.String()) })
	return out
}

func (f *forcing) store(name string) *maps.LRU[maps.CTKey, maps.CTEntry] {
	if name == maps.NameCT4 {
		return f.node.set.CT4
	}
	return f.node.set.CTAny4
}

func (f *forcing) remove(l ctLookup) {
	if err := f.store(l.name).Remove(&l.key); err == nil {
		f.done = append(f.done, f.text("has no", l))
	}
}

// add makes the entry of a connection that is in use, unless there is one.
func (f *forcing) add(l ctLookup, e maps.CTEntry) {
	m := f.store(l.name)
	if m.Ref(&l.key) != nil {
		return
	}
	lifetimes := f.node.cluster.Settings().Datapath.Lifetimes
	seconds := lifetimes.NonTCP
	if l.key.Proto == header.ProtoTCP {
		const synAck = 1<<1 | 1<<4
		seconds = lifetimes.TCP
		e.Flags |= maps.CTSeenNonSyn
		e.TxFlagsSeen, e.RxFlagsSeen = e.TxFlagsSeen|synAck, e.RxFlagsSeen|synAck
	}
	e.Lifetime = f.in(seconds)
	if e.SrcSecID == 0 {
		key := maps.NewIPCacheKey(l.key.DAddr, 32)
		if who := f.node.set.IPCache.Ref(&key); who != nil {
			e.SrcSecID = who.SecLabel
		}
	}
	if err := m.Set(&l.key, &e, maps.Any); err == nil { // an LRU map evicts rather than refuse
		f.done = append(f.done, f.text("has", l))
	}
}

func (f *forcing) text(has string, l ctLookup) string {
	return fmt.Sprintf("node %s %s %s", f.node.name, has, strings.TrimSpace(l.key.String()))
}

// in is a time in the datapath's unit, some seconds from now (SPEC 5.4).
func (f *forcing) in(seconds uint32) uint32 {
	if d := f.node.cluster.Settings().Datapath; d.Clock == dataplane.ClockJiffies {
		return uint32(f.jiffies>>8) + seconds*d.KernelHz>>8
	}
	return uint32(f.ktime/uint64(time.Second)) + seconds
}

// ctAssumed is what a question about a certain state of conntrack takes for granted.
func ctAssumed(want CTState, done []string) string {
	text := "to Cilium's conntrack the packet is " + strings.Replace(string(want), "reply", "a reply", 1)
	if len(done) > 0 {
		text += ": " + strings.Join(done, "; ")
	}
	return text
}

// chance is a node's random numbers. Those that a dry run has drawn come again.
type chance struct {
	draw  func() uint32
	ahead []uint32
}

// next is the next random number.
func (c *chance) next() uint32 {
	if len(c.ahead) > 0 {
		n := c.ahead[0]
		c.ahead = c.ahead[1:]
		return n
	}
	return c.draw()
}

// peek are the numbers that next will draw.
func (c *chance) peek() func() uint32 {
	i := -1
	return func() uint32 {
		i++
		for i >= len(c.ahead) {
			c.ahead = append(c.ahead, c.draw())
		}
		return c.ahead[i]
	}
}
