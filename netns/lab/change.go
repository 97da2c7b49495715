package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/netns"
)

// Change makes the running lab what the sources describe now, and returns what was
// different, a line for each (cluster.Changes). Connections of what stays go on. If
// dry is set nothing is done but telling.
//
// The error wraps cluster.ErrInput if the description is bad or asks for what cannot
// change in a running lab. After an error the lab is as before, but pods that were to
// be replaced are new ones.
func (l *Lab) Change(ctx context.Context, sources []cluster.Source, dry bool) ([]string, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	before := l.cluster.Clone()
	after := before.Clone()
	changes, err := after.Reload(sources...)
	if err != nil {
		return nil, err
	}
	lines := changes.Lines()
	if err := changeable(&changes); err != nil {
		return lines, err
	}
	if name, engine := l.attachedNode(before.Nodes(), after.Nodes()); len(lines) > 0 && name != "" {
		return lines, fmt.Errorf("change lab %s: %w while engine %s runs node %s; 'hooklab down' first", l.state.Name, dataplane.ErrNotSupported, engine, name)
	}
	if dry || len(lines) == 0 {
		return lines, nil
	}
	x := &changer{lab: l, ctx: ctx, changes: &changes, settings: after.Settings()}
	l.cluster.Restore(after)
	if err := x.build(); err != nil {
		l.cluster.Restore(before)
		return lines, fmt.Errorf("change lab %s: %w", l.state.Name, errors.Join(err, x.undo()))
	}
	if err := x.commit(); err != nil {
		return lines, fmt.Errorf("change lab %s: %w", l.state.Name, err)
	}
	return lines, nil
}

// attachedNode is a node whose programs the kernel runs, and its engine; "" if there is none.
func (l *Lab) attachedNode(nodes ...[]cluster.Node) (name, engine string) {
	for _, n := range slices.Concat(nodes...) {
		if engine := l.engineOf(&n); l.attachers[engine] != nil {
			return n.Name, engine
		}
	}
	return "", ""
}

// changeable refuses what only a new lab can have.
func changeable(c *cluster.Changes) error {
	if len(c.Settings) > 0 {
		return inputErrorf("these settings cannot change while the lab runs: %s; 'hooklab down' first", strings.Join(c.Settings, ", "))
	}
	for _, n := range c.AddedNodes {
		if slices.ContainsFunc(c.RemovedNodes, func(old cluster.Node) bool { return old.Name == n.Name }) {
			return inputErrorf("node %s: its addresses and its engine cannot change while the lab runs; 'hooklab down' first", n.Name)
		}
	}
	return nil
}

// changer takes a lab from one state of its cluster to the next one: everything new is
// built first, then all maps follow at once, then what is not wanted any more goes.
type changer struct {
	lab      *Lab
	ctx      context.Context //nolint:containedctx // A changer lives as long as one call.
	changes  *cluster.Changes
	settings cluster.Settings
}

// build makes what is new. The maps do not know it yet.
func (x *changer) build() error {
	l := x.lab
	if err := l.home.writeHosts(l.cluster); err != nil {
		return err
	}
	for i := range x.changes.RemovedPods {
		p := &x.changes.RemovedPods[i]
		if x.replaced(p) {
			if err := x.removePod(p); err != nil {
				return err
			}
		}
	}
	for i := range x.changes.AddedNodes {
		if err := x.addNode(&x.changes.AddedNodes[i]); err != nil {
			return err
		}
	}
	for i := range x.changes.AddedPods {
		p := &x.changes.AddedPods[i]
		if slices.ContainsFunc(x.changes.AddedNodes, func(n cluster.Node) bool { return n.Name == p.Node }) {
			continue // came with its node
		}
		if err := x.addPod(p); err != nil {
			return fmt.Errorf("pod %s: %w", p.Ref(), err)
		}
	}
	return nil
}

