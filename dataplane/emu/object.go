package emu

import (
	"errors"
	"fmt"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// Slots of an object's calls map (CILIUM_CALL_*, SPEC 1).
const (
	callDropNotify     = 1
	callARP            = 6
	callIPv4FromLXC    = 7 // also FROM_NETDEV and FROM_OVERLAY
	callIPv4ToEndpoint = 13
	callIPv4FromHost   = 22
	callIPv4FromCont   = 25
	callIPv4CTIngress  = 27
	callIPv4CTEgress   = 29
)

// tailCalled is what a function returns when it has asked for a tail call: Run
// then starts the program that was asked for. No program returns it.
const tailCalled code.Ret = 1 << 30

// kind is one of the three C files that make an object.
type kind uint8

const (
	kindLXC kind = iota
	kindHost
	kindOverlay
)

// objectKey tells objects apart: pods by endpoint, host objects by device
// (bpf_host.o on cilium_host, bpf_host_cilium_net.o on cilium_net, …).
type objectKey struct {
	kind kind
	id   uint32
}

// object is a compiled BPF object: the constants of its build, its calls map and
// its sections.
type object struct {
	e     *Engine
	maps  *maps.Set // the engine's
	key   objectKey
	cfg   dataplane.Config
	calls *maps.ProgArray
	tails []uint32 // ids of its sections in e.tails
	hooks map[dataplane.Hook]bool

	// What the C files define for the libraries they include.
	source     uint16  // EVENT_SOURCE
	file       uint8   // __MAGIC_FILE__ of drop notifications
	nodeMAC    [6]byte // NODE_MAC
	countLocal bool    // LOCAL_DELIVERY_METRICS
	policy     *maps.Hash[maps.PolicyKey, maps.PolicyEntry]

	entries map[dataplane.Prog]section
}

func keyOf(h dataplane.Hook, c dataplane.Config) (objectKey, error) {
	switch h.Prog {
	case dataplane.FromContainer, dataplane.ToContainer, dataplane.PolicyProg:
		if h.Endpoint == 0 || h.Endpoint == maxEndpoint {
			return objectKey{}, fmt.Errorf("endpoint id %d: want 1 to %d", h.Endpoint, maxEndpoint-1)
		}
		if h.Endpoint != c.Endpoint.ID {
			return objectKey{}, fmt.Errorf("endpoint id %d: the configuration is that of %d", h.Endpoint, c.Endpoint.ID)
		}
		return objectKey{kindLXC, uint32(h.Endpoint)}, nil
	case dataplane.FromHost, dataplane.ToHost, dataplane.FromNetdev, dataplane.ToNetdev:
		return objectKey{kindHost, h.Ifindex}, nil
	case dataplane.FromOverlay, dataplane.ToOverlay:
		return objectKey{kindOverlay, 0}, nil
	}
	return objectKey{}, errors.New("no such program")
}

// maxEndpoint is one past the last slot of cilium_call_policy.
const maxEndpoint = 65535

func (e *Engine) newObject(key objectKey, c dataplane.Config) (*object, error) {
	o := object{e: e, maps: e.maps, key: key, hooks: map[dataplane.Hook]bool{}}
	switch key.kind {
	case kindLXC:
		o.policy = e.maps.AddPolicy(uint16(key.id))
		l := &lxc{o}
		return &l.object, l.load(uint16(key.id))
	case kindHost:
		h := &host{o}
		return &h.object, h.load(c)
	default:
		v := &overlay{o}
		return &v.object, v.load()
	}
}

func (e *Engine) dropObject(key objectKey, o *object) {
	for _, id := range o.tails {
		e.tails[id-1] = nil
	}
	if key.kind == kindLXC {
		slot := key.id
		_ = e.maps.PolicyCall.Remove(slot) // an empty slot is what is wanted
		e.maps.RemovePolicy(uint16(key.id))
	}
	e.maps.RemoveCalls(o.calls.Spec().Name)
}

// configure sets the constants of the object's build.
func (o *object) configure(c dataplane.Config) {
	o.cfg = c
	switch o.key.kind {
	case kindLXC:
		o.source, o.file, o.nodeMAC, o.countLocal = c.Endpoint.ID, code.FileLXC, c.Endpoint.NodeMAC, true
	case kindHost:
		o.source, o.file, o.nodeMAC, o.countLocal = c.HostEndpointID, code.FileHost, c.HostMAC, true
	case kindOverlay:
		// init.sh compiles bpf_overlay without a file id (SPEC 12.4).
		o.source, o.file, o.nodeMAC, o.countLocal = 0, code.FileUnknown, c.OverlayMAC, false
	}
}

func (o *object) entry(p dataplane.Prog) (*section, error) {
	s, ok := o.entries[p]
	if !ok {
		return nil, fmt.Errorf("no section %s in this object", p)
	}
	return &s, nil
}

// tail puts a program into a slot of a prog array, as the loader does for a
// section "2/N".
func (o *object) tail(a *maps.ProgArray, slot uint32, name string, run func(*dataplane.Packet) code.Ret) error {
	id := uint32(len(o.e.tails)) + 1
	for i, s := range o.e.tails {
		if s == nil {
			id = uint32(i) + 1
			break
		}
	}
	if int(id) > len(o.e.tails) {
		o.e.tails = append(o.e.tails, nil)
	}
	o.e.tails[id-1] = &section{name, run}
	o.tails = append(o.tails, id)
	return a.Set(slot, id)
}

// addCalls makes the object's calls map with the one slot that all objects have.
func (o *object) addCalls(name string) error {
	o.calls = o.maps.AddCalls(name)
	return o.tail(o.calls, callDropNotify, "__send_drop_notify", o.sendDropNotifyInner)
}

// epTailCall asks for a jump into a slot of the object's calls map. It is false
// if there is none, and the caller goes on, as in C; if true, the caller returns
// tailCalled.
//
// C: ep_tail_call (lib/tailcall.h).
func (o *object) epTailCall(p *dataplane.Packet, slot uint32) bool {
	return o.e.tailCall(p, trace.MapCalls, o.calls, slot)
}

// tailCall is epTailCall for any prog array. It is not inlined, so that epTailCall is.
//
//go:noinline
func (e *Engine) tailCall(p *dataplane.Packet, m trace.Map, a *maps.ProgArray, slot uint32) bool {
	id, _ := a.Prog(slot)
	s := e.program(id)
	ok := s != nil && e.tailLeft > 0
	if p.Trace != nil {
		p.Trace.TailCall(m, slot, ok)
	}
	if !ok {
		return false
	}
	e.tailLeft--
	e.next = s
	return true
}

// bpfMonoNow is the datapath's clock (SPEC 5.4).
//
// C: bpf_mono_now (lib/time.h).
func (o *object) bpfMonoNow() uint32 {
	if o.cfg.Clock == dataplane.ClockJiffies {
		return uint32(o.e.env.Jiffies >> 8)
	}
	return uint32(o.e.env.KtimeNS / 1e9)
}

// bpfSecToMono converts seconds to the clock's unit.
//
// C: bpf_sec_to_mono (lib/time.h).
func (o *object) bpfSecToMono(s uint32) uint32 {
	if o.cfg.Clock == dataplane.ClockJiffies {
		return uint32(uint64(s) * uint64(o.cfg.KernelHz) >> 8)
	}
	return s
}
