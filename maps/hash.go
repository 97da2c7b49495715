package maps

// Hash is BPF_MAP_TYPE_HASH and, with one CPU, BPF_MAP_TYPE_PERCPU_HASH. Make it with [NewHash].
type Hash[K comparable, V any] struct {
	exact[K, V]
}

// NewHash makes an empty hash map. Type 0 in the spec means [TypeHash], sizes 0 mean those of K and V. It fails with ErrInvalid when
// the sizes differ, the types cannot be shown as bytes, or max_entries is 0.
func NewHash[K comparable, V any](s Spec) (*Hash[K, V], error) {
	s, err := newSpec[K, V](s, TypeHash, TypePerCPUHash)
	if err != nil {
		return nil, err
	}
	return &Hash[K, V]{makeExact[K, V](s)}, nil
}

// Ref returns the live value of k, nil when there is none. The pointer survives inserts, and is not to be kept past the
// packet or past the entry's removal.
func (m *Hash[K, V]) Ref(k *K) *V {
	slot, e := m.find(k)
	if e == nil {
		return nil
	}
	if m.journal != nil {
		m.touch(slot, e)
	}
	return &e.val
}