// replaced says whether a removed pod has to go before others can come: one with its
// name, or with its numbers on the same node.
func (x *changer) replaced(p *cluster.Pod) bool {
	return slices.ContainsFunc(x.changes.AddedPods, func(q cluster.Pod) bool {
		return q.Ref() == p.Ref() || q.Node == p.Node && (q.Ifindex == p.Ifindex || q.ID == p.ID)
	})
}

// commit lets all nodes know, starts the new pods' commands and removes what has gone.
func (x *changer) commit() error {
	l := x.lab
	services := len(x.changes.AddedServices)+len(x.changes.RemovedServices)+len(x.changes.ChangedServices) > 0
	var errs []error
	for _, w := range l.nodes() {
		if x.removed(w.name) {
			continue
		}
		var err error
		if doErr := w.node.Do(x.ctx, func() { err = w.update(l.cluster) }); doErr != nil {
			err = doErr
		}
		if services {
			err = errors.Join(err, l.space(KindNode, w.name).SetServices(frontends(l.cluster)))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", w.name, err))
		}
	}
	for i := range x.changes.AddedPods {
		p := &x.changes.AddedPods[i]
		if err := l.start(l.commandOf(p)); err != nil {
			errs = append(errs, fmt.Errorf("pod %s: %w", p.Ref(), err))
		}
	}
	for i := range x.changes.RemovedPods {
		p := &x.changes.RemovedPods[i]
		if !x.replaced(p) {
			errs = append(errs, x.removePod(p))
		}
	}
	for i := range x.changes.RemovedNodes {
		errs = append(errs, x.removeNode(&x.changes.RemovedNodes[i]))
	}
	l.state.Hosts = hostPods(l.cluster)
	return errors.Join(append(errs, l.home.save(&l.state))...)
}

// removed says whether a node is to go.
func (x *changer) removed(node string) bool {
	return slices.ContainsFunc(x.changes.RemovedNodes, func(n cluster.Node) bool { return n.Name == node })
}

// undo removes what build has made, and makes again what it has replaced. The cluster is
// as before.
func (x *changer) undo() error {
	l := x.lab
	var errs []error
	for i := range x.changes.AddedPods {
		errs = append(errs, x.removePod(&x.changes.AddedPods[i]))
	}
	for i := range x.changes.AddedNodes {
		errs = append(errs, x.removeNode(&x.changes.AddedNodes[i]))
	}
	for i := range x.changes.RemovedPods {
		if p := &x.changes.RemovedPods[i]; x.replaced(p) {
			if err := x.addPod(p); err != nil {
				errs = append(errs, err)
				continue
			}
			errs = append(errs, l.start(l.commandOf(p)))
		}
	}
	errs = append(errs, l.home.writeHosts(l.cluster), l.home.save(&l.state))
	return errors.Join(errs...)
}

// makeSpace makes a namespace that is on disk before.
func (x *changer) makeSpace(s Space) (*netns.NS, error) {
	l := x.lab
	if l.state.NetnsLinks {
		l.state.nameLink(&s)
	}
	l.state.Spaces = append(l.state.Spaces, s)
	if err := l.home.save(&l.state); err != nil {
		return nil, err
	}
	if err := l.makeSpace(&s); err != nil {
		return nil, err
	}
	return l.spaces[s.Pin], nil
}

// addNode makes a node with its pods, and the way to it from the others.
func (x *changer) addNode(n *cluster.Node) error {
	l := x.lab
	if _, err := x.makeSpace(newSpace(KindNode, "", n.Name)); err != nil {
		return err
	}
	for _, e := range l.cluster.Endpoints(n.Name) {
		if _, err := x.makeSpace(endpointSpace(n.Name, &e)); err != nil {
			return err
		}
	}
	wire := l.space(KindWire, wireName)
	if err := l.buildNode(wire, n, &x.settings); err != nil {
		return err
	}
	if err := l.seat(n, &x.settings); err != nil {
		return err
	}
	w, err := l.worker(n.Name)
	if err != nil {
		return err
	}
	if err := l.startWorker(w); err != nil {
		return err
	}
	for _, other := range l.nodes() {
		if other == w || x.removed(other.name) {
			continue
		}
		o, err := l.cluster.Node(other.name)
		if err != nil {
			return err
		}
		if err := l.space(KindNode, o.Name).AddRoute(podRoute(&o, n, &x.settings)); err != nil {
			return err
		}
	}
	return nil
}

