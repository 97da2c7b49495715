package maps

import (
	"fmt"
	"iter"
	"math/rand/v2"
)

// table is what Hash, LRU and LPM share: entries in a slab, an index over them, the LRU chain and the journal's hooks.
//
// Steady use (updates of existing entries, deleting and inserting) allocates nothing; memory grows with the number of
// entries up to max_entries and is kept from then on.
type table[K comparable, V any] struct {
	slab[K, V]
	spec    Spec
	index   index
	seed    uint64
	live    uint32
	journal *Journal      // nil: nothing is recorded
	rec     *record[K, V] // the record in use last
	epochs  uint64        // epochs given to records so far
	lens    *lengths      // prefix lengths of an LPM trie, else nil
	classes *classes[K]   // of a policy map's keys, else nil
	// generation names the set of entries: it changes with each insert and removal and comes back with a rollback.
	generation, generations uint64
	lru                     bool
	head                    uint32 // most recently used
	tail                    uint32 // least recently used
}

func makeTable[K comparable, V any](s Spec) table[K, V] {
	return table[K, V]{
		slab:  slab[K, V]{free: none},
		spec:  s,
		index: makeIndex(s.MaxEntries),
		seed:  rand.Uint64(),
		head:  none,
		tail:  none,
	}
}

// Spec returns the map's description.
func (t *table[K, V]) Spec() Spec { return t.spec }

// Len returns the number of entries.
func (t *table[K, V]) Len() int { return int(t.live) }

// All yields the entries in the order of their slots, which is the order of insertion as long as nothing is deleted. The
// entries are live and read-only: changes through these pointers are not journalled. The loop may update and delete.
func (t *table[K, V]) All() iter.Seq2[*K, *V] {
	return func(yield func(*K, *V) bool) {
		for i, end := uint32(0), t.used; i < end; i = t.after(i) {
			if e := t.at(i); e.mark&liveBit != 0 && !yield(&e.key, &e.val) {
				return
			}
		}
	}
}

// find returns slot and entry of key k, none and nil if there is no such entry.
//
// It is never inlined: profile-guided inlining then puts hash and same into it, which it does not do for the calls in a
// function that is itself inlined.
//
//go:noinline
func (t *table[K, V]) find(k *K) (uint32, *entry[K, V]) {
	if t.live == 0 {
		return none, nil
	}
	h := hash(k, t.seed)
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
			if e := t.at(slot); same(&e.key, k) {
				return slot, e
			}
		}
	}
}

// lookup returns slot and entry of a key in the form under which it is indexed, none and nil if there is no such entry.
func (t *table[K, V]) lookup(c *K) (uint32, *entry[K, V]) {
	if t.lens == nil {
		return t.find(c)
	}
	return t.masked(c)
}

// hashOf returns the hash under which a stored key is indexed.
func (t *table[K, V]) hashOf(k *K) uint64 {
	if t.lens == nil {
		return hash(k, t.seed)
	}
	c := *k
	maskPrefix(&c, prefixLen(&c))
	return hash(&c, t.seed)
}

// set is bpf_map_update_elem for a key that has been looked up.
func (t *table[K, V]) set(slot uint32, e *entry[K, V], k *K, v *V, f UpdateFlag) error {
	if err := f.check(slot != none); err != nil {
		return err
	}
	if slot != none {
		if t.journal != nil {
			t.touch(slot, e)
		}
		e.key, e.val = *k, *v
		if t.lru {
			t.toFront(slot, e)
		}
		return nil
	}
	if t.live >= t.spec.MaxEntries {
		switch {
		case t.lru:
			t.drop(t.tail)
		case t.lens != nil:
			return ErrNoSpace
		default:
			return ErrFull
		}
	}
	t.insert(k, v)
	return nil
}

// insert adds an entry for a key that is not there; there is room.
func (t *table[K, V]) insert(k *K, v *V) {
	slot, mark := none, uint64(liveBit)
	if t.journal != nil {
		r := t.recorder()
		slot, mark = r.saveAbsent(k), liveBit|r.epoch
	}
	if slot == none {
		slot = t.take()
	}
	e := t.at(slot)
	e.key, e.val, e.mark = *k, *v, mark
	t.enter(slot, e)
	if t.lru {
		t.chain(slot, e, t.head)
	}
}

