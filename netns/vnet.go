package netns

import "encoding/binary"

// vnetHdrLen is the length of struct virtio_net_hdr_mrg_rxbuf, little endian.
const vnetHdrLen = 12

// Values of VNetHdr, see linux/virtio_net.h.
const (
	VNetNeedsCsum uint8 = 1 // Flags: the checksum is not finished yet
	VNetDataValid uint8 = 2 // Flags: the checksum has been verified

	VNetGSONone  uint8 = 0 // GSOType
	VNetGSOTCPv4 uint8 = 1
	VNetGSOTCPv6 uint8 = 4
	VNetGSOUDPL4 uint8 = 5
	VNetGSOECN   uint8 = 0x80 // added to a TCP type
)

// VNetHdr is the virtio header of a frame. The zero value says that the frame is
// complete.
type VNetHdr struct {
	Flags      uint8
	GSOType    uint8
	HdrLen     uint16 // bytes of headers in front of the segmented payload
	GSOSize    uint16 // payload bytes of each segment
	CsumStart  uint16 // where summing starts, from the start of the frame
	CsumOffset uint16 // where the sum belongs, from CsumStart
}

func parseVNetHdr(b []byte) VNetHdr {
	return VNetHdr{
		Flags:      b[0],
		GSOType:    b[1],
		HdrLen:     binary.LittleEndian.Uint16(b[2:]),
		GSOSize:    binary.LittleEndian.Uint16(b[4:]),
		CsumStart:  binary.LittleEndian.Uint16(b[6:]),
		CsumOffset: binary.LittleEndian.Uint16(b[8:]),
	}
}

func (h VNetHdr) put(b []byte) {
	b[0], b[1] = h.Flags, h.GSOType
	binary.LittleEndian.PutUint16(b[2:], h.HdrLen)
	binary.LittleEndian.PutUint16(b[4:], h.GSOSize)
	binary.LittleEndian.PutUint16(b[6:], h.CsumStart)
	binary.LittleEndian.PutUint16(b[8:], h.CsumOffset)
	b[10], b[11] = 0, 0
}
