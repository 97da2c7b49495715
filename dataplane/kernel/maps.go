package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/hooklab/hooklab/maps"
)

// store is a kernel map as bytes. Values of a per-CPU map are summed over the CPUs, as counters of 64 bits; an update gives
// the first CPU the value and the others zero.
type store struct {
	m    *ebpf.Map
	spec maps.Spec
	cpus int // values of an entry; 1 unless per-CPU
}

func newStore(name string, m *ebpf.Map) (*store, error) {
	s := &store{m: m, cpus: 1, spec: maps.Spec{
		Name: name, Type: maps.Type(m.Type()), KeySize: m.KeySize(), ValueSize: m.ValueSize(), MaxEntries: m.MaxEntries(), Flags: m.Flags(),
	}}
	if perCPU(m.Type()) {
		n, err := ebpf.PossibleCPU()
		if err != nil {
			return nil, fmt.Errorf("map %s: %w", name, err)
		}
		s.cpus = n
	}
	return s, nil
}

func perCPU(t ebpf.MapType) bool { return t == ebpf.PerCPUHash || t == ebpf.PerCPUArray }

// Spec returns the map's description as the kernel has it.
func (s *store) Spec() maps.Spec { return s.spec }

func (s *store) check(key, value []byte, hasValue bool) error {
	if len(key) != int(s.spec.KeySize) {
		return fmt.Errorf("%s: key of %d bytes, want %d: %w", s.spec.Name, len(key), s.spec.KeySize, maps.ErrInvalid)
	}
	if hasValue && len(value) != int(s.spec.ValueSize) {
		return fmt.Errorf("%s: value of %d bytes, want %d: %w", s.spec.Name, len(value), s.spec.ValueSize, maps.ErrInvalid)
	}
	return nil
}

// explain gives the kernel's errors the names of ours.
func (s *store) explain(what string, err error) error {
	for _, x := range []struct{ kernel, ours error }{
		{ebpf.ErrKeyNotExist, maps.ErrKeyNotExist}, {ebpf.ErrKeyExist, maps.ErrKeyExist},
	} {
		if errors.Is(err, x.kernel) {
			return x.ours
		}
	}
	if err := asMapError(err); err != nil {
		return fmt.Errorf("%s %s: %w", what, s.spec.Name, err)
	}
	return fmt.Errorf("%s %s: %w", what, s.spec.Name, err)
}

// Lookup implements [maps.Store].
func (s *store) Lookup(key, value []byte) error {
	if err := s.check(key, value, true); err != nil {
		return err
	}
	if s.cpus == 1 {
		if err := s.m.Lookup(key, value); err != nil {
			return s.explain("lookup in", err)
		}
		return nil
	}
	var all [][]byte
	if err := s.m.Lookup(key, &all); err != nil {
		return s.explain("lookup in", err)
	}
	sum(value, all)
	return nil
}

// sum adds the counters of all CPUs.
func sum(into []byte, all [][]byte) {
	clear(into)
	for _, v := range all {
		for i := 0; i+8 <= len(into); i += 8 {
			binary.NativeEndian.PutUint64(into[i:], binary.NativeEndian.Uint64(into[i:])+binary.NativeEndian.Uint64(v[i:]))
		}
	}
}

// Update implements [maps.Store].
func (s *store) Update(key, value []byte, f maps.UpdateFlag) error {
	if err := s.check(key, value, true); err != nil {
		return err
	}
	var v any = value
	if s.cpus > 1 {
		all := make([][]byte, s.cpus)
		all[0] = value
		for i := range all[1:] {
			all[i+1] = make([]byte, len(value))
		}
		v = all
	}
	if err := s.m.Update(key, v, ebpf.MapUpdateFlags(f)); err != nil {
		return s.explain("update", err)
	}
	return nil
}

// Delete implements [maps.Store].
func (s *store) Delete(key []byte) error {
	if err := s.check(key, nil, false); err != nil {
		return err
	}
	if err := s.m.Delete(key); err != nil {
		return s.explain("delete from", err)
	}
	return nil
}

