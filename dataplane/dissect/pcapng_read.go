package dissect

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// ngReader reads pcapng. It is our own since pcapgo's reader does not return
// comments and flags, keeps eight bits of a link type, and panics on some
// malformed interfaces.
type ngReader struct {
	r     *bufio.Reader
	order binary.ByteOrder
	out   *Reader
	first int       // index of the section's first interface
	clock []ngClock // of the section's interfaces
}

// ngClock is how an interface counts time.
type ngClock struct {
	perSecond uint64
	offset    int64 // seconds
}

// begin reads the first section header.
func (r *ngReader) begin() error {
	typ, body, err := r.block()
	if err != nil {
		return fmt.Errorf("read pcapng section header: %w", unexpected(err))
	}
	if typ != ngSection {
		return fmt.Errorf("%w: block %#x where a section header is due", ErrFormat, typ)
	}
	return r.section(body)
}

// next returns the next packet and takes note of interfaces and sections before it.
func (r *ngReader) next() (Record, error) {
	for {
		typ, body, err := r.block()
		if err != nil {
			return Record{}, err
		}
		switch typ {
		case ngSection:
			err = r.section(body)
		case ngInterface:
			err = r.iface(body)
		case ngEnhanced:
			return r.enhanced(body)
		case ngSimple:
			return r.simple(body)
		case ngOldPacket:
			return Record{}, fmt.Errorf("%w: the obsolete packet block is not supported; convert the file with editcap", ErrFormat)
		}
		if err != nil {
			return Record{}, err
		}
	}
}

// block reads a block and returns its body. The error is io.EOF only if no byte of
// a block was there.
func (r *ngReader) block() (uint32, []byte, error) {
	var head [12]byte
	if n, err := io.ReadFull(r.r, head[:8]); err != nil {
		if n == 0 {
			return 0, nil, err
		}
		return 0, nil, fmt.Errorf("block header of %d bytes, want 8: %w", n, unexpected(err))
	}
	skip := 8
	if binary.LittleEndian.Uint32(head[:]) == ngSection {
		if _, err := io.ReadFull(r.r, head[8:12]); err != nil {
			return 0, nil, fmt.Errorf("section header: %w", unexpected(err))
		}
		skip = 12
		switch ngByteOrder {
		case binary.LittleEndian.Uint32(head[8:]):
			r.order = binary.LittleEndian
		case binary.BigEndian.Uint32(head[8:]):
			r.order = binary.BigEndian
		default:
			return 0, nil, fmt.Errorf("%w: byte order magic %x", ErrFormat, head[8:])
		}
	}
	typ, n := r.order.Uint32(head[:]), int64(r.order.Uint32(head[4:]))
	if n < int64(skip)+4 || n > maxBlock || n%4 != 0 {
		return 0, nil, fmt.Errorf("%w: block %#x of %d bytes", ErrFormat, typ, n)
	}
	body, err := io.ReadAll(io.LimitReader(r.r, n-int64(skip))) // grows with what is really there
	if err == nil && int64(skip+len(body)) < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, nil, fmt.Errorf("block %#x has %d of %d bytes: %w", typ, skip+len(body), n, err)
	}
	body, tail := body[:len(body)-4], body[len(body)-4:]
	if again := r.order.Uint32(tail); int64(again) != n {
		return 0, nil, fmt.Errorf("%w: block %#x of %d bytes ends with length %d", ErrFormat, typ, n, again)
	}
	return typ, body, nil
}

// section reads the body of a section header behind the byte order.
func (r *ngReader) section(b []byte) error {
	if len(b) < 12 {
		return fmt.Errorf("%w: section header of %d bytes", ErrFormat, ngFrame+len(b))
	}
	if major := r.order.Uint16(b); major != ngMajor {
		return fmt.Errorf("%w: pcapng version %d.%d, want %d", ErrFormat, major, r.order.Uint16(b[2:]), ngMajor)
	}
	r.first, r.clock = len(r.out.interfaces), nil
	return nil
}

