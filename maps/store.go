package maps

import "strconv"

// Type is a BPF map type; the numbers are the kernel's (enum bpf_map_type).
type Type uint32

// The map types that Cilium's TC datapath uses here.
const (
	TypeHash        Type = 1
	TypeArray       Type = 2
	TypeProgArray   Type = 3
	TypePerCPUHash  Type = 5
	TypePerCPUArray Type = 6
	TypeLRUHash     Type = 9
	TypeLPMTrie     Type = 11
)

// String returns the name that bpftool prints.
func (t Type) String() string {
	switch t {
	case TypeHash:
		return "hash"
	case TypeArray:
		return "array"
	case TypeProgArray:
		return "prog_array"
	case TypePerCPUHash:
		return "percpu_hash"
	case TypePerCPUArray:
		return "percpu_array"
	case TypeLRUHash:
		return "lru_hash"
	case TypeLPMTrie:
		return "lpm_trie"
	}
	return "type " + strconv.FormatUint(uint64(t), 10)
}

// FlagNoPrealloc is BPF_F_NO_PREALLOC, which Cilium sets on its hash maps and which an LPM trie must have.
const FlagNoPrealloc uint32 = 1

// Spec describes a map as the kernel's bpf_map_info does. KeySize and ValueSize are in bytes; the value size of a per-CPU
// map is that of one CPU.
type Spec struct {
	Name       string
	Type       Type
	KeySize    uint32
	ValueSize  uint32
	MaxEntries uint32
	Flags      uint32
}

// Store shows a map as bytes, for the control plane, the CLI, comparisons and the kernel engine. It is used inside
// node.Do only, because a map belongs to its node's goroutine.
type Store interface {
	// Spec returns the map's description.
	Spec() Spec
	// Lookup copies the value of key into value, which must have the map's value size. It does not count as a use in an
	// LRU map, as the kernel's syscall does not. Errors: ErrKeyNotExist, ErrInvalid for a wrong size.
	Lookup(key, value []byte) error
	// Update creates or replaces an entry. Errors: ErrKeyExist, ErrKeyNotExist, ErrFull, ErrInvalid.
	Update(key, value []byte, f UpdateFlag) error
	// Delete removes an entry. Errors: ErrKeyNotExist, ErrFull (index outside a program array), ErrInvalid.
	Delete(key []byte) error
	// Range calls fn for entries from c on, at most limit of them (0 or less: all), and leaves in c where to go on. It stops
	// early when fn returns false. A slice may be shorter than limit before the end: go on until c.Done. key and value are
	// borrowed views of the live entry, read-only, valid until fn returns; fn may update and delete entries.
	Range(c *Cursor, limit int, fn func(key, value []byte) bool) error
}

// Cursor is a place in a map, kept between slices of a listing. The zero value starts at the beginning.
//
// A listing visits every entry that exists from its first slice to its last exactly once. Entries made or removed
// meanwhile may or may not show. It ends after a bounded number of slices whatever happens in between.
type Cursor struct {
	next, end uint32
	started   bool
	done      bool
	resume    []byte
}

// Done says whether the listing has reached its end.
func (c *Cursor) Done() bool { return c.done }

// Resume returns what a store outside this package kept in the cursor by SetResume, nil at the beginning. A store backed by
// a kernel map keeps the last key there.
func (c *Cursor) Resume() []byte { return c.resume }

// SetResume stores a copy of key as the place to go on from and says whether that is the end. Stores outside this package
// use it.
func (c *Cursor) SetResume(key []byte, done bool) {
	c.resume = append(c.resume[:0], key...)
	c.started, c.done = true, done
}
