package maps

import "bytes"

// cellRecord is a journal's memory of one array: the values that were touched. In a program array zero means an empty slot, which Diff
// shows as an entry that is not there.
type cellRecord[V any] struct {
	a    *cells[V]
	j    *Journal
	pre  []preCell[V]
	seen map[uint32]struct{}
}

type preCell[V any] struct {
	index uint32
	val   V
}

func (a *cells[V]) identity() any         { return a }
func (a *cells[V]) setJournal(j *Journal) { a.journal = j }

// touch saves v, the value at index i, unless the current journal has it already.
func (a *cells[V]) touch(i uint32, v V) {
	if a.rec == nil || a.rec.j != a.journal {
		p := a.journal.partOf(a, func() part {
			return &cellRecord[V]{a: a, j: a.journal, seen: make(map[uint32]struct{})}
		})
		if r, ok := p.(*cellRecord[V]); ok {
			a.rec = r
		}
	}
	r := a.rec
	if _, ok := r.seen[i]; ok {
		return
	}
	if len(r.pre) == 0 {
		r.j.touched = append(r.j.touched, r)
	}
	r.seen[i] = struct{}{}
	r.pre = append(r.pre, preCell[V]{i, v})
}

func (r *cellRecord[V]) mapName() string { return r.a.spec.Name }
func (r *cellRecord[V]) owner() any      { return r.a }
func (r *cellRecord[V]) halt()           {}
func (r *cellRecord[V]) intact() bool    { return true }

func (r *cellRecord[V]) rollback() {
	for i := range r.pre {
		*r.a.cell(r.pre[i].index) = r.pre[i].val
	}
	r.reset()
}

func (r *cellRecord[V]) reset() {
	for i := range r.pre {
		delete(r.seen, r.pre[i].index)
	}
	r.pre = r.pre[:0]
}

func (r *cellRecord[V]) deltas(out []Delta) []Delta {
	for i := range r.pre {
		p := &r.pre[i]
		now := r.a.peek(p.index)
		if bytes.Equal(view(&p.val), view(&now)) {
			continue
		}
		d := Delta{Map: r.mapName(), Op: Change, Key: bytes.Clone(view(&p.index))}
		d.Old, d.New = bytes.Clone(view(&p.val)), bytes.Clone(view(&now))
		if r.a.spec.Type == TypeProgArray {
			switch {
			case zero(d.Old):
				d.Op, d.Old = Add, nil
			case zero(d.New):
				d.Op, d.New = Del, nil
			}
		}
		out = append(out, d)
	}
	return out
}

func (r *cellRecord[V]) before(fn func(key, value []byte)) {
	sparse := r.a.spec.Type == TypeProgArray
	_ = r.a.visit(&Cursor{}, 0, sparse, func(key, value []byte) bool {
		if i, ok := decode[uint32](key); ok {
			if _, seen := r.seen[i]; !seen {
				fn(key, value)
			}
		}
		return true
	})
	for i := range r.pre {
		if p := &r.pre[i]; !sparse || !zero(view(&p.val)) {
			fn(view(&p.index), view(&p.val))
		}
	}
}
