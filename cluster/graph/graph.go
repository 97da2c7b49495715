// Package graph draws a cluster: its nodes with their devices, pods, services and what
// is outside, as SVG, Mermaid and Graphviz DOT.
package graph

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster"
)

// Options choose what is drawn. The zero value draws the whole cluster.
type Options struct {
	// Nodes are the names of the nodes to draw; nil means all.
	Nodes []string
	// Pods are those to draw for certain ("namespace/name") if a node has more than
	// PodsPerNode, which is 0 for no limit.
	Pods        []string
	PodsPerNode int
	// Services are those to draw ("namespace/name"); nil means all.
	Services []string
	// Outside are names or addresses of hosts outside, beside those of the cluster that
	// are drawn if Outside is nil.
	Outside []string
	// Gateway draws the router to the world even without a host behind it.
	Gateway bool
}

// Graph is a drawing with everything at its place. Lengths are in SVG user units.
type Graph struct {
	Title    string
	Nodes    []*Node
	Services []*Service
	Outside  []*Box // what is behind the gateway
	Gateway  *Box   // nil: not drawn
	Underlay []Rect // one for each row of nodes
	Subnet   netip.Prefix
	W, H     int

	omitted int // nodes
}

// Rect is a rectangle, X and Y its upper left corner.
type Rect struct{ X, Y, W, H int }

// Point is a point.
type Point struct{ X, Y int }

// Box is a rectangle with a name and a line below it.
type Box struct {
	Rect
	ID    string // "pod default/web", as a trace calls the place
	Name  string
	About string
}

// Node is a node with its devices.
type Node struct {
	Box
	Pods    []*Pod
	Omitted int    // pods that are not drawn
	Devices []*Box // cilium_vxlan, cilium_host, cilium_net, eth0
	Stack   *Box
}

// Pod is a pod, or a health endpoint, with the device that leads to it.
type Pod struct {
	Box
	Device      *Box // nil for a pod of the host's network
	HostNetwork bool
}

// Service is a service with the pods behind it.
type Service struct {
	Box
	Pods []*Pod // that are drawn
}

// New draws a cluster. A name that the cluster does not have is ignored: callers know
// what they have found there.
func New(c *cluster.Cluster, o Options) *Graph {
	s := c.Settings()
	g := &Graph{Title: s.Name, Subnet: s.Underlay}
	pods := map[netip.Addr]*Pod{}
	for _, n := range c.Nodes() {
		if o.Nodes != nil && !slices.Contains(o.Nodes, n.Name) {
			g.omitted++
			continue
		}
		g.Nodes = append(g.Nodes, newNode(c, n, o, pods))
	}
	for _, svc := range c.Services() {
		if o.Services == nil || slices.Contains(o.Services, svc.Ref()) {
			g.Services = append(g.Services, newService(svc, pods))
		}
	}
	for _, x := range s.External {
		if o.Outside == nil || slices.Contains(o.Outside, x.Name) || slices.Contains(o.Outside, x.IP.String()) {
			g.Outside = append(g.Outside, &Box{ID: "external " + x.Name, Name: x.Name, About: x.IP.String()})
		}
	}
	for _, name := range o.Outside {
		if ip, err := netip.ParseAddr(name); err == nil && c.NameOf(ip) == "" {
			g.Outside = append(g.Outside, &Box{ID: "external " + name, Name: name, About: "outside"})
		}
	}
	if o.Gateway || len(g.Outside) > 0 {
		g.Gateway = &Box{ID: "gateway", Name: "gateway", About: s.Gateway().String()}
	}
	g.place()
	return g
}

func newNode(c *cluster.Cluster, n cluster.Node, o Options, drawn map[netip.Addr]*Pod) *Node {
	d := &Node{
		Box:   Box{ID: "node " + n.Name, Name: n.Name, About: fmt.Sprintf("%s · pods %s", n.IP, n.PodCIDR)},
		Stack: &Box{ID: "node " + n.Name + " stack", Name: "host stack", About: "routes · nf_conntrack · iptables"},
	}
	for _, name := range []string{"cilium_vxlan", "cilium_host", "cilium_net", "eth0"} {
		d.Devices = append(d.Devices, &Box{ID: d.ID + " " + name, Name: name})
	}
	d.Devices[1].About = n.Router.String()
	var all []*Pod
	for _, p := range c.Pods() {
		switch {
		case p.Node != n.Name:
		case p.HostNetwork:
			all = append(all, &Pod{Box: Box{ID: "pod " + p.Ref(), Name: short(p.Ref()), About: "host network"}, HostNetwork: true})
		case p.IP.IsValid():
			all = append(all, &Pod{Box: Box{ID: "pod " + p.Ref(), Name: short(p.Ref()), About: p.IP.String()}, Device: &Box{ID: d.ID + " " + p.Device, Name: p.Device}})
			drawn[p.IP] = all[len(all)-1]
		}
	}
	if h := n.Health; h.IP.IsValid() && (o.PodsPerNode == 0 || slices.Contains(o.Pods, "health/"+n.Name)) {
		all = append(all, &Pod{Box: Box{ID: "pod health/" + n.Name, Name: "health", About: h.IP.String()}, Device: &Box{ID: d.ID + " " + h.Device, Name: h.Device}})
	}
	must := func(p *Pod) bool { return slices.Contains(o.Pods, strings.TrimPrefix(p.ID, "pod ")) }
	room := len(all)
	if o.PodsPerNode > 0 {
		room = o.PodsPerNode
	}
	for _, p := range all {
		if must(p) {
			room--
		}
	}
	for _, p := range all {
		switch {
		case must(p):
		case room > 0:
			room--
		default:
			d.Omitted++
			continue
		}
		d.Pods = append(d.Pods, p)
	}
	return d
}

func newService(svc cluster.Service, pods map[netip.Addr]*Pod) *Service {
	b := Box{ID: "svc " + svc.Ref(), Name: "svc/" + short(svc.Ref()), About: "headless"}
	if !svc.Headless {
		b.About = svc.ClusterIP.String()
	}
	var ports []string
	s := &Service{}
	for _, p := range svc.Ports {
		if text := fmt.Sprintf("%d", p.Port); !slices.Contains(ports, text) {
			ports = append(ports, text)
		}
		for _, be := range p.Backends {
			if pod := pods[be.Addr.Addr()]; pod != nil && !slices.Contains(s.Pods, pod) {
				s.Pods = append(s.Pods, pod)
			}
		}
	}
	if len(ports) > 0 {
		b.About += ":" + strings.Join(ports, ",")
	}
	s.Box = b
	return s
}

// short leaves the default namespace out.
func short(ref string) string { return strings.TrimPrefix(ref, "default/") }
