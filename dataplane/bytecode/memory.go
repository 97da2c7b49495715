package bytecode

import (
	"encoding/binary"
	"unsafe"
)

// An address is a region in its upper half and an offset in its lower half. Region 0 has no
// memory, so that small numbers are no addresses.
const (
	regionContext = 1
	regionPacket  = 2
	regionStack   = 3
	firstRegion   = 4 // of what objects bring: maps, and memory that lives as long as they
)

func address(region uint32, off uint32) uint64 { return uint64(region)<<32 | uint64(off) }

// region is memory that a program may read up to size and write up to writable bytes. One
// without memory stands for something that helpers know: the context, a map.
type region struct {
	base           unsafe.Pointer
	size, writable uint32
}

// regionOf makes memory a region that may be written. The region keeps the memory alive.
func regionOf(b []byte) region {
	return region{base: unsafe.Pointer(unsafe.SliceData(b)), size: uint32(len(b)), writable: uint32(len(b))}
}

// add makes b addressable until the end of the run and returns its address.
func (m *machine) add(b []byte) uint64 {
	if len(m.regions) >= maxRegions {
		m.fail("more than %d references to map entries", maxRegions)
		return 0
	}
	m.regions = append(m.regions, regionOf(b))
	return address(uint32(len(m.regions)-1), 0)
}

// maxRegions bounds the entries that one run may refer to.
const maxRegions = 1 << 20

// read is n bytes at an address, or nil.
func (m *machine) read(addr, n uint64) []byte {
	id, off := addr>>32, addr&0xffffffff
	if id >= uint64(len(m.regions)) {
		return nil
	}
	g := &m.regions[id]
	if n > uint64(g.size) || off > uint64(g.size)-n {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(g.base, off)), n)
}

// write is n writable bytes at an address, or nil.
func (m *machine) write(addr, n uint64) []byte {
	id, off := addr>>32, addr&0xffffffff
	if id >= uint64(len(m.regions)) {
		return nil
	}
	g := &m.regions[id]
	if n > uint64(g.writable) || off > uint64(g.writable)-n {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(g.base, off)), n)
}

// slow does the memory access of in where the interpreter could not: fields of the
// context, atomic operations, loads by cBPF's rules. Otherwise it is a fault. exit says that the
// program ends here.
func (m *machine) slow(in *inst, r *registers, fp uint64) (exit bool) {
	r[regFP] = fp
	switch in.op {
	case opLdx8, opLdx16, opLdx32, opLdx64, opLdxS8, opLdxS16, opLdxS32:
		addr := r[in.src&15] + uint64(int64(in.off))
		n := widthOf(in.op)
		v := m.load(addr, n)
		switch in.op {
		case opLdxS8:
			v = uint64(int64(int8(v)))
		case opLdxS16:
			v = uint64(int64(int16(v)))
		case opLdxS32:
			v = uint64(int64(int32(v)))
		default:
		}
		r[in.dst&15] = v
	case opStx8, opStx16, opStx32, opStx64:
		m.storeAt(r[in.dst&15]+uint64(int64(in.off)), widthOf(in.op), r[in.src&15])
	case opSt8, opSt16, opSt32, opSt64:
		m.storeAt(r[in.dst&15]+uint64(int64(in.off)), widthOf(in.op), in.imm)
	case opAtomic, opXadd32, opXadd64:
		m.atomic(in, r)
	case opLdAbs, opLdInd:
		off := int64(int32(in.imm))
		if in.op == opLdInd {
			off = int64(int32(uint32(in.imm) + uint32(r[in.src&15])))
		}
		v, ok := m.loadPacket(off, int(in.off))
		if !ok {
			r[0] = 0
			return true
		}
		r[0] = v
	default:
		m.fail("not an instruction")
	}
	return m.fault != nil
}

// load reads from the context or from memory.
func (m *machine) load(addr, n uint64) uint64 {
	if addr>>32 == regionContext {
		return m.loadContext(uint32(addr), n)
	}
	b := m.read(addr, n)
	if b == nil {
		m.failAccess("read", addr, n)
		return 0
	}
	return loadBytes(b)
}

// widthOf is the width of a memory instruction's operand.
func widthOf(o op) uint64 {
	switch o {
	case opLdx8, opLdxS8, opStx8, opSt8:
		return 1
	case opLdx16, opLdxS16, opStx16, opSt16:
		return 2
	case opLdx64, opStx64, opSt64:
		return 8
	default:
		return 4
	}
}

func loadBytes(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	default:
		return binary.LittleEndian.Uint64(b)
	}
}

func storeBytes(b []byte, v uint64) {
	switch len(b) {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	default:
		binary.LittleEndian.PutUint64(b, v)
	}
}

func (m *machine) storeAt(addr, n, v uint64) {
	if addr>>32 == regionContext {
		m.storeContext(uint32(addr), n, v)
		return
	}
	b := m.write(addr, n)
	if b == nil {
		m.failAccess("write", addr, n)
		return
	}
	storeBytes(b, v)
}

// loadPacket is BPF_LD | BPF_ABS: big-endian, from the frame's start, or from the link or
// network header for cBPF's negative offsets (linux/filter.h SKF_LL_OFF, SKF_NET_OFF).
func (m *machine) loadPacket(off int64, n int) (uint64, bool) {
	const netOff, llOff = -0x100000, -0x200000
	switch {
	case off >= 0:
	case off >= netOff:
		off += -netOff + int64(m.meta.network)
	case off >= llOff:
		off += -llOff
	default:
		return 0, false
	}
	b := m.p.Load(int(off), n)
	switch {
	case b == nil:
		return 0, false
	case n == 1:
		return uint64(b[0]), true
	case n == 2:
		return uint64(binary.BigEndian.Uint16(b)), true
	}
	return uint64(binary.BigEndian.Uint32(b)), true
}
