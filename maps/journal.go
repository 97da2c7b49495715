package maps

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrOutOfOrder says that a journal cannot be rolled back because others have recorded since, or it records nothing.
var ErrOutOfOrder = errors.New("journal is out of order")

// Op is what happened to an entry.
type Op uint8

// Values of [Op].
const (
	Add Op = iota + 1
	Change
	Del
)

// String returns add, set or del.
func (o Op) String() string {
	switch o {
	case Add:
		return "add"
	case Change:
		return "set"
	case Del:
		return "del"
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// Delta is one entry that differs from what it was when recording began. Old is nil for Add, New is nil for Del. All bytes
// are copies.
type Delta struct {
	Map      string
	Op       Op
	Key      []byte
	Old, New []byte
}

// Journal remembers how the maps of one [Set] were, so that changes can be undone and listed. The zero value is ready for
// [Set.Record].
//
// The first Ref, update or delete of an entry after Record saves its pre-image: bytes, presence and place in the LRU order.
// Rollback and Diff cost time by the entries touched, not by the size of the maps; keeping an entry's slot for a rollback costs
// memory until Reset. Pointers got from Ref before Record are not covered. Lookup and Range through [Store] only read and are not
// recorded.
//
// Journals of a set can be stacked: recording with a second one stops the first, which can still be rolled back after the
// second has been. A journal belongs to the set's goroutine. Reset it before letting it go.
type Journal struct {
	set     *Set
	from    uint64       // state of the set at Record
	to      uint64       // state at which recording stopped
	parts   map[any]part // by map, to be used again
	touched []part
	named   []nameRecord
}

// part is a journal's record of one map.
type part interface {
	mapName() string
	// owner is the map's identity.
	owner() any
	// halt notes that recording stops, and intact says whether the map has the entries that it had then.
	halt()
	intact() bool
	rollback()
	reset()
	deltas(out []Delta) []Delta
	// before calls fn with the content of the map at Record.
	before(fn func(key, value []byte))
}

// nameRecord is the pre-image of a name: the map that had it, nil for none.
type nameRecord struct {
	name string
	old  dynamicMap
}

// Record makes j remember, from now on, how the entries of the set's maps were. It forgets what j held before and stops
// the journal that was recording; nil only stops that one. Maps made later are covered too.
func (s *Set) Record(j *Journal) {
	if s.journal != nil {
		s.states++
		s.state = s.states
		s.journal.to = s.state
		for _, p := range s.journal.touched {
			p.halt()
		}
	}
	if j != nil {
		if j.set != nil && j.set != s && j.set.journal == j {
			j.set.Record(nil)
		}
		j.Reset()
		if len(j.parts) > 2*(len(s.fixed)+len(s.named)) {
			clear(j.parts) // records of maps that are gone; those in use are made again
		}
		j.set, j.from = s, s.state
	}
	s.attach(j)
}

// Recording returns the journal that records, nil for none.
func (s *Set) Recording() *Journal { return s.journal }

// Reset forgets the pre-images, which keeps all changes for good. A journal that is recording goes on from here.
func (j *Journal) Reset() {
	touched := j.Touched() > 0
	for i, p := range j.touched {
		p.reset()
		j.touched[i] = nil
	}
	clear(j.named)
	j.touched, j.named = j.touched[:0], j.named[:0]
	if touched && j.set != nil && j.set.journal == j {
		j.set.states++
		j.set.state = j.set.states
		j.from = j.set.state
	}
}

// Rollback puts everything back as it was at Record. A journal that is recording goes on from there. Journals are rolled
// back in the opposite order of their recording; otherwise, and for a journal that never recorded, the result is
// ErrOutOfOrder and nothing changes.
func (j *Journal) Rollback() error {
	s := j.set
	if s == nil {
		return fmt.Errorf("roll back a journal that never recorded: %w", ErrOutOfOrder)
	}
	if s.journal != j {
		if s.state != j.to || s.journal != nil && s.journal.Touched() > 0 {
			return fmt.Errorf("roll back from state %d a set in state %d: %w", j.to, s.state, ErrOutOfOrder)
		}
		for _, p := range j.touched {
			if !p.intact() {
				return fmt.Errorf("roll back %s, which has changed unrecorded: %w", p.mapName(), ErrOutOfOrder)
			}
		}
	}
	for _, n := range slices.Backward(j.named) {
		s.put(n.name, n.old)
	}
	for _, p := range j.touched {
		p.rollback()
	}
	clear(j.named)
	j.named = j.named[:0]
	clear(j.touched)
	j.touched = j.touched[:0]
	s.state, j.to = j.from, j.from
	if s.journal != nil {
		s.journal.from = s.state
	}
	return nil
}

// Touched returns the number of maps with recorded entries, plus the number of maps made or removed.
func (j *Journal) Touched() int { return len(j.touched) + len(j.named) }

// Diff lists the entries that differ from what they were at Record, sorted by map name and key bytes. For a journal which
// has stopped recording it is right as long as the set has not changed since.
func (j *Journal) Diff() []Delta {
	var out []Delta
	for _, p := range j.touched {
		// A name that changed hands is compared as a whole, so that maps which came and went in between do not show.
		if !slices.ContainsFunc(j.named, func(n nameRecord) bool { return n.name == p.mapName() }) {
			out = p.deltas(out)
		}
	}
	for _, n := range j.named {
		out = append(out, j.nameDeltas(n)...)
	}
	slices.SortFunc(out, func(a, b Delta) int {
		if c := strings.Compare(a.Map, b.Map); c != 0 {
			return c
		}
		return bytes.Compare(a.Key, b.Key)
	})
	return out
}

// partOf returns the journal's record of the map owner, made by create at the first time, and lists it as touched.
func (j *Journal) partOf(owner any, create func() part) part {
	p, ok := j.parts[owner]
	if !ok {
		if j.parts == nil {
			j.parts = make(map[any]part)
		}
		p = create()
		j.parts[owner] = p
	}
	return p
}

// noteName saves which map has a name, at the first change.
func (j *Journal) noteName(name string, old dynamicMap) {
	for _, n := range j.named {
		if n.name == name {
			return
		}
	}
	j.named = append(j.named, nameRecord{name, old})
}

// touchedPart returns the record of a map that has one, else nil.
func (j *Journal) touchedPart(m dynamicMap) part {
	if m == nil {
		return nil
	}
	for _, p := range j.touched {
		if p.owner() == m.identity() {
			return p
		}
	}
	return nil
}

// nameDeltas compares the map that had a name at Record with the one that has it now.
func (j *Journal) nameDeltas(n nameRecord) []Delta {
	was := make(map[string][]byte)
	keep := func(key, value []byte) { was[string(key)] = bytes.Clone(value) }
	if n.old != nil {
		if p := j.touchedPart(n.old); p != nil {
			p.before(keep)
		} else {
			each(n.old, keep)
		}
	}
	var out []Delta
	if now := j.set.named[n.name]; now != nil {
		each(now, func(key, value []byte) {
			old, ok := was[string(key)]
			delete(was, string(key))
			d := Delta{Map: n.name, Op: Add, Key: bytes.Clone(key), Old: old, New: bytes.Clone(value)}
			if ok {
				d.Op = Change
			}
			if !ok || !bytes.Equal(old, value) {
				out = append(out, d)
			}
		})
	}
	for key, old := range was {
		out = append(out, Delta{Map: n.name, Op: Del, Key: []byte(key), Old: old})
	}
	return out
}

// each calls fn for every entry of a map.
func each(m Store, fn func(key, value []byte)) {
	for c := (Cursor{}); !c.Done(); {
		if m.Range(&c, 0, func(key, value []byte) bool { fn(key, value); return true }) != nil {
			return
		}
	}
}
