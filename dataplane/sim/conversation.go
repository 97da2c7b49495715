package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hooklab/hooklab/dataplane/header"
)

// ErrMessage is wrapped by every refusal of a Message that cannot be sent.
var ErrMessage = errors.New("cannot be sent")

// Message is what a conversation sends. The zero value is what ping, nc or a browser
// would: a ping of 56 bytes, a connection without data, an empty datagram.
type Message struct {
	TTL, TOS     uint8  // TTL 0 is 64
	SrcPort      uint16 // of pings the id; 0: a free one
	Data         []byte
	DontFragment bool          // UDP, ping, IP: an error instead of fragments
	Count        int           // pings, datagrams or segments with Flags, one a second; 0 is 1
	Flags        uint8         // TCP: one segment with these flags instead of a connection
	Hold         bool          // TCP: the connection is not closed
	Mark         uint32        // of a node's socket (SO_MARK)
	Timeout      time.Duration // for each answer; 0 is 5 seconds
}

const (
	pingData       = 56
	pingInterval   = time.Second
	defaultTimeout = 5 * time.Second
	maxCount       = 10000
)

// converse makes a conversation between named ends; see Resolve for the names.
func (s *Sim) converse(from, to string, m Message) (*Conversation, [4]byte, error) {
	src, err := s.sender(from)
	if err != nil {
		return nil, [4]byte{}, err
	}
	dst, err := s.Resolve(to)
	if err != nil {
		return nil, [4]byte{}, err
	}
	if len(m.Data) > maxPacket-header.IPv4MinSize-header.TCPMinSize || m.Count < 0 || m.Count > maxCount || m.Timeout < 0 {
		return nil, [4]byte{}, fmt.Errorf("message of %d bytes, %d times, timeout %s: %w", len(m.Data), m.Count, m.Timeout, ErrMessage)
	}
	return s.newConversation(src), dst.As4(), nil
}

func (s *Sim) newConversation(from *stack) *Conversation {
	s.conversations++
	return &Conversation{sim: s, id: s.conversations, from: from, result: Result{Began: s.now}}
}

func (m *Message) timeout() time.Duration {
	if m.Timeout == 0 {
		return defaultTimeout
	}
	return m.Timeout
}

// Ping sends echo requests. It begins when time passes, as all conversations do.
func (s *Sim) Ping(from, to string, m Message) (*Conversation, error) {
	c, dst, err := s.converse(from, to, m)
	if err != nil {
		return nil, fmt.Errorf("ping %s from %s: %w", to, from, err)
	}
	if m.Data == nil {
		m.Data = echoData()
	}
	s.after(0, func() { c.startPing(dst, m) })
	return c, nil
}

