package maps

import "bytes"

// record is a journal's memory of one table: the pre-image of each entry, in the order in which they were touched.
//
// The LRU order can be restored exactly although only touched entries are saved. Every touch moves an entry to the front
// or takes it away, so at each moment the entries that were not touched yet are the tail of the chain in their old order. The
// pre-image holds the next older neighbour, which is one of them; undoing in reverse order finds it in place again.
type record[K comparable, V any] struct {
	t     *table[K, V]
	j     *Journal
	epoch uint64
	pre   []preimage[K, V]
	byKey map[K]int32 // by indexed key, into pre
	start uint64      // generation of the table at the first touch
	stop  uint64      // generation of the table when recording stopped
}

// preimage is how an entry was: had is false if there was none.
type preimage[K comparable, V any] struct {
	key   K
	val   V
	slot  uint32
	older uint32
	had   bool
}

func (t *table[K, V]) identity() any         { return t }
func (t *table[K, V]) setJournal(j *Journal) { t.journal = j }

// recorder returns the record that the current journal keeps of this table.
func (t *table[K, V]) recorder() *record[K, V] {
	if t.rec != nil && t.rec.j == t.journal {
		return t.rec
	}
	p := t.journal.partOf(t, func() part {
		t.epochs++
		return &record[K, V]{t: t, j: t.journal, epoch: t.epochs, byKey: make(map[K]int32)}
	})
	if r, ok := p.(*record[K, V]); ok {
		t.rec = r
	}
	return t.rec
}

// touch saves the pre-image of the entry in slot unless the current journal has it already.
func (t *table[K, V]) touch(slot uint32, e *entry[K, V]) {
	r := t.recorder()
	if e.mark == liveBit|r.epoch {
		return
	}
	e.mark = liveBit | r.epoch
	c := t.indexed(&e.key)
	if _, ok := r.byKey[c]; !ok {
		r.save(c, preimage[K, V]{key: e.key, val: e.val, slot: slot, older: e.next, had: true})
	}
}

// indexed returns the form of a key under which it is indexed.
func (t *table[K, V]) indexed(k *K) K {
	c := *k
	if t.lens != nil {
		maskPrefix(&c, prefixLen(&c))
	}
	return c
}

func (r *record[K, V]) save(c K, p preimage[K, V]) {
	if len(r.pre) == 0 {
		r.start = r.t.generation
		r.j.touched = append(r.j.touched, r)
	}
	r.byKey[c] = int32(len(r.pre))
	r.pre = append(r.pre, p)
}

// saveAbsent notes that key k, about to be inserted, has no entry. It returns the slot that is kept for the key if there
// was an entry at Record, else none.
func (r *record[K, V]) saveAbsent(k *K) uint32 {
	c := r.t.indexed(k)
	if i, ok := r.byKey[c]; ok {
		if p := &r.pre[i]; p.had {
			return p.slot
		}
		return none
	}
	r.save(c, preimage[K, V]{key: *k, slot: none})
	return none
}

// keeps says whether a rollback needs the slot of an entry that is being removed.
func (r *record[K, V]) keeps(slot uint32, e *entry[K, V]) bool {
	i, ok := r.byKey[r.t.indexed(&e.key)]
	return ok && r.pre[i].slot == slot
}

func (r *record[K, V]) mapName() string { return r.t.spec.Name }
func (r *record[K, V]) owner() any      { return r.t }
func (r *record[K, V]) halt()           { r.stop = r.t.generation }
func (r *record[K, V]) intact() bool    { return r.stop == r.t.generation }

// rollback restores the table, then forgets.
func (r *record[K, V]) rollback() {
	t := r.t
	for i := range r.pre {
		p := &r.pre[i]
		if p.had {
			if e := t.at(p.slot); t.lru && e.mark&liveBit != 0 {
				t.unchain(e)
			}
			continue
		}
		c := t.indexed(&p.key)
		if slot, e := t.lookup(&c); e != nil {
			t.leave(slot, e)
			if t.lru {
				t.unchain(e)
			}
			t.give(slot)
		}
	}
	for i := len(r.pre) - 1; i >= 0; i-- {
		p := &r.pre[i]
		if !p.had {
			continue
		}
		e := t.at(p.slot)
		e.key, e.val = p.key, p.val
		if e.mark&liveBit == 0 {
			t.enter(p.slot, e)
		}
		e.mark = liveBit
		if t.lru {
			t.chain(p.slot, e, p.older)
		}
	}
	t.generation = r.start
	r.forget()
}

// reset keeps the table as it is and frees the slots that were kept for a rollback.
func (r *record[K, V]) reset() {
	for i := range r.pre {
		p := &r.pre[i]
		if p.had && r.t.at(p.slot).mark == r.epoch {
			r.t.give(p.slot)
		}
	}
	r.forget()
}

// forget empties the record. Keys are deleted one by one, so that the cost is that of what was touched now and not of the
// largest journal ever.
func (r *record[K, V]) forget() {
	for i := range r.pre {
		delete(r.byKey, r.t.indexed(&r.pre[i].key))
	}
	r.pre = r.pre[:0]
	r.t.epochs++
	r.epoch = r.t.epochs
}

func (r *record[K, V]) deltas(out []Delta) []Delta {
	for i := range r.pre {
		p := &r.pre[i]
		c := r.t.indexed(&p.key)
		_, e := r.t.lookup(&c)
		d := Delta{Map: r.mapName(), Key: bytes.Clone(view(&p.key))}
		if p.had {
			d.Op, d.Old = Del, bytes.Clone(view(&p.val))
		}
		if e != nil {
			if p.had && e.key == p.key && bytes.Equal(d.Old, view(&e.val)) {
				continue
			}
			d.Key, d.New = bytes.Clone(view(&e.key)), bytes.Clone(view(&e.val))
			d.Op = Add
			if p.had {
				d.Op = Change
			}
		}
		if d.Op != 0 {
			out = append(out, d)
		}
	}
	return out
}

func (r *record[K, V]) before(fn func(key, value []byte)) {
	for k, v := range r.t.All() {
		if _, ok := r.byKey[r.t.indexed(k)]; !ok {
			fn(view(k), view(v))
		}
	}
	for i := range r.pre {
		if p := &r.pre[i]; p.had {
			fn(view(&p.key), view(&p.val))
		}
	}
}
