package header

import "encoding/binary"

// Ethernet header: offsets, sizes and the ether types that the datapath knows.
const (
	EthernetSize = 14

	ethDst  = 0
	ethSrc  = 6
	ethType = 12

	EtherTypeMin  uint16 = 0x0600 // below: an 802.3 length (ETH_P_802_3_MIN)
	EtherTypeIPv4 uint16 = 0x0800
	EtherTypeARP  uint16 = 0x0806
	EtherTypeIPv6 uint16 = 0x86dd
)

// BroadcastMAC is the Ethernet broadcast address.
func BroadcastMAC() [6]byte { return [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// Ethernet is a view of an Ethernet II header of EthernetSize bytes.
type Ethernet []byte

// Dst is the destination MAC.
func (e Ethernet) Dst() [6]byte { return [6]byte(e[ethDst : ethDst+6]) }

// Src is the source MAC.
func (e Ethernet) Src() [6]byte { return [6]byte(e[ethSrc : ethSrc+6]) }

// Type is the ether type in host order.
func (e Ethernet) Type() uint16 { return binary.BigEndian.Uint16(e[ethType:]) }

// SetDst writes the destination MAC.
func (e Ethernet) SetDst(m [6]byte) { copy(e[ethDst:ethDst+6], m[:]) }

// SetSrc writes the source MAC.
func (e Ethernet) SetSrc(m [6]byte) { copy(e[ethSrc:ethSrc+6], m[:]) }

// SetType writes the ether type, given in host order.
func (e Ethernet) SetType(t uint16) { binary.BigEndian.PutUint16(e[ethType:], t) }
