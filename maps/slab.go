package maps

import "math/bits"

const (
	chunkMinBits = 3  // the first chunk has 8 entries,
	chunkMaxBits = 12 // from slot 4096 on a chunk has 4096
	chunkSmall   = chunkMaxBits - chunkMinBits + 1
)

// entry is one element of a map. prev and next chain entries by age in an LRU map, prev towards the most recent; next
// also chains free slots.
type entry[K comparable, V any] struct {
	key        K
	val        V
	prev, next uint32
	mark       uint64
}

// liveBit in entry.mark says that the entry is in the map. The other bits are the epoch of the record which has seen the
// entry last; with liveBit clear they say which record keeps the slot for a rollback, 0 being none: the slot is free.
const liveBit = 1 << 63

// slab keeps entries in chunks that never move, so pointers to entries survive inserts. Chunks double from 8 to 4096
// entries: a small map stays small and no insert has to clear more than one chunk.
type slab[K comparable, V any] struct {
	chunks [][]entry[K, V]
	used   uint32 // slots handed out so far; those beyond are fresh
	free   uint32 // first free slot, none at the end
}

// at returns the entry in slot i, which must have been handed out.
func (s *slab[K, V]) at(i uint32) *entry[K, V] {
	if i >= 1<<chunkMaxBits {
		return &s.chunks[i>>chunkMaxBits+chunkSmall-1][i&(1<<chunkMaxBits-1)]
	}
	c := bits.Len32(i >> chunkMinBits)
	if c > 0 {
		i -= 1 << (c + chunkMinBits - 1)
	}
	return &s.chunks[c][i]
}

// take hands out a free slot, or a fresh one.
func (s *slab[K, V]) take() uint32 {
	if i := s.free; i != none {
		s.free = s.at(i).next
		return i
	}
	i := s.used
	if i >= s.room() {
		n := uint32(1) << chunkMaxBits
		if len(s.chunks) < chunkSmall {
			n = max(1<<chunkMinBits, s.room())
		}
		s.chunks = append(s.chunks, make([]entry[K, V], n))
	}
	s.used++
	return i
}

// room returns how many slots the chunks have.
func (s *slab[K, V]) room() uint32 {
	switch n := len(s.chunks); {
	case n == 0:
		return 0
	case n <= chunkSmall:
		return 1 << (n - 1 + chunkMinBits)
	default:
		return uint32(n-chunkSmall+1) << chunkMaxBits
	}
}

// give returns slot i to the free list.
func (s *slab[K, V]) give(i uint32) {
	e := s.at(i)
	e.mark, e.next = 0, s.free
	s.free = i
}