// echoData is what ping sends.
func echoData() []byte {
	b := make([]byte, pingData)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// pinger is the socket of a ping.
type pinger struct {
	conv  *Conversation
	key   socketKey
	m     Message
	sent  int
	count int
	seen  int // answers and errors
}

func (c *Conversation) startPing(dst [4]byte, m Message) {
	k, ok := c.bindKey(header.ProtoICMP, dst, 0, m) // the port is the id
	if !ok {
		return
	}
	p := &pinger{conv: c, key: k, m: m, count: max(m.Count, 1)}
	if !c.from.bind(k, p) {
		c.finish(Open)
		return
	}
	c.clean = func() { c.from.unbind(k) }
	c.every(p.count, m, p.send)
}

// send sends the next request.
func (p *pinger) send() {
	p.sent++
	p.conv.sendOne(p.key, p.m, buildEcho(p.key.localPort, uint16(p.sent), p.m.Data))
}

// buildEcho makes an echo request.
func buildEcho(id, seq uint16, data []byte) []byte {
	b := make([]byte, header.ICMPSize+len(data))
	b[header.ICMPType] = header.ICMPEcho
	binary.BigEndian.PutUint16(b[icmpInfo:], id)
	binary.BigEndian.PutUint16(b[icmpSeq:], seq)
	copy(b[header.ICMPSize:], data)
	putICMPChecksum(b)
	return b
}

// sendOne sends a datagram of the conversation's own.
func (c *Conversation) sendOne(k socketKey, m Message, payload []byte) {
	fits := header.IPv4MinSize+len(payload) <= c.from.pathMTU(k.remote)
	c.from.send(c, nil, Original, packet{
		src: k.local, dst: k.remote, proto: k.proto, ttl: m.TTL, tos: m.TOS, df: m.DontFragment || fits,
		payload: payload, mark: m.Mark,
	})
}

func (p *pinger) input(f *frame) {
	p.conv.from.received(f, true)
	p.done(Answered)
}

func (p *pinger) failed(f *frame, e ICMPError) {
	p.conv.from.reported(f)
	p.conv.failed(e)
	p.done(Open)
}

func (p *pinger) done(o Outcome) {
	if p.seen++; p.seen >= p.count {
		p.conv.finish(o)
	}
}

// TCP opens a connection, sends the data, waits until it has come back and closes; or
// sends a single segment, if the message has flags.
func (s *Sim) TCP(from, to string, port uint16, m Message) (*Conversation, error) {
	c, dst, err := s.converse(from, to, m)
	if err != nil {
		return nil, fmt.Errorf("tcp %s port %d from %s: %w", to, port, from, err)
	}
	s.after(0, func() { c.startTCP(dst, port, m) })
	return c, nil
}

func (c *Conversation) startTCP(dst [4]byte, port uint16, m Message) {
	k, ok := c.bindKey(header.ProtoTCP, dst, port, m)
	if !ok {
		return
	}
	c.limit(m.timeout())
	ip := packet{ttl: m.TTL, tos: m.TOS, mark: m.Mark}
	if m.Flags != 0 {
		if !c.from.bind(k, &datagram{conv: c, left: m.Count}) {
			c.finish(Open)
			return
		}
		c.clean = func() { c.from.unbind(k) }
		g := segment{seq: c.sim.rand.Uint32(), flags: m.Flags, data: m.Data}
		c.every(m.Count, m, func() { c.from.sendTCP(c, nil, Original, k, g, ip) })
		return
	}
	conn := &tcpConn{st: c.from, key: k, conv: c, data: m.Data, hold: m.Hold, ip: ip}
	if !c.from.bind(k, conn) {
		c.finish(Open)
		return
	}
	c.clean = func() {
		if !m.Hold {
			conn.close()
		}
	}
	conn.open()
}

// bindKey chooses the addresses and the port of a new socket.
func (c *Conversation) bindKey(proto uint8, dst [4]byte, port uint16, m Message) (socketKey, bool) {
	src, ok := c.from.out.source(dst)
	k := socketKey{proto: proto, local: src, remote: dst, localPort: m.SrcPort, remotePort: port}
	if ok && k.localPort == 0 {
		k.localPort = c.from.freePort(k)
	}
	if _, taken := c.from.sockets[k]; !ok || taken || k.localPort == 0 {
		c.finish(Open)
		return k, false
	}
	return k, true
}

// every sends count packets, one a second, until the conversation ends.
func (c *Conversation) every(count int, m Message, send func()) {
	if c.finished {
		return
	}
	c.limit(m.timeout())
	send()
	if count > 1 {
		c.sim.after(pingInterval, func() { c.every(count-1, m, send) })
	}
}

// datagram is a socket that waits for an answer to each of its packets.
type datagram struct {
	conv *Conversation
	left int // answers to wait for; 0 is 1
}

// done is an answer, or an error in its place.
func (d *datagram) done(o Outcome) {
	if d.left--; d.left <= 0 {
		d.conv.finish(o)
	}
}

func (d *datagram) input(f *frame) {
	d.conv.from.received(f, true)
	o := Answered
	if f.ip().Protocol() == header.ProtoTCP {
		if g, ok := parseTCP(f.l4()); ok && g.flags&header.TCPRST != 0 {
			o = Refused
		}
	}
	d.done(o)
}

func (d *datagram) failed(f *frame, e ICMPError) {
	d.conv.from.reported(f)
	d.conv.failed(e)
	d.done(Unreachable)
}

// UDP sends a datagram and waits for one back.
func (s *Sim) UDP(from, to string, port uint16, m Message) (*Conversation, error) {
	c, dst, err := s.converse(from, to, m)
	if err != nil {
		return nil, fmt.Errorf("udp %s port %d from %s: %w", to, port, from, err)
	}
	s.after(0, func() {
		if k, ok := c.bindKey(header.ProtoUDP, dst, port, m); ok {
			c.startDatagram(k, m, buildUDP(k, m.Data))
		}
	})
	return c, nil
}

// IP sends one packet of any protocol, with the data behind the IP header, and waits
// for a packet of that protocol back.
func (s *Sim) IP(from, to string, proto uint8, m Message) (*Conversation, error) {
	c, dst, err := s.converse(from, to, m)
	if err != nil {
		return nil, fmt.Errorf("protocol %d to %s from %s: %w", proto, to, from, err)
	}
	s.after(0, func() {
		src, ok := c.from.out.source(dst)
		if !ok {
			c.finish(Open)
			return
		}
		c.startDatagram(socketKey{proto: proto, local: src, remote: dst}, m, m.Data)
	})
	return c, nil
}

func (c *Conversation) startDatagram(k socketKey, m Message, payload []byte) {
	if !c.from.bind(k, &datagram{conv: c, left: m.Count}) {
		c.finish(Open)
		return
	}
	c.clean = func() { c.from.unbind(k) }
	c.every(m.Count, m, func() { c.sendOne(k, m, payload) })
}
