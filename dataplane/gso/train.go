package gso

import (
	"bytes"
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// Bounds of a train: the kernel's UDP_MAX_SEGMENTS before Linux 6.9, and an IPv4 packet.
const (
	trainDatagrams = 64
	trainBytes     = 60000
)

// Train gathers UDP datagrams that come one after the other and are equal but for their
// payloads of one length, and makes them an aggregate, as GRO does with segments that a
// sender's UDP_SEGMENT has led to (udp_gro_receive_segment). Cut gives back what went in.
// The zero value is an empty train.
type Train struct {
	n    int // datagrams
	size int // bytes of payload of each
	end  int // of what is used of buf
	buf  [trainBytes]byte
}

// Len is the number of datagrams that wait.
func (t *Train) Len() int { return t.n }

// Add takes a copy of a frame whose checksum is right, or partial as c says. It is false
// if the frame does not belong to those that wait, or is none that an aggregate may start
// with: no IP options, no fragment, no padding, a checksum that is right.
func (t *Train) Add(frame []byte, c dataplane.Csum) bool {
	const l4, payload = header.EthernetSize + header.IPv4MinSize, header.EthernetSize + header.IPv4MinSize + header.UDPSize
	size := len(frame) - payload
	if size <= 0 || t.n > 0 && (size != t.size || t.n == trainDatagrams) || t.end+len(frame) > trainBytes {
		return false
	}
	if frame[header.EthernetSize] != 0x45 || frame[header.EthernetSize+9] != header.ProtoUDP {
		return false // before all else, as it is what most frames fail
	}
	s, ok := split(frame)
	if !ok || s.end != len(frame) || int(binary.BigEndian.Uint16(frame[l4+udpLength:])) != size+header.UDPSize || !intact(frame, &s, c) {
		return false
	}
	if t.n == 0 {
		t.n, t.size = 1, size
		t.end = copy(t.buf[:], frame)
		return true
	}
	if !t.continues(frame) {
		return false
	}
	t.n++
	t.end += copy(t.buf[t.end:], frame[payload:])
	return true
}

// continues tells whether a datagram of the right length has the headers of the first one,
// but for the checksums, and the identification that Cut will give it. Of a packet that
// must not be fragmented the identification means nothing (RFC 6864).
func (t *Train) continues(frame []byte) bool {
	const ip, l4 = header.EthernetSize, header.EthernetSize + header.IPv4MinSize
	const dontFragment = 0x40
	a, b := t.buf[:l4+header.UDPSize], frame[:l4+header.UDPSize]
	if !bytes.Equal(a[:ip+ipID], b[:ip+ipID]) ||
		!bytes.Equal(a[ip+ipID+2:ip+header.IPv4Checksum], b[ip+ipID+2:ip+header.IPv4Checksum]) ||
		!bytes.Equal(a[ip+header.IPv4Src:l4+udpLength], b[ip+header.IPv4Src:l4+udpLength]) {
		return false
	}
	if b[ip+ipID+2]&dontFragment != 0 {
		return true
	}
	first, id := binary.BigEndian.Uint16(a[ip+ipID:]), binary.BigEndian.Uint16(b[ip+ipID:])
	return id == first+uint16(t.n)
}

// intact tells whether a datagram's checksums are right, or right once they are completed.
// A datagram without one is not, as an aggregate's segments get one.
func intact(frame []byte, s *parts, c dataplane.Csum) bool {
	if Sum(frame[header.EthernetSize:s.l4]).Fold() != 0 {
		return false
	}
	sum := binary.BigEndian.Uint16(frame[s.l4+header.UDPChecksum:])
	if c.Partial {
		return c == s.csum() && sum == s.pseudo(s.end-s.l4)
	}
	return sum != 0 && verified(frame, s)
}

// Take empties the train and returns what it has gathered: one datagram with a partial
// checksum, or an aggregate. The frame is borrowed until the next Add.
func (t *Train) Take() (frame []byte, c dataplane.Csum, g dataplane.GSO) {
	frame = t.buf[:t.end:t.end]
	n := t.n
	t.n, t.end = 0, 0
	if n == 0 {
		return nil, c, g
	}
	const l4, payload = header.EthernetSize + header.IPv4MinSize, header.EthernetSize + header.IPv4MinSize + header.UDPSize
	ip := header.IPv4(frame[header.EthernetSize:l4])
	s := parts{ip: ip, l4: l4, payload: payload, end: len(frame), proto: header.ProtoUDP}
	if n > 1 {
		binary.BigEndian.PutUint16(ip[ipTotalLen:], uint16(len(frame)-header.EthernetSize))
		ip.SetChecksum(header.IPv4HeaderChecksum(ip))
		binary.BigEndian.PutUint16(frame[l4+udpLength:], uint16(len(frame)-l4))
		g = dataplane.GSO{Type: dataplane.GSOUDP, Size: uint16(t.size), HdrLen: payload}
	}
	binary.BigEndian.PutUint16(frame[l4+header.UDPChecksum:], s.pseudo(len(frame)-l4))
	return frame, s.csum(), g
}
