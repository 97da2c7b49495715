package tunnel

import "encoding/binary"

const (
	protoTCP = 6
	protoUDP = 17

	fragOffsetMask = 0x1fff
	moreFragments  = 0x2000
)

// CompleteChecksum finishes the checksum of an IPv4 frame with TCP or UDP whose
// sender left it to the hardware, so that the field holds only the sum of the
// pseudo-header. It reports whether it changed the frame. Complete, wrong and
// absent checksums and everything else stay as they are.
//
// A kernel VXLAN device on a veth pair sends such frames: nothing on the way
// finishes an inner checksum, and a UDP socket does not say that it is undone.
func CompleteChecksum(frame []byte) bool {
	l4, proto, ok := transport(frame)
	if !ok {
		return false
	}
	at := 6
	if proto == protoTCP {
		at = 16
	}
	if len(l4) < at+2 {
		return false
	}
	ip := frame[ethLen:]
	field := binary.BigEndian.Uint16(l4[at:])
	pseudo := fold(sum(ip[12:20]) + uint32(proto) + uint32(len(l4)))
	if field != pseudo {
		return false
	}
	// The field counts as the pseudo-header, which is what it holds.
	got := ^fold(sum(l4))
	if got == 0 && proto == protoUDP {
		got = ^uint16(0)
	}
	if got == field {
		return false
	}
	binary.BigEndian.PutUint16(l4[at:], got)
	return true
}

// transport returns the transport part of an IPv4 frame that is TCP or UDP and
// no fragment, without padding.
func transport(frame []byte) (l4 []byte, proto uint8, ok bool) {
	if len(frame) < ethLen+ipv4Len || etherType(frame) != etherIPv4 {
		return nil, 0, false
	}
	ip := frame[ethLen:]
	hl, total := int(ip[0]&0xf)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || hl < ipv4Len || total < hl || total > len(ip) {
		return nil, 0, false
	}
	if binary.BigEndian.Uint16(ip[6:])&(fragOffsetMask|moreFragments) != 0 {
		return nil, 0, false
	}
	proto = ip[9]
	return ip[hl:total], proto, proto == protoTCP || proto == protoUDP
}

// sum adds the 16-bit words of b, the last byte padded with zero. It does not
// overflow for up to 128 KiB.
func sum(b []byte) uint32 {
	var s uint64
	for ; len(b) >= 4; b = b[4:] {
		s += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b)) << 16
		b = b[2:]
		if len(b) == 1 {
			s += uint64(b[0]) << 8
		}
	} else if len(b) == 1 {
		s += uint64(b[0]) << 24
	}
	for s>>32 != 0 {
		s = s&0xffffffff + s>>32
	}
	return uint32(fold(uint32(s)))
}

// fold reduces a sum of 16-bit words to 16 bits.
func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