func (r *ngReader) iface(b []byte) error {
	if len(b) < 8 {
		return fmt.Errorf("%w: interface description of %d bytes", ErrFormat, ngFrame+len(b))
	}
	i := Interface{LinkType: r.order.Uint16(b), SnapLen: r.order.Uint32(b[4:])}
	c := ngClock{perSecond: 1e6}
	err := r.options(b[8:], func(code uint16, v []byte) {
		switch {
		case code == optIfName:
			i.Name = string(v)
		case code == optIfDesc:
			i.Description = string(v)
		case code == optIfResolution && len(v) == 1:
			c.perSecond = perSecond(v[0])
		case code == optIfOffset && len(v) == 8:
			c.offset = int64(r.order.Uint64(v))
		}
	})
	if err == nil && c.perSecond == 0 {
		err = fmt.Errorf("%w: interface %q counts time too finely", ErrFormat, i.Name)
	}
	if err != nil {
		return err
	}
	r.out.interfaces = append(r.out.interfaces, i)
	r.clock = append(r.clock, c)
	return nil
}

// perSecond is the number of units in a second, a power of ten or, with the top
// bit, of two; 0 if it does not fit.
func perSecond(resolution uint8) uint64 {
	exp := int(resolution & 0x7f)
	if resolution&0x80 != 0 {
		return 1 << exp // 0 from 64 on
	}
	n := uint64(1)
	for range exp {
		hi, lo := bits.Mul64(n, 10)
		if hi != 0 {
			return 0
		}
		n = lo
	}
	return n
}

// at is the time of a count.
func (c ngClock) at(count uint64) time.Time {
	hi, lo := bits.Mul64(count%c.perSecond, 1e9)
	ns, _ := bits.Div64(hi, lo, c.perSecond)
	return time.Unix(int64(count/c.perSecond)+c.offset, int64(ns)).UTC()
}

func (r *ngReader) enhanced(b []byte) (Record, error) {
	if len(b) < 20 {
		return Record{}, fmt.Errorf("%w: enhanced packet block of %d bytes", ErrFormat, ngFrame+len(b))
	}
	id := r.order.Uint32(b)
	if uint64(id) >= uint64(len(r.clock)) {
		return Record{}, fmt.Errorf("%w: interface %d, the section has %d", ErrFormat, id, len(r.clock))
	}
	count := uint64(r.order.Uint32(b[4:]))<<32 | uint64(r.order.Uint32(b[8:]))
	n := r.order.Uint32(b[12:])
	if n > maxPacket || pad4(int(n)) > len(b)-20 {
		return Record{}, fmt.Errorf("%w: %d bytes captured in a block with room for %d", ErrFormat, n, len(b)-20)
	}
	rec := Record{
		Interface: r.first + int(id), Time: r.clock[id].at(count),
		Data: b[20 : 20+n : 20+n], OrigLen: int(r.order.Uint32(b[16:])),
	}
	err := r.options(b[20+pad4(int(n)):], func(code uint16, v []byte) {
		switch {
		case code == optComment:
			rec.Comments = append(rec.Comments, string(v))
		case code == optFlags && len(v) == 4:
			rec.Direction = Direction(r.order.Uint32(v) & directionMask)
		case code == optPacketID && len(v) == 8:
			rec.ID = r.order.Uint64(v)
		}
	})
	return rec, err
}

// simple reads a simple packet block: of the first interface, without a time.
func (r *ngReader) simple(b []byte) (Record, error) {
	if len(b) < 4 {
		return Record{}, fmt.Errorf("%w: simple packet block of %d bytes", ErrFormat, ngFrame+len(b))
	}
	if len(r.clock) == 0 {
		return Record{}, fmt.Errorf("%w: packet in a section without interfaces", ErrFormat)
	}
	orig := r.order.Uint32(b)
	n := min(uint64(orig), uint64(len(b)-4), maxPacket)
	if limit := r.out.interfaces[r.first].SnapLen; limit > 0 {
		n = min(n, uint64(limit))
	}
	return Record{Interface: r.first, Data: b[4 : 4+n : 4+n], OrigLen: int(orig)}, nil
}

// options calls f for each option of a block.
func (r *ngReader) options(b []byte, f func(code uint16, value []byte)) error {
	for len(b) >= 4 {
		code, n := r.order.Uint16(b), int(r.order.Uint16(b[2:]))
		if code == optEnd {
			return nil
		}
		if b = b[4:]; pad4(n) > len(b) {
			return fmt.Errorf("%w: option %d of %d bytes where %d are left", ErrFormat, code, n, len(b))
		}
		f(code, b[:n:n])
		b = b[pad4(n):]
	}
	return nil
}
