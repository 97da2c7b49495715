package lab

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/netns"
)

// Attacher makes a node's engine for the devices of the node's namespace.
type Attacher = func(ns *netns.NS) (dataplane.Attacher, error)

// attachment is a kernel node's part of a worker: the programs run in the kernel, on
// real devices, and the worker carries no frames.
type attachment struct {
	engine dataplane.Attacher
	links  []io.Closer
	events chan error // what the reader of notifications ends with; nil: none runs
}

// attachedRunner is an engine that only the kernel feeds with packets.
type attachedRunner struct{ dataplane.Attacher }

// Run is not what the engine is for.
func (r attachedRunner) Run(h dataplane.Hook, _ *dataplane.Packet, _ *dataplane.Env) (dataplane.Verdict, error) {
	return dataplane.Verdict{}, fmt.Errorf("run %s on ifindex %d: %w: the kernel runs it on the device", h.Prog, h.Ifindex, dataplane.ErrNotSupported)
}

// mapNames is what an attacher knows beside single maps.
type mapNames interface{ Names() []string }

// notifier is an attacher whose programs' notifications can be read. Events returns when
// the engine is closed.
type notifier interface {
	Events(f func(raw []byte, lost uint64)) error
}

// pinner is an attacher that can pin its maps in a BPF file system.
type pinner interface {
	Pin(dir string) (paths []string, err error)
}

// programLister is an attacher that knows what the kernel has on the devices.
type programLister interface {
	Programs() ([]dataplane.AttachedProgram, error)
}

// programs are the programs on a kernel node's devices, as the kernel says; none of others.
func (w *worker) programs(ctx context.Context) (all []dataplane.AttachedProgram, err error) {
	if w.attached == nil {
		return nil, nil
	}
	lister, ok := w.attached.engine.(programLister)
	if !ok {
		return nil, nil
	}
	doErr := w.node.Do(ctx, func() { all, err = lister.Programs() })
	if doErr != nil {
		return nil, doErr // the rest may still be written
	}
	return all, err
}

// openAttached loads and attaches a node's programs and fills the maps. The pods' wires
// exist, and so does everything else but cilium_vxlan.
func (w *worker) openAttached(s *seat, cfg *dataplane.Config) error {
	engine, err := s.attacher(s.ns)
	if err != nil {
		return fmt.Errorf("make engine: %w", err)
	}
	w.attached = &attachment{engine: engine}
	w.node = node.New(node.Config{Name: s.node.Name, Runner: attachedRunner{engine}, Clock: w.clock.now})
	mtu := int(s.cluster.Settings().MTU)
	if err := addVXLAN(s.ns, cfg, mtu); err != nil {
		return err
	}
	for _, d := range hostDevices(s.node, cfg, mtu) {
		if err := w.node.AddDevice(d, *cfg); err != nil {
			return err
		}
	}
	for i := range s.endpoints {
		e := &s.endpoints[i].Endpoint
		epConfig, err := s.cluster.EndpointConfig(s.node.Name, *e)
		if err != nil {
			return err
		}
		if err := w.node.AddDevice(podDeviceOf(e, cfg, mtu, nil), epConfig); err != nil {
			return err
		}
		if cfg.Delivery == dataplane.DeliverStack {
			if err := s.ns.AddRoute(netns.Route{Dst: single(e.IP), Dev: e.Device, Scope: netns.ScopeLink}); err != nil {
				return err
			}
		}
	}
	if w.agent, err = cluster.NewAgent(s.cluster, s.node.Name, cluster.MapsFunc(engine.Map)); err != nil {
		return err
	}
	if err := w.agent.Sync(); err != nil {
		return err
	}
	if err := w.openGC(w.node.Runner(), *cfg, s.cluster.Settings().ConntrackGCInterval); err != nil {
		return err
	}
	if p, ok := engine.(pinner); ok && s.pins != "" {
		if _, err := p.Pin(s.pins); err != nil {
			return err
		}
	}
	w.readEvents()
	return w.attachAll()
}

// addVXLAN makes the device that the kernel encapsulates with, in collect-metadata mode
// (SPEC 8).
func addVXLAN(ns *netns.NS, cfg *dataplane.Config, mtu int) error {
	l := netns.Link{Name: vxlanDevice, Index: int(cfg.EncapIfindex), MAC: netns.MAC(cfg.OverlayMAC), MTU: mtu}
	return inOrder([]func() error{
		func() error { return ns.AddVXLAN(l, netns.VXLAN{Port: cfg.TunnelPort, External: true}) },
		func() error { return ns.SetSysctl("net/ipv4/conf/"+vxlanDevice+"/rp_filter", "0") },
		func() error { return ns.SetSysctl("net/ipv4/conf/"+vxlanDevice+"/accept_local", "1") },
		func() error { return ns.SetUp(vxlanDevice, true) },
	})
}

// attachAll attaches the programs of all devices.
func (w *worker) attachAll() error {
	for _, d := range w.node.Devices() {
		for _, h := range []*dataplane.Hook{d.Ingress, d.Egress} {
			if h == nil {
				continue
			}
			link, err := w.attached.engine.Attach(*h)
			if err != nil {
				return fmt.Errorf("device %s: %w", d.Name, err)
			}
			w.attached.links = append(w.attached.links, link)
		}
	}
	return nil
}

// readEvents moves the programs' notifications to the worker's ring.
func (w *worker) readEvents() {
	n, ok := w.attached.engine.(notifier)
	if !ok {
		return
	}
	w.attached.events = make(chan error, 1)
	go func() {
		w.attached.events <- n.Events(func(raw []byte, lost uint64) {
			// The error is that of a node that has ended: nobody wants to know any more.
			_ = w.node.Do(context.Background(), func() {
				if raw != nil {
					w.ring.Raw(raw, nil)
				}
				w.lost += lost
				w.count()
			})
		})
	}()
}

// close detaches everything. The worker's loop does not run.
func (a *attachment) close(n *node.Node) error {
	var errs []error
	for _, l := range a.links {
		errs = append(errs, l.Close())
	}
	n.Stop() // nobody waits for the loop any more
	errs = append(errs, a.engine.Close())
	if a.events != nil {
		errs = append(errs, <-a.events)
	}
	return errors.Join(errs...)
}

// linkPod makes a pod's wire as an agent does: a veth pair, whose end on the node is an
// ordinary device.
func linkPod(ns *netns.NS, eth0 netns.Link, node *netns.NS, e *cluster.Endpoint) error {
	lxc := netns.Link{Name: e.Device, Index: int(e.Ifindex), MAC: netns.MAC(e.NodeMAC), MTU: eth0.MTU, Up: true}
	if err := node.AddVeth(lxc, ns, eth0); err != nil {
		return err
	}
	return node.SetSysctl("net/ipv4/conf/"+e.Device+"/rp_filter", "0")
}
