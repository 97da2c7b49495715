package cluster

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hooklab/hooklab/dataplane"
)

// Cluster is a described cluster with everything allocated. It may be used by any
// number of goroutines: readers see the state after the last finished change.
// What it returns is shared and must not be modified.
type Cluster struct {
	mu      sync.Mutex // held by changes
	current atomic.Pointer[state]
	adopted func(dataplane.Config) dataplane.Config // see Adopt; nil: nothing
}

// Load makes a cluster of what the sources describe together. Every error satisfies
// errors.Is(err, ErrInput) and prints one line for each problem.
func Load(sources ...Source) (*Cluster, error) {
	d, err := parse(sources)
	if err != nil {
		return nil, err
	}
	if err := d.complete().err(); err != nil {
		return nil, err
	}
	c := &Cluster{}
	c.publish(&d.state)
	return c, nil
}

// LoadFiles is Load of files.
func LoadFiles(paths ...string) (*Cluster, error) {
	sources, err := readFiles(paths)
	if err != nil {
		return nil, err
	}
	return Load(sources...)
}

func readFiles(paths []string) ([]Source, error) {
	sources := make([]Source, len(paths))
	for i, path := range paths {
		var err error
		if sources[i], err = ReadFile(path); err != nil {
			return nil, err
		}
	}
	return sources, nil
}

// publish makes a complete state the current one.
func (c *Cluster) publish(s *state) {
	s.common = newCommon(s)
	c.current.Store(s)
}

// now is the current state.
func (c *Cluster) now() *state { return c.current.Load() }

// Settings returns the lab's settings.
func (c *Cluster) Settings() Settings { return c.now().settings }

// Nodes returns all nodes in the order of their description.
func (c *Cluster) Nodes() []Node { return c.now().nodes }

// Pods returns all pods in the order of their description, those that were added
// later at the end.
func (c *Cluster) Pods() []Pod { return c.now().pods }

// Services returns all services in the order of their description.
func (c *Cluster) Services() []Service { return c.now().services }

// Node finds a node by name.
func (c *Cluster) Node(name string) (Node, error) {
	s := c.now()
	if n := s.node(name); n != nil {
		return *n, nil
	}
	return Node{}, inputErrorf("", "", "no node %s; nodes: %s", quote(name), some(s.nodeNames()))
}

// DefaultNode is the node that is meant where none is named: the first that is not a
// control plane, else the first.
func (c *Cluster) DefaultNode() Node {
	nodes := c.now().nodes
	return nodes[max(0, slices.IndexFunc(nodes, func(n Node) bool { return !n.ControlPlane }))]
}

// Pod finds a pod by "namespace/name", or by its name alone if that is in namespace
// default or in one namespace only.
func (c *Cluster) Pod(ref string) (Pod, error) {
	s := c.now()
	i, err := s.pod(ref)
	if err != nil {
		return Pod{}, err
	}
	return s.pods[i], nil
}

// Service finds a service as Pod finds a pod.
func (c *Cluster) Service(ref string) (Service, error) {
	s := c.now()
	i, err := s.service(ref)
	if err != nil {
		return Service{}, err
	}
	return s.services[i], nil
}

// NodeEndpoint is an endpoint with its owner's name.
type NodeEndpoint struct {
	Endpoint
	Pod *Pod // nil for the health endpoint
}

// Endpoints returns the endpoints of a node: the health endpoint, if there is one,
// then the pods that do not live in the host's network.
func (c *Cluster) Endpoints(node string) []NodeEndpoint { return c.now().endpoints(node) }

func (s *state) endpoints(node string) []NodeEndpoint {
	var list []NodeEndpoint
	if n := s.node(node); n != nil && n.Health.IP.IsValid() {
		list = append(list, NodeEndpoint{Endpoint: n.Health})
	}
	for i := range s.pods {
		if p := &s.pods[i]; p.Node == node && !p.HostNetwork {
			list = append(list, NodeEndpoint{Endpoint: p.Endpoint, Pod: p})
		}
	}
	return list
}

func (s *state) node(name string) *Node {
	if i := slices.IndexFunc(s.nodes, func(n Node) bool { return n.Name == name }); i >= 0 {
		return &s.nodes[i]
	}
	return nil
}

func (s *state) pod(ref string) (int, error) {
	refs := make([]string, len(s.pods))
	for i := range s.pods {
		refs[i] = s.pods[i].Ref()
	}
	return find("pod", refs, ref)
}

func (s *state) service(ref string) (int, error) {
	refs := make([]string, len(s.services))
	for i := range s.services {
		refs[i] = s.services[i].Ref()
	}
	return find("service", refs, ref)
}

// find resolves a reference among "namespace/name"s.
func find(what string, refs []string, ref string) (int, error) {
	if i := slices.Index(refs, ref); i >= 0 {
		return i, nil
	}
	if i := slices.Index(refs, "default/"+ref); i >= 0 {
		return i, nil
	}
	found := -1
	for i, r := range refs {
		if !strings.HasSuffix(r, "/"+ref) || strings.Contains(ref, "/") {
			continue
		}
		if found >= 0 {
			return 0, inputErrorf("", "", "%s %s is in several namespaces: %s, %s", what, quote(ref), refs[found], r)
		}
		found = i
	}
	if found < 0 {
		return 0, inputErrorf("", "", "no %s %s; %ss: %s", what, quote(ref), what, some(refs))
	}
	return found, nil
}

// some lists names for a message.
func some(names []string) string {
	const most = 8
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// apiServers are the addresses behind the service default/kubernetes, which is how
// Cilium knows them.
func (s *state) apiServers() map[netip.Addr]bool {
	ips := make(map[netip.Addr]bool)
	for i := range s.services {
		if s.services[i].Ref() != "default/kubernetes" {
			continue
		}
		for _, p := range s.services[i].Ports {
			for _, b := range p.Backends {
				ips[b.Addr.Addr()] = true
			}
		}
	}
	return ips
}
