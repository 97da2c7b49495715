package emu

import (
	"fmt"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// Engine runs the emulated programs of one node on that node's maps. It is used
// by one goroutine, the node's.
type Engine struct {
	maps    *maps.Set
	hooks   map[hookKey]*section
	recent  [32]recentHook // hooks that ran lately, by hookKey.slot
	objects map[objectKey]*object
	tails   []*section // by program id - 1, as prog arrays hold ids; nil is free

	// The current run.
	env      *dataplane.Env
	verdict  dataplane.Verdict
	next     *section // where the last tail call leads
	tailLeft int      // tail calls that the kernel still allows

	// What was looked up lately.
	counters  maps.Memos[maps.MetricsValue]
	endpoints maps.Memos[maps.EndpointInfo]
	addresses maps.Memos[maps.RemoteEndpointInfo]
	services  maps.Memos[maps.LB4Service]
	tunnels   maps.Memos[maps.TunnelEndpoint]

	faults Faults // helpers that fail
}

// section is one program of an object: the body of a C function that carries a
// __section.
type section struct {
	name string
	run  func(p *dataplane.Packet) code.Ret
}

// hookKey is a dataplane.Hook in one word, which a map finds faster than a struct.
type hookKey uint64

func keyOfHook(h dataplane.Hook) hookKey {
	return hookKey(h.Ifindex)<<32 | hookKey(h.Endpoint)<<8 | hookKey(h.Prog)
}

// recentHook spares most packets the search in Engine.hooks.
type recentHook struct {
	key hookKey
	s   *section
}

func (k hookKey) slot() int { return int(k>>32+k) & 31 }

// hook finds a loaded hook's program.
func (e *Engine) hook(h dataplane.Hook) *section {
	key := keyOfHook(h)
	r := &e.recent[key.slot()]
	if r.key != key || r.s == nil {
		*r = recentHook{key, e.hooks[key]}
	}
	return r.s
}

// maxTailCalls is the kernel's MAX_TAIL_CALL_CNT.
const maxTailCalls = 33

// New makes an engine on a node's maps. The caller keeps them, and may fill them
// between runs.
func New(m *maps.Set) *Engine {
	e := &Engine{maps: m, hooks: map[hookKey]*section{}, objects: map[objectKey]*object{}}
	m.SetProgNames(e.progName)
	return e
}

// program is the program of an id in a prog array, nil if there is none.
func (e *Engine) program(id uint32) *section {
	if i := int(id) - 1; uint(i) < uint(len(e.tails)) {
		return e.tails[i]
	}
	return nil
}

// progName is the C function of a program id in a prog array, "" if there is none.
func (e *Engine) progName(id uint32) string {
	if s := e.program(id); s != nil {
		return s.name
	}
	return ""
}

// Name is "emulated".
func (e *Engine) Name() string { return "emulated" }

// Caps says that everything can be observed.
func (e *Engine) Caps() dataplane.Caps {
	return dataplane.Caps{RedirectTarget: true, TunnelKey: true, PktType: true, Events: true, Trace: true, PartialCsum: true}
}

// Map finds a map by its Cilium name.
func (e *Engine) Map(name string) (maps.Store, error) { return e.maps.Lookup(name) }

// Maps are all the node's maps.
func (e *Engine) Maps() *maps.Set { return e.maps }

// Load makes a hook's program ready. The first hook of an object (a pod's
// endpoint, the host, cilium_net, the overlay) makes the object: its calls map
// and, for a pod, its policy map and its slot of cilium_call_policy.
func (e *Engine) Load(h dataplane.Hook, c dataplane.Config) error {
	key, err := keyOf(h, c)
	if err != nil {
		return fmt.Errorf("load %s on ifindex %d: %w", h.Prog, h.Ifindex, err)
	}
	o := e.objects[key]
	if o == nil {
		if o, err = e.newObject(key, c); err != nil {
			e.dropObject(key, o)
			return fmt.Errorf("load %s on ifindex %d: %w", h.Prog, h.Ifindex, err)
		}
		e.objects[key] = o
	}
	o.configure(c)
	s, err := o.entry(h.Prog)
	if err != nil {
		return fmt.Errorf("load %s on ifindex %d: %w", h.Prog, h.Ifindex, err)
	}
	e.hooks[keyOfHook(h)] = s
	clear(e.recent[:])
	o.hooks[h] = true
	return nil
}

// Unload forgets a hook's program, and with an object's last hook the object.
func (e *Engine) Unload(h dataplane.Hook) error {
	if _, ok := e.hooks[keyOfHook(h)]; !ok {
		return fmt.Errorf("unload %s on ifindex %d: not loaded", h.Prog, h.Ifindex)
	}
	delete(e.hooks, keyOfHook(h))
	clear(e.recent[:])
	for key, o := range e.objects {
		if !o.hooks[h] {
			continue
		}
		delete(o.hooks, h)
		if len(o.hooks) == 0 {
			delete(e.objects, key)
			e.dropObject(key, o)
		}
	}
	return nil
}

// Close does nothing: an engine holds memory only.
func (e *Engine) Close() error { return nil }

// Run executes the hook's program and the tail calls that follow it.
func (e *Engine) Run(h dataplane.Hook, p *dataplane.Packet, env *dataplane.Env) (dataplane.Verdict, error) {
	s := e.hook(h)
	if s == nil {
		return dataplane.Verdict{}, fmt.Errorf("run %s on ifindex %d: not loaded", h.Prog, h.Ifindex)
	}
	e.env, e.verdict, e.tailLeft = env, dataplane.Verdict{}, maxTailCalls
	if p.Trace != nil {
		p.Trace.Watch(p.Data, &p.Mark)
	}
	ret := s.run(p)
	for ret == tailCalled {
		ret = e.next.run(p)
	}
	e.verdict.Action = ret
	if ret != code.Drop {
		e.verdict.Drop = 0
	}
	if ret != code.Redirect {
		e.verdict.Ifindex, e.verdict.Flags = 0, 0
	}
	return e.verdict, nil
}
