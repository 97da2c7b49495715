package maps

const (
	// chunkBits of a slot's number tell its place in a chunk, the rest the chunk.
	chunkBits = 12
	// chunkMin is the size of the first chunk.
	chunkMin = 8
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

// slab keeps entries in chunks that never move, so pointers to entries survive inserts. Each chunk doubles the room, up to
// 4096 entries a chunk: a small map stays small and no insert has to clear more than one chunk. Slots are numbered by chunk
// and place, with gaps behind the small chunks.
type slab[K comparable, V any] struct {
	chunks [][]entry[K, V]
	used   uint32 // the slot that is handed out next; from there on all are fresh
	free   uint32 // first free slot, none at the end
}

// at returns the entry in slot i, which must have been handed out.
func (s *slab[K, V]) at(i uint32) *entry[K, V] {
	return &s.chunks[i>>chunkBits][i&(1<<chunkBits-1)]
}

// after returns the slot that follows slot i, whose chunk exists.
func (s *slab[K, V]) after(i uint32) uint32 {
	chunk, place := i>>chunkBits, i&(1<<chunkBits-1)+1
	if int(place) == len(s.chunks[chunk]) {
		return (chunk + 1) << chunkBits
	}
	return chunk<<chunkBits + place
}

// take hands out a free slot, or a fresh one.
func (s *slab[K, V]) take() uint32 {
	if i := s.free; i != none {
		s.free = s.at(i).next
		return i
	}
	i := s.used
	if n := len(s.chunks); int(i>>chunkBits) == n {
		size := chunkMin << min(max(n-1, 0), chunkBits)
		s.chunks = append(s.chunks, make([]entry[K, V], min(size, 1<<chunkBits)))
	}
	s.used = s.after(i)
	return i
}

// give returns slot i to the free list.
func (s *slab[K, V]) give(i uint32) {
	e := s.at(i)
	e.mark, e.next = 0, s.free
	s.free = i
}
