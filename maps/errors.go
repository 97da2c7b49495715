package maps

import (
	"errors"
	"fmt"
)

// Errors mirror what the kernel's map operations return; tests and callers match them with [errors.Is].
var (
	// ErrKeyExist is EEXIST: an update with [NoExist] met an existing entry.
	ErrKeyExist = errors.New("key already exists")
	// ErrKeyNotExist is ENOENT: there is no entry for the key.
	ErrKeyNotExist = errors.New("key does not exist")
	// ErrFull is E2BIG: the map holds max_entries entries, or an array index is out of range.
	ErrFull = errors.New("map is full")
	// ErrNoSpace is ENOSPC, which an LPM trie returns where a hash returns E2BIG; it matches [ErrFull] too.
	ErrNoSpace = fmt.Errorf("no space left: %w", ErrFull)
	// ErrInvalid is EINVAL: a wrong size, flag, prefix length or an operation that the map type does not have.
	ErrInvalid = errors.New("invalid argument")
	// ErrNotSupported says that a map, or a form of it, is not available here.
	ErrNotSupported = errors.New("not supported")
)

// UpdateFlag says what an update expects of the key (kernel: the flags of bpf_map_update_elem).
type UpdateFlag uint64

// Values of [UpdateFlag]; the numbers are the kernel's.
const (
	// Any creates the entry or replaces it (BPF_ANY).
	Any UpdateFlag = 0
	// NoExist creates the entry and fails with [ErrKeyExist] when there is one (BPF_NOEXIST).
	NoExist UpdateFlag = 1
	// Exist replaces the entry and fails with [ErrKeyNotExist] when there is none (BPF_EXIST).
	Exist UpdateFlag = 2
)

// check returns the error for updating a key that is present or not.
func (f UpdateFlag) check(present bool) error {
	switch {
	case f > Exist:
		return fmt.Errorf("update flag %d: %w", uint64(f), ErrInvalid)
	case f == NoExist && present:
		return ErrKeyExist
	case f == Exist && !present:
		return ErrKeyNotExist
	}
	return nil
}
