package sim

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
)

// Outcome is how a conversation ended.
type Outcome uint8

// Outcomes.
const (
	Open        Outcome = iota // not finished; frames may still be on their way
	Answered                   // the sender's socket got what it waited for
	Refused                    // a TCP reset
	Unreachable                // an ICMP error
	Delivered                  // it reached its receiver, and no answer was waited for or came
	LeftCluster                // it went to an address outside of the simulation
	NoAnswer                   // lost, or the answer was: Losses says why
)

var outcomeText = [...]string{"open", "answered", "refused", "unreachable", "delivered", "left the cluster", "no answer"}

// String is the outcome in words.
func (o Outcome) String() string { return word(outcomeText[:], int(o)) }

// Delivery is a packet that reached a socket.
type Delivery struct {
	Time          time.Duration
	Frame, Packet uint64
	Place         Place
	Proto         uint8
	Src, Dst      netip.AddrPort // as the receiver sees them; port 0 where there is none
	TTL, TOS      uint8
	Flags         uint8 // of TCP
	Type, Code    uint8 // of ICMP
	Data          []byte
}

// Loss is a frame that ended before it reached a socket.
type Loss struct {
	Time          time.Duration
	Frame, Packet uint64
	Place         Place
	Device        string
	Reason        Reason
	Node          node.Loss         // InDatapath: why there
	Prog          dataplane.Prog    // node.LossVerdict: the program that dropped it
	Verdict       dataplane.Verdict // node.LossVerdict: its verdict
}

// String is the reason in words.
func (l Loss) String() string {
	switch {
	case l.Reason != InDatapath:
		return l.Reason.String()
	case l.Node == node.LossVerdict:
		return "dropped by " + l.Prog.String() + ": " + l.Verdict.Drop.String()
	}
	return l.Node.String()
}

// Result is what became of a conversation. Slices are in the order of events.
type Result struct {
	Outcome    Outcome
	Sent       int        // packets that the sender's socket made
	Deliveries []Delivery // at other sockets than the sender's
	Replies    []Delivery // at the sender's socket
	Errors     []ICMPError
	Losses     []Loss
	Left       []Delivery // that left the cluster; Place is the gateway
	Began      time.Duration
	Ended      time.Duration // 0 while it is open
}

// Conversation is one exchange between two sockets, or an injected frame, with all
// that follows from it.
type Conversation struct {
	sim      *Sim
	id       uint64
	from     *stack // nil: injected
	result   Result
	finished bool // by its socket or its time
	timer    *timer
	clean    func() // what ends with the conversation
}

// ID is what Event.Conversation says.
func (c *Conversation) ID() uint64 { return c.id }

// Result is what has happened so far. It is a copy.
func (c *Conversation) Result() Result {
	r := c.result
	r.Deliveries = slices.Clone(r.Deliveries)
	r.Replies = slices.Clone(r.Replies)
	r.Errors = slices.Clone(r.Errors)
	r.Losses = slices.Clone(r.Losses)
	r.Left = slices.Clone(r.Left)
	if r.Outcome == Open && c.finished {
		r.Outcome = c.verdict()
	}
	return r
}

// verdict is the outcome of a conversation whose socket did not name one.
func (c *Conversation) verdict() Outcome {
	r := &c.result
	switch {
	case len(r.Replies) > 0:
		return Answered
	case len(r.Errors) > 0:
		return Unreachable
	case len(r.Deliveries) > 0:
		return Delivered
	case len(r.Left) > 0:
		return LeftCluster
	}
	return NoAnswer
}

// finish ends the conversation; the first end counts. Open leaves the outcome to
// what has happened.
func (c *Conversation) finish(o Outcome) {
	if c.finished {
		return
	}
	c.finished = true
	c.result.Outcome, c.result.Ended = o, c.sim.now
	c.timer.stop()
	if c.clean != nil {
		c.clean()
	}
}

// expire is the end of the sender's patience.
func (c *Conversation) expire() { c.finish(Open) }

// limit gives the sender's socket a time.
func (c *Conversation) limit(d time.Duration) {
	c.timer.stop()
	c.timer = c.sim.after(d, c.expire)
}

// received notes a packet at a socket.
func (c *Conversation) received(st *stack, f *frame, reply bool) {
	d := c.sim.delivery(f, st.out.place())
	if reply && st == c.from {
		c.result.Replies = append(c.result.Replies, d)
		return
	}
	c.result.Deliveries = append(c.result.Deliveries, d)
}

// failed notes an ICMP error.
func (c *Conversation) failed(e ICMPError) { c.result.Errors = append(c.result.Errors, e) }

// lost notes a frame's end.
func (c *Conversation) lost(l Loss) { c.result.Losses = append(c.result.Losses, l) }

// left notes that a frame is out of reach.
func (c *Conversation) left(f *frame, at Place) {
	c.result.Left = append(c.result.Left, c.sim.delivery(f, at))
}

// delivery describes a whole packet at a place.
func (s *Sim) delivery(f *frame, at Place) Delivery {
	ip, l4 := f.ip(), f.l4()
	d := Delivery{
		Time: s.now, Frame: f.id, Packet: f.packet, Place: at, Proto: ip.Protocol(), TTL: ip.TTL(), TOS: ip.TOS(),
		Src: netip.AddrPortFrom(addr(ip.Src()), 0), Dst: netip.AddrPortFrom(addr(ip.Dst()), 0),
	}
	ports := func(n int) {
		if len(l4) >= n {
			d.Src = netip.AddrPortFrom(addr(ip.Src()), binary.BigEndian.Uint16(l4[header.SrcPort:]))
			d.Dst = netip.AddrPortFrom(addr(ip.Dst()), binary.BigEndian.Uint16(l4[header.DstPort:]))
			l4 = l4[n:]
		}
	}
	switch d.Proto {
	case header.ProtoTCP:
		if g, ok := parseTCP(l4); ok {
			d.Flags = g.flags
			ports(len(l4) - len(g.data))
		}
	case header.ProtoUDP:
		ports(header.UDPSize)
	case header.ProtoICMP:
		if len(l4) >= header.ICMPSize {
			d.Type, d.Code = l4[header.ICMPType], l4[header.ICMPCode]
			l4 = l4[header.ICMPSize:]
		}
	}
	d.Data = slices.Clone(l4)
	return d
}
