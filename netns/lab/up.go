package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	stdmaps "maps"
	"slices"
	"strings"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
)

// Engine makes a node's engine on the node's maps.
type Engine = func(*maps.Set) (dataplane.Runner, error)

// DefaultEngine is the engine of labs that name none.
const DefaultEngine = "emulated"

// Options say what Up is to bring up.
type Options struct {
	Cluster *cluster.Cluster
	Sources []string // the cluster's files as the user named them, for State
	Name    string   // "" is the name in the cluster's settings
	RunDir  RunDir   // "" is FindRunDir("")
	Engine  string   // of nodes that name none; "" is DefaultEngine
	Engines map[string]Engine
	// Attachers are engines whose programs the kernel runs, by name.
	Attachers map[string]Attacher
	// Underlay chooses how frames go between nodes: "tap", "socket", or "" for the
	// first where the kernel knows aggregates in tunnels.
	Underlay string
	// Wire chooses what connects pods: "tap", whose frames go straight into the pod;
	// "veth", with an lxc device in the node's namespace to look at; or "" for the
	// first where TAP devices are allowed.
	Wire string
	// PinMaps pins the maps of nodes in the kernel, see Dirs. It is for such nodes only.
	PinMaps bool
	// NetnsLinks shows the namespaces to `ip netns`, as LAB-NODE and LAB-POD. It needs
	// root.
	NetnsLinks bool
	Version    string       // of hooklab, for State
	Log        *slog.Logger // nil logs nothing

	// step is called after each step of Up, with its number from 0 on. Tests use it.
	step func(i int, what string)
}

