package gso

import (
	"encoding/binary"
	"math/bits"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// Sum is the one's complement sum of b, an odd last byte padded with zero. It is
// header.Sum.Partial for long inputs: 128 bytes a step, as the carry between steps costs
// as much as some words, in the order of the machine's bytes, which the sum does not depend
// on (RFC 1071, 2(B)).
func Sum(b []byte) header.Sum {
	var s, c uint64
	for len(b) >= 128 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[0:8]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[8:16]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[16:24]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[24:32]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[32:40]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[40:48]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[48:56]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[56:64]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[64:72]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[72:80]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[80:88]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[88:96]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[96:104]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[104:112]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[112:120]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[120:128]), c)
		b = b[128:]
	}
	for len(b) >= 32 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[8:16]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[16:24]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[24:32]), c)
		b = b[32:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
		b = b[8:]
	}
	var last uint64
	for i, v := range b {
		last |= uint64(v) << (8 * i)
	}
	s, c = bits.Add64(s, last, c)
	s, c = bits.Add64(s, 0, c)
	s += c
	s = s>>32 + s&0xffffffff
	s = s>>16&0xffff + s>>32 + s&0xffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return header.Sum(bits.ReverseBytes16(uint16(s)))
}

// Complete finishes a partial checksum. It is false, and nothing is changed, if the
// frame does not have the bytes that c names.
func Complete(frame []byte, c dataplane.Csum) bool {
	start := int(c.Start)
	at := start + int(c.Off)
	if start > len(frame) || at+2 > len(frame) {
		return false
	}
	sum := Sum(frame[start:]).Fold()
	if sum == 0 {
		// 0 says "no checksum" in UDP and is the same number in TCP (CSUM_MANGLED_0).
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(frame[at:], sum)
	return true
}

// Unfinished finds a TCP or UDP checksum that looks as if the sender had left it to
// the hardware: the field holds the sum of the pseudo header. One in 65,536 finished
// checksums looks the same; to take it for unfinished means not to verify it.
func Unfinished(frame []byte) (dataplane.Csum, bool) {
	s, ok := split(frame)
	if !ok {
		return dataplane.Csum{}, false
	}
	c := s.csum()
	return c, binary.BigEndian.Uint16(frame[int(c.Start)+int(c.Off):]) == s.pseudo(s.end-s.l4)
}

// parts are the offsets in an IPv4 frame with a whole TCP or UDP header.
type parts struct {
	ip               header.IPv4
	l4, payload, end int
	proto            uint8
}

// split finds the parts of a frame that is no fragment. What follows the IP packet
// is padding.
func split(frame []byte) (s parts, ok bool) {
	const eth = header.EthernetSize
	if len(frame) < eth+header.IPv4MinSize || header.Ethernet(frame).Type() != header.EtherTypeIPv4 {
		return s, false
	}
	s.ip = header.IPv4(frame[eth:])
	hl := s.ip.HeaderLen()
	s.l4, s.end, s.proto = eth+hl, eth+int(s.ip.TotalLen()), s.ip.Protocol()
	if s.ip.Version() != 4 || hl < header.IPv4MinSize || s.end > len(frame) || s.ip.IsFragment() {
		return s, false
	}
	switch s.proto {
	case header.ProtoTCP:
		if s.l4+header.TCPMinSize > s.end {
			return s, false
		}
		doff := int(frame[s.l4+tcpDataOff]>>4) * 4
		s.payload = s.l4 + doff
		return s, doff >= header.TCPMinSize && s.payload <= s.end
	case header.ProtoUDP:
		s.payload = s.l4 + header.UDPSize
		return s, s.payload <= s.end
	}
	return s, false
}

func (s *parts) csum() dataplane.Csum {
	off := header.UDPChecksum
	if s.proto == header.ProtoTCP {
		off = header.TCPChecksum
	}
	return dataplane.Csum{Partial: true, Start: uint16(s.l4), Off: uint16(off)}
}

// pseudo is the folded sum of the pseudo header for an L4 segment of n bytes, as it
// stands in the field of a partial checksum.
func (s *parts) pseudo(n int) uint16 {
	return ^header.PseudoSum(s.ip.Src(), s.ip.Dst(), s.proto, n).Fold()
}
