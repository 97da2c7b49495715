package header

import "encoding/binary"

// IPv4 header (RFC 791): offsets, sizes, protocols.
const (
	IPv4MinSize = 20

	ipVersionIHL = 0
	ipTOS        = 1
	ipTotalLen   = 2
	ipID         = 4
	ipFragOff    = 6
	ipTTL        = 8
	ipProtocol   = 9
	IPv4Checksum = 10 // offset of the header checksum
	IPv4Src      = 12 // offset of the source address
	IPv4Dst      = 16 // offset of the destination address

	ipMoreFragments = 0x2000
	ipOffsetMask    = 0x1fff

	ProtoICMP uint8 = 1
	ProtoTCP  uint8 = 6
	ProtoUDP  uint8 = 17
	ProtoSCTP uint8 = 132
)

// IPv4 is a view of an IPv4 header of at least IPv4MinSize bytes.
type IPv4 []byte

// HeaderLen is 4*IHL as the header says, 0 to 60 bytes, unchecked.
func (h IPv4) HeaderLen() int { return int(h[ipVersionIHL]&0x0f) * 4 }

// Version is the version nibble.
func (h IPv4) Version() uint8 { return h[ipVersionIHL] >> 4 }

// TOS is the DSCP and ECN byte.
func (h IPv4) TOS() uint8 { return h[ipTOS] }

// TotalLen is the total length field in host order.
func (h IPv4) TotalLen() uint16 { return binary.BigEndian.Uint16(h[ipTotalLen:]) }

// ID is the identification field in network order.
func (h IPv4) ID() [2]byte { return [2]byte(h[ipID : ipID+2]) }

// TTL is the time to live.
func (h IPv4) TTL() uint8 { return h[ipTTL] }

// Protocol is the protocol number.
func (h IPv4) Protocol() uint8 { return h[ipProtocol] }

// Checksum is the header checksum in host order.
func (h IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[IPv4Checksum:]) }

// Src is the source address.
func (h IPv4) Src() [4]byte { return [4]byte(h[IPv4Src : IPv4Src+4]) }

// Dst is the destination address.
func (h IPv4) Dst() [4]byte { return [4]byte(h[IPv4Dst : IPv4Dst+4]) }

// IsFragment tells a fragment: more fragments follow or an offset. The reserved
// bit does not count.
func (h IPv4) IsFragment() bool {
	return binary.BigEndian.Uint16(h[ipFragOff:])&(ipMoreFragments|ipOffsetMask) != 0
}

// HasL4Header tells whether the L4 header is in this packet: not so in the second
// and later fragments.
func (h IPv4) HasL4Header() bool {
	return binary.BigEndian.Uint16(h[ipFragOff:])&ipOffsetMask == 0
}

// SetTTL writes the time to live; the checksum is the caller's.
func (h IPv4) SetTTL(t uint8) { h[ipTTL] = t }

// SetTOS writes the DSCP and ECN byte; the checksum is the caller's.
func (h IPv4) SetTOS(t uint8) { h[ipTOS] = t }

// SetChecksum writes the header checksum, given in host order.
func (h IPv4) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[IPv4Checksum:], c) }

// SetSrc writes the source address; the checksum is the caller's.
func (h IPv4) SetSrc(a [4]byte) { copy(h[IPv4Src:IPv4Src+4], a[:]) }

// SetDst writes the destination address; the checksum is the caller's.
func (h IPv4) SetDst(a [4]byte) { copy(h[IPv4Dst:IPv4Dst+4], a[:]) }
