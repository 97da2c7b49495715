package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/object"
	hmaps "github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
)

// Attacher has a node's BPF programs on the node's real devices, as its agent would: the kernel runs them on every packet.
// Nothing in them is replaced. It is used by one goroutine, Events apart, and must be closed, which detaches all.
type Attacher struct {
	engine *Engine
	ns     *netns.NS
	events *perf.Reader
	clsact bool
	links  map[dataplane.Hook]io.Closer
}

// AttachOptions are the limits of an attacher.
type AttachOptions struct {
	MaxEntries uint32 // as in Options; 0 is DefaultAttachedEntries
	Clsact     bool   // attach as before Linux 6.6, by filters of a clsact qdisc
}

// DefaultAttachedEntries is the most entries of a hash map of an attacher: what an agent that sizes its maps by memory
// gives its conntrack maps at least (SPEC 5.1).
//
// Differs: in a lab with engine kernel maps hold at most 131,072 entries; an agent that does not size its maps by memory gives
// its conntrack maps 524,288 and 262,144. Test: TestPrivilegedAttachedMapSizes.
const DefaultAttachedEntries = 131072

// NewAttacher makes an attacher for the devices of a network namespace. Errors are those of [New].
func NewAttacher(b *object.Bundle, ns *netns.NS, o AttachOptions) (*Attacher, error) {
	if o.MaxEntries == 0 {
		o.MaxEntries = DefaultAttachedEntries
	}
	a := &Attacher{
		engine: newEngine(b, Options{MaxEntries: o.MaxEntries}), ns: ns, clsact: o.Clsact, links: map[dataplane.Hook]io.Closer{},
	}
	if err := a.start(); err != nil {
		return nil, errors.Join(privilege(err), a.Close())
	}
	return a, nil
}

func (a *Attacher) start() error {
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	if err := a.engine.addMaps(a.engine.nodeMaps()); err != nil {
		return err
	}
	m := a.engine.kernel[object.NameEvents]
	var err error
	if a.events, err = perf.NewReader(m, eventBytes); err != nil {
		return fmt.Errorf("read the perf ring %s: %w", m, err)
	}
	return nil
}

// Name is "kernel".
func (a *Attacher) Name() string { return a.engine.Name() }

// Caps says that of packets on devices only notifications are told.
func (a *Attacher) Caps() dataplane.Caps { return dataplane.Caps{Events: true} }

// Map finds a map by its Cilium name.
func (a *Attacher) Map(name string) (hmaps.Store, error) { return a.engine.Map(name) }

