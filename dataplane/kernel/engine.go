package kernel

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/object"
	hmaps "github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
)

// Engine runs a node's BPF programs in the kernel, one packet at a time. It is used by one goroutine, and must be closed.
type Engine struct {
	bundle *object.Bundle
	opts   Options

	control *sharedControl
	targets *ebpf.Map // the programs that the harness can enter
	harness *ebpf.Program
	devices *devices
	events  *events

	maps     map[string]hmaps.Store
	kernel   map[string]*ebpf.Map // all maps by instance name
	objects  map[objectKey]*loaded
	hooks    map[dataplane.Hook]uint32 // slot of targets
	programs map[uint32]*program       // by the kernel's id
	slots    uint32                    // of targets, used so far
	free     []uint32                  // of these, those of programs that are gone
	replaced Replaced

	run    run
	timing timing
}

// Options are the limits of an engine.
type Options struct {
	// MaxEntries bounds the size of hash maps, because the kernel takes memory and time for what an agent's maps could
	// hold; 0 is DefaultMaxEntries. Tries and program arrays have the object's size.
	MaxEntries uint32
	// RealClock leaves the programs the kernel's clock, to measure them; else they see that of dataplane.Env.
	RealClock bool
}

// DefaultMaxEntries is the most entries of a hash map of an engine.
//
// Differs: in engine kernel, for single packets, maps hold at most 16,384 entries; Cilium's conntrack maps hold 524,288 and
// 262,144. Test: TestPrivilegedMapSizes.
const DefaultMaxEntries = 16384

// objectKey tells instances of objects apart: pods by endpoint, host objects by device.
type objectKey struct {
	kind object.Kind
	id   uint32
}

// program is a loaded program.
type program struct {
	prog    *ebpf.Program
	id      uint32
	section string
	entry   dataplane.Prog
	isEntry bool
	slot    uint32 // of targets
}

// loaded is an instance of an object in the kernel.
type loaded struct {
	config   dataplane.Config
	programs []*program
	private  []string    // names of its own maps
	data     []*ebpf.Map // its data sections
	hooks    map[dataplane.Hook]bool
}

// New makes an engine for the objects of a node. Without the privilege for it the error wraps [netns.ErrPermission], on a
// kernel that cannot do it [dataplane.ErrNotSupported].
func New(b *object.Bundle, o Options) (*Engine, error) {
	if o.MaxEntries == 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	e := newEngine(b, o)
	if err := e.start(); err != nil {
		return nil, errors.Join(privilege(err), e.Close())
	}
	return e, nil
}

// newEngine makes an engine without what only single runs need.
func newEngine(b *object.Bundle, o Options) *Engine {
	return &Engine{
		bundle: b, opts: o, maps: map[string]hmaps.Store{}, kernel: map[string]*ebpf.Map{}, objects: map[objectKey]*loaded{},
		hooks: map[dataplane.Hook]uint32{}, programs: map[uint32]*program{}, replaced: Replaced{},
	}
}

// entry is the program of a loaded hook, nil if it is not loaded.
func (e *Engine) entry(h dataplane.Hook) *program {
	for _, l := range e.objects {
		if !l.hooks[h] {
			continue
		}
		for _, p := range l.programs {
			if p.isEntry && p.entry == h.Prog {
				return p
			}
		}
	}
	return nil
}

// privilege explains the kernel's refusal to a user.
func privilege(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, netns.ErrPermission):
		return fmt.Errorf("engine kernel: %w", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES) && !errors.As(err, new(*ebpf.VerifierError)):
		return fmt.Errorf("engine kernel: %w: needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (root): %w", netns.ErrPermission, err)
	case errors.Is(err, unix.ENOSYS), errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("engine kernel: %w: %w", dataplane.ErrNotSupported, err)
	}
	return fmt.Errorf("engine kernel: %w", err)
}

func (e *Engine) start() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	var err error
	if e.control, err = newControl(); err != nil {
		return err
	}
	e.targets, err = ebpf.NewMap(&ebpf.MapSpec{Name: "hooklab_targets", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: maxPrograms})
	if err != nil {
		return fmt.Errorf("make the harness's prog array: %w", err)
	}
	if e.harness, err = newHarness(e.control.m.FD(), e.targets.FD(), nil); err != nil {
		return err
	}
	if e.devices, err = newDevices(); err != nil {
		return err
	}
	if err := e.addMaps(e.nodeMaps()); err != nil {
		return err
	}
	e.events, err = newEvents(e.kernel[object.NameEvents])
	return err
}

// Name is "kernel".
func (e *Engine) Name() string { return "kernel" }

// Caps says that all can be observed but the way through the functions.
func (e *Engine) Caps() dataplane.Caps {
	return dataplane.Caps{RedirectTarget: true, TunnelKey: true, PktType: true, Events: true}
}

// Map finds a map by its Cilium name.
func (e *Engine) Map(name string) (hmaps.Store, error) {
	if m := e.maps[name]; m != nil {
		return m, nil
	}
	names := make([]string, 0, len(e.maps))
	for n := range e.maps {
		names = append(names, n)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("map %q: %w; there are %s", name, hmaps.ErrNotSupported, strings.Join(names, ", "))
}

// Replaced says how many helper calls in the programs loaded so far were replaced or are noted.
func (e *Engine) Replaced() Replaced { return e.replaced }

// Reset empties all maps and gives the prog arrays what loading put there; programs stay loaded.
func (e *Engine) Reset() error {
	for _, m := range e.maps {
		var err error
		switch m := m.(type) {
		case *progArray:
			err = m.reset()
		case *store:
			err = m.clear()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close releases programs, maps and devices.
func (e *Engine) Close() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	if e.events != nil {
		add(e.events.close())
	}
	for _, l := range e.objects {
		add(l.close())
	}
	for _, m := range e.kernel {
		add(m.Close())
	}
	if e.devices != nil {
		add(e.devices.close())
	}
	for _, p := range []*ebpf.Program{e.harness, e.timing.harness, e.timing.nothing} {
		add(p.Close())
	}
	if e.targets != nil {
		add(e.targets.Close())
	}
	if e.control != nil {
		add(e.control.close())
	}
	*e = Engine{}
	return errors.Join(errs...)
}

func (l *loaded) close() error {
	var errs []error
	for _, p := range l.programs {
		errs = append(errs, p.prog.Close())
	}
	for _, m := range l.data {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
