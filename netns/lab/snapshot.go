package lab

import (
	"encoding/binary"
	"fmt"

	"github.com/hooklab/hooklab/maps"
)

// snapshot is a copy of a map's entries. It implements maps.Store for reading.
type snapshot struct {
	spec     maps.Spec
	entries  []entry
	index    map[string]int // by key
	programs map[uint32]string
}

func newSnapshot(r *mapReply) (*snapshot, error) {
	s := &snapshot{spec: r.Spec, entries: r.Entries, index: make(map[string]int, len(r.Entries)), programs: r.Programs}
	for i, e := range r.Entries {
		if len(e.Key) != int(s.spec.KeySize) || len(e.Value) != int(s.spec.ValueSize) {
			return nil, fmt.Errorf("map %s: entry %d has %d and %d bytes: %w", s.spec.Name, i, len(e.Key), len(e.Value), maps.ErrInvalid)
		}
		s.index[string(e.Key)] = i
	}
	return s, nil
}

// Spec returns the map's description.
func (s *snapshot) Spec() maps.Spec { return s.spec }

// Lookup copies the value of key.
func (s *snapshot) Lookup(key, value []byte) error {
	if len(key) != int(s.spec.KeySize) || len(value) != int(s.spec.ValueSize) {
		return fmt.Errorf("%s: lookup with %d and %d bytes: %w", s.spec.Name, len(key), len(value), maps.ErrInvalid)
	}
	i, ok := s.index[string(key)]
	if !ok {
		return maps.ErrKeyNotExist
	}
	copy(value, s.entries[i].Value)
	return nil
}

// Update refuses: a copy is for reading.
func (s *snapshot) Update(_, _ []byte, _ maps.UpdateFlag) error { return s.readOnly() }

// Delete refuses: a copy is for reading.
func (s *snapshot) Delete([]byte) error { return s.readOnly() }

func (s *snapshot) readOnly() error {
	return fmt.Errorf("change a copy of %s: %w", s.spec.Name, maps.ErrNotSupported)
}

// Range calls fn for entries. The cursor keeps the index of the next one.
func (s *snapshot) Range(c *maps.Cursor, limit int, fn func(key, value []byte) bool) error {
	i := 0
	if at := c.Resume(); len(at) == 8 {
		i = int(binary.LittleEndian.Uint64(at))
	}
	for n := 0; i < len(s.entries) && (limit <= 0 || n < limit); n++ {
		e := &s.entries[i]
		i++
		if !fn(e.Key, e.Value) {
			break
		}
	}
	c.SetResume(binary.LittleEndian.AppendUint64(nil, uint64(i)), i >= len(s.entries))
	return nil
}

// ProgName is the section name of a program in a program array.
func (s *snapshot) ProgName(id uint32) string { return s.programs[id] }

// hostUint32 reads a number that a map keeps in host order.
func hostUint32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
