package bytecode

import (
	"encoding/binary"
	"math/bits"
)

// The sums here are over 16-bit and 32-bit words as they stand in memory, read little endian, as the kernel's are
// on such a machine; the ones' complement sum does not mind.

// Flags of the checksum helpers (linux/bpf.h).
const (
	csumFieldMask    = 0x0f
	csumPseudoHeader = 0x10
	csumMarkMangled0 = 0x20
	csumMarkEnforce  = 0x40
	csumIPv6         = 0x80
)

func csumAdd(a, b uint32) uint32 {
	s, carry := bits.Add32(a, b, 0)
	return s + carry
}

func csumSub(a, b uint32) uint32 { return csumAdd(a, ^b) }

func csumFold(s uint32) uint16 {
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	return ^uint16(s)
}

// csumReplace4 is csum_replace4.
func csumReplace4(sum uint16, from, to uint32) uint16 {
	return csumFold(csumAdd(csumSub(^uint32(sum), from), to))
}

// csumReplace2 is csum_replace2, in 16-bit arithmetic.
func csumReplace2(sum, from, to uint16) uint16 {
	return ^csum16Add(csum16Add(^sum, ^from), to)
}

func csum16Add(a, b uint16) uint16 {
	s := a + b
	if s < b {
		s++
	}
	return s
}

// csumByDiff is csum_replace_by_diff.
func csumByDiff(sum uint16, diff uint32) uint16 { return csumFold(csumAdd(diff, ^uint32(sum))) }

// csumPartial is csum_partial: the sum of 32-bit words on top of seed.
func csumPartial(b []byte, seed uint32) uint32 {
	s := uint64(seed)
	for ; len(b) >= 4; b = b[4:] {
		s += uint64(binary.LittleEndian.Uint32(b))
	}
	s = s&0xffffffff + s>>32
	return uint32(s&0xffffffff + s>>32)
}

// csum32To16 is csum_from32to16.
func csum32To16(s uint32) uint64 { return uint64(uint16((s + bits.RotateLeft32(s, 16)) >> 16)) }

// csumDiff is bpf_csum_diff, folded to 16 bits as kernels from 6.13 on do it, which every use of it allows.
func (m *machine) csumDiff(from, fromSize, to, toSize, seed uint64) uint64 {
	if (fromSize|toSize)&3 != 0 {
		return errEINVAL
	}
	f := m.arg(1, "read", from, fromSize)
	t := m.arg(3, "read", to, toSize)
	if m.fault != nil {
		return 0
	}
	s := uint32(seed)
	switch {
	case f != nil && t != nil:
		return csum32To16(csumSub(csumPartial(t, s), csumPartial(f, 0)))
	case t != nil:
		return csum32To16(csumPartial(t, s))
	case f != nil:
		return csum32To16(^csumPartial(f, ^s))
	}
	return csum32To16(s)
}

// csumField is the checksum field at an offset of the frame, or nil.
func (m *machine) csumField(off uint64) []byte {
	if off = uint64(uint32(off)); off > 0xffff || off&1 != 0 {
		return nil
	}
	return m.p.Load(int(off), 2)
}

// l3CsumReplace is bpf_l3_csum_replace.
func (m *machine) l3CsumReplace(ctx, off, from, to, flags uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	if flags&^csumFieldMask != 0 {
		return errEINVAL
	}
	b := m.csumField(off)
	if b == nil {
		return errEFAULT
	}
	sum := binary.LittleEndian.Uint16(b)
	switch flags & csumFieldMask {
	case 0:
		if from != 0 {
			return errEINVAL
		}
		sum = csumByDiff(sum, uint32(to))
	case 2:
		sum = csumReplace2(sum, uint16(from), uint16(to))
	case 4:
		sum = csumReplace4(sum, uint32(from), uint32(to))
	default:
		return errEINVAL
	}
	binary.LittleEndian.PutUint16(b, sum)
	return 0
}

// l4CsumReplace is bpf_l4_csum_replace. A checksum that is still to be completed holds the sum of the pseudo
// header alone, not complemented, so it only follows changes of that.
func (m *machine) l4CsumReplace(ctx, off, from, to, flags uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	if m.fails(FailL4Csum) {
		return errENOMEM
	}
	if flags&^(csumFieldMask|csumPseudoHeader|csumMarkMangled0|csumMarkEnforce|csumIPv6) != 0 {
		return errEINVAL
	}
	b := m.csumField(off)
	if b == nil {
		return errEFAULT
	}
	sum := binary.LittleEndian.Uint16(b)
	mangled := flags&csumMarkMangled0 != 0
	if mangled && flags&csumMarkEnforce == 0 && sum == 0 {
		return 0
	}
	partial, pseudo := m.p.Csum.Partial, flags&csumPseudoHeader != 0
	switch flags & csumFieldMask {
	case 0:
		if from != 0 {
			return errEINVAL
		}
		switch {
		case !partial:
			sum = csumByDiff(sum, uint32(to))
		case pseudo:
			sum = ^csumFold(csumAdd(uint32(to), uint32(sum)))
		}
	case 2, 4:
		f, t := uint32(from), uint32(to)
		if flags&csumFieldMask == 2 {
			f, t = uint32(uint16(from)), uint32(uint16(to))
		}
		switch {
		case !partial:
			sum = csumReplace4(sum, f, t)
		case pseudo:
			sum = ^csumFold(csumAdd(csumSub(uint32(sum), f), t))
		}
	default:
		return errEINVAL
	}
	if mangled && sum == 0 {
		sum = 0xffff // CSUM_MANGLED_0
	}
	binary.LittleEndian.PutUint16(b, sum)
	return 0
}

// csumUpdate is bpf_csum_update, which only serves frames whose sum the device has computed; there are none.
func (m *machine) csumUpdate(_, _, _, _, _ uint64) uint64 { return errENOTSUPP }