// removeNode removes a node whose pods have gone.
func (x *changer) removeNode(n *cluster.Node) error {
	l := x.lab
	var errs []error
	for _, w := range l.nodes() {
		if w.name == n.Name {
			l.mu.Lock()
			l.workers = slices.DeleteFunc(l.workers, func(v *worker) bool { return v == w })
			l.mu.Unlock()
			w.stop()
		}
	}
	for _, w := range l.nodes() {
		o, err := l.cluster.Node(w.name)
		if err != nil {
			continue // is to go, too
		}
		errs = append(errs, l.space(KindNode, o.Name).DelRoute(podRoute(&o, n, &x.settings)))
	}
	errs = append(errs, x.removeSpace(newSpace(KindHealth, "", n.Name)), x.removeSpace(newSpace(KindNode, "", n.Name)))
	return errors.Join(errs...)
}

// addPod makes a pod and connects it to its node.
func (x *changer) addPod(p *cluster.Pod) error {
	l := x.lab
	if p.HostNetwork {
		return nil
	}
	n, err := l.cluster.Node(p.Node)
	if err != nil {
		return err
	}
	w, err := l.worker(p.Node)
	if err != nil {
		return err
	}
	ns, err := x.makeSpace(newSpace(KindPod, p.Namespace, p.Name))
	if err != nil {
		return err
	}
	on := &seat{node: &n, ns: l.space(KindNode, n.Name), wire: l.state.Wire, crowded: crowded(l.cluster)}
	port, err := buildPod(ns, &p.Endpoint, on, int(x.settings.MTU))
	if err != nil {
		return err
	}
	if err := limitAggregates(ns, w.tunnel); err != nil {
		return errors.Join(err, port.Close())
	}
	doErr := w.node.Do(x.ctx, func() { err = w.attach(l.cluster, &p.Endpoint, port) })
	if doErr != nil || err != nil {
		return errors.Join(doErr, err, port.Close())
	}
	return nil
}

// removePod disconnects a pod from its node and ends what runs in it.
func (x *changer) removePod(p *cluster.Pod) error {
	l := x.lab
	if c := l.takeCommand(p.Ref()); c != nil {
		c.stop()
		defer c.kill()
	}
	if p.HostNetwork {
		return nil
	}
	var err error
	if w, wErr := l.worker(p.Node); wErr == nil {
		if doErr := w.node.Do(x.ctx, func() { err = w.detach(p.Ifindex) }); doErr != nil {
			err = doErr
		}
		if l.state.Wire == wireVeth {
			// It would go with the pod's namespace, but not before another one comes.
			err = errors.Join(err, l.space(KindNode, p.Node).DelLink(p.Device))
		}
	}
	return errors.Join(err, x.removeSpace(newSpace(KindPod, p.Namespace, p.Name)))
}

// removeSpace ends what runs in a namespace and removes it. One that does not exist is
// not an error.
func (x *changer) removeSpace(s Space) error {
	l := x.lab
	at := slices.IndexFunc(l.state.Spaces, func(o Space) bool { return o.Pin == s.Pin })
	if at < 0 {
		return nil
	}
	errs := []error{l.home.endProcesses([]Space{s})}
	if ns := l.spaces[s.Pin]; ns != nil {
		errs = append(errs, ns.Close())
		delete(l.spaces, s.Pin)
	}
	errs = append(errs, l.home.removeSpace(&l.state.Spaces[at]))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove %s: %w", s.Ref(), err)
	}
	l.state.Spaces = slices.Delete(slices.Clone(l.state.Spaces), at, at+1)
	return l.home.save(&l.state)
}
