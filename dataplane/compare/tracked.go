package compare

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// Change is a map entry that a packet changed, or one that the other side's packet
// changed. A nil value means that there is no such entry.
type Change struct {
	Map string
	Key []byte
	New []byte
}

// contents are all entries of the compared maps: by map, by key.
type contents map[string]map[string]string

// tracked are the maps of one side. Where the engine's maps are ours a journal tells
// what a packet changed. Of other maps only single entries are read after a packet,
// those that the other side changed; reading them as a whole, which finds entries that
// only this side changed, is left to the end of a scenario.
type tracked struct {
	names   []string
	stores  map[string]maps.Store
	set     *maps.Set // nil: not ours
	full    bool      // not ours, and read as a whole before and after every packet
	before  contents
	journal maps.Journal
	start   contents // what the agent wrote
	value   []byte   // to read values into

	programs map[string]maps.Store // prog arrays, which an edit can take slots from
	holes    []Edit                // these slots, with the programs that were there
}

func newTracked(r dataplane.Runner, names, programs []string) (*tracked, error) {
	t := &tracked{names: names, stores: map[string]maps.Store{}, programs: map[string]maps.Store{}}
	for _, n := range programs {
		// Objects of others may have no such array.
		if m, err := r.Map(n); err == nil {
			t.programs[n] = m
		}
	}
	for _, n := range names {
		m, err := r.Map(n)
		if err != nil {
			return nil, err
		}
		t.stores[n] = m
	}
	if h, ok := r.(setHolder); ok {
		t.set = h.Maps()
	}
	var err error
	t.start, err = t.read()
	return t, err
}

// read reads all compared maps.
func (t *tracked) read() (contents, error) {
	all := make(contents, len(t.names))
	for _, n := range t.names {
		m := make(map[string]string)
		for c := (maps.Cursor{}); !c.Done(); {
			if err := t.stores[n].Range(&c, 0, func(k, v []byte) bool { m[string(k)] = string(v); return true }); err != nil {
				return nil, fmt.Errorf("read %s: %w", n, err)
			}
		}
		all[n] = m
	}
	return all, nil
}

// restore makes the maps hold exactly what is wanted.
func (t *tracked) restore(want contents) error {
	if t.set != nil {
		t.set.Record(nil)
	}
	have, err := t.read()
	if err != nil {
		return err
	}
	for _, n := range t.names {
		for k := range have[n] {
			if _, ok := want[n][k]; !ok {
				if err := t.edit(&Edit{Map: n, Key: []byte(k)}); err != nil {
					return err
				}
			}
		}
		for k, v := range want[n] {
			if old, ok := have[n][k]; !ok || old != v {
				if err := t.edit(&Edit{Map: n, Key: []byte(k), Value: []byte(v)}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// refill gives prog arrays the programs that edits took from them.
func (t *tracked) refill() error {
	for _, e := range slices.Backward(t.holes) {
		if err := t.programs[e.Map].Update(e.Key, e.Value, maps.Any); err != nil {
			return fmt.Errorf("refill slot %x of %s: %w", e.Key, e.Map, err)
		}
	}
	t.holes = t.holes[:0]
	return nil
}

// remove takes the program out of a slot of a prog array.
func (t *tracked) remove(e *Edit) error {
	m, old := t.programs[e.Map], make([]byte, 4)
	switch err := m.Lookup(e.Key, old); {
	case errors.Is(err, maps.ErrKeyNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("read slot %x of %s: %w", e.Key, e.Map, err)
	}
	if err := m.Delete(e.Key); err != nil {
		return fmt.Errorf("empty slot %x of %s: %w", e.Key, e.Map, err)
	}
	t.holes = append(t.holes, Edit{e.Map, e.Key, old})
	return nil
}

// edit changes one entry.
func (t *tracked) edit(e *Edit) error {
	if t.programs[e.Map] != nil && e.Value == nil {
		return t.remove(e)
	}
	m := t.stores[e.Map]
	if m == nil {
		return fmt.Errorf("%w: map %q: there are %s", ErrInput, e.Map, strings.Join(t.names, ", "))
	}
	if e.Value == nil {
		if err := m.Delete(e.Key); err != nil && !errors.Is(err, maps.ErrKeyNotExist) {
			return fmt.Errorf("delete %s %x: %w", e.Map, e.Key, err)
		}
		return nil
	}
	if err := m.Update(e.Key, e.Value, maps.Any); err != nil {
		return fmt.Errorf("update %s %x: %w", e.Map, e.Key, err)
	}
	return nil
}

// begin is called before a packet.
func (t *tracked) begin() (err error) {
	switch {
	case t.set != nil:
		t.set.Record(&t.journal)
	case t.full:
		t.before, err = t.read()
	}
	return err
}

// changes are the entries that the packet changed, sorted by map and key. ok is false
// if this side cannot tell.
func (t *tracked) changes() (list []Change, ok bool, err error) {
	if t.set == nil {
		if !t.full {
			return nil, false, nil
		}
		now, err := t.read()
		return changesOf(t.before, now), true, err
	}
	for _, d := range t.journal.Diff() {
		if t.stores[d.Map] != nil {
			list = append(list, Change{d.Map, d.Key, d.New})
		}
	}
	t.set.Record(nil)
	return list, true, nil
}

// lookup reads the entries that the other side changed.
func (t *tracked) lookup(theirs []Change) ([]Change, error) {
	list := make([]Change, 0, len(theirs))
	for _, c := range theirs {
		m := t.stores[c.Map]
		if n := int(m.Spec().ValueSize); cap(t.value) < n {
			t.value = make([]byte, n)
		} else {
			t.value = t.value[:n]
		}
		switch err := m.Lookup(c.Key, t.value); {
		case errors.Is(err, maps.ErrKeyNotExist):
			list = append(list, Change{c.Map, c.Key, nil})
		case err != nil:
			return nil, fmt.Errorf("read %s %x: %w", c.Map, c.Key, err)
		default:
			list = append(list, Change{c.Map, c.Key, bytes.Clone(t.value)})
		}
	}
	return list, nil
}

// changesOf lists how two contents differ, sorted by map and key.
func changesOf(was, is contents) []Change {
	var list []Change
	for n, now := range is {
		for k, v := range now {
			if old, ok := was[n][k]; !ok || old != v {
				list = append(list, Change{n, []byte(k), []byte(v)})
			}
		}
	}
	for n, before := range was {
		for k := range before {
			if _, ok := is[n][k]; !ok {
				list = append(list, Change{Map: n, Key: []byte(k)})
			}
		}
	}
	sortChanges(list)
	return list
}

func sortChanges(list []Change) {
	slices.SortFunc(list, func(a, b Change) int {
		if c := strings.Compare(a.Map, b.Map); c != 0 {
			return c
		}
		return bytes.Compare(a.Key, b.Key)
	})
}

// closeAfter closes what an error leaves behind.
func closeAfter(r dataplane.Runner, err error) error { return errors.Join(err, r.Close()) }
