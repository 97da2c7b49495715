package dissect

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Link types of captures (the registry at tcpdump.org/linktypes.html).
const (
	LinkEthernet uint16 = 1
	LinkRaw      uint16 = 101 // IP without a link header
	LinkSLL      uint16 = 113 // Linux "cooked": tcpdump -i any
	LinkSLL2     uint16 = 276 // the same, version 2
)

// ErrFormat is what reading wraps when the input is no capture, or breaks the
// rules of its format. A capture that merely ends too early gives an error that
// wraps io.ErrUnexpectedEOF instead.
var ErrFormat = errors.New("not a valid capture")

// Direction of a packet, as seen from its interface; the values are those of
// epb_flags.
type Direction uint8

// Directions.
const (
	DirectionUnknown Direction = 0
	Inbound          Direction = 1
	Outbound         Direction = 2
)

// Interface is where packets were captured.
type Interface struct {
	Name        string
	Description string
	LinkType    uint16 // 0 is written as LinkEthernet
	SnapLen     uint32 // longest capture in bytes; 0: no limit
}

// Record is a packet of a capture.
type Record struct {
	Interface int       // index of its Interface; 0 in a pcap file
	Time      time.Time // to the nanosecond, in UTC; zero if the capture does not tell
	Data      []byte    // as captured
	OrigLen   int       // length on the wire; written as len(Data) if less than that
	Direction Direction
	ID        uint64   // the same for one packet at several interfaces; 0: none
	Comments  []string // none in a pcap file
}

// Limits of what a file can make us allocate. Wireshark's limit for a packet is the
// same.
const (
	maxPacket = 256 << 10
	maxBlock  = 16 << 20
)

const (
	pcapHeaderSize  = 24
	pcapRecordSize  = 16
	pcapMagicMicros = 0xa1b2c3d4
	pcapMagicNanos  = 0xa1b23c4d
)

// Reader reads packets of a pcap or pcapng capture, gzipped or not. It reads
// ahead, and never goes back: a pipe will do.
type Reader struct {
	next       func() (Record, error)
	interfaces []Interface
	count      int   // packets so far
	err        error // is final
}

// NewReader reads the head of a capture. The error says what the input is instead,
// if it is none.
func NewReader(r io.Reader) (*Reader, error) {
	br := bufio.NewReader(r)
	if b, err := br.Peek(2); err == nil && b[0] == 0x1f && b[1] == 0x8b {
		zr, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("read gzipped capture: %w", err)
		}
		br = bufio.NewReader(zr)
	}
	magic, err := br.Peek(4)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read capture of %d bytes, the shortest has %d: %w", len(magic), pcapHeaderSize, io.ErrUnexpectedEOF)
		}
		return nil, fmt.Errorf("read capture: %w", err)
	}
	res := &Reader{}
	switch le, be := binary.LittleEndian.Uint32(magic), binary.BigEndian.Uint32(magic); {
	case le == ngSection:
		ng := ngReader{r: br, out: res}
		res.next = ng.next
		err = ng.begin()
	case le == pcapMagicMicros, le == pcapMagicNanos:
		err = res.beginPcap(br, binary.LittleEndian)
	case be == pcapMagicMicros, be == pcapMagicNanos:
		err = res.beginPcap(br, binary.BigEndian)
	default:
		err = fmt.Errorf("%w: begins with %x, want the magic number of pcap or pcapng", ErrFormat, magic)
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// Interfaces are those that have been met so far, in all sections of the file. A
// pcap file has one without a name.
func (r *Reader) Interfaces() []Interface { return r.interfaces }

// Next reads a packet; the record is the caller's. The error is io.EOF at the end.
// Another error names the packet that could not be read; those before it are good.
// After an error Next returns the same again.
func (r *Reader) Next() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	rec, err := r.next()
	if err != nil {
		r.err = err
		if !errors.Is(err, io.EOF) {
			r.err = fmt.Errorf("read packet %d of the capture: %w", r.count+1, err)
		}
		return Record{}, r.err
	}
	r.count++
	return rec, nil
}

// ReadAll reads a whole capture. With an error it returns what came before it.
func ReadAll(r io.Reader) ([]Interface, []Record, error) {
	c, err := NewReader(r)
	if err != nil {
		return nil, nil, err
	}
	var out []Record
	for {
		rec, err := c.Next()
		if errors.Is(err, io.EOF) {
			return c.Interfaces(), out, nil
		}
		if err != nil {
			return c.Interfaces(), out, err
		}
		out = append(out, rec)
	}
}

// beginPcap reads the header of a pcap file.
func (r *Reader) beginPcap(br *bufio.Reader, order binary.ByteOrder) error {
	var h [pcapHeaderSize]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return fmt.Errorf("read pcap header: %w", unexpected(err))
	}
	if major, minor := order.Uint16(h[4:]), order.Uint16(h[6:]); major != 2 || minor != 4 {
		return fmt.Errorf("%w: pcap header: version %d.%d, want 2.4", ErrFormat, major, minor)
	}
	r.interfaces = []Interface{{LinkType: uint16(order.Uint32(h[20:])), SnapLen: order.Uint32(h[16:])}}
	unit := time.Microsecond
	if order.Uint32(h[:]) == pcapMagicNanos {
		unit = time.Nanosecond
	}
	r.next = func() (Record, error) { return readPcap(br, order, unit) }
	return nil
}

// readPcap reads a packet of a pcap file. The snap length that the file states counts
// for nothing: some writers exceed it, or state 0.
func readPcap(br *bufio.Reader, order binary.ByteOrder, unit time.Duration) (Record, error) {
	var h [pcapRecordSize]byte
	switch n, err := io.ReadFull(br, h[:]); {
	case n == 0 && errors.Is(err, io.EOF):
		return Record{}, io.EOF
	case err != nil:
		return Record{}, fmt.Errorf("packet header: %w", unexpected(err))
	}
	captured, length := order.Uint32(h[8:]), order.Uint32(h[12:])
	switch {
	case captured > maxPacket:
		return Record{}, fmt.Errorf("%w: a packet of %d bytes, at most %d", ErrFormat, captured, maxPacket)
	case captured > length:
		return Record{}, fmt.Errorf("%w: %d bytes captured of a packet of %d", ErrFormat, captured, length)
	}
	data := make([]byte, captured)
	if _, err := io.ReadFull(br, data); err != nil {
		return Record{}, fmt.Errorf("packet of %d bytes: %w", captured, unexpected(err))
	}
	at := time.Unix(int64(order.Uint32(h[:])), int64(order.Uint32(h[4:]))*int64(unit)).UTC()
	return Record{Time: at, Data: data, OrigLen: int(length)}, nil
}

// unexpected makes an end of input an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
