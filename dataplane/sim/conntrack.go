package sim

import (
	"encoding/binary"
	"time"

	"github.com/hooklab/hooklab/dataplane/header"
)

// tuple names one direction of a flow. For an ICMP echo, sport is the id and icmp the
// type; for protocols without ports both ports are 0.
type tuple struct {
	proto        uint8
	icmp         uint8
	src, dst     [4]byte
	sport, dport uint16
}

// inverse is the tuple of an answer.
func (t tuple) inverse() tuple {
	t.src, t.dst = t.dst, t.src
	if t.proto == header.ProtoICMP {
		t.icmp = header.ICMPEcho - t.icmp // request and reply
		return t
	}
	t.sport, t.dport = t.dport, t.sport
	return t
}

// tupleOf reads a packet's tuple. b may be cut off, as in an ICMP error.
func tupleOf(b []byte) (tuple, bool) {
	if len(b) < header.IPv4MinSize {
		return tuple{}, false
	}
	ip := header.IPv4(b)
	n := ip.HeaderLen()
	if n < header.IPv4MinSize || len(b) < n || !ip.HasL4Header() {
		return tuple{}, false
	}
	t := tuple{proto: ip.Protocol(), src: ip.Src(), dst: ip.Dst()}
	switch l4 := b[n:]; t.proto {
	case header.ProtoTCP, header.ProtoUDP:
		if len(l4) < header.PortsSize {
			return t, false
		}
		t.sport, t.dport = binary.BigEndian.Uint16(l4[header.SrcPort:]), binary.BigEndian.Uint16(l4[header.DstPort:])
	case header.ProtoICMP:
		if len(l4) < header.ICMPSize {
			return t, false
		}
		t.icmp = l4[header.ICMPType]
		if t.icmp != header.ICMPEcho && t.icmp != header.ICMPEchoReply {
			return t, false
		}
		t.sport = binary.BigEndian.Uint16(l4[icmpInfo:])
	}
	return t, true
}

// flow is a connection of the host stack: its tuple in both directions, as packets
// arrive. They are each other's inverse unless addresses are translated.
type flow struct {
	tuples           [2]tuple
	confirmed        bool
	srcDone, dstDone bool // translation has been decided
	srcRule, dstRule Rule
	seenReply        bool
	closing          bool // TCP: FIN or RST seen
	expires          time.Duration
}

// flowRef is a flow seen from one direction.
type flowRef struct {
	flow *flow
	dir  int
}

// conntrack is a host's connections.
type conntrack struct {
	sim   *Sim
	table map[tuple]flowRef
	purge int // size at which to look for expired ones
}

// maxFlows is how many tuples fit (nf_conntrack_max counts flows, of two each).
const maxFlows = 1 << 18

// find is the flow of a tuple that has not expired.
func (c *conntrack) find(t tuple) (flowRef, bool) {
	r, ok := c.table[t]
	if ok && r.flow.expires < c.sim.now {
		c.remove(r.flow)
		return flowRef{}, false
	}
	return r, ok
}

func (c *conntrack) remove(f *flow) {
	delete(c.table, f.tuples[0])
	delete(c.table, f.tuples[1])
}

// insert confirms a flow. It is false if the table is full.
func (c *conntrack) insert(f *flow) bool {
	const first = 1024
	if c.table == nil {
		c.table, c.purge = make(map[tuple]flowRef), first
	}
	if len(c.table) >= c.purge {
		for _, r := range c.table {
			if r.flow.expires < c.sim.now {
				c.remove(r.flow)
			}
		}
		c.purge = max(first, 2*len(c.table))
	}
	if len(c.table) >= maxFlows {
		return false
	}
	f.confirmed = true
	c.table[f.tuples[0]] = flowRef{f, 0}
	c.table[f.tuples[1]] = flowRef{f, 1}
	return true
}

// refresh sets a flow's lifetime to the kernel's defaults.
func (c *conntrack) refresh(f *flow) {
	var d time.Duration
	switch proto := f.tuples[0].proto; {
	case proto == header.ProtoTCP && f.seenReply && !f.closing:
		d = 5 * 24 * time.Hour
	case proto == header.ProtoTCP, proto == header.ProtoUDP && f.seenReply:
		d = 120 * time.Second
	case proto == header.ProtoUDP, proto == header.ProtoICMP:
		d = 30 * time.Second
	default:
		d = 600 * time.Second
	}
	f.expires = c.sim.now + d
}

// track finds or makes the packet's flow (nf_conntrack_in). A packet that comes over
// the loopback device has been here.
func (m *machine) track(f *frame, dev string) {
	if f.flow != nil || f.state == FlowInvalid && dev == m.lo.Name {
		return
	}
	f.state = FlowInvalid
	ip := f.ip()
	if ip.Protocol() == header.ProtoICMP && isICMPError(f.l4()) {
		if t, ok := tupleOf(f.l4()[header.ICMPSize:]); ok {
			if r, ok := m.flows.find(t.inverse()); ok {
				f.flow, f.dir, f.state = r.flow, r.dir, FlowRelated
			}
		}
	} else if t, ok := tupleOf(ip); ok {
		m.trackTuple(f, t)
	}
	m.sim.emit(f, m.at, dev, Event{Kind: Tracked, Flow: f.state})
}

func (m *machine) trackTuple(f *frame, t tuple) {
	flags := uint8(0)
	if l4 := f.l4(); t.proto == header.ProtoTCP && len(l4) > header.TCPFlags {
		flags = l4[header.TCPFlags]
	}
	r, ok := m.flows.find(t)
	if ok && r.dir == 0 && r.flow.closing && flags&(header.TCPSYN|header.TCPACK) == header.TCPSYN {
		m.flows.remove(r.flow) // the ports are used again
		ok = false
	}
	if !ok {
		if t.proto == header.ProtoICMP && t.icmp != header.ICMPEcho || t.proto == header.ProtoTCP && !begins(flags) {
			return // nothing begins with a reply
		}
		r = flowRef{flow: &flow{tuples: [2]tuple{t, t.inverse()}}}
	}
	f.flow, f.dir = r.flow, r.dir
	switch {
	case r.dir == 1:
		r.flow.seenReply = true
		f.state = FlowReply
	case r.flow.seenReply:
		f.state = FlowEstablished
	default:
		f.state = FlowNew
	}
	r.flow.closing = r.flow.closing || flags&(header.TCPFIN|header.TCPRST) != 0
	m.flows.refresh(r.flow)
}

// begins says that a TCP segment may begin a flow: a SYN, or an ACK of a connection that
// is older than the table (nf_conntrack_tcp_loose). Any other is invalid, and the rules
// for addresses do not apply to it (tcp_valid_flags and tcp_conntracks, state NONE, of
// nf_conntrack_proto_tcp.c).
func begins(flags uint8) bool {
	switch flags & (header.TCPSYN | header.TCPACK | header.TCPFIN | header.TCPRST) {
	case header.TCPSYN, header.TCPACK:
		return true
	}
	return false
}

// confirm enters a new flow once its packet has passed all rules. It is false if
// there is no room.
func (m *machine) confirm(f *frame) bool {
	if f.flow == nil || f.flow.confirmed {
		return true
	}
	return m.flows.insert(f.flow)
}
