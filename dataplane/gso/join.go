package gso

import (
	"bytes"
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// maxJoined bounds an aggregate by the IPv4 length field.
const maxJoined = header.EthernetSize + 1<<16 - 1

// Join joins TCP segments that lie one after the other in b, each a frame behind skip
// bytes, all stride bytes apart and the last one perhaps shorter: into one frame, as
// GRO does (tcp_gro_receive, inet_gro_receive). It takes as many as belong together,
// at least one, and returns how many. An aggregate has a partial checksum, as those
// of its segments were verified; a single frame is left as it is. The payloads move
// together in b.
func Join(b []byte, stride, skip int) (frame []byte, n int, c dataplane.Csum, g dataplane.GSO) {
	end := min(stride, len(b))
	frame = b[min(skip, end):end]
	first, ok := split(frame)
	if !ok || first.proto != header.ProtoTCP || !joinable(frame, &first) {
		return frame, 1, c, g
	}
	size := first.end - first.payload
	length, last := first.end, size
	n = 1
	for at := stride; at+skip < len(b) && last == size; at += stride {
		next := b[at+skip : min(at+stride, len(b))]
		s, ok := split(next)
		more := s.end - s.payload
		if !ok || more > size || length+more > maxJoined || !follows(frame, next, &first, &s, length-first.payload) {
			break
		}
		flags := next[s.l4+header.TCPFlags]
		length += copy(frame[length:length+more:cap(frame)], next[s.payload:s.end])
		frame[first.l4+header.TCPFlags] |= flags & (header.TCPPSH | header.TCPFIN)
		last = more
		n++
		if flags&(header.TCPPSH|header.TCPFIN) != 0 {
			break
		}
	}
	if n == 1 {
		return frame, 1, c, g
	}
	frame = frame[:length:length]
	ip := header.IPv4(frame[header.EthernetSize:first.l4])
	binary.BigEndian.PutUint16(ip[ipTotalLen:], uint16(length-header.EthernetSize))
	ip.SetChecksum(header.IPv4HeaderChecksum(ip))
	c = first.csum()
	binary.BigEndian.PutUint16(frame[first.l4+header.TCPChecksum:], first.pseudo(length-first.l4))
	return frame, n, c, dataplane.GSO{Type: dataplane.GSOTCPv4, Size: uint16(size), HdrLen: uint16(first.payload)}
}

// joinable tells a segment that an aggregate may start with: data, nothing but ACK,
// no padding, no IP options, checksums right.
func joinable(frame []byte, s *parts) bool {
	return frame[s.l4+header.TCPFlags] == header.TCPACK && s.payload < s.end && s.end == len(frame) &&
		s.l4 == header.EthernetSize+header.IPv4MinSize && verified(frame, s)
}

// follows tells the segment that continues an aggregate with got bytes of payload.
func follows(frame, next []byte, first, s *parts, got int) bool {
	const eth = header.EthernetSize
	if s.proto != header.ProtoTCP || s.l4 != first.l4 || s.payload != first.payload || s.payload == s.end || s.end != len(next) {
		return false
	}
	a, b := frame[first.l4:first.payload], next[s.l4:s.payload]
	if b[header.TCPFlags]&^(header.TCPPSH|header.TCPFIN) != header.TCPACK {
		return false
	}
	if binary.BigEndian.Uint32(b[tcpSeq:]) != binary.BigEndian.Uint32(a[tcpSeq:])+uint32(got) {
		return false
	}
	// Everything else is equal but lengths, identification and checksums.
	ia, ib := frame[eth:first.l4], next[eth:s.l4]
	same := bytes.Equal(frame[:eth], next[:eth]) &&
		bytes.Equal(ia[:ipTotalLen], ib[:ipTotalLen]) &&
		bytes.Equal(ia[ipID+2:header.IPv4Checksum], ib[ipID+2:header.IPv4Checksum]) &&
		bytes.Equal(ia[header.IPv4Src:], ib[header.IPv4Src:]) &&
		bytes.Equal(a[:tcpSeq], b[:tcpSeq]) && bytes.Equal(a[tcpAck:header.TCPFlags], b[tcpAck:header.TCPFlags]) &&
		bytes.Equal(a[tcpWindow:header.TCPChecksum], b[tcpWindow:header.TCPChecksum]) &&
		bytes.Equal(a[header.TCPChecksum+2:], b[header.TCPChecksum+2:])
	return same && verified(next, s)
}

// verified tells whether both checksums are right.
func verified(frame []byte, s *parts) bool {
	return Sum(frame[header.EthernetSize:s.l4]).Fold() == 0 &&
		header.PseudoSum(s.ip.Src(), s.ip.Dst(), s.proto, s.end-s.l4).Add(Sum(frame[s.l4:s.end])).Fold() == 0
}
