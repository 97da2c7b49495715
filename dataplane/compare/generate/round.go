package generate

import (
	"bytes"
	"time"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/compare"
)

// round is what happens between two resets of the maps: a few conversations that take
// turns, strange frames in between, changes of maps, and a clock that jumps.
type round struct {
	*maker
	w     *compare.World
	left  int // packets
	now   time.Duration
	pool  pool
	talks []*talk
	// turn is the conversation whose packet was last, nil for a packet of none.
	turn    *talk
	queue   []compare.Step // to come before anything else
	last    *compare.Input
	corpus  []*compare.Input // packets that went new ways
	started bool
}

// begin is the clock at the beginning of a round.
const begin = 1000 * time.Second

// mostTalks is how many conversations a round has at the same time.
const mostTalks = 4

func newRound(g *maker, w *compare.World, packets int) *round {
	r := &round{maker: g, w: w, left: packets, now: begin, pool: poolOf(w)}
	if g.chance(60) {
		for range g.IntN(4) {
			r.queue = append(r.queue, r.edits()...)
		}
	}
	return r
}

// next is the next step; last and fresh tell how the packet before went.
func (r *round) next(last *compare.Outcome, fresh bool) (compare.Step, bool, error) {
	if r.started {
		r.credit(fresh)
		if fresh && r.last != nil && len(r.corpus) < 64 {
			r.corpus = append(r.corpus, r.last)
		}
		if r.turn != nil && r.last != nil {
			r.turn.hear(last)
		}
	}
	if len(r.queue) == 0 && r.left > 0 {
		r.plan(last)
	}
	if len(r.queue) == 0 {
		return compare.Step{}, false, nil
	}
	st := r.queue[0]
	r.queue = r.queue[1:]
	r.last = st.Packet
	r.started = st.Packet != nil
	if st.Packet != nil {
		r.left--
		if r.left == 0 {
			r.queue = nil
		}
	}
	st.At = r.now
	return st, true, nil
}

// plan decides what comes next and puts it into the queue.
func (r *round) plan(last *compare.Outcome) {
	r.clock()
	if r.turn != nil && r.last != nil && last != nil && r.chance(70) {
		if in := r.onward(last); in != nil {
			r.send(in)
			return
		}
	}
	r.turn = nil
	switch r.pick("step", 8) {
	case 0:
		r.queue = append(r.queue, r.edits()...)
		if r.turn == nil || r.chance(30) {
			r.talk(false)
		} else { // whom the change is about
			r.queue = append(r.queue, r.speak(r.turn)...)
		}
	case 1:
		r.send(r.mutated())
	case 2:
		r.send(r.strange())
	case 3:
		r.talk(true)
	default:
		r.talk(false)
	}
}

func (r *round) send(in *compare.Input) { r.queue = append(r.queue, compare.Step{Packet: in}) }

// clock lets time pass: mostly none, sometimes past one of the times that connections
// know.
func (r *round) clock() {
	c := r.w.Config()
	l := &c.Lifetimes
	times := []uint32{
		1, 2, l.Close, l.SYN, l.NonTCP, l.TCP, l.ServiceTCP, l.ServiceNonTCP, l.ServiceCloseRebalance, c.ReportInterval,
	}
	switch r.pick("clock", 4) {
	case 0, 1:
	case 2:
		r.now += time.Duration(r.IntN(3000)) * time.Millisecond
	case 3:
		s := time.Duration(times[r.IntN(len(times))]) * time.Second
		r.now += s + time.Duration(r.IntN(3)-1)*time.Second
		if r.now < begin {
			r.now = begin
		}
	}
}

// talk lets a conversation go on, or a new one begin.
func (r *round) talk(fresh bool) {
	if fresh || len(r.talks) == 0 || len(r.talks) < mostTalks && r.chance(25) {
		t := r.newTalk()
		if len(r.talks) == mostTalks {
			r.talks = r.talks[1:]
		}
		r.talks = append(r.talks, t)
	}
	r.turn = oneOf(r.maker, r.talks)
	r.queue = append(r.queue, r.speak(r.turn)...)
}

// onward is the way of a frame through the node's next hook, where its verdict leads to
// one: to-container at the egress of the device it was redirected to or routed to, and
// to-host where it enters the host. Otherwise nil.
func (r *round) onward(o *compare.Outcome) *compare.Input {
	delivery := r.w.Config().Delivery
	in := &compare.Input{
		Frame: bytes.Clone(o.Frame), Mark: o.Mark, TCIndex: o.TCIndex, Hash: r.last.Hash, IngressIfindex: r.last.IngressIfindex,
	}
	d := r.w.DeviceAt(o.Verdict.Ifindex)
	switch o.Verdict.Kind() {
	case dataplane.Redirected:
		if d == nil || o.Verdict.Flags != 0 {
			return nil
		}
		in.Device = d.Name
		switch {
		case d.Name == "cilium_net" || d.Name == "cilium_host":
			in.Prog, in.CB = dataplane.ToHost, o.CB
			in.IngressIfindex = d.Ifindex
		case d.Name == "cilium_vxlan":
			in.Prog, in.Mark = dataplane.ToOverlay, 0
		case d.Endpoint != 0 && delivery == dataplane.DeliverToContainer:
			in.Prog = dataplane.ToContainer
		default:
			return nil
		}
		return in
	case dataplane.Pass:
		to, ok := r.w.Receiver(o)
		if !ok || delivery != dataplane.DeliverStack || to.Prog != dataplane.FromContainer || r.last.Prog == dataplane.ToContainer {
			return nil
		}
		in.Prog, in.Device = dataplane.ToContainer, to.Device
		return in
	default:
		return nil
	}
}

// mutated is a packet that went a new way, changed a little.
func (r *round) mutated() *compare.Input {
	if len(r.corpus) == 0 {
		return r.strange()
	}
	in := *oneOf(r.maker, r.corpus)
	in.Frame = bytes.Clone(in.Frame)
	for range 1 + r.IntN(3) {
		r.spoil(&in)
	}
	return &in
}
