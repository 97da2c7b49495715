package maps

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// LPM is BPF_MAP_TYPE_LPM_TRIE: keys are prefixes, a lookup finds the longest one that covers the key. K begins with a
// uint32 in host order, the number of leading bits of the rest that count. Make it with [NewLPM].
//
// Entries are found by hash, one probe for each prefix length in use from the longest on, so the cost of a lookup does not grow with
// the number of entries. As in the kernel only the bits of the prefix are compared; the other bits of a key are stored and listed as
// given by the last update.
type LPM[K comparable, V any] struct {
	table[K, V]
}

// NewLPM makes an empty trie. Type 0 in the spec means [TypeLPMTrie], sizes 0 mean those of K and V. The flags must be
// [FlagNoPrealloc], as the kernel demands; errors as [NewHash].
func NewLPM[K comparable, V any](s Spec) (*LPM[K, V], error) {
	s, err := newSpec[K, V](s, TypeLPMTrie)
	if err != nil {
		return nil, err
	}
	if s.KeySize <= prefixSize || s.Flags != FlagNoPrealloc {
		return nil, fmt.Errorf("map %s: trie with key size %d, flags %#x: %w", s.Name, s.KeySize, s.Flags, ErrInvalid)
	}
	m := &LPM[K, V]{makeTable[K, V](s)}
	m.lens = newLengths((s.KeySize - prefixSize) * 8)
	return m, nil
}

// Ref returns the live value of the longest prefix that covers k and is no longer than k's own prefix length, nil when
// there is none. The pointer survives inserts, and is not to be kept past the packet or past the entry's removal.
func (m *LPM[K, V]) Ref(k *K) *V {
	slot, e := m.longest(k)
	if e == nil {
		return nil
	}
	if m.journal != nil {
		m.touch(slot, e)
	}
	return &e.val
}

// Set creates or replaces the entry of exactly the prefix k. Errors: ErrKeyExist, ErrKeyNotExist, ErrNoSpace (full),
// ErrInvalid (flag, or a prefix longer than the key).
func (m *LPM[K, V]) Set(k *K, v *V, f UpdateFlag) error {
	if prefixLen(k) > m.lens.longest {
		return m.tooLong(k)
	}
	slot, e := m.exact(k)
	return m.set(slot, e, k, v, f)
}

// Remove deletes the entry of exactly the prefix k. Errors: ErrKeyNotExist, ErrInvalid (a prefix longer than the key).
func (m *LPM[K, V]) Remove(k *K) error {
	if prefixLen(k) > m.lens.longest {
		return m.tooLong(k)
	}
	slot, _ := m.exact(k)
	if slot == none {
		return ErrKeyNotExist
	}
	m.drop(slot)
	return nil
}

// Lookup implements [Store]: it finds the longest match, as the kernel's syscall does.
func (m *LPM[K, V]) Lookup(key, value []byte) error {
	k, err := m.decodeKey(key)
	if err != nil {
		return err
	}
	_, e := m.longest(&k)
	return m.copyOut(e, value)
}

// Update implements [Store].
func (m *LPM[K, V]) Update(key, value []byte, f UpdateFlag) error {
	k, v, err := m.decodeEntry(key, value)
	if err != nil {
		return err
	}
	return m.Set(&k, &v, f)
}

// Delete implements [Store].
func (m *LPM[K, V]) Delete(key []byte) error {
	k, err := m.decodeKey(key)
	if err != nil {
		return err
	}
	return m.Remove(&k)
}

// longest returns slot and entry of the longest prefix covering k, none and nil if there is none.
func (m *LPM[K, V]) longest(k *K) (uint32, *entry[K, V]) {
	n := prefixLen(k)
	if n > m.lens.longest {
		return none, nil
	}
	if m.lens.has(n) {
		// The usual case, a host address that has an entry: no copy to mask. Should bits beyond the prefix be set, it is not
		// found here.
		if slot, e := m.masked(k); e != nil {
			return slot, e
		}
	}
	c := *k
	for n = m.lens.atMost(n); n != none; n = m.lens.atMost(n - 1) {
		maskPrefix(&c, n)
		if c != *k {
			if slot, e := m.masked(&c); e != nil {
				return slot, e
			}
		}
		if n == 0 {
			break
		}
	}
	return none, nil
}

