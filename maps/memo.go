package maps

// Memos remember lookups in one map, by a number that stands for the key. They spare the search as long as no entry comes or
// goes. The zero value is ready.
type Memos[V any] [64]struct {
	tag, generation uint64
	value           *V // nil: there is no such entry
}

func place(tag uint64) uint64 { return tag * mix1 >> 58 }

// Recall returns what Ref returned for the key that tag stands for; false if that is not known, or no longer. A journal asks
// for the lookup itself, and so does an LRU map, where it is a use.
func (t *table[K, V]) Recall(m *Memos[V], tag uint64) (*V, bool) {
	e := &m[place(tag)]
	return e.value, e.tag == tag && e.generation == t.generation && t.journal == nil
}

// Remember notes what Ref has just returned for the key that tag stands for, and returns it.
func (t *table[K, V]) Remember(m *Memos[V], tag uint64, v *V) *V {
	e := &m[place(tag)]
	e.tag, e.generation, e.value = tag, t.generation, v
	return v
}
