package bytecode

import (
	"fmt"

	"github.com/cilium/ebpf/asm"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/maps"
)

// Name is the engine's name on the command line.
const Name = "bytecode"

// Engine runs a node's BPF objects on that node's maps. It is used by one goroutine, the node's.
type Engine struct {
	maps     *maps.Set
	bundle   *object.Bundle
	machine  *machine
	hooks    map[hookKey]*program
	recent   [32]recentHook // hooks that ran lately, by hookKey.slot
	loaded   map[objectKey]*loaded
	shared   map[string]uint32 // regions of the maps that all objects of the node share, by name
	coverage bool

	assembled map[*asm.Instruction]*assembly // by first instruction
}

// hookKey is a dataplane.Hook in one word, which a map finds faster than a struct.
type hookKey uint64

func keyOfHook(h dataplane.Hook) hookKey {
	return hookKey(h.Ifindex)<<32 | hookKey(h.Endpoint)<<8 | hookKey(h.Prog)
}

func (k hookKey) slot() int { return int(k>>32+k) & 31 }

// recentHook spares most packets the search in Engine.hooks.
type recentHook struct {
	key hookKey
	p   *program
}

func (e *Engine) hook(h dataplane.Hook) *program {
	key := keyOfHook(h)
	r := &e.recent[key.slot()]
	if r.key != key || r.p == nil {
		*r = recentHook{key, e.hooks[key]}
	}
	return r.p
}

// New makes an engine that runs the objects of a bundle on a node's maps. The caller keeps the maps and may fill them
// between runs; the bundle may be shared.
func New(m *maps.Set, b *object.Bundle) *Engine {
	e := &Engine{
		maps: m, bundle: b, machine: newMachine(), hooks: map[hookKey]*program{}, loaded: map[objectKey]*loaded{}, shared: map[string]uint32{},
		assembled: map[*asm.Instruction]*assembly{},
	}
	m.SetProgNames(e.progName)
	return e
}

// progName is the C function of a program id in a prog array, "" if there is none.
func (e *Engine) progName(id uint32) string {
	if id == 0 || int64(id) > int64(len(e.machine.tails)) || e.machine.tails[id-1] == nil {
		return ""
	}
	return e.machine.tails[id-1].name
}

// Name is "bytecode".
func (e *Engine) Name() string { return Name }

// Caps says that everything can be observed.
func (e *Engine) Caps() dataplane.Caps {
	return dataplane.Caps{RedirectTarget: true, TunnelKey: true, PktType: true, Events: true, Trace: true, PartialCsum: true}
}

// Map finds a map by its Cilium name.
func (e *Engine) Map(name string) (maps.Store, error) { return e.maps.Lookup(name) }

// Maps are all the node's maps.
func (e *Engine) Maps() *maps.Set { return e.maps }

// Load makes a hook's program ready. The first hook of an endpoint or device makes an instance of the object with its calls
// map and, for a pod, its policy map and its slot of cilium_call_policy; later ones replace the constants of that instance.
// Errors wrap object.ErrObject or ErrProgram.
func (e *Engine) Load(h dataplane.Hook, c dataplane.Config) error {
	if err := e.load(h, c); err != nil {
		return fmt.Errorf("load %s on ifindex %d: %w", h.Prog, h.Ifindex, err)
	}
	return nil
}

func (e *Engine) load(h dataplane.Hook, c dataplane.Config) error {
	key, err := keyOf(h, c)
	if err != nil {
		return err
	}
	l := e.loaded[key]
	if l == nil || l.config != c {
		inst, err := e.bundle.Instance(h, c)
		if err != nil {
			return err
		}
		if l, err = e.install(key, l, inst); err != nil {
			return err
		}
		l.config = c
	}
	entry, err := e.bundle.Object(object.KindOf(h.Prog)).Entry(h.Prog)
	if err != nil {
		return err
	}
	e.hooks[keyOfHook(h)] = l.programs[entry.Section]
	l.hooks[h] = true
	clear(e.recent[:])
	return nil
}

// Unload forgets a hook's program, and with the last hook of an endpoint or device the instance of its object.
func (e *Engine) Unload(h dataplane.Hook) error {
	if _, ok := e.hooks[keyOfHook(h)]; !ok {
		return fmt.Errorf("unload %s on ifindex %d: not loaded", h.Prog, h.Ifindex)
	}
	delete(e.hooks, keyOfHook(h))
	clear(e.recent[:])
	for key, l := range e.loaded {
		if !l.hooks[h] {
			continue
		}
		delete(l.hooks, h)
		if len(l.hooks) == 0 {
			delete(e.loaded, key)
			e.remove(key, l)
		}
	}
	return nil
}

// Close does nothing: an engine holds memory only.
func (e *Engine) Close() error { return nil }

// Run executes the hook's program and the tail calls that follow it. A program that does what no verifier would have let it
// is a *Fault; what it has done until then stays.
func (e *Engine) Run(h dataplane.Hook, p *dataplane.Packet, env *dataplane.Env) (dataplane.Verdict, error) {
	prog := e.hook(h)
	if prog == nil {
		return dataplane.Verdict{}, fmt.Errorf("run %s on ifindex %d: not loaded", h.Prog, h.Ifindex)
	}
	m := e.machine
	if p.Trace != nil {
		p.Trace.Watch(p.Data, &p.Mark)
	}
	ret, err := m.run(prog, p, env)
	if err != nil {
		return dataplane.Verdict{}, fmt.Errorf("run %s on ifindex %d: %w", h.Prog, h.Ifindex, err)
	}
	v := m.verdict
	v.Action = code.Ret(int32(ret))
	switch {
	case v.Action != code.Drop:
		v.Drop = 0
	case v.Drop == 0:
		// No notification told it, because its program is missing from the calls map: it is where send_drop_notify left it.
		v.Drop = -code.Ret(p.CB[2] & 0xff)
	}
	if v.Action != code.Redirect {
		v.Ifindex, v.Flags = 0, 0
	}
	return v, nil
}
