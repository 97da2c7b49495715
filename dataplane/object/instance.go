package object

import (
	"encoding/binary"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/hooklab/hooklab/dataplane"
)

// Instance is an object with the constants of one endpoint or device.
type Instance struct {
	Object *Object
	// Programs are the object's, in its order, with constants in place and Tail.Slot resolved. Instructions that hold no
	// constant are shared with the object.
	Programs []Program
	// Maps are the object's, in its order, with the instance's names; data sections have the constants in Spec.Contents.
	Maps []Map
}

// Instance applies the constants of a configuration for one of the hooks that the object serves; the instances of all hooks
// of one endpoint or device are equal. It costs a copy of the programs that have constants in their instructions.
func (o *Object) Instance(h dataplane.Hook, c dataplane.Config) (*Instance, error) {
	if KindOf(h.Prog) != o.Kind {
		return nil, o.refuse("program %s is one of %s, not of %s", h.Prog, KindOf(h.Prog), o.Kind)
	}
	i := &Instance{Object: o, Programs: slices.Clone(o.Programs), Maps: slices.Clone(o.Maps)}
	known := constants()
	if err := i.setInline(known, &c); err != nil {
		return nil, err
	}
	for n := range i.Programs {
		if t := &i.Programs[n].Tail; t.PerEndpoint {
			t.Slot = uint32(h.Endpoint)
		}
	}
	for n := range i.Maps {
		m := &i.Maps[n]
		m.Name = m.instanceName(h, &c)
		if m.Scope == ScopeData {
			if err := i.setData(known, m, &c); err != nil {
				return nil, err
			}
		}
	}
	return i, nil
}

// setInline puts values in the place of addresses.
func (i *Instance) setInline(known map[string]constantValue, c *dataplane.Config) error {
	for n := 0; n < len(i.Object.inline); {
		p := i.Object.inline[n].program
		insns := slices.Clone(i.Programs[p].Instructions)
		i.Programs[p].Instructions = insns
		for ; n < len(i.Object.inline) && i.Object.inline[n].program == p; n++ {
			in := &i.Object.inline[n]
			memory := make([]byte, max(in.size, 8))
			if err := i.Object.encode(memory[:in.size], in.name, known[in.name](i.Object.Kind, c)); err != nil {
				return err
			}
			memory = append(memory[in.shift:in.size:in.size], make([]byte, 8)...)
			ins := asm.LoadImm(insns[in.instruction].Dst, int64(binary.NativeEndian.Uint64(memory)), asm.DWord)
			ins.Metadata = insns[in.instruction].Metadata
			insns[in.instruction] = ins.WithReference("")
		}
	}
	return nil
}

// setData writes the constants of a read-only section into a copy of its contents.
func (i *Instance) setData(known map[string]constantValue, m *Map, c *dataplane.Config) error {
	initial, ok := m.Spec.Contents[0].Value.([]byte)
	if !ok {
		return i.Object.refuse("section %s: contents of type %T", m.Symbol, m.Spec.Contents[0].Value)
	}
	contents := slices.Clone(initial)
	for _, v := range i.Object.vars {
		if v.section != m.Symbol {
			continue
		}
		into := contents[v.offset : v.offset+v.size]
		if err := i.Object.encode(into, v.name, known[v.name](i.Object.Kind, c)); err != nil {
			return err
		}
	}
	spec := *m.Spec
	spec.Contents = []ebpf.MapKV{{Key: uint32(0), Value: contents}}
	m.Spec = &spec
	return nil
}

// Map finds a map by the symbol that instructions refer to.
func (i *Instance) Map(symbol string) (*Map, bool) {
	n := slices.IndexFunc(i.Maps, func(m Map) bool { return m.Symbol == symbol })
	if n < 0 {
		return nil, false
	}
	return &i.Maps[n], true
}

// Data is the contents of a read-only section, nil for any other map.
func (m *Map) Data() []byte {
	if m.Scope != ScopeData {
		return nil
	}
	b, _ := m.Spec.Contents[0].Value.([]byte)
	return b
}
