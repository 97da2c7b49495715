package dissect

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Section says what wrote a capture.
type Section struct {
	Application string // "hooklab 1.2"; "hooklab" if empty
	OS          string
	Comment     string
}

// Writer writes a pcapng capture. Each block leaves in one Write, so that a reader
// at the other end of a pipe always sees whole packets; nothing is kept back. An
// error of the underlying writer is final. A Writer is not safe for concurrent use.
type Writer struct {
	w          io.Writer
	interfaces []Interface
	buf        []byte
	err        error
}

// NewWriter writes the section header.
func NewWriter(w io.Writer, s Section) (*Writer, error) {
	res := &Writer{w: w}
	if s.Application == "" {
		s.Application = "hooklab"
	}
	res.begin(ngSection)
	res.u32(ngByteOrder)
	res.u16(ngMajor)
	res.u16(0)
	res.u64(math.MaxUint64) // the section's length is unknown
	res.text(optComment, s.Comment)
	res.text(optOS, s.OS)
	res.text(optApplication, s.Application)
	return res, res.end()
}

// AddInterface describes an interface and returns its index. Interfaces may come
// between packets.
func (w *Writer) AddInterface(i Interface) (int, error) {
	if i.LinkType == 0 {
		i.LinkType = LinkEthernet
	}
	w.begin(ngInterface)
	w.u16(i.LinkType)
	w.u16(0)
	w.u32(i.SnapLen)
	w.text(optIfName, i.Name)
	w.text(optIfDesc, i.Description)
	w.option(optIfResolution, []byte{ngNanos})
	if err := w.end(); err != nil {
		return 0, fmt.Errorf("write interface %q: %w", i.Name, err)
	}
	w.interfaces = append(w.interfaces, i)
	return len(w.interfaces) - 1, nil
}

// Write writes a packet. Data beyond the interface's SnapLen is left out, and
// counted in the length on the wire. Times before 1970 cannot be written.
func (w *Writer) Write(r Record) error {
	if r.Interface < 0 || r.Interface >= len(w.interfaces) {
		return fmt.Errorf("write packet: interface %d of %d", r.Interface, len(w.interfaces))
	}
	ns := r.Time.UnixNano()
	if s := r.Time.Unix(); s < 0 || s >= math.MaxInt64/int64(time.Second) {
		return fmt.Errorf("write packet: time %v is not between 1970 and 2262", r.Time)
	}
	orig, data := max(r.OrigLen, len(r.Data)), r.Data
	if limit := w.interfaces[r.Interface].SnapLen; limit > 0 && uint64(len(data)) > uint64(limit) {
		data = data[:limit]
	}
	if len(data) > maxPacket || uint64(orig) > math.MaxUint32 {
		return fmt.Errorf("write packet: %d bytes, at most %d can be captured", len(data), maxPacket)
	}
	w.begin(ngEnhanced)
	w.u32(uint32(r.Interface))
	w.u32(uint32(uint64(ns) >> 32))
	w.u32(uint32(uint64(ns)))
	w.u32(uint32(len(data)))
	w.u32(uint32(orig))
	w.padded(data)
	for _, c := range r.Comments {
		w.text(optComment, c)
	}
	if r.Direction != DirectionUnknown {
		w.option(optFlags, binary.LittleEndian.AppendUint32(nil, uint32(r.Direction)&directionMask))
	}
	if r.ID != 0 {
		w.option(optPacketID, binary.LittleEndian.AppendUint64(nil, r.ID))
	}
	if err := w.end(); err != nil {
		return fmt.Errorf("write packet: %w", err)
	}
	return nil
}

// begin starts a block; its length is filled in by end.
func (w *Writer) begin(typ uint32) {
	w.buf = w.buf[:0]
	w.u32(typ)
	w.u32(0)
}

func (w *Writer) u16(v uint16) { w.buf = binary.LittleEndian.AppendUint16(w.buf, v) }
func (w *Writer) u32(v uint32) { w.buf = binary.LittleEndian.AppendUint32(w.buf, v) }
func (w *Writer) u64(v uint64) { w.buf = binary.LittleEndian.AppendUint64(w.buf, v) }

func (w *Writer) padded(b []byte) {
	w.buf = append(w.buf, b...)
	w.buf = append(w.buf, make([]byte, pad4(len(b))-len(b))...)
}

func (w *Writer) option(code uint16, value []byte) {
	w.u16(code)
	w.u16(uint16(len(value)))
	w.padded(value)
}

// text writes a string option, or nothing for an empty string. What is not UTF-8
// is replaced, what exceeds the format's 64 KiB is cut off with an ellipsis.
func (w *Writer) text(code uint16, s string) {
	if s == "" {
		return
	}
	const ellipsis = "…"
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > math.MaxUint16 {
		s = strings.ToValidUTF8(s[:math.MaxUint16-len(ellipsis)], "") + ellipsis
	}
	w.option(code, []byte(s))
}

// end finishes the block and writes it.
func (w *Writer) end() error {
	if w.err != nil {
		return w.err
	}
	w.u32(uint32(optEnd))
	n := uint32(len(w.buf) + 4)
	w.u32(n)
	binary.LittleEndian.PutUint32(w.buf[4:], n)
	_, w.err = w.w.Write(w.buf)
	return w.err
}