// Range implements [maps.Store]. It reads all keys when it begins; with a limit the cursor keeps those that are left.
func (s *store) Range(c *maps.Cursor, limit int, fn func(key, value []byte) bool) error {
	if limit <= 0 && c.Resume() == nil {
		return s.all(c, fn)
	}
	size := int(s.spec.KeySize)
	left := slices.Clone(c.Resume())
	if left == nil {
		if err := s.keys(func(key []byte) { left = append(left, key...) }); err != nil {
			return err
		}
	}
	value := make([]byte, s.spec.ValueSize)
	for n := 0; len(left) > 0 && (limit <= 0 || n < limit); n++ {
		key := left[:size:size]
		left = left[size:]
		err := s.Lookup(key, value)
		if errors.Is(err, maps.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !fn(key, value) {
			break
		}
	}
	c.SetResume(left, len(left) == 0)
	return nil
}

// batchStart is how many entries the first batch asks for; a bucket of a hash map must fit.
const batchStart = 512

// all calls fn for all entries, which are read by batches: a few system calls for a map.
func (s *store) all(c *maps.Cursor, fn func(key, value []byte) bool) error {
	if t := s.m.Type(); t != ebpf.Hash && t != ebpf.LRUHash && t != ebpf.PerCPUHash {
		return s.each(c, fn)
	}
	keys, values, n, err := s.batch()
	if err != nil {
		return err
	}
	k, v := int(s.spec.KeySize), int(s.spec.ValueSize)
	value := make([]byte, v)
	for i := range n {
		all := values[i*v*s.cpus : (i+1)*v*s.cpus]
		if s.cpus == 1 {
			copy(value, all)
		} else {
			sum(value, slices.Collect(slices.Chunk(all, v)))
		}
		if !fn(keys[i*k:(i+1)*k:(i+1)*k], value) {
			c.SetResume(keys[(i+1)*k:n*k], i+1 == n)
			return nil
		}
	}
	c.SetResume(nil, true)
	return nil
}

// batch reads a hash map as a whole: keys and values one after the other.
func (s *store) batch() (keys, values []byte, n int, err error) {
	k, v := int(s.spec.KeySize), int(s.spec.ValueSize)*s.cpus
	for size := batchStart; ; size *= 2 {
		keys, values, n, err = s.batchOf(size, k, v)
		if !isNoSpace(err) {
			return keys, values, n, err
		}
	}
}

// Batches hand arrays over as they are, so those of the library's typed interface would have to be of the key's type.
func (s *store) batchOf(size, k, v int) (keys, values []byte, n int, err error) {
	var cursor uint32
	for first := true; ; first = false {
		keys = append(keys, make([]byte, size*k)...)
		values = append(values, make([]byte, size*v)...)
		got, err := lookupBatch(s.m.FD(), &cursor, first, keys[n*k:], values[n*v:], size)
		n += got
		keys, values = keys[:n*k], values[:n*v]
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			return keys, values, n, nil
		case err != nil:
			return nil, nil, 0, fmt.Errorf("read %s: %w", s.spec.Name, err)
		}
	}
}

// each reads entry by entry: arrays and tries.
func (s *store) each(c *maps.Cursor, fn func(key, value []byte) bool) error {
	var all [][]byte
	if err := s.keys(func(key []byte) { all = append(all, bytes.Clone(key)) }); err != nil {
		return err
	}
	value := make([]byte, s.spec.ValueSize)
	for i, key := range all {
		err := s.Lookup(key, value)
		if errors.Is(err, maps.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !fn(key, value) {
			c.SetResume(bytes.Join(all[i+1:], nil), i+1 == len(all))
			return nil
		}
	}
	c.SetResume(nil, true)
	return nil
}

// keys calls fn for each key.
func (s *store) keys(fn func(key []byte)) error {
	key := make([]byte, s.spec.KeySize)
	next := make([]byte, s.spec.KeySize)
	err := s.m.NextKey(nil, next)
	for ; err == nil; err = s.m.NextKey(key, next) {
		fn(next)
		copy(key, next)
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return fmt.Errorf("read the keys of %s: %w", s.spec.Name, err)
}

// clear removes all entries of a hash map or trie.
func (s *store) clear() error {
	var keys [][]byte
	var c maps.Cursor
	if err := s.all(&c, func(k, _ []byte) bool { keys = append(keys, bytes.Clone(k)); return true }); err != nil {
		return err
	}
	for _, k := range keys {
		if err := s.Delete(k); err != nil && !errors.Is(err, maps.ErrKeyNotExist) {
			return err
		}
	}
	return nil
}
