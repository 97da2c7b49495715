// Package tunnel carries Ethernet frames between nodes: the VXLAN codec with the
// checks and the ECN rules of the kernel's device, and the UDP underlay that
// sends and receives as that device does.
package tunnel

import (
	"encoding/binary"
	"errors"
)

const (
	// Port is the UDP port on which Cilium's cilium_vxlan listens.
	Port = 8472

	// HeaderLen is the length of the VXLAN header in front of the inner frame.
	HeaderLen = 8

	// Overhead is what the outer IPv4, UDP and VXLAN headers and the inner
	// Ethernet header add to the inner packet (SPEC 8).
	Overhead = 20 + udpLen + HeaderLen + ethLen
)

// The reasons to drop a datagram, see SPEC 20.4 and vxlan_rcv in
// drivers/net/vxlan. All of them wrap ErrDrop.
var (
	ErrDrop = errors.New("dropped by the tunnel")

	// ErrShort says that a header is cut off: the VXLAN header or the inner
	// Ethernet header. The device counts nothing.
	ErrShort error = dropError("shorter than the headers")

	// ErrNoVNI says that the I flag is clear. The device counts nothing.
	ErrNoVNI error = dropError("without VNI flag")

	// ErrReserved says that another flag or a reserved byte is set. The device
	// counts a frame error.
	ErrReserved error = dropError("reserved header bits set")

	// ErrLength says that the inner IP header is cut off. The device counts a
	// length error.
	ErrLength error = dropError("inner IP header cut off")

	// ErrECN says that the outer packet met congestion and the inner one cannot
	// say so. The device counts a frame error.
	ErrECN error = dropError("congestion mark for a transport without ECN")

	// ErrOuter says that the outer headers are malformed or their checksum is wrong. The
	// device never sees such a datagram.
	ErrOuter error = dropError("outer headers malformed")

	// ErrOwnMAC says that the inner source address is the device's own: the
	// frame came back. The device counts nothing.
	ErrOwnMAC error = dropError("inner source address is our own")
)

// The reasons not to send a frame.
var (
	ErrChecksum  = errors.New("tunnel: partial checksum outside of the frame")
	ErrAggregate = errors.New("tunnel: aggregate of a kind that cannot be cut")
)

// dropError is a reason to drop.
type dropError string

func (e dropError) Error() string { return "tunnel: " + string(e) }
func (e dropError) Unwrap() error { return ErrDrop }

const (
	ethLen  = 14
	udpLen  = 8
	ipv4Len = 20
	ipv6Len = 40

	flagVNI = 0x08 // the only flag, in the first byte

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
)

// Encap writes the VXLAN header with the low 24 bits of vni to the first
// HeaderLen bytes of hdr.
func Encap(hdr []byte, vni uint32) {
	binary.BigEndian.PutUint32(hdr, flagVNI<<24)
	binary.BigEndian.PutUint32(hdr[4:], vni<<8)
}

// Decap checks the payload of a UDP datagram and returns its VNI and the inner
// frame, which is part of b. The error is one of the reasons to drop.
func Decap(b []byte) (vni uint32, frame []byte, err error) {
	if len(b) < HeaderLen {
		return 0, nil, ErrShort
	}
	flags, id := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if flags&(flagVNI<<24) == 0 {
		return 0, nil, ErrNoVNI
	}
	if flags != flagVNI<<24 || id&0xff != 0 {
		return 0, nil, ErrReserved
	}
	frame = b[HeaderLen:]
	if len(frame) < ethLen {
		return 0, nil, ErrShort
	}
	switch etherType(frame) {
	case etherIPv4:
		if len(frame) < ethLen+ipv4Len {
			return 0, nil, ErrLength
		}
	case etherIPv6:
		if len(frame) < ethLen+ipv6Len {
			return 0, nil, ErrLength
		}
	}
	return id >> 8, frame, nil
}

// etherType needs an Ethernet header.
func etherType(frame []byte) uint16 { return binary.BigEndian.Uint16(frame[12:]) }