// drop removes the entry in slot. Its slot is free afterwards unless a rollback needs it.
func (t *table[K, V]) drop(slot uint32) {
	e := t.at(slot)
	if t.journal != nil {
		t.touch(slot, e)
	}
	t.leave(slot, e)
	if t.lru {
		t.unchain(e)
	}
	if t.journal != nil && t.recorder().keeps(slot, e) {
		e.mark &^= liveBit
		return
	}
	t.give(slot)
}

// enter makes an entry known to the index.
func (t *table[K, V]) enter(slot uint32, e *entry[K, V]) {
	t.generations++
	t.generation = t.generations
	t.index.put(t.hashOf(&e.key), slot)
	t.live++
	if t.lens != nil {
		t.lens.add(prefixLen(&e.key))
	}
	if t.classes != nil {
		t.classes.add(&e.key)
	}
}

// leave is the opposite of enter.
func (t *table[K, V]) leave(slot uint32, e *entry[K, V]) {
	t.generations++
	t.generation = t.generations
	t.index.del(t.hashOf(&e.key), slot)
	t.live--
	if t.lens != nil {
		t.lens.remove(prefixLen(&e.key))
	}
	if t.classes != nil {
		t.classes.remove(&e.key)
	}
}

// chain puts an entry before slot next in the LRU chain; none is the end.
func (t *table[K, V]) chain(slot uint32, e *entry[K, V], next uint32) {
	prev := t.tail
	if next != none {
		n := t.at(next)
		prev, n.prev = n.prev, slot
	} else {
		t.tail = slot
	}
	if prev != none {
		t.at(prev).next = slot
	} else {
		t.head = slot
	}
	e.prev, e.next = prev, next
}

// unchain takes an entry out of the LRU chain.
func (t *table[K, V]) unchain(e *entry[K, V]) {
	if e.prev != none {
		t.at(e.prev).next = e.next
	} else {
		t.head = e.next
	}
	if e.next != none {
		t.at(e.next).prev = e.prev
	} else {
		t.tail = e.prev
	}
}

// toFront makes an entry the most recently used one.
func (t *table[K, V]) toFront(slot uint32, e *entry[K, V]) {
	if t.head != slot {
		t.unchain(e)
		t.chain(slot, e, t.head)
	}
}

// Range implements [Store].
func (t *table[K, V]) Range(c *Cursor, limit int, fn func(key, value []byte) bool) error {
	c.begin(t.used)
	budget := newBudget(limit)
	for c.next < c.end && budget.left() {
		e := t.at(c.next)
		c.next = t.after(c.next)
		if budget.spend(e.mark&liveBit != 0) && !fn(view(&e.key), view(&e.val)) {
			break
		}
	}
	c.finish()
	return nil
}

// decodeKey checks and reads a key given as bytes.
func (t *table[K, V]) decodeKey(key []byte) (K, error) {
	k, ok := decode[K](key)
	if !ok {
		return k, fmt.Errorf("%s: key of %d bytes, want %d: %w", t.spec.Name, len(key), t.spec.KeySize, ErrInvalid)
	}
	return k, nil
}

// decodeEntry checks and reads a key and a value given as bytes.
func (t *table[K, V]) decodeEntry(key, value []byte) (k K, v V, err error) {
	if k, err = t.decodeKey(key); err != nil {
		return k, v, err
	}
	v, ok := decode[V](value)
	if !ok {
		return k, v, fmt.Errorf("%s: value of %d bytes, want %d: %w", t.spec.Name, len(value), t.spec.ValueSize, ErrInvalid)
	}
	return k, v, nil
}

// copyOut copies an entry's value, nil being no entry, into value.
func (t *table[K, V]) copyOut(e *entry[K, V], value []byte) error {
	if len(value) != int(t.spec.ValueSize) {
		return fmt.Errorf("%s: value of %d bytes, want %d: %w", t.spec.Name, len(value), t.spec.ValueSize, ErrInvalid)
	}
	if e == nil {
		return ErrKeyNotExist
	}
	copy(value, view(&e.val))
	return nil
}
