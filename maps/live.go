package maps

import (
	"fmt"
	"unsafe"
)

// Live is a map as a BPF program sees it: a lookup gives the live entry.
type Live interface {
	Store
	// RefBytes returns the bytes of the live value of a key, nil when there is none or the key has a wrong size: what
	// bpf_map_lookup_elem points to. It counts as a use in an LRU map, may be written, and is not to be kept past the packet
	// or past the entry's removal or eviction.
	RefBytes(key []byte) []byte
}

// RefBytes implements [Live].
func (m *Hash[K, V]) RefBytes(key []byte) []byte {
	k := keyView[K](key)
	if k == nil {
		return nil
	}
	return Bytes(m.Ref(k))
}

// RefBytes implements [Live].
func (m *LRU[K, V]) RefBytes(key []byte) []byte {
	k := keyView[K](key)
	if k == nil {
		return nil
	}
	return Bytes(m.Ref(k))
}

// RefBytes implements [Live]: it finds the longest match.
func (m *LPM[K, V]) RefBytes(key []byte) []byte {
	k := keyView[K](key)
	if k == nil {
		return nil
	}
	return Bytes(m.Ref(k))
}

// RefBytes implements [Live].
func (a *cells[V]) RefBytes(key []byte) []byte {
	i := keyView[uint32](key)
	if i == nil {
		return nil
	}
	return Bytes(a.Ref(*i))
}

// Live returns a map by Cilium's name as programs see it; errors as [Set.Lookup]. A program array is none: programs only
// jump through it.
func (s *Set) Live(name string) (Live, error) {
	m, err := s.Lookup(name)
	if err != nil {
		return nil, err
	}
	l, ok := m.(Live)
	if !ok {
		return nil, fmt.Errorf("map %q has no entries that programs look up: %w", name, ErrNotSupported)
	}
	return l, nil
}

// keyView sees bytes as a key, nil when there are too few or too many. K has no pointers, so it needs no alignment on the
// machines that this package is for.
func keyView[K any](b []byte) *K {
	var k K
	if uintptr(len(b)) != unsafe.Sizeof(k) {
		return nil
	}
	return (*K)(unsafe.Pointer(unsafe.SliceData(b)))
}
