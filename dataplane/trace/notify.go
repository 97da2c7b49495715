package trace

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hooklab/hooklab/dataplane/code"
)

// Notification types and header sizes (SPEC 12.4).
const (
	TypeDrop    uint8 = 1
	TypeTrace   uint8 = 4
	TypeVerdict uint8 = 5

	commonSize  = 16
	DropSize    = 32
	TraceSize   = 48
	VerdictSize = 32

	notifyVersion = 1
)

// ErrShort is what DecodeNotification wraps when bytes are missing.
var ErrShort = errors.New("notification too short")

// Common is the part that all notifications begin with.
type Common struct {
	Type    uint8
	Subtype uint8  // drop reason, or trace point
	Source  uint16 // endpoint whose program speaks
	Hash    uint32 // skb->hash
	Len     uint32 // of the frame
	CapLen  uint16 // captured bytes that follow the header
}

// Drop is a drop notification: the frame was dropped for reason Subtype.
type Drop struct {
	Common
	SrcLabel, DstLabel, DstID uint32
	Line                      uint16
	File                      uint8
	ExtError                  int8
}

// Trace is a trace notification: the frame passed point Subtype.
type Trace struct {
	Common
	SrcLabel, DstLabel uint32
	DstID              uint16 // endpoint, or proxy port in host order
	Reason             code.CTStatus
	Flags              uint8 // bit 0: IPv6
	Ifindex            uint32
	OrigIP             [16]byte // IPv4 source in the first four bytes
}

// Verdict is a policy verdict notification.
type Verdict struct {
	Common
	RemoteLabel uint32
	Verdict     int32
	DstPort     uint16 // host order
	Proto       uint8
	Dir         code.Dir
	Match       code.MatchType
	Audited     bool
}

// begin reserves a notification and writes its common part.
func (r *Ring) begin(size int, c Common, frame []byte) []byte {
	b := r.put(size, frame[:c.CapLen])
	if b == nil {
		return nil
	}
	b[0], b[1] = c.Type, c.Subtype
	binary.LittleEndian.PutUint16(b[2:], c.Source)
	binary.LittleEndian.PutUint32(b[4:], c.Hash)
	binary.LittleEndian.PutUint32(b[8:], c.Len)
	binary.LittleEndian.PutUint16(b[12:], c.CapLen)
	binary.LittleEndian.PutUint16(b[14:], notifyVersion)
	return b
}

// capture sets the lengths: the frame's, and that of a capture of at most limit.
func (c *Common) capture(frame []byte, limit uint32) {
	c.Len = uint32(len(frame))
	c.CapLen = uint16(min(c.Len, limit, MaxCapture))
}

// Drop appends a drop notification with a capture of at most limit bytes. The
// caller fills Subtype, Source and Hash of the common part.
func (r *Ring) Drop(n Drop, frame []byte, limit uint32) {
	n.Type = TypeDrop
	n.capture(frame, limit)
	b := r.begin(DropSize, n.Common, frame)
	if b == nil {
		return
	}
	binary.LittleEndian.PutUint32(b[16:], n.SrcLabel)
	binary.LittleEndian.PutUint32(b[20:], n.DstLabel)
	binary.LittleEndian.PutUint32(b[24:], n.DstID)
	binary.LittleEndian.PutUint16(b[28:], n.Line)
	b[30], b[31] = n.File, byte(n.ExtError)
}

// Trace appends a trace notification; see Drop.
func (r *Ring) Trace(n Trace, frame []byte, limit uint32) {
	n.Type = TypeTrace
	n.capture(frame, limit)
	b := r.begin(TraceSize, n.Common, frame)
	if b == nil {
		return
	}
	binary.LittleEndian.PutUint32(b[16:], n.SrcLabel)
	binary.LittleEndian.PutUint32(b[20:], n.DstLabel)
	binary.LittleEndian.PutUint16(b[24:], n.DstID)
	b[26], b[27] = uint8(n.Reason), n.Flags
	binary.LittleEndian.PutUint32(b[28:], n.Ifindex)
	copy(b[32:48], n.OrigIP[:])
}

// Verdict appends a policy verdict notification; see Drop.
func (r *Ring) Verdict(n Verdict, frame []byte, limit uint32) {
	n.Type = TypeVerdict
	n.capture(frame, limit)
	b := r.begin(VerdictSize, n.Common, frame)
	if b == nil {
		return
	}
	binary.LittleEndian.PutUint32(b[16:], n.RemoteLabel)
	binary.LittleEndian.PutUint32(b[20:], uint32(n.Verdict))
	binary.LittleEndian.PutUint16(b[24:], n.DstPort)
	b[26] = n.Proto
	b[27] = uint8(n.Dir)&3 | uint8(n.Match)&7<<3
	if n.Audited {
		b[27] |= 1 << 6
	}
}

// DecodeNotification reads a raw notification into a Drop, Trace or Verdict and
// returns the captured bytes that follow it.
func DecodeNotification(b []byte) (n any, capture []byte, err error) {
	if len(b) < commonSize {
		return nil, nil, fmt.Errorf("%w: %d bytes, want %d", ErrShort, len(b), commonSize)
	}
	c := Common{
		Type: b[0], Subtype: b[1], Source: binary.LittleEndian.Uint16(b[2:]), Hash: binary.LittleEndian.Uint32(b[4:]),
		Len: binary.LittleEndian.Uint32(b[8:]), CapLen: binary.LittleEndian.Uint16(b[12:]),
	}
	var size int
	switch c.Type {
	case TypeDrop:
		size = DropSize
	case TypeTrace:
		size = TraceSize
	case TypeVerdict:
		size = VerdictSize
	default:
		return nil, nil, fmt.Errorf("notification type %d: want %d, %d or %d", c.Type, TypeDrop, TypeTrace, TypeVerdict)
	}
	if len(b) < size+int(c.CapLen) {
		return nil, nil, fmt.Errorf("%w: %d bytes, want %d", ErrShort, len(b), size+int(c.CapLen))
	}
	capture = b[size : size+int(c.CapLen)]
	switch c.Type {
	case TypeDrop:
		return Drop{
			Common: c, SrcLabel: binary.LittleEndian.Uint32(b[16:]), DstLabel: binary.LittleEndian.Uint32(b[20:]),
			DstID: binary.LittleEndian.Uint32(b[24:]), Line: binary.LittleEndian.Uint16(b[28:]), File: b[30], ExtError: int8(b[31]),
		}, capture, nil
	case TypeTrace:
		return Trace{
			Common: c, SrcLabel: binary.LittleEndian.Uint32(b[16:]), DstLabel: binary.LittleEndian.Uint32(b[20:]),
			DstID: binary.LittleEndian.Uint16(b[24:]), Reason: code.CTStatus(b[26]), Flags: b[27],
			Ifindex: binary.LittleEndian.Uint32(b[28:]), OrigIP: [16]byte(b[32:48]),
		}, capture, nil
	}
	return Verdict{
		Common: c, RemoteLabel: binary.LittleEndian.Uint32(b[16:]), Verdict: int32(binary.LittleEndian.Uint32(b[20:])),
		DstPort: binary.LittleEndian.Uint16(b[24:]), Proto: b[26], Dir: code.Dir(b[27] & 3),
		Match: code.MatchType(b[27] >> 3 & 7), Audited: b[27]&(1<<6) != 0,
	}, capture, nil
}