// Up brings a cluster up and returns when it carries traffic. What a dead process
// has left of a lab of that name is removed first. On an error, and when ctx ends
// before Up returns, nothing is left.
//
// The error wraps ErrRunning if a lab of that name is up, netns.ErrPermission or
// netns.ErrNotSupported if this machine or user cannot run one,
// dataplane.ErrNotSupported if the engine cannot run this cluster, and
// cluster.ErrInput for a bad name.
func Up(ctx context.Context, o Options) (*Lab, error) {
	report, err := takeReport()
	if err != nil {
		return nil, err
	}
	l, err := prepare(&o)
	if err != nil {
		return nil, err
	}
	l.report = report
	if l.lock, err = l.home.lock(true); err != nil {
		return nil, fmt.Errorf("lab %s: %w", l.state.Name, err)
	}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// prepare checks everything that can be checked before anything is made.
func prepare(o *Options) (*Lab, error) {
	s := o.Cluster.Settings()
	l := &Lab{
		log: o.Log, sources: o.Sources, began: time.Now(), step: o.step, cluster: o.Cluster, underlay: o.Underlay,
		spaces: make(map[string]*netns.NS), commands: make(map[string]*command), done: make(chan struct{}),
		state: State{
			Format: stateFormat, Name: o.Name, Version: o.Version, Engine: o.Engine,
			Profile: string(s.Profile), Sources: o.Sources, PinMaps: o.PinMaps, NetnsLinks: o.NetnsLinks,
		},
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.step == nil {
		l.step = func(int, string) {}
	}
	if l.state.Name == "" {
		l.state.Name = s.Name
	}
	if l.state.Engine == "" {
		l.state.Engine = DefaultEngine
	}
	if o.RunDir == "" {
		o.RunDir = FindRunDir("")
	}
	var err error
	if l.home, err = o.RunDir.home(l.state.Name); err != nil {
		return nil, err
	}
	l.engines, l.attachers = o.Engines, o.Attachers
	if err := l.checkEngine(l.state.Engine, s.Profile); err != nil {
		return nil, err
	}
	for _, n := range o.Cluster.Nodes() {
		if err := l.checkEngine(l.engineOf(&n), s.Profile); err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	if name, _ := l.attachedNode(o.Cluster.Nodes()); o.PinMaps && name == "" {
		return nil, inputErrorf("pin maps: no node has maps in the kernel; nodes with engine %s have", strings.Join(slices.Sorted(stdmaps.Keys(o.Attachers)), ", "))
	}
	if !slices.Contains([]string{"", underlayTAP, underlaySocket}, o.Underlay) {
		return nil, inputErrorf("underlay %q: there are %s, %s", o.Underlay, underlaySocket, underlayTAP)
	}
	if err := l.identify(); err != nil {
		return nil, err
	}
	if name, engine := l.attachedNode(o.Cluster.Nodes()); name != "" && l.state.Rootless {
		return nil, fmt.Errorf("node %s: engine %s: %w: needs root; the kernel takes programs from nobody else", name, engine, netns.ErrPermission)
	}
	if err := l.chooseWire(o.Wire, o.Cluster.Nodes()); err != nil {
		return nil, err
	}
	l.state.Spaces, l.state.Hosts = layout(o.Cluster), hostPods(o.Cluster)
	if !o.NetnsLinks {
		return l, nil
	}
	if l.state.Rootless {
		return nil, NoLinks()
	}
	l.state.nameLinks()
	return l, nil
}

// identify says in whose hands the lab is.
func (l *Lab) identify() (err error) {
	l.own = userRunDir()
	if l.state.Process, err = thisProcess(); err != nil {
		return err
	}
	inside, err := takeUserNS()
	if inside != nil {
		l.own, l.state.Process.PID, l.state.Rootless = inside.run, inside.pid, true
	}
	return err
}

// checkEngine refuses an engine that there is not, or that cannot run the profile.
func (l *Lab) checkEngine(name string, p cluster.Profile) error {
	if l.attachers[name] != nil {
		return nil
	}
	if l.engines[name] == nil {
		names := slices.Sorted(stdmaps.Keys(l.engines))
		names = append(names, slices.Sorted(stdmaps.Keys(l.attachers))...)
		return inputErrorf("engine %q: there are %s", name, strings.Join(names, ", "))
	}
	if p == cluster.EndpointRoutes {
		return fmt.Errorf("profile %s with engine %s: %w in a lab: the node's kernel would route to each pod's device, "+
			"which only engine kernel has there", p, name, dataplane.ErrNotSupported)
	}
	return nil
}

// engineOf is the name of a node's engine.
func (l *Lab) engineOf(n *cluster.Node) string {
	if n.Engine != "" {
		return n.Engine
	}
	return l.state.Engine
}

// hostPods maps the pods that live in their node's network to the node.
func hostPods(c *cluster.Cluster) map[string]string {
	hosts := make(map[string]string)
	for _, p := range c.Pods() {
		if p.HostNetwork {
			hosts[p.Ref()] = p.Node
		}
	}
	return hosts
}

// chooseWire tries in a namespace that disappears at once what a lab cannot do without,
// and decides what connects the pods.
func (l *Lab) chooseWire(want string, nodes []cluster.Node) (err error) {
	if !slices.Contains([]string{"", wireTAP, wireVeth}, want) {
		return inputErrorf("wire %q: there are %s, %s", want, wireTAP, wireVeth)
	}
	cannot := func(err error) error { return fmt.Errorf("cannot run a lab here: %w", err) }
	ns, err := netns.New("")
	if err != nil {
		return cannot(err)
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	port, err := ns.OpenPacket("lo", netns.PacketOptions{Marks: true, VNetHdr: true})
	if err != nil {
		return cannot(err)
	}
	if err := port.Close(); err != nil {
		return err
	}
	l.state.Wire = wireVeth
	// Programs in the kernel have devices to be on, whatever the other nodes have.
	attached := !slices.ContainsFunc(nodes, func(n cluster.Node) bool { return l.attachers[l.engineOf(&n)] == nil })
	switch {
	case attached && want == wireTAP:
		return inputErrorf("wire %s: engine %s needs devices of the node; it has wire %s", wireTAP, l.state.Engine, wireVeth)
	case attached && want == "":
		l.state.WireReason = fmt.Sprintf("engine %s needs devices of the node", l.state.Engine)
		return nil
	case want == wireVeth:
		return nil
	}
	tap, err := openPodTAP(ns, netns.Link{Name: podDevice})
	switch {
	case err == nil:
		l.state.Wire = wireTAP
		if want == "" {
			l.state.WireReason = "TAP devices are allowed here"
		}
		return tap.Close()
	case want == wireTAP || !errors.Is(err, netns.ErrPermission) && !errors.Is(err, netns.ErrNotSupported):
		return cannot(err)
	}
	l.state.WireReason = "no TAP devices here: " + err.Error()
	l.log.Warn("no TAP devices here; pods get veth pairs, which are slower", "err", err)
	return nil
}

// build makes everything, step by step.
func (l *Lab) build(ctx context.Context) error {
	do := func(what string, f func() error) error {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		l.log.Debug("step", "n", l.steps, "what", what)
		l.step(l.steps, what)
		l.steps++
		return nil
	}
	if err := do("remove leftovers", l.removeLeftovers); err != nil {
		return err
	}
	if err := do("look for names that are taken", l.checkLinks); err != nil {
		return err
	}
	if err := do("write state", func() error { return l.home.save(&l.state) }); err != nil {
		return err
	}
	if err := do("make directories", func() error { return l.home.makeDirs(&l.state) }); err != nil {
		return err
	}
	if err := do("write names", func() error { return l.home.writeHosts(l.cluster) }); err != nil {
		return err
	}
	for i := range l.state.Spaces {
		s := &l.state.Spaces[i]
		if err := do("make namespace "+s.Ref(), func() error { return l.makeSpace(s) }); err != nil {
			return err
		}
	}
	settings := l.cluster.Settings()
	wire := l.space(KindWire, wireName)
	if err := do("build wire", func() error { return buildWire(wire, &settings) }); err != nil {
		return err
	}
	for i := range settings.External {
		e := &settings.External[i]
		ns := l.space(KindExternal, e.Name)
		if err := do("build external "+e.Name, func() error { return joinExternal(wire, ns, i, e, &settings) }); err != nil {
			return err
		}
	}
	nodes := l.cluster.Nodes()
	for i := range nodes {
		n := &nodes[i]
		if err := do("build node "+n.Name, func() error { return l.buildNode(wire, n, &settings) }); err != nil {
			return err
		}
		if err := do("build pods of "+n.Name, func() error { return l.seat(n, &settings) }); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		what string
		do   func() error
	}{
		{"start nodes", l.startWorkers},
		{"start commands", l.startCommands},
		{"open control socket", l.listen},
		{"mark ready", l.markReady},
	} {
		if err := do(f.what, f.do); err != nil {
			return err
		}
	}
	return nil
}

// removeLeftovers cleans up after a process that did not do so itself. The lock says
// that it is gone.
func (l *Lab) removeLeftovers() error {
	old, err := l.home.state()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	l.log.Warn("removing what a dead process has left of this lab", "lab", old.Name, "pid", old.Process.PID)
	if err := l.home.dismantle(old); err != nil {
		return err
	}
	return l.home.removeContents()
}

func (l *Lab) makeSpace(s *Space) error {
	ns, err := netns.New(l.home.path(s.Pin))
	if err != nil {
		return err
	}
	l.spaces[s.Pin] = ns
	return l.addLink(s)
}

// space is the open namespace of that name, which is not a pod.
func (l *Lab) space(kind Kind, name string) *netns.NS {
	s := newSpace(kind, "", name)
	return l.spaces[s.Pin]
}

func (l *Lab) buildNode(wire *netns.NS, n *cluster.Node, s *cluster.Settings) error {
	ns := l.space(KindNode, n.Name)
	cfg, err := l.cluster.NodeConfig(n.Name)
	if err != nil {
		return err
	}
	return inOrder([]func() error{
		func() error { return basics(ns) },
		func() error { return joinWire(wire, ns, n, s) },
		func() error { return buildHost(ns, l.cluster, n, &cfg, l.attachers[l.engineOf(n)] != nil) },
		func() error { return ns.SetServices(frontends(l.cluster)) },
		func() error { return reservePeers(ns, l.cluster, n) },
	})
}

// seat makes a node's pods and its worker.
func (l *Lab) seat(n *cluster.Node, s *cluster.Settings) error {
	to := &seat{
		cluster: l.cluster, node: n, ns: l.space(KindNode, n.Name), log: l.log,
		engineName: l.engineOf(n), engine: l.engines[l.engineOf(n)], attacher: l.attachers[l.engineOf(n)],
		endpoints: l.cluster.Endpoints(n.Name), underlay: l.underlay, wire: l.state.Wire,
		crowded: crowded(l.cluster),
	}
	if l.state.PinMaps {
		to.pins = l.home.mapPins(n.Name)
	}
	for i := range to.endpoints {
		e := &to.endpoints[i]
		at := endpointSpace(n.Name, e)
		port, err := buildPod(l.spaces[at.Pin], &e.Endpoint, to, int(s.MTU))
		if err != nil {
			for _, p := range to.pods {
				err = errors.Join(err, p.Close())
			}
			return fmt.Errorf("%s: %w", at.Ref(), err)
		}
		if port != nil {
			to.pods = append(to.pods, port)
		}
	}
	w, err := newWorker(to)
	if err != nil {
		return err
	}
	l.addWorker(w)
	for i := range to.endpoints {
		at := endpointSpace(n.Name, &to.endpoints[i])
		if err := limitAggregates(l.spaces[at.Pin], w.tunnel); err != nil {
			return fmt.Errorf("%s: %w", at.Ref(), err)
		}
	}
	return nil
}

// startWorkers starts the nodes' loops and gives them the nodes.
func (l *Lab) startWorkers() (err error) {
	l.loops, err = newLoops(l.nodes(), l.log, l.ask)
	if err != nil {
		return err
	}
	for _, w := range l.nodes() {
		if err := l.startWorker(w); err != nil {
			return err
		}
	}
	return nil
}

// addWorker makes a worker known. It gets those who follow the lab, as its goroutine
// does not run yet.
func (l *Lab) addWorker(w *worker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.workers = append(l.workers, w)
	for _, f := range l.followers {
		w.addFollower(f)
	}
}

// startWorker gives a node to the loop that has the fewest.
func (l *Lab) startWorker(w *worker) error {
	load := make(map[*loop]int)
	for _, v := range l.nodes() {
		load[v.loop]++
	}
	to := slices.MinFunc(l.loops, func(a, b *loop) int { return load[a] - load[b] })
	if err := to.start(w); err != nil {
		return fmt.Errorf("start node %s: %w", w.name, err)
	}
	return nil
}

func (l *Lab) markReady() error {
	l.state.Ready = true
	return l.home.save(&l.state)
}
