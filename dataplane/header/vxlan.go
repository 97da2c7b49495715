package header

import "encoding/binary"

// VXLAN header (RFC 7348).
const (
	VXLANSize       = 8
	VXLANFlagI byte = 0x08

	vxlanVNI = 4
)

// VXLAN is a view of a VXLAN header of VXLANSize bytes.
type VXLAN []byte

// Flags is the first byte; only VXLANFlagI is defined.
func (v VXLAN) Flags() byte { return v[0] }

// VNI is the 24-bit network identifier; Cilium carries the identity in it.
func (v VXLAN) VNI() uint32 { return binary.BigEndian.Uint32(v[vxlanVNI:]) >> 8 }

// Encode writes a whole header: the I flag, the VNI, all else zero.
func (v VXLAN) Encode(vni uint32) {
	binary.BigEndian.PutUint32(v[0:], uint32(VXLANFlagI)<<24)
	binary.BigEndian.PutUint32(v[vxlanVNI:], vni<<8)
}