// exact returns slot and entry of the prefix k itself, none and nil if there is none.
func (m *LPM[K, V]) exact(k *K) (uint32, *entry[K, V]) {
	c := *k
	maskPrefix(&c, prefixLen(k))
	return m.masked(&c)
}

// masked is find for the prefix c, whose bits beyond the prefix are zero.
//
//go:noinline
func (t *table[K, V]) masked(c *K) (uint32, *entry[K, V]) {
	if t.live == 0 {
		return none, nil
	}
	h := hash(c, t.seed)
	s := t.index.seg(h)
	if len(s.slots) == 0 {
		return none, nil
	}
	mask := uint32(len(s.slots) - 1)
	for i := uint32(h) & mask; ; i = (i + 1) & mask {
		w := s.slots[i]
		if w == 0 {
			return none, nil
		}
		if uint32(w>>32) == uint32(h) {
			slot := uint32(w) - 1
			if e := t.at(slot); same(&e.key, c) || samePrefix(&e.key, c) {
				return slot, e
			}
		}
	}
}

func (m *LPM[K, V]) tooLong(k *K) error {
	return fmt.Errorf("%s: prefix length %d, at most %d: %w", m.spec.Name, prefixLen(k), m.lens.longest, ErrInvalid)
}

// prefixSize is the size of the prefix length at the start of a trie's key.
const prefixSize = 4

// prefixLen reads the prefix length of a key.
func prefixLen[K any](k *K) uint32 {
	b := view(k)
	return binary.LittleEndian.Uint32(b)
}

// maskPrefix sets the prefix length of a key to n, which is at most the key's length, and clears the bits beyond it.
func maskPrefix[K any](k *K, n uint32) {
	b := view(k)
	binary.LittleEndian.PutUint32(b, n)
	b = b[prefixSize:]
	i := n / 8
	if n%8 != 0 {
		b[i] &= byte(uint32(0xff00) >> (n % 8))
		i++
	}
	clear(b[i:])
}

// samePrefix says whether a stored key is the prefix c, whose bits beyond the prefix are zero.
func samePrefix[K comparable](k, c *K) bool {
	n := prefixLen(c)
	if prefixLen(k) != n {
		return false
	}
	m := *k
	maskPrefix(&m, n)
	return m == *c
}

// lengths counts the entries of each prefix length.
type lengths struct {
	longest uint32
	count   []uint32
	present []uint64 // bit n: count[n] > 0
}

func newLengths(longest uint32) *lengths {
	return &lengths{longest: longest, count: make([]uint32, longest+1), present: make([]uint64, longest/64+1)}
}

func (l *lengths) add(n uint32) {
	l.count[n]++
	l.present[n/64] |= 1 << (n % 64)
}

func (l *lengths) remove(n uint32) {
	if l.count[n]--; l.count[n] == 0 {
		l.present[n/64] &^= 1 << (n % 64)
	}
}

// has says whether a length is in use. n is at most l.longest.
func (l *lengths) has(n uint32) bool { return l.present[n/64]>>(n%64)&1 != 0 }

// atMost returns the longest length in use that is not longer than n, none if there is none. n is at most l.longest.
func (l *lengths) atMost(n uint32) uint32 {
	w := l.present[n/64] << (63 - n%64)
	if w != 0 {
		return n - uint32(bits.LeadingZeros64(w))
	}
	for i := int(n/64) - 1; i >= 0; i-- {
		if w := l.present[i]; w != 0 {
			return uint32(i)*64 + 63 - uint32(bits.LeadingZeros64(w))
		}
	}
	return none
}
