package sim

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane/header"
)

// Offsets in a TCP header beside package header's, and sizes.
const (
	tcpSeq     = 4
	tcpAck     = 8
	tcpOffset  = 12
	tcpWindow  = 14
	optMSS     = 2
	optMSSSize = 4

	window     = 64240
	defaultMSS = 536
)

// segment is a TCP segment's fields.
type segment struct {
	seq, ack uint32
	flags    uint8
	mss      int // option; 0: none
	data     []byte
}

// length is what the segment takes of the sequence space.
func (g *segment) length() uint32 {
	n := uint32(len(g.data))
	if g.flags&header.TCPSYN != 0 {
		n++
	}
	if g.flags&header.TCPFIN != 0 {
		n++
	}
	return n
}

// parseTCP reads a segment.
func parseTCP(b []byte) (segment, bool) {
	if len(b) < header.TCPMinSize {
		return segment{}, false
	}
	n := int(b[tcpOffset]>>4) * 4
	if n < header.TCPMinSize || n > len(b) {
		return segment{}, false
	}
	g := segment{
		seq: binary.BigEndian.Uint32(b[tcpSeq:]), ack: binary.BigEndian.Uint32(b[tcpAck:]),
		flags: b[header.TCPFlags], data: b[n:],
	}
	for o := b[header.TCPMinSize:n]; len(o) > 0 && o[0] != 0; {
		if o[0] == 1 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || int(o[1]) < 2 || int(o[1]) > len(o) {
			break
		}
		if o[0] == optMSS && o[1] == optMSSSize {
			g.mss = int(binary.BigEndian.Uint16(o[2:]))
		}
		o = o[o[1]:]
	}
	return g, true
}

// buildTCP makes a segment from a socket.
func buildTCP(k socketKey, g segment) []byte {
	n := header.TCPMinSize
	if g.mss != 0 {
		n += optMSSSize
	}
	b := make([]byte, n+len(g.data))
	binary.BigEndian.PutUint16(b[header.SrcPort:], k.localPort)
	binary.BigEndian.PutUint16(b[header.DstPort:], k.remotePort)
	binary.BigEndian.PutUint32(b[tcpSeq:], g.seq)
	binary.BigEndian.PutUint32(b[tcpAck:], g.ack)
	b[tcpOffset] = uint8(n/4) << 4
	b[header.TCPFlags] = g.flags
	binary.BigEndian.PutUint16(b[tcpWindow:], window)
	if g.mss != 0 {
		b[header.TCPMinSize], b[header.TCPMinSize+1] = optMSS, optMSSSize
		binary.BigEndian.PutUint16(b[header.TCPMinSize+2:], uint16(g.mss))
	}
	copy(b[n:], g.data)
	putChecksum(k.local, k.remote, header.ProtoTCP, b, header.TCPChecksum)
	return b
}

// tcpInput gives a segment to its connection, opens a new one, or resets.
func (st *stack) tcpInput(f *frame) {
	g, ok := parseTCP(f.l4())
	switch {
	case !ok:
		st.lose(f, BadHeader)
		return
	case !checksumOK(f):
		st.lose(f, BadL4Checksum)
		return
	}
	k := keyOf(f)
	if x := st.sockets[k]; x != nil {
		x.input(f)
		return
	}
	const opening = header.TCPSYN | header.TCPACK | header.TCPRST | header.TCPFIN
	open := st.out.listens(header.ProtoTCP, k.local, k.localPort) && unicast(k.remote)
	if open && g.flags&opening == header.TCPSYN {
		st.accept(f, k, g)
		return
	}
	if open {
		st.lose(f, Unexpected)
	} else {
		st.lose(f, PortClosed)
	}
	st.reset(f, k, g)
}

// reset answers a segment that nobody expects (RFC 9293 3.5.2).
func (st *stack) reset(f *frame, k socketKey, g segment) {
	if g.flags&header.TCPRST != 0 || !unicast(k.remote) {
		return
	}
	r := segment{flags: header.TCPRST | header.TCPACK, ack: g.seq + g.length()}
	if g.flags&header.TCPACK != 0 {
		r = segment{flags: header.TCPRST, seq: g.ack}
	}
	st.sendTCP(nil, f, Failure, k, r, packet{})
}

// sendTCP sends a segment; p has what the sender chooses of the IP header.
func (st *stack) sendTCP(conv *Conversation, parent *frame, how Relation, k socketKey, g segment, p packet) {
	p.src, p.dst, p.proto, p.df, p.payload = k.local, k.remote, header.ProtoTCP, true, buildTCP(k, g)
	st.send(conv, parent, how, p)
}

// advertisedMSS is what a stack can take from dst in one segment.
func (st *stack) advertisedMSS(dst [4]byte) int {
	return max(st.out.mtu(dst)-header.IPv4MinSize-header.TCPMinSize, defaultMSS)
}
