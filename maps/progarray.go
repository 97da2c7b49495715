package maps

import "fmt"

// ProgArray is BPF_MAP_TYPE_PROG_ARRAY: slots that hold program ids, 0 being an empty slot. The engine that owns the programs
// chooses the ids and names them with SetNames. Make it with [NewProgArray].
//
// Differs: as bytes a slot holds the program id both ways, while the kernel takes a file descriptor and gives an id. Test:
// TestKernelSemantics.
type ProgArray struct {
	cells cells[uint32]
	names func(id uint32) string
}

// NewProgArray makes an array of empty slots. Type 0 in the spec means [TypeProgArray], sizes 0 mean 4; errors as [NewHash].
func NewProgArray(s Spec) (*ProgArray, error) {
	s, err := newSpec[uint32, uint32](s, TypeProgArray)
	if err != nil {
		return nil, err
	}
	return &ProgArray{cells: cells[uint32]{spec: s}}, nil
}

// SetNames tells the array how programs are called, by section name; nil means that nobody knows.
func (a *ProgArray) SetNames(names func(id uint32) string) { a.names = names }

// ProgName returns the section name of a program id, "" if it is not known.
func (a *ProgArray) ProgName(id uint32) string {
	if a.names == nil {
		return ""
	}
	return a.names(id)
}

func (a *ProgArray) identity() any         { return &a.cells }
func (a *ProgArray) setJournal(j *Journal) { a.cells.setJournal(j) }

// Spec returns the map's description.
func (a *ProgArray) Spec() Spec { return a.cells.spec }

// Prog returns the program in a slot; ok is false for an empty slot and for one out of range, as bpf_tail_call finds it.
func (a *ProgArray) Prog(slot uint32) (id uint32, ok bool) {
	if slot < uint32(len(a.cells.first)) {
		id = a.cells.first[slot]
	} else if slot < a.cells.spec.MaxEntries {
		id = a.cells.peek(slot)
	}
	return id, id != 0
}

// Set puts a program into a slot. Errors: ErrFull (slot out of range), ErrInvalid (id 0).
func (a *ProgArray) Set(slot, id uint32) error {
	if slot >= a.cells.spec.MaxEntries {
		return a.cells.outside(slot)
	}
	if id == 0 {
		return fmt.Errorf("%s: program id 0 into slot %d: %w", a.cells.spec.Name, slot, ErrInvalid)
	}
	*a.cells.Ref(slot) = id
	return nil
}

// Remove empties a slot. Errors: ErrKeyNotExist (empty already), ErrFull (slot out of range).
func (a *ProgArray) Remove(slot uint32) error {
	if slot >= a.cells.spec.MaxEntries {
		return a.cells.outside(slot)
	}
	if a.cells.peek(slot) == 0 {
		return ErrKeyNotExist
	}
	*a.cells.Ref(slot) = 0
	return nil
}

// Len returns the number of slots in use.
func (a *ProgArray) Len() int {
	n := 0
	for _, chunk := range a.cells.chunks {
		for _, id := range chunk {
			if id != 0 {
				n++
			}
		}
	}
	return n
}

// Lookup implements [Store]: the value is the program id. ErrKeyNotExist for an empty slot or one out of range.
func (a *ProgArray) Lookup(key, value []byte) error {
	i, err := a.cells.decodeIndex(key)
	if err != nil {
		return err
	}
	if len(value) != 4 {
		return a.cells.wrongValue(value)
	}
	if _, ok := a.Prog(i); !ok {
		return ErrKeyNotExist
	}
	return a.cells.Lookup(key, value)
}

// Update implements [Store]: the value is a program id. The only flag is [Any].
func (a *ProgArray) Update(key, value []byte, f UpdateFlag) error {
	if f != Any {
		return fmt.Errorf("%s: update flag %d: %w", a.cells.spec.Name, uint64(f), ErrInvalid)
	}
	i, err := a.cells.decodeIndex(key)
	if err != nil {
		return err
	}
	id, ok := decode[uint32](value)
	if !ok {
		return a.cells.wrongValue(value)
	}
	return a.Set(i, id)
}

// Delete implements [Store]: it empties a slot.
func (a *ProgArray) Delete(key []byte) error {
	i, err := a.cells.decodeIndex(key)
	if err != nil {
		return err
	}
	return a.Remove(i)
}

// Range implements [Store]: it visits the slots in use.
func (a *ProgArray) Range(c *Cursor, limit int, fn func(key, value []byte) bool) error {
	return a.cells.visit(c, limit, true, fn)
}
