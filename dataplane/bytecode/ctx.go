package bytecode

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
)

// Offsets of struct __sk_buff (linux/bpf.h).
const (
	ctxLen            = 0
	ctxPktType        = 4
	ctxMark           = 8
	ctxQueueMapping   = 12
	ctxProtocol       = 16
	ctxVLANPresent    = 20
	ctxVLANTCI        = 24
	ctxVLANProto      = 28
	ctxPriority       = 32
	ctxIngressIfindex = 36
	ctxIfindex        = 40
	ctxTCIndex        = 44
	ctxCB             = 48
	ctxHash           = 68
	ctxTCClassID      = 72
	ctxData           = 76
	ctxDataEnd        = 80
	ctxNAPIID         = 84
	ctxDataMeta       = 140
	ctxTstamp         = 152
	ctxWireLen        = 160
	ctxGSOSegs        = 164
	ctxGSOSize        = 176
	ctxTstampType     = 180
	ctxSize           = 192

	noQueueMapping = 0xffff
)

// metadata is what an sk_buff carries that a dataplane.Packet does not. It begins as
// zeros in each run.
type metadata struct {
	protocol uint16 // skb->protocol, network order
	classID  uint16
	priority uint32
	tstamp   uint64
	network  int    // offset of the network header
	wireLen  uint32 // of the frame as it came
}

// protocolOf is skb->protocol as eth_type_trans sets it, as the two bytes stand in memory.
func protocolOf(p *dataplane.Packet) uint16 {
	b := p.Load(12, 2)
	if b == nil {
		return 0
	}
	if binary.BigEndian.Uint16(b) < 0x0600 {
		return 0x0400 // ETH_P_802_2
	}
	return binary.LittleEndian.Uint16(b)
}

// field is the 32-bit field that begins at off.
func (m *machine) field(off uint32) (uint32, bool) {
	p := m.p
	switch off {
	case ctxLen:
		return uint32(len(p.Data)), true
	case ctxWireLen:
		return m.meta.wireLen, true
	case ctxPktType:
		return uint32(p.PktType), true
	case ctxMark:
		return p.Mark, true
	case ctxQueueMapping:
		return uint32(p.QueueMapping), true
	case ctxProtocol:
		return uint32(m.meta.protocol), true
	case ctxPriority:
		return m.meta.priority, true
	case ctxIngressIfindex:
		return p.IngressIfindex, true
	case ctxIfindex:
		return p.Ifindex, true
	case ctxTCIndex:
		return uint32(p.TCIndex), true
	case ctxHash:
		return p.Hash, true
	case ctxTCClassID:
		return uint32(m.meta.classID), true
	case ctxTstamp:
		return uint32(m.meta.tstamp), true
	case ctxTstamp + 4:
		return uint32(m.meta.tstamp >> 32), true
	case ctxGSOSize:
		return uint32(p.GSO.Size), true
	case ctxGSOSegs:
		return m.segments(), true
	case ctxVLANPresent, ctxVLANTCI, ctxVLANProto, ctxNAPIID, ctxTstampType:
		return 0, true
	}
	if off >= ctxCB && off < ctxHash {
		return p.CB[(off-ctxCB)/4], true
	}
	return 0, false
}

// segments is how many frames an aggregate will be.
func (m *machine) segments() uint32 {
	g := m.p.GSO
	if g.Type == 0 || g.Size == 0 {
		return 0
	}
	payload := max(0, len(m.p.Data)-int(g.HdrLen))
	return uint32((payload + int(g.Size) - 1) / int(g.Size))
}

// loadContext reads n bytes of the context, which must lie in one field or be two slots
// of cb.
func (m *machine) loadContext(off uint32, n uint64) uint64 {
	switch {
	case n == 4 && (off == ctxData || off == ctxDataMeta):
		return address(regionPacket, 0)
	case n == 4 && off == ctxDataEnd:
		return address(regionPacket, uint32(len(m.p.Data)))
	case n == 8 && off%4 == 0:
		lo, ok1 := m.field(off)
		hi, ok2 := m.field(off + 4)
		if wide := off == ctxTstamp || off >= ctxCB && off+8 <= ctxHash; wide && ok1 && ok2 {
			return uint64(lo) | uint64(hi)<<32
		}
	case n <= 4 && uint64(off)%n == 0:
		if v, ok := m.field(off &^ 3); ok {
			v >>= 8 * (off & 3)
			return uint64(v) & (1<<(8*n) - 1)
		}
	}
	m.failAccess("read", address(regionContext, off), n)
	return 0
}

// storeContext writes a field that the kernel lets classifiers write
// (tc_cls_act_is_valid_access).
func (m *machine) storeContext(off uint32, n, v uint64) {
	p := m.p
	switch {
	case off >= ctxCB && uint64(off)+n <= ctxHash && uint64(off)%n == 0 && (n < 8 || off%4 == 0):
		m.storeCB(off-ctxCB, n, v)
	case n == 8 && off == ctxTstamp:
		m.meta.tstamp = v
	case n != 4:
		m.failAccess("write", address(regionContext, off), n)
	case off == ctxMark:
		p.Mark = uint32(v)
	case off == ctxQueueMapping:
		if uint32(v) < noQueueMapping {
			p.QueueMapping = uint16(v)
		}
	case off == ctxPriority:
		m.meta.priority = uint32(v)
	case off == ctxTCIndex:
		p.TCIndex = uint16(v)
	case off == ctxTCClassID:
		m.meta.classID = uint16(v)
	default:
		m.failAccess("write", address(regionContext, off), n)
	}
}

func (m *machine) storeCB(off uint32, n, v uint64) {
	for i := range uint32(n) {
		slot, shift := (off+i)/4, 8*((off+i)%4)
		cb := &m.p.CB[slot]
		*cb = *cb&^(0xff<<shift) | uint32(byte(v))<<shift
		v >>= 8
	}
}
