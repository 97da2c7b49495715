package maps

// Hash is BPF_MAP_TYPE_HASH and, with one CPU, BPF_MAP_TYPE_PERCPU_HASH. Make it with [NewHash].
type Hash[K comparable, V any] struct {
	table[K, V]
}

// NewHash makes an empty hash map. Type 0 in the spec means [TypeHash], sizes 0 mean those of K and V. It fails with ErrInvalid when
// the sizes differ, the types cannot be shown as bytes, or max_entries is 0.
func NewHash[K comparable, V any](s Spec) (*Hash[K, V], error) {
	s, err := newSpec[K, V](s, TypeHash, TypePerCPUHash)
	if err != nil {
		return nil, err
	}
	return &Hash[K, V]{makeTable[K, V](s)}, nil
}

// Ref returns the live value of k, nil when there is none. The pointer survives inserts, and is not to be kept past the
// packet or past the entry's removal.
func (m *Hash[K, V]) Ref(k *K) *V {
	slot := m.find(k)
	if slot == none {
		return nil
	}
	e := m.at(slot)
	if m.journal != nil {
		m.touch(slot, e)
	}
	return &e.val
}

// Set creates or replaces the entry of k. Errors: ErrKeyExist, ErrKeyNotExist, ErrFull, ErrInvalid (flag).
func (m *Hash[K, V]) Set(k *K, v *V, f UpdateFlag) error {
	return m.set(m.find(k), k, v, f)
}

// Remove deletes the entry of k; ErrKeyNotExist when there is none.
func (m *Hash[K, V]) Remove(k *K) error {
	slot := m.find(k)
	if slot == none {
		return ErrKeyNotExist
	}
	m.drop(slot)
	return nil
}

// Lookup implements [Store].
func (m *Hash[K, V]) Lookup(key, value []byte) error {
	k, err := m.decodeKey(key)
	if err != nil {
		return err
	}
	return m.copyOut(m.find(&k), value)
}

// Update implements [Store].
func (m *Hash[K, V]) Update(key, value []byte, f UpdateFlag) error {
	k, v, err := m.decodeEntry(key, value)
	if err != nil {
		return err
	}
	return m.Set(&k, &v, f)
}

// Delete implements [Store].
func (m *Hash[K, V]) Delete(key []byte) error {
	k, err := m.decodeKey(key)
	if err != nil {
		return err
	}
	return m.Remove(&k)
}
