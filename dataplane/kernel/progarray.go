package kernel

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	hmaps "github.com/hooklab/hooklab/maps"
)

// progArray is a kernel's prog array as slots with program ids. Engine.programs knows the programs; the slots that may be in
// use are noted, because there are 65,535 of them.
type progArray struct {
	store
	engine *Engine
	filled map[uint32]*program // what loading put into the slots
}

// ProgName is the section of a program id, "" if it is none of the engine's.
func (a *progArray) ProgName(id uint32) string {
	if p := a.engine.programs[id]; p != nil {
		return p.section
	}
	return ""
}

// set puts a program into a slot, for good: reset puts it there again.
func (a *progArray) set(slot uint32, p *program) error {
	if err := a.put(slot, p); err != nil {
		return err
	}
	a.filled[slot] = p
	return nil
}

func (a *progArray) put(slot uint32, p *program) error {
	if err := a.m.Update(slot, uint32(p.prog.FD()), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("put %s into slot %d of %s: %w", p.section, slot, a.spec.Name, err)
	}
	return nil
}

// Update implements [hmaps.Store]: the value is the id of a program of the engine.
func (a *progArray) Update(key, value []byte, f hmaps.UpdateFlag) error {
	if err := a.check(key, value, true); err != nil {
		return err
	}
	id := binary.NativeEndian.Uint32(value)
	p := a.engine.programs[id]
	if p == nil {
		return fmt.Errorf("%s: program id %d is none of the engine's: %w", a.spec.Name, id, hmaps.ErrInvalid)
	}
	if f != hmaps.Any {
		return fmt.Errorf("%s: update flag %d: %w", a.spec.Name, uint64(f), hmaps.ErrInvalid)
	}
	return a.put(binary.NativeEndian.Uint32(key), p)
}

// Range implements [hmaps.Store].
func (a *progArray) Range(c *hmaps.Cursor, _ int, fn func(key, value []byte) bool) error {
	key, value := make([]byte, 4), make([]byte, 4)
	for _, slot := range slices.Sorted(maps.Keys(a.filled)) {
		binary.NativeEndian.PutUint32(key, slot)
		if a.Lookup(key, value) == nil && !fn(key, value) {
			break
		}
	}
	c.SetResume(nil, true)
	return nil
}

// reset gives all slots what loading put there.
func (a *progArray) reset() error {
	for slot, p := range a.filled {
		if err := a.put(slot, p); err != nil {
			return err
		}
	}
	return nil
}
