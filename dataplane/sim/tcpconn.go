package sim

import "github.com/hooklab/hooklab/dataplane/header"

// tcpState is a connection's state (RFC 9293).
type tcpState uint8

const (
	synSent tcpState = iota + 1
	synReceived
	established
	finWait // our FIN is out
	lastAck // both FINs are out
)

// tcpConn is one end of a connection. A server sends back what it gets and closes
// after the client. A client sends its data, waits until all of it is back, and
// closes.
type tcpConn struct {
	st             *stack
	key            socketKey
	state          tcpState
	sndNxt, rcvNxt uint32
	peerMSS        int
	ip             packet // TTL, TOS and mark of what it sends

	// The client's part.
	conv *Conversation // nil: a server
	data []byte
	back int // bytes that came back
	hold bool
}

// accept opens a server's connection.
func (st *stack) accept(f *frame, k socketKey, g segment) {
	c := &tcpConn{st: st, key: k, state: synReceived, sndNxt: st.sim.rand.Uint32(), rcvNxt: g.seq + 1, peerMSS: g.mss}
	if !st.bind(k, c) {
		st.lose(f, Overflow)
		return
	}
	st.received(f, false)
	c.send(f, Answer, segment{flags: header.TCPSYN | header.TCPACK, mss: st.advertisedMSS(k.remote)})
}

// open starts a client's connection.
func (c *tcpConn) open() {
	c.state, c.sndNxt = synSent, c.st.sim.rand.Uint32()
	c.send(nil, Original, segment{flags: header.TCPSYN, mss: c.st.advertisedMSS(c.key.remote)})
}

// send sends a segment with the connection's numbers.
func (c *tcpConn) send(parent *frame, how Relation, g segment) {
	g.seq = c.sndNxt
	if g.flags&header.TCPACK != 0 {
		g.ack = c.rcvNxt
	}
	c.sndNxt += g.length()
	c.st.sendTCP(c.conv, parent, how, c.key, g, c.ip)
}

// mss is the most data in one segment.
func (c *tcpConn) mss() int {
	m := c.peerMSS
	if m == 0 {
		m = defaultMSS
	}
	return max(min(m, c.st.pathMTU(c.key.remote)-header.IPv4MinSize-header.TCPMinSize), 8)
}

// write sends data in as many segments as it needs.
func (c *tcpConn) write(parent *frame, data []byte) {
	for n := c.mss(); len(data) > 0; data = data[min(n, len(data)):] {
		g := segment{flags: header.TCPACK, data: data[:min(n, len(data))]}
		if len(data) <= n {
			g.flags |= header.TCPPSH
		}
		c.send(parent, Answer, g)
	}
}

func (c *tcpConn) ack(f *frame) { c.send(f, Answer, segment{flags: header.TCPACK}) }

// unexpected ends a segment that does not fit, and tells the peer what would.
func (c *tcpConn) unexpected(f *frame, answer bool) {
	c.st.lose(f, Unexpected)
	if answer {
		c.ack(f)
	}
}

func (c *tcpConn) close() { c.st.unbind(c.key) }

// input takes a segment.
func (c *tcpConn) input(f *frame) {
	g, ok := parseTCP(f.l4())
	if !ok {
		c.st.lose(f, BadHeader)
		return
	}
	switch {
	case c.state == synSent:
		c.inputSynSent(f, g)
	case g.flags&header.TCPRST != 0:
		if g.seq != c.rcvNxt {
			c.unexpected(f, false)
			return
		}
		c.st.received(f, c.conv != nil)
		c.close()
		c.finish(Refused)
	case g.flags&header.TCPSYN != 0, g.seq != c.rcvNxt:
		c.unexpected(f, g.flags&header.TCPSYN != 0 || g.length() > 0)
	case g.flags&header.TCPACK == 0 || int32(g.ack-c.sndNxt) > 0:
		c.unexpected(f, g.flags&header.TCPACK != 0)
	default:
		c.inputInOrder(f, g)
	}
}

// inputSynSent waits for the server's answer to the first segment.
func (c *tcpConn) inputSynSent(f *frame, g segment) {
	acks := g.flags&header.TCPACK != 0 && g.ack == c.sndNxt
	switch {
	case !acks:
		c.unexpected(f, false)
		if g.flags&header.TCPACK != 0 {
			c.st.reset(f, c.key, g)
		}
	case g.flags&header.TCPRST != 0:
		c.st.received(f, true)
		c.close()
		c.finish(Refused)
	case g.flags&header.TCPSYN == 0:
		c.unexpected(f, false)
	default:
		c.st.received(f, true)
		c.state, c.rcvNxt, c.peerMSS = established, g.seq+1, g.mss
		switch {
		case len(c.data) > 0:
			c.ack(f)
			c.write(f, c.data)
		case c.hold:
			c.ack(f)
			c.finish(Answered)
		default:
			c.ack(f)
			c.state = finWait
			c.send(f, Answer, segment{flags: header.TCPFIN | header.TCPACK})
		}
	}
}

// inputInOrder takes the segment that was expected next.
func (c *tcpConn) inputInOrder(f *frame, g segment) {
	c.st.received(f, c.conv != nil)
	c.rcvNxt += g.length()
	fin := g.flags&header.TCPFIN != 0
	switch {
	case c.state == synReceived && g.ack == c.sndNxt:
		c.state = established
	case c.state == lastAck && g.ack == c.sndNxt:
		c.close()
		c.finish(Answered)
		return
	}
	switch {
	case c.conv == nil:
		c.serve(f, g, fin)
	case fin:
		c.peerClosed(f)
	case len(g.data) > 0:
		c.back += len(g.data)
		if c.back < len(c.data) || c.hold || c.state != established {
			c.ack(f)
			if c.back >= len(c.data) {
				c.finish(Answered)
			}
			return
		}
		c.state = finWait
		c.send(f, Answer, segment{flags: header.TCPFIN | header.TCPACK})
	}
}

// serve is the server: it sends data back and closes after the client.
func (c *tcpConn) serve(f *frame, g segment, fin bool) {
	if len(g.data) > 0 && c.state != lastAck {
		c.write(f, g.data)
	}
	if fin && c.state != lastAck {
		c.state = lastAck
		c.send(f, Answer, segment{flags: header.TCPFIN | header.TCPACK})
	}
}

// peerClosed is the server's FIN at the client.
func (c *tcpConn) peerClosed(f *frame) {
	if c.state == finWait {
		c.ack(f)
		c.close()
		c.finish(Answered)
		return
	}
	c.state = lastAck
	c.send(f, Answer, segment{flags: header.TCPFIN | header.TCPACK})
}

func (c *tcpConn) finish(o Outcome) {
	if c.conv != nil {
		c.conv.finish(o)
	}
}

// failed ends a client whose way is barred. A hint about the path's MTU is for the
// next connection: nothing is retransmitted.
func (c *tcpConn) failed(f *frame, e ICMPError) {
	c.st.reported(f)
	if c.conv == nil {
		return
	}
	c.conv.failed(e)
	c.close()
	c.finish(Unreachable)
}
