package bytecode

import (
	"fmt"

	"github.com/cilium/ebpf/asm"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// objectKey tells instances of objects apart: pods by endpoint, host objects by device.
type objectKey struct {
	kind object.Kind
	id   uint32
}

// maxEndpoint is one past the last slot of cilium_call_policy.
const maxEndpoint = 65535

func keyOf(h dataplane.Hook, c dataplane.Config) (objectKey, error) {
	kind := object.KindOf(h.Prog)
	switch kind {
	case object.LXC:
		if h.Endpoint == 0 || h.Endpoint == maxEndpoint {
			return objectKey{}, fmt.Errorf("endpoint id %d: want 1 to %d", h.Endpoint, maxEndpoint-1)
		}
		if h.Endpoint != c.Endpoint.ID {
			return objectKey{}, fmt.Errorf("endpoint id %d: the configuration is that of %d", h.Endpoint, c.Endpoint.ID)
		}
		return objectKey{kind, uint32(h.Endpoint)}, nil
	case object.Host:
		return objectKey{kind, h.Ifindex}, nil
	default:
		return objectKey{kind, 0}, nil
	}
}

// loaded is an instance of an object in the machine.
type loaded struct {
	config   dataplane.Config
	programs map[string]*program // by section
	hooks    map[dataplane.Hook]bool
	regions  []uint32 // its own
	calls    []string // its calls maps
	slots    []slot
}

// slot is a place in a prog array, and the program there.
type slot struct {
	array *maps.ProgArray
	index uint32
	id    uint32 // in machine.tails, from 1
}

// install puts an instance into the machine, in the place of old if that is not nil. On an error old stays as it was.
func (e *Engine) install(key objectKey, old *loaded, inst *object.Instance) (*loaded, error) {
	l := &loaded{programs: map[string]*program{}, hooks: map[dataplane.Hook]bool{}}
	if old != nil {
		l.hooks = old.hooks
	}
	if err := e.fill(key, l, inst); err != nil {
		e.forget(l)
		if old == nil {
			e.remove(key, l)
		}
		return nil, err
	}
	for _, s := range l.slots {
		if err := s.array.Set(s.index, s.id); err != nil {
			return nil, err // fill has checked the index
		}
	}
	if old != nil {
		for h := range l.hooks {
			if entry, err := inst.Object.Entry(h.Prog); err == nil {
				e.hooks[keyOfHook(h)] = l.programs[entry.Section]
			}
		}
		e.forget(old)
	}
	e.loaded[key] = l
	return l, nil
}

// fill makes regions for the maps of an instance and decodes its programs.
func (e *Engine) fill(key objectKey, l *loaded, inst *object.Instance) error {
	addr := map[string]uint64{}
	for i := range inst.Maps {
		m := &inst.Maps[i]
		id, err := e.region(key, l, m)
		if err != nil {
			return fmt.Errorf("%s: map %s: %w", inst.Object.Name, m.Name, err)
		}
		addr[m.Symbol] = address(id, 0)
	}
	for i := range inst.Programs {
		p := &inst.Programs[i]
		a, err := e.assemble(p.Instructions)
		if err != nil {
			return fmt.Errorf("%s: section %q: %w", inst.Object.Name, p.Section, err)
		}
		refs := map[int]uint64{}
		for at, symbol := range a.refs {
			if v, ok := addr[symbol]; ok {
				refs[at] = v
			}
		}
		prog, err := newProgram(p.Func, p.Section, a, refs)
		if err != nil {
			return fmt.Errorf("%s: %w", inst.Object.Name, err)
		}
		prog.fn, prog.known = funcOf(inst.Object.Kind, p.Func)
		if e.coverage {
			prog.covered = make([]bool, len(prog.lines))
		}
		l.programs[p.Section] = prog
		if p.Tail.Map == "" {
			continue
		}
		o := e.machine.objects[addr[p.Tail.Map]>>32]
		if o.kind != kindPrograms || p.Tail.Slot >= o.calls.Spec().MaxEntries {
			return fmt.Errorf("%s: section %q: no slot %d in map %s", inst.Object.Name, p.Section, p.Tail.Slot, p.Tail.Map)
		}
		l.slots = append(l.slots, slot{o.calls, p.Tail.Slot, e.machine.addTail(prog)})
	}
	return nil
}

// assemble is the function of that name, once for instructions that instances share.
func (e *Engine) assemble(insns asm.Instructions) (*assembly, error) {
	if a := e.assembled[&insns[0]]; a != nil {
		return a, nil
	}
	a, err := assemble(insns)
	if err == nil {
		e.assembled[&insns[0]] = a
	}
	return a, err
}

// region is the number of the region that stands for a map of an instance.
func (e *Engine) region(key objectKey, l *loaded, m *object.Map) (uint32, error) {
	switch m.Scope {
	case object.ScopeData:
		data := append([]byte(nil), m.Data()...)
		g := regionOf(data)
		g.writable = 0
		id := e.machine.addObject(machineObject{kind: kindMemory, name: m.Name}, g)
		l.regions = append(l.regions, id)
		return id, nil
	case object.ScopeInstance:
		o := machineObject{name: m.Name}
		if uint32(m.Spec.Type) == uint32(maps.TypeProgArray) {
			l.calls = append(l.calls, m.Name)
			o.kind, o.calls, o.traced = kindPrograms, e.maps.AddCalls(m.Name), trace.MapCalls
		} else {
			policy := e.maps.AddPolicy(uint16(key.id))
			o.kind, o.m, o.traced, o.endpoint = kindMap, policy, trace.MapPolicy, uint16(key.id)
			o.describe(policy.Spec())
		}
		id := e.machine.addObject(o, region{})
		l.regions = append(l.regions, id)
		return id, nil
	case object.ScopeNode:
	}
	if id, ok := e.shared[m.Name]; ok {
		if o := &e.machine.objects[id]; o.kind == kindScratch && o.valueSize != m.Spec.ValueSize {
			return 0, fmt.Errorf("values of %d bytes, another object of the node has %d", m.Spec.ValueSize, o.valueSize)
		}
		return id, nil
	}
	id, err := e.shareMap(m)
	if err == nil {
		e.shared[m.Name] = id
	}
	return id, err
}

// shareMap makes a region for a map that all objects of the node share.
func (e *Engine) shareMap(m *object.Map) (uint32, error) {
	o := machineObject{name: m.Name, traced: traceMap(m.Name)}
	switch m.Name {
	case object.NameEvents:
		o.kind = kindEvents
	case object.NameSignals:
		o.kind = kindSignals
	case maps.NamePolicyCall:
		o.kind, o.calls = kindPrograms, e.maps.PolicyCall
	case maps.NameTailCallBuffer:
		// Only programs see it, and its layout is theirs.
		values := make([]byte, m.Spec.ValueSize*m.Spec.MaxEntries)
		o.kind, o.keySize, o.valueSize, o.entries = kindScratch, 4, m.Spec.ValueSize, m.Spec.MaxEntries
		o.values = address(e.machine.addObject(machineObject{kind: kindMemory, name: m.Name}, regionOf(values)), 0)
	default:
		live, err := e.maps.Live(m.Name)
		if err != nil {
			return 0, err
		}
		o.kind, o.m = kindMap, live
		o.describe(live.Spec())
	}
	return e.machine.addObject(o, region{}), nil
}

// forget removes the programs and regions of an instance.
func (e *Engine) forget(l *loaded) {
	for _, s := range l.slots {
		if id, ok := s.array.Prog(s.index); ok && id == s.id {
			_ = s.array.Remove(s.index) // it is there
		}
		e.machine.tails[s.id-1] = nil
	}
	for _, id := range l.regions {
		e.machine.removeObject(id)
	}
}

// remove removes an instance with its maps.
func (e *Engine) remove(key objectKey, l *loaded) {
	e.forget(l)
	if key.kind == object.LXC {
		e.maps.RemovePolicy(uint16(key.id))
	}
	for _, name := range l.calls {
		e.maps.RemoveCalls(name)
	}
}
