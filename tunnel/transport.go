package tunnel

import "encoding/binary"

const (
	protoTCP = 6
	protoUDP = 17

	fragOffsetMask = 0x1fff
	moreFragments  = 0x2000
)

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

// fold reduces a sum of 16-bit words to 16 bits.
func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
