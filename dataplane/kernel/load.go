package kernel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/object"
	hmaps "github.com/hooklab/hooklab/maps"
)

// maxEndpoint is one past the last slot of cilium_call_policy.
const maxEndpoint = 65535

func keyOf(h dataplane.Hook, c *dataplane.Config) (objectKey, error) {
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

// Load implements [dataplane.Engine]. The programs of an endpoint or device are loaded with its first hook, and anew when
// the configuration is another one.
func (e *Engine) Load(h dataplane.Hook, c dataplane.Config) error {
	wrap := func(err error) error { return fmt.Errorf("load %s on ifindex %d: %w", h.Prog, h.Ifindex, err) }
	key, err := keyOf(h, &c)
	if err != nil {
		return wrap(err)
	}
	if e.devices != nil {
		if err := e.devices.ensure(h.Ifindex); err != nil {
			return wrap(err)
		}
	}
	old := e.objects[key]
	if old == nil || old.config != c {
		in, err := e.bundle.Instance(h, c)
		if err != nil {
			return wrap(err)
		}
		l, err := e.load(in, c)
		if err != nil {
			return wrap(err)
		}
		if err := e.replace(key, old, l); err != nil {
			return wrap(err)
		}
	}
	return e.hook(h, e.objects[key], wrap)
}

// hook makes a loaded program the hook's.
func (e *Engine) hook(h dataplane.Hook, l *loaded, wrap func(error) error) error {
	i := slices.IndexFunc(l.programs, func(p *program) bool { return p.isEntry && p.entry == h.Prog })
	if i < 0 {
		return wrap(fmt.Errorf("no program %s in this object", h.Prog))
	}
	e.hooks[h] = l.programs[i].slot
	l.hooks[h] = true
	return nil
}

// replace puts a new instance in the place of an old one, whose hooks it takes over.
func (e *Engine) replace(key objectKey, old, l *loaded) error {
	e.objects[key] = l
	if old == nil {
		return nil
	}
	for h := range old.hooks {
		if err := e.hook(h, l, func(err error) error { return err }); err != nil {
			return err
		}
	}
	return e.forget(old)
}

// load loads an instance.
func (e *Engine) load(in *object.Instance, c dataplane.Config) (l *loaded, err error) {
	l = &loaded{config: c, hooks: map[dataplane.Hook]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.forget(l))
		}
	}()
	if err := e.addMaps(in.Maps); err != nil {
		return l, err
	}
	fds := map[string]*ebpf.Map{}
	for i := range in.Maps {
		m := &in.Maps[i]
		switch m.Scope {
		case object.ScopeData:
			data, err := ebpf.NewMap(m.Spec)
			if err != nil {
				return l, fmt.Errorf("data section %s: %w", m.Symbol, err)
			}
			l.data = append(l.data, data)
			fds[m.Symbol] = data
			continue
		case object.ScopeInstance:
			l.private = append(l.private, m.Name)
		case object.ScopeNode:
		}
		fds[m.Symbol] = e.kernel[m.Name]
	}
	for i := range in.Programs {
		p, err := e.loadProgram(in, &in.Programs[i], fds)
		if err != nil {
			return l, err
		}
		l.programs = append(l.programs, p)
		if err := e.place(in, &in.Programs[i], p); err != nil {
			return l, err
		}
	}
	return l, nil
}

// loadProgram loads one program with the engine's instructions in it.
func (e *Engine) loadProgram(in *object.Instance, from *object.Program, fds map[string]*ebpf.Map) (*program, error) {
	insns := slices.Clone(from.Instructions)
	if e.control != nil {
		var err error
		if insns, err = record(insns, e.control.m.FD(), e.opts.RealClock, e.replaced); err != nil {
			return nil, fmt.Errorf("%s: section %q: %w", in.Object.Name, from.Section, err)
		}
	}
	for i := range insns {
		if ref := insns[i].Reference(); insns[i].IsLoadFromMap() && ref != "" {
			if err := insns[i].AssociateMap(fds[ref]); err != nil {
				return nil, fmt.Errorf("section %q, map %s: %w", from.Section, ref, err)
			}
		}
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: from.Func, Type: ebpf.SchedCLS, License: in.Object.License, Instructions: insns,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: section %q: %w", in.Object.Name, from.Section, err)
	}
	info, err := prog.Info()
	if err != nil {
		return nil, errors.Join(err, prog.Close())
	}
	id, _ := info.ID()
	p := &program{prog: prog, id: uint32(id), section: from.Section, entry: from.Entry, isEntry: from.IsEntry}
	e.programs[p.id] = p
	return p, nil
}