// Names are the names of the maps that Map finds, sorted.
func (a *Attacher) Names() []string {
	names := make([]string, 0, len(a.engine.maps))
	for n := range a.engine.maps {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Load implements [dataplane.Engine]. A hook that is attached runs the new program from now on.
func (a *Attacher) Load(h dataplane.Hook, c dataplane.Config) error {
	if err := a.engine.Load(h, c); err != nil {
		return err
	}
	var errs []error
	for at := range a.links {
		errs = append(errs, a.renew(at))
	}
	return errors.Join(errs...)
}

// renew attaches a hook's program again if it was loaded anew. For a moment both are attached, or the older one alone, but
// never none.
func (a *Attacher) renew(h dataplane.Hook) error {
	old, ok := a.links[h].(*attached)
	p := a.engine.entry(h)
	if !ok || p == nil || p.id == old.program {
		return nil
	}
	if l, ok := old.Closer.(link.Link); ok {
		if err := l.Update(p.prog); err != nil {
			return fmt.Errorf("renew %s on ifindex %d: %w", h.Prog, h.Ifindex, err)
		}
		old.program = p.id
		return nil
	}
	fresh, err := a.attach(h, p) // a filter replaces the one before
	if err != nil {
		return err
	}
	a.links[h] = fresh
	return nil
}

// Unload implements [dataplane.Engine]: the hook's program is detached first.
func (a *Attacher) Unload(h dataplane.Hook) error {
	var err error
	if l := a.links[h]; l != nil {
		delete(a.links, h)
		err = l.Close()
	}
	return errors.Join(err, a.engine.Unload(h))
}

// attached is a program on a device.
type attached struct {
	io.Closer
	program uint32
}

// Attach implements [dataplane.Attacher]: the program of a loaded hook runs on the hook's device, by tcx or, where the kernel
// has none (before Linux 6.6), by clsact.
func (a *Attacher) Attach(h dataplane.Hook) (io.Closer, error) {
	p := a.engine.entry(h)
	switch {
	case p == nil:
		return nil, fmt.Errorf("attach %s to ifindex %d: not loaded", h.Prog, h.Ifindex)
	case h.Prog == dataplane.PolicyProg:
		return nil, fmt.Errorf("attach %s: no device has it; other programs call it", h.Prog)
	case a.links[h] != nil:
		return nil, fmt.Errorf("attach %s to ifindex %d: attached already", h.Prog, h.Ifindex)
	}
	l, err := a.attach(h, p)
	if err != nil {
		return nil, err
	}
	a.links[h] = l
	return &detacher{a, h}, nil
}

func (a *Attacher) attach(h dataplane.Hook, p *program) (*attached, error) {
	wrap := func(err error) error {
		return fmt.Errorf("attach %s to ifindex %d: %w", h.Prog, h.Ifindex, privilege(err))
	}
	if !a.clsact {
		at := ebpf.AttachTCXIngress
		if h.Prog.Egress() {
			at = ebpf.AttachTCXEgress
		}
		var l link.Link
		err := a.ns.Do(func() (err error) {
			l, err = link.AttachTCX(link.TCXOptions{Interface: int(h.Ifindex), Program: p.prog, Attach: at})
			return err
		})
		if err == nil {
			return &attached{l, p.id}, nil
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return nil, wrap(err)
		}
		a.clsact = true
	}
	links, err := a.ns.Links()
	if err != nil {
		return nil, wrap(err)
	}
	i := slices.IndexFunc(links, func(l netns.Link) bool { return l.Index == int(h.Ifindex) })
	if i < 0 {
		return nil, wrap(errors.New("no such device"))
	}
	f, err := a.ns.AttachFilter(links[i].Name, h.Prog.Egress(), p.prog.FD(), h.Prog.String())
	if err != nil {
		return nil, err
	}
	return &attached{f, p.id}, nil
}

// detacher is what Attach returns.
type detacher struct {
	a *Attacher
	h dataplane.Hook
}

// Close detaches the program. Closing after the program was unloaded is not an error.
func (d *detacher) Close() error {
	l := d.a.links[d.h]
	if l == nil {
		return nil
	}
	delete(d.a.links, d.h)
	return l.Close()
}

// Programs asks the kernel which programs are on the namespace's devices, others than the attacher's too.
func (a *Attacher) Programs() ([]dataplane.AttachedProgram, error) {
	links, err := a.ns.Links()
	if err != nil {
		return nil, err
	}
	var all []dataplane.AttachedProgram
	for _, l := range links {
		for side, at := range map[string]ebpf.AttachType{"ingress": ebpf.AttachTCXIngress, "egress": ebpf.AttachTCXEgress} {
			var found *link.QueryResult
			err := a.ns.Do(func() (err error) {
				found, err = link.QueryPrograms(link.QueryOptions{Target: l.Index, Attach: at})
				return err
			})
			if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
				continue // before Linux 6.6
			}
			if err != nil {
				return nil, fmt.Errorf("programs of %s: %w", l.Name, privilege(err))
			}
			for _, p := range found.Programs {
				all = append(all, a.describe(l, side, "tcx", uint32(p.ID), ""))
			}
		}
		filters, err := a.ns.Filters(l.Name)
		if err != nil {
			return nil, err
		}
		for _, f := range filters {
			side := "ingress"
			if f.Egress {
				side = "egress"
			}
			all = append(all, a.describe(l, side, "clsact", f.Program, f.Name))
		}
	}
	slices.SortFunc(all, func(a, b dataplane.AttachedProgram) int {
		return cmp.Or(cmp.Compare(a.Ifindex, b.Ifindex), -cmp.Compare(a.Side, b.Side))
	})
	return all, nil
}

// describe names a program by its section, if it is one of the attacher's.
func (a *Attacher) describe(l netns.Link, side, by string, id uint32, name string) dataplane.AttachedProgram {
	if p := a.engine.programs[id]; p != nil {
		name = p.section
	}
	return dataplane.AttachedProgram{Device: l.Name, Ifindex: uint32(l.Index), Side: side, Program: name, By: by, ID: id}
}

// Events calls f for each notification of the programs, in the order of each CPU, and with nil for those lost. It returns
// when the attacher is closed. f must not keep the bytes.
func (a *Attacher) Events(f func(raw []byte, lost uint64)) error {
	for {
		r, err := a.events.Read()
		switch {
		case errors.Is(err, perf.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read notifications: %w", err)
		case r.LostSamples > 0:
			f(nil, r.LostSamples)
		default:
			f(r.RawSample[:recordSize(r.RawSample)], 0)
		}
	}
}

// Pin pins the node's maps in a directory of a BPF file system, which it makes, each under its name, and returns the paths.
// On an error none is left.
func (a *Attacher) Pin(dir string) (paths []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("pin maps: %w", err)
	}
	defer func() {
		if err != nil {
			for _, m := range a.engine.kernel {
				err = errors.Join(err, m.Unpin())
			}
		}
	}()
	for name, m := range a.engine.kernel {
		path := filepath.Join(dir, name)
		if err := m.Pin(path); err != nil {
			return nil, fmt.Errorf("pin %s: %w", path, err)
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths, nil
}

// Close detaches all programs and releases programs and maps. Pinned maps stay pinned.
func (a *Attacher) Close() error {
	var errs []error
	for _, l := range a.links {
		errs = append(errs, l.Close())
	}
	clear(a.links)
	if a.events != nil {
		errs = append(errs, a.events.Close())
	}
	return errors.Join(append(errs, a.engine.Close())...)
}

var _ dataplane.Attacher = (*Attacher)(nil)
