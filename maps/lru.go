package maps

// LRU is BPF_MAP_TYPE_LRU_HASH: a full map makes room for a new entry by evicting the one that was not used for longest.
// Ref, Set and Update count as use. Make it with [NewLRU].
//
// Differs: the order of use is exact. The kernel approximates it with a reference bit and lists for each CPU, evicts in batches, and
// may evict although an update then fails for its flags; which entry goes is not specified there. Test: TestAgainstModel.
type LRU[K comparable, V any] struct {
	exact[K, V]
}

// NewLRU makes an empty LRU map. Type 0 in the spec means [TypeLRUHash], sizes 0 mean those of K and V; errors as [NewHash].
func NewLRU[K comparable, V any](s Spec) (*LRU[K, V], error) {
	s, err := newSpec[K, V](s, TypeLRUHash)
	if err != nil {
		return nil, err
	}
	m := &LRU[K, V]{makeExact[K, V](s)}
	m.lru = true
	return m, nil
}

// Ref returns the live value of k, nil when there is none, and makes the entry the most recently used one. The pointer
// survives inserts, and is not to be kept past the packet or past the entry's removal or eviction.
func (m *LRU[K, V]) Ref(k *K) *V {
	slot, e := m.find(k)
	if e == nil {
		return nil
	}
	if m.journal != nil {
		m.touch(slot, e)
	}
	m.toFront(slot, e)
	return &e.val
}
