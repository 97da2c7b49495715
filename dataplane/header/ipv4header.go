package header

import "encoding/binary"

// IPv4Header is the part of an IPv4 header that all packets have, without options. It is IPv4 for the datapath: a view of known size,
// which is read and written without checking bounds, and passed in one register.
type IPv4Header [IPv4MinSize]byte

// HeaderLen is 4*IHL as the header says, 0 to 60 bytes, unchecked.
func (h *IPv4Header) HeaderLen() int { return int(h[ipVersionIHL]&0x0f) * 4 }

// ID is the identification field in network order.
func (h *IPv4Header) ID() [2]byte { return [2]byte(h[ipID : ipID+2]) }

// TTL is the time to live.
func (h *IPv4Header) TTL() uint8 { return h[ipTTL] }

// Protocol is the protocol number.
func (h *IPv4Header) Protocol() uint8 { return h[ipProtocol] }

// Checksum is the header checksum in host order.
func (h *IPv4Header) Checksum() uint16 { return binary.BigEndian.Uint16(h[IPv4Checksum:]) }

// Src is the source address.
func (h *IPv4Header) Src() [4]byte { return [4]byte(h[IPv4Src : IPv4Src+4]) }

// Dst is the destination address.
func (h *IPv4Header) Dst() [4]byte { return [4]byte(h[IPv4Dst : IPv4Dst+4]) }

// IsFragment is as that of IPv4.
func (h *IPv4Header) IsFragment() bool {
	return binary.BigEndian.Uint16(h[ipFragOff:])&(ipMoreFragments|ipOffsetMask) != 0
}

// HasL4Header is as that of IPv4.
func (h *IPv4Header) HasL4Header() bool {
	return binary.BigEndian.Uint16(h[ipFragOff:])&ipOffsetMask == 0
}

// SetTTL writes the time to live; the checksum is the caller's.
func (h *IPv4Header) SetTTL(t uint8) { h[ipTTL] = t }

// SetChecksum writes the header checksum, given in host order.
func (h *IPv4Header) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[IPv4Checksum:], c) }

// SetSrc writes the source address; the checksum is the caller's.
func (h *IPv4Header) SetSrc(a [4]byte) { copy(h[IPv4Src:IPv4Src+4], a[:]) }

// SetDst writes the destination address; the checksum is the caller's.
func (h *IPv4Header) SetDst(a [4]byte) { copy(h[IPv4Dst:IPv4Dst+4], a[:]) }