// place puts a program into its slots: of the harness and of the object's prog array.
func (e *Engine) place(in *object.Instance, from *object.Program, p *program) error {
	if p.isEntry && e.targets != nil {
		if len(e.free) > 0 {
			p.slot, e.free = e.free[len(e.free)-1], e.free[:len(e.free)-1]
		} else {
			p.slot = e.slots
			e.slots++
		}
		if err := e.targets.Update(p.slot, uint32(p.prog.FD()), ebpf.UpdateAny); err != nil {
			return fmt.Errorf("put %s into slot %d of the harness: %w", p.section, p.slot, err)
		}
	}
	if from.Tail.Map == "" {
		return nil
	}
	m, ok := in.Map(from.Tail.Map)
	if !ok {
		return fmt.Errorf("section %q: no map %s", from.Section, from.Tail.Map)
	}
	return e.maps[m.Name].(*progArray).set(from.Tail.Slot, p)
}

// addMaps makes the maps that do not exist yet.
func (e *Engine) addMaps(all []object.Map) error {
	for i := range all {
		m := &all[i]
		if m.Scope == object.ScopeData {
			continue
		}
		spec := *m.Spec
		spec.Name, spec.Pinning, spec.Contents = m.Name, ebpf.PinNone, nil
		switch spec.Type {
		case ebpf.Hash, ebpf.LRUHash, ebpf.PerCPUHash, ebpf.LRUCPUHash:
			spec.MaxEntries = min(spec.MaxEntries, e.opts.MaxEntries)
		default:
		}
		if have := e.kernel[m.Name]; have != nil {
			if spec.ValueSize != have.ValueSize() && spec.Type != ebpf.PerfEventArray {
				return fmt.Errorf("map %s: values of %d bytes, another object has %d", m.Name, spec.ValueSize, have.ValueSize())
			}
			continue
		}
		made, err := ebpf.NewMap(&spec)
		if err != nil {
			return fmt.Errorf("make map %s: %w", m.Name, err)
		}
		e.kernel[m.Name] = made
		if err := e.show(m.Name, made); err != nil {
			return err
		}
	}
	return nil
}

// show makes a map visible to users of the engine, but for perf rings and scratch.
func (e *Engine) show(name string, m *ebpf.Map) error {
	s, err := newStore(name, m)
	if err != nil {
		return err
	}
	switch m.Type() {
	case ebpf.PerfEventArray, ebpf.PerCPUArray:
	case ebpf.ProgramArray:
		e.maps[name] = &progArray{store: *s, engine: e, filled: map[uint32]*program{}}
	default:
		e.maps[name] = s
	}
	return nil
}

// nodeMaps are the maps that all objects share, also those which only a pod's objects have: an agent makes them before.
func (e *Engine) nodeMaps() []object.Map {
	var all []object.Map
	for _, k := range []object.Kind{object.LXC, object.Host, object.Overlay} {
		for _, m := range e.bundle.Object(k).Maps {
			if m.Scope == object.ScopeNode {
				all = append(all, m)
			}
		}
	}
	return all
}

// Unload implements [dataplane.Engine].
func (e *Engine) Unload(h dataplane.Hook) error {
	if _, ok := e.hooks[h]; !ok {
		return fmt.Errorf("unload %s on ifindex %d: not loaded", h.Prog, h.Ifindex)
	}
	delete(e.hooks, h)
	for key, l := range e.objects {
		if !l.hooks[h] {
			continue
		}
		delete(l.hooks, h)
		if len(l.hooks) > 0 {
			return nil
		}
		delete(e.objects, key)
		return errors.Join(e.forget(l), e.dropMaps(l.private))
	}
	return nil
}

// forget takes an instance's programs out of all slots that still have them, and closes it.
func (e *Engine) forget(l *loaded) error {
	for _, p := range l.programs {
		delete(e.programs, p.id)
		if p.isEntry && e.targets != nil {
			_ = e.targets.Delete(p.slot) // the program is closed, whatever the slot holds
			e.free = append(e.free, p.slot)
		}
	}
	for _, m := range e.maps {
		a, ok := m.(*progArray)
		if !ok {
			continue
		}
		for slot, p := range a.filled {
			if slices.Contains(l.programs, p) {
				delete(a.filled, slot)
				_ = a.m.Delete(slot) // may be empty already
			}
		}
	}
	return l.close()
}

func (e *Engine) dropMaps(names []string) error {
	var errs []error
	for _, n := range names {
		if m := e.kernel[n]; m != nil {
			errs = append(errs, m.Close())
		}
		delete(e.kernel, n)
		delete(e.maps, n)
	}
	return errors.Join(errs...)
}

var (
	_ dataplane.Runner = (*Engine)(nil)
	_ hmaps.Store      = (*progArray)(nil)
)
