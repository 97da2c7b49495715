package netns

import "encoding/binary"

// Lengths of the virtio header, little endian: struct virtio_net_hdr of packet
// sockets, virtio_net_hdr_mrg_rxbuf of TAP devices, and virtio_net_hdr_v1_hash_tunnel
// of those with tunnel offloads.
const (
	vnetHdrPacket = 10
	vnetHdrTAP    = 12
	vnetHdrTunnel = 24
)

// Values of VNetHdr, see linux/virtio_net.h.
const (
	VNetNeedsCsum uint8 = 1 // Flags: the checksum is not finished yet
	VNetDataValid uint8 = 2 // Flags: the checksum has been verified

	VNetGSONone  uint8 = 0 // GSOType
	VNetGSOTCPv4 uint8 = 1
	VNetGSOTCPv6 uint8 = 4
	VNetGSOUDPL4 uint8 = 5
	VNetGSOECN   uint8 = 0x80 // added to a TCP type

	// VNetGSOUDPTunnel is added to the type of the inner aggregate if outer IPv4 and
	// UDP headers are around it.
	VNetGSOUDPTunnel uint8 = 0x20
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

	// Of a frame in a tunnel, on ports with tunnel offloads: from the start of the frame.
	OuterTransport uint16 // outer UDP header
	InnerNetwork   uint16 // inner IP header
}

func parseVNetHdr(b []byte) VNetHdr {
	h := VNetHdr{
		Flags:      b[0],
		GSOType:    b[1],
		HdrLen:     binary.LittleEndian.Uint16(b[2:]),
		GSOSize:    binary.LittleEndian.Uint16(b[4:]),
		CsumStart:  binary.LittleEndian.Uint16(b[6:]),
		CsumOffset: binary.LittleEndian.Uint16(b[8:]),
	}
	if len(b) == vnetHdrTunnel {
		h.OuterTransport = binary.LittleEndian.Uint16(b[20:])
		h.InnerNetwork = binary.LittleEndian.Uint16(b[22:])
	}
	return h
}

func (h *VNetHdr) put(b []byte) {
	b[0], b[1] = h.Flags, h.GSOType
	binary.LittleEndian.PutUint16(b[2:], h.HdrLen)
	binary.LittleEndian.PutUint16(b[4:], h.GSOSize)
	binary.LittleEndian.PutUint16(b[6:], h.CsumStart)
	binary.LittleEndian.PutUint16(b[8:], h.CsumOffset)
	clear(b[vnetHdrPacket:])
	if len(b) == vnetHdrTunnel {
		binary.LittleEndian.PutUint16(b[20:], h.OuterTransport)
		binary.LittleEndian.PutUint16(b[22:], h.InnerNetwork)
	}
}
