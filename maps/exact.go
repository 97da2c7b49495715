package maps

// exact is what Hash and LRU share: entries found by their whole key.
type exact[K comparable, V any] struct {
	table[K, V]
}

func makeExact[K comparable, V any](s Spec) exact[K, V] { return exact[K, V]{makeTable[K, V](s)} }

// Set creates or replaces the entry of k. A full Hash refuses a new entry; a full LRU evicts the least recently used one, and
// makes the entry of k the most recently used. Errors: ErrKeyExist, ErrKeyNotExist, ErrFull (Hash), ErrInvalid (flag).
func (m *exact[K, V]) Set(k *K, v *V, f UpdateFlag) error {
	slot, e := m.find(k)
	return m.set(slot, e, k, v, f)
}

// Remove deletes the entry of k; ErrKeyNotExist when there is none.
func (m *exact[K, V]) Remove(k *K) error {
	slot, _ := m.find(k)
	if slot == none {
		return ErrKeyNotExist
	}
	m.drop(slot)
	return nil
}

// Lookup implements [Store]. It does not count as use.
func (m *exact[K, V]) Lookup(key, value []byte) error {
	k, err := m.decodeKey(key)
	if err != nil {
		return err
	}
	_, e := m.find(&k)
	return m.copyOut(e, value)
}

// Update implements [Store].
func (m *exact[K, V]) Update(key, value []byte, f UpdateFlag) error {
	k, v, err := m.decodeEntry(key, value)
	if err != nil {
		return err
	}
	return m.Set(&k, &v, f)
}

// Delete implements [Store].
func (m *exact[K, V]) Delete(key []byte) error {
	k, err := m.decodeKey(key)
	if err != nil {
		return err
	}
	return m.Remove(&k)
}
