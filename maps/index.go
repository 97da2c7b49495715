package maps

import (
	"math/bits"
	"unsafe"
)

const (
	// none is no slot: the end of a list, or a miss.
	none = ^uint32(0)
	// maxSlots bounds max_entries so that slots and none never meet.
	maxSlots = 1 << 30

	segmentMin  = 8    // slots of a segment's first table
	segmentMean = 2600 // entries of a segment in a full map: 63 % of 4096 slots
)

// index finds the slab slot of a key by the key's hash. It is an open hash table with linear probing, cut into segments
// that grow one by one, so that no insert ever rehashes more than a few thousand slots. A slot of it holds the low half
// of the hash and the slab slot plus one; zero is empty. Removing shifts later slots back, so there are no tombstones and
// churn needs neither memory nor rehashing.
type index struct {
	segs  []segment // a power of two
	shift uint8     // of a hash to its segment
}

type segment struct {
	slots []uint64
	used  uint32
}

// makeIndex returns an index for at most n entries. Only the directory is allocated.
func makeIndex(n uint32) index {
	b := bits.Len32(n / segmentMean)
	return index{segs: make([]segment, 1<<b), shift: uint8(64 - b)}
}

// seg returns the segment of hash h.
func (x *index) seg(h uint64) *segment {
	return &x.segs[h>>x.shift]
}

// put adds slot under hash h. The key must not be in the index yet.
func (x *index) put(h uint64, slot uint32) {
	s := x.seg(h)
	if int(s.used)*4 >= len(s.slots)*3 {
		s.grow()
	}
	s.place(uint64(uint32(h))<<32 | uint64(slot+1))
	s.used++
}

// del removes slot, which was put under hash h, and closes the gap behind it.
func (x *index) del(h uint64, slot uint32) {
	s := x.seg(h)
	mask := uint32(len(s.slots) - 1)
	i := uint32(h) & mask
	for uint32(s.slots[i]) != slot+1 {
		if s.slots[i] == 0 {
			return
		}
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; s.slots[j] != 0; j = (j + 1) & mask {
		home := uint32(s.slots[j]>>32) & mask
		// The word at j may move to the gap at i only if its home does not lie behind the gap.
		if (j-home)&mask >= (j-i)&mask {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = 0
	s.used--
}

func (s *segment) place(w uint64) {
	mask := uint32(len(s.slots) - 1)
	i := uint32(w>>32) & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = w
}

func (s *segment) grow() {
	old := s.slots
	s.slots = make([]uint64, max(segmentMin, 2*len(old)))
	for _, w := range old {
		if w != 0 {
			s.place(w)
		}
	}
}

// Odd constants with balanced bits, used to spread keys.
const (
	mix1 = 0x9e3779b97f4a7c15
	mix2 = 0xc2b2ae3d27d4eb4f
	mix3 = 0x165667b19e3779f9
)

// hash spreads the bytes of *k over 64 bits. The seed makes collisions unpredictable for whoever chooses the keys; since
// nothing that can be observed depends on the order inside the index, runs stay repeatable all the same.
//
// The loads do not overlap and follow the words that keys are stored in; see word.go. The size is known when this is
// compiled for a key, so that none of the conditions is left; most keys end before the loop.
func hash[K any](k *K, seed uint64) uint64 {
	p, n, i := unsafe.Pointer(k), unsafe.Sizeof(*k), uintptr(0)
	h := seed
	if n >= 16 {
		h = fold(load[uint64](p, 0)^mix2, load[uint64](p, 8)^h)
		i = 16
	}
	if n >= 32 {
		for ; n-i >= 16; i += 16 {
			h = fold(load[uint64](p, i)^mix2, load[uint64](p, i+8)^h)
		}
	}
	var a, b uint64
	if n&8 != 0 {
		a = load[uint64](p, i)
		i += 8
	}
	if n&4 != 0 {
		b = uint64(load[uint32](p, i)) << 32
		i += 4
	}
	if n&2 != 0 {
		b |= uint64(load[uint16](p, i)) << 8
		i += 2
	}
	if n&1 != 0 {
		b |= uint64(load[uint8](p, i))
	}
	return fold(a^mix1^seed, b^mix3^h>>32^h<<32)
}

// same says whether two keys have the same bytes, which it compares by the words that hash loads.
func same[K any](k, l *K) bool {
	p, q, n, i := unsafe.Pointer(k), unsafe.Pointer(l), unsafe.Sizeof(*k), uintptr(0)
	if n >= 8 {
		if load[uint64](p, 0) != load[uint64](q, 0) {
			return false
		}
		i = 8
	}
	if n >= 16 {
		if load[uint64](p, 8) != load[uint64](q, 8) {
			return false
		}
		i = 16
	}
	if n >= 24 {
		for ; n-i >= 8; i += 8 {
			if load[uint64](p, i) != load[uint64](q, i) {
				return false
			}
		}
	}
	if n&4 != 0 {
		if load[uint32](p, i) != load[uint32](q, i) {
			return false
		}
		i += 4
	}
	if n&2 != 0 {
		if load[uint16](p, i) != load[uint16](q, i) {
			return false
		}
		i += 2
	}
	return n&1 == 0 || load[uint8](p, i) == load[uint8](q, i)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func load[T any](p unsafe.Pointer, off uintptr) T { return *(*T)(unsafe.Add(p, off)) }
