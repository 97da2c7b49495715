package maps

import (
	"encoding/binary"
	"fmt"
)

// Array is BPF_MAP_TYPE_ARRAY: every index below max_entries exists from the start and holds zeros. Make it with
// [NewArray].
type Array[V any] struct {
	cells[V]
}

// PerCPUArray is BPF_MAP_TYPE_PERCPU_ARRAY with one CPU: it holds that CPU's values. Make it with [NewPerCPUArray].
type PerCPUArray[V any] struct {
	cells[V]
}

// NewArray makes an array of zeros. Type 0 in the spec means [TypeArray], value size 0 that of V, key size 0 the only
// one there is, 4; errors as [NewHash].
func NewArray[V any](s Spec) (*Array[V], error) {
	s, err := newSpec[uint32, V](s, TypeArray)
	if err != nil {
		return nil, err
	}
	return &Array[V]{cells[V]{spec: s}}, nil
}

// NewPerCPUArray makes an array of zeros for one CPU. Type 0 in the spec means [TypePerCPUArray]; otherwise as [NewArray].
func NewPerCPUArray[V any](s Spec) (*PerCPUArray[V], error) {
	s, err := newSpec[uint32, V](s, TypePerCPUArray)
	if err != nil {
		return nil, err
	}
	return &PerCPUArray[V]{cells[V]{spec: s}}, nil
}

// cellsPerChunk is how many values of an array are allocated together when the first of them is used.
const cellsPerChunk = 256

// cells is what Array, PerCPUArray and ProgArray share: values by index, allocated in chunks on first use.
type cells[V any] struct {
	spec    Spec
	chunks  [][]V
	first   []V // the first of the chunks
	journal *Journal
	rec     *cellRecord[V]
}

// Spec returns the map's description.
func (a *cells[V]) Spec() Spec { return a.spec }

// Ref returns the live value at index i, nil when i is out of range.
func (a *cells[V]) Ref(i uint32) *V {
	if i < uint32(len(a.first)) && a.journal == nil {
		return &a.first[i]
	}
	return a.use(i)
}

// use is Ref for a value that may have no memory yet, or that a journal watches.
func (a *cells[V]) use(i uint32) *V {
	if i >= a.spec.MaxEntries {
		return nil
	}
	v := a.cell(i)
	if a.journal != nil {
		a.touch(i, *v)
	}
	return v
}

// Set replaces the value at index i. Errors: ErrFull (index), ErrKeyExist (every index exists), ErrInvalid (flag).
func (a *cells[V]) Set(i uint32, v *V, f UpdateFlag) error {
	if f > Exist {
		return f.check(true)
	}
	if i >= a.spec.MaxEntries {
		return a.outside(i)
	}
	if err := f.check(true); err != nil {
		return err
	}
	*a.Ref(i) = *v
	return nil
}

// Lookup implements [Store].
func (a *cells[V]) Lookup(key, value []byte) error {
	i, err := a.decodeIndex(key)
	if err != nil {
		return err
	}
	if len(value) != int(a.spec.ValueSize) {
		return a.wrongValue(value)
	}
	if i >= a.spec.MaxEntries {
		return ErrKeyNotExist
	}
	v := a.peek(i)
	copy(value, view(&v))
	return nil
}

// Update implements [Store].
func (a *cells[V]) Update(key, value []byte, f UpdateFlag) error {
	i, err := a.decodeIndex(key)
	if err != nil {
		return err
	}
	v, ok := decode[V](value)
	if !ok {
		return a.wrongValue(value)
	}
	return a.Set(i, &v, f)
}

// Delete implements [Store]: nothing can be deleted from an array, so it always fails with ErrInvalid.
func (a *cells[V]) Delete(_ []byte) error {
	return fmt.Errorf("%s: delete from a map of type %s: %w", a.spec.Name, a.spec.Type, ErrInvalid)
}

// Range implements [Store]: it visits every index.
func (a *cells[V]) Range(c *Cursor, limit int, fn func(key, value []byte) bool) error {
	return a.visit(c, limit, false, fn)
}

// visit is Range, over all indexes or only over those whose bytes are not all zero.
func (a *cells[V]) visit(c *Cursor, limit int, skipZero bool, fn func(key, value []byte) bool) error {
	c.begin(a.spec.MaxEntries)
	budget := newBudget(limit)
	for ; c.next < c.end && budget.left(); c.next++ {
		if skipZero && !a.allocated(c.next) {
			c.next |= cellsPerChunk - 1 // to the chunk's last index
			budget.spend(false)
			continue
		}
		i, v := c.next, a.peek(c.next)
		if !budget.spend(!skipZero || !zero(view(&v))) {
			continue
		}
		if !fn(view(&i), view(&v)) {
			c.next++
			break
		}
	}
	c.finish()
	return nil
}

// cell returns the value at index i, which is in range, and allocates it if need be.
func (a *cells[V]) cell(i uint32) *V {
	if a.chunks == nil {
		a.chunks = make([][]V, (a.spec.MaxEntries+cellsPerChunk-1)/cellsPerChunk)
	}
	c := &a.chunks[i/cellsPerChunk]
	if *c == nil {
		*c = make([]V, min(cellsPerChunk, a.spec.MaxEntries-i&^(cellsPerChunk-1)))
		a.first = a.chunks[0]
	}
	return &(*c)[i%cellsPerChunk]
}

// allocated says whether the value at index i, which is in range, has memory; those without are zero.
func (a *cells[V]) allocated(i uint32) bool {
	return a.chunks != nil && a.chunks[i/cellsPerChunk] != nil
}

// peek returns a copy of the value at index i, which is in range.
func (a *cells[V]) peek(i uint32) (v V) {
	if a.allocated(i) {
		v = a.chunks[i/cellsPerChunk][i%cellsPerChunk]
	}
	return v
}

func (a *cells[V]) decodeIndex(key []byte) (uint32, error) {
	if len(key) != 4 {
		return 0, fmt.Errorf("%s: key of %d bytes, want 4: %w", a.spec.Name, len(key), ErrInvalid)
	}
	return binary.LittleEndian.Uint32(key), nil
}

func (a *cells[V]) wrongValue(value []byte) error {
	return fmt.Errorf("%s: value of %d bytes, want %d: %w", a.spec.Name, len(value), a.spec.ValueSize, ErrInvalid)
}

func (a *cells[V]) outside(i uint32) error {
	return fmt.Errorf("%s: index %d of %d: %w", a.spec.Name, i, a.spec.MaxEntries, ErrFull)
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
