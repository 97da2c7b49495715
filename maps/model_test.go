package maps

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// model is what a container should be, written as simply as possible: keys and values in a slice, the most recently used
// first, and errors as the kernel's.
type model struct {
	spec    Spec
	entries []modelEntry
}

type modelEntry struct{ key, value []byte }

func newModel(s Spec) *model {
	m := &model{spec: s}
	if s.Type == TypeArray || s.Type == TypePerCPUArray {
		for i := range s.MaxEntries {
			m.entries = append(m.entries, modelEntry{raw(i), make([]byte, s.ValueSize)})
		}
	}
	return m
}

// covers says whether the prefix p, given as a trie key, covers the first n bits of k.
func covers(p, k []byte, n uint32) bool {
	bits := le32(p)
	if bits > n {
		return false
	}
	for i := range bits {
		if (p[4+i/8]^k[4+i/8])&(0x80>>(i%8)) != 0 {
			return false
		}
	}
	return true
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// exact returns the place of a key, -1 if it is not there.
func (m *model) exact(key []byte) int {
	return slices.IndexFunc(m.entries, func(e modelEntry) bool {
		if m.spec.Type == TypeLPMTrie {
			return le32(e.key) == le32(key) && covers(e.key, key, le32(key))
		}
		return bytes.Equal(e.key, key)
	})
}

// match returns the place of the entry that a lookup finds.
func (m *model) match(key []byte) int {
	if m.spec.Type != TypeLPMTrie {
		return m.exact(key)
	}
	best := -1
	if le32(key) > (m.spec.KeySize-4)*8 {
		return best
	}
	for i, e := range m.entries {
		if covers(e.key, key, le32(key)) && (best < 0 || le32(e.key) > le32(m.entries[best].key)) {
			best = i
		}
	}
	return best
}

func (m *model) lookup(key, value []byte) error {
	if len(key) != int(m.spec.KeySize) || len(value) != int(m.spec.ValueSize) {
		return ErrInvalid
	}
	i := m.match(key)
	if i < 0 {
		return ErrKeyNotExist
	}
	copy(value, m.entries[i].value)
	return nil
}

func (m *model) update(key, value []byte, f UpdateFlag) error {
	if len(key) != int(m.spec.KeySize) || len(value) != int(m.spec.ValueSize) || f > Exist {
		return ErrInvalid
	}
	array := m.spec.Type == TypeArray || m.spec.Type == TypePerCPUArray
	switch {
	case m.spec.Type == TypeLPMTrie && le32(key) > (m.spec.KeySize-4)*8:
		return ErrInvalid
	case m.spec.Type == TypeProgArray && (f != Any):
		return ErrInvalid
	case (array || m.spec.Type == TypeProgArray) && le32(key) >= m.spec.MaxEntries:
		return ErrFull
	case m.spec.Type == TypeProgArray && le32(value) == 0:
		return ErrInvalid
	}
	i := m.exact(key)
	switch {
	case i >= 0 && f == NoExist:
		return ErrKeyExist
	case i < 0 && f == Exist:
		return ErrKeyNotExist
	case i >= 0:
		m.entries = slices.Delete(m.entries, i, i+1)
	case len(m.entries) == int(m.spec.MaxEntries) && m.spec.Type == TypeLRUHash:
		m.entries = m.entries[:len(m.entries)-1]
	case len(m.entries) == int(m.spec.MaxEntries):
		return ErrFull
	}
	m.entries = slices.Insert(m.entries, 0, modelEntry{bytes.Clone(key), bytes.Clone(value)})
	return nil
}

func (m *model) delete(key []byte) error {
	switch m.spec.Type {
	case TypeArray, TypePerCPUArray:
		return ErrInvalid
	case TypeProgArray:
		if len(key) == 4 && le32(key) >= m.spec.MaxEntries {
			return ErrFull
		}
	case TypeLPMTrie:
		if len(key) == int(m.spec.KeySize) && le32(key) > (m.spec.KeySize-4)*8 {
			return ErrInvalid
		}
	}
	if len(key) != int(m.spec.KeySize) {
		return ErrInvalid
	}
	i := m.exact(key)
	if i < 0 {
		return ErrKeyNotExist
	}
	m.entries = slices.Delete(m.entries, i, i+1)
	return nil
}

// use is the reference that a program makes of an entry.
func (m *model) use(key []byte) {
	if i := m.exact(key); i >= 0 && m.spec.Type == TypeLRUHash {
		e := m.entries[i]
		m.entries = slices.Insert(slices.Delete(m.entries, i, i+1), 0, e)
	}
}

// content returns the entries as a map.
func (m *model) content() map[string]string {
	out := make(map[string]string)
	for _, e := range m.entries {
		out[string(e.key)] = string(e.value)
	}
	return out
}

// storeContent lists a store in slices of limit entries.
func storeContent(tb testing.TB, s Store, limit int) map[string]string {
	tb.Helper()
	out := make(map[string]string)
	var c Cursor
	for range 1 << 20 {
		err := s.Range(&c, limit, func(key, value []byte) bool {
			if _, dup := out[string(key)]; dup {
				tb.Errorf("%s: key %x listed twice", s.Spec().Name, key)
			}
			out[string(key)] = string(value)
			return true
		})
		if err != nil {
			tb.Fatalf("range: %v", err)
		}
		if c.Done() {
			return out
		}
	}
	tb.Fatalf("%s: listing does not end", s.Spec().Name)
	return nil
}

// sameErr says whether got is the kernel error want; nil matches nil only.
func sameErr(got, want error) bool {
	return (got == nil) == (want == nil) && (want == nil || errors.Is(got, want))
}

// check checks what must always hold of a table and returns the keys of an LRU map, most recently used first.
func (t *table[K, V]) check(tb testing.TB) []string {
	tb.Helper()
	var live, free, kept, handed uint32
	for i := uint32(0); i < t.used; i = t.after(i) {
		handed++
		switch e := t.at(i); {
		case e.mark&liveBit != 0:
			live++
			c := t.indexed(&e.key)
			if got, at := t.lookup(&c); got != i || at != e {
				tb.Errorf("%s: entry of slot %d is found in slot %d", t.spec.Name, i, int32(got))
			}
		case e.mark != 0:
			kept++
		}
	}
	for i := t.free; i != none; i = t.at(i).next {
		if t.at(i).mark != 0 {
			tb.Fatalf("%s: slot %d on the free list is in use", t.spec.Name, i)
		}
		if free++; free > handed {
			tb.Fatalf("%s: free list is a ring", t.spec.Name)
		}
	}
	if live != t.live || live+free+kept != handed {
		tb.Errorf("%s: %d live (counted %d), %d free, %d kept of %d slots", t.spec.Name, t.live, live, free, kept, handed)
	}
	if t.journal == nil && t.rec == nil && kept != 0 {
		tb.Errorf("%s: %d slots kept without a journal", t.spec.Name, kept)
	}
	if !t.lru {
		return nil
	}
	var order []string
	prev := none
	for i := t.head; i != none; i = t.at(i).next {
		e := t.at(i)
		if e.prev != prev || e.mark&liveBit == 0 || len(order) > int(live) {
			tb.Fatalf("%s: LRU chain is broken at slot %d", t.spec.Name, i)
		}
		order = append(order, string(view(&e.key)))
		prev = i
	}
	if t.tail != prev || len(order) != int(live) {
		tb.Errorf("%s: LRU chain has %d of %d entries", t.spec.Name, len(order), live)
	}
	return order
}
