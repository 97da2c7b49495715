package cluster

import (
	"net/netip"
	"slices"
)

// given is what a description asks for, none of which may be inherited by another.
type given struct {
	ips       map[netip.Addr]bool
	macs      map[MAC]bool
	nodeIDs   map[uint16]bool
	endpoints map[nodeNumber]bool
	ifindexes map[nodeNumber]bool
	devices   map[string]bool
	services  map[uint16]bool
}

type nodeNumber struct {
	node string
	num  uint32
}

// keep takes over an old value where nothing is given, if nobody else asks for it.
func keep[T comparable](to *T, old T, taken bool) {
	var zero T
	if *to == zero && !taken {
		*to = old
	}
}

// inherit fills a new description with what objects of the same name had.
func (d *description) inherit(old *state) {
	g := d.collectGiven()
	nodes := make(map[string]*Node, len(old.nodes))
	for i := range old.nodes {
		nodes[old.nodes[i].Name] = &old.nodes[i]
	}
	for i := range d.nodes {
		if was := nodes[d.nodes[i].Name]; was != nil {
			d.inheritNode(old, g, &d.nodes[i], was)
		}
	}
	pods := make(map[string]*Pod, len(old.pods))
	for i := range old.pods {
		pods[old.pods[i].Ref()] = &old.pods[i]
	}
	identities := make(map[uint32]bool)
	for i := range d.pods {
		identities[d.pods[i].Identity] = true
	}
	for i := range d.pods {
		p := &d.pods[i]
		at, known := d.nodeIndex[p.Node]
		was := pods[p.Ref()]
		if !known || was == nil || was.Node != p.Node || was.HostNetwork {
			continue
		}
		g.inheritEndpoint(&d.nodes[at], &p.Endpoint, &was.Endpoint)
		keep(&p.Device, was.Device, g.devices[was.Device])
		sameLabels := slices.Equal(d.securityLabels(p), old.securityLabels(was))
		keep(&p.Identity, was.Identity, identities[was.Identity] || !sameLabels)
	}
	d.inheritServices(old, g)
}

func (d *description) inheritNode(old *state, g *given, n, was *Node) {
	keep(&n.IP, was.IP, g.ips[was.IP] || d.settings.Underlay != old.settings.Underlay)
	elsewhere := func(p Pod) bool { return p.Node == n.Name && p.IP.IsValid() && !was.PodCIDR.Contains(p.IP) }
	keep(&n.PodCIDR, was.PodCIDR, d.overlapsGiven(was.PodCIDR) || !d.settings.PodPool.Contains(was.PodCIDR.Addr()) ||
		slices.ContainsFunc(d.pods, elsewhere))
	keep(&n.Router, was.Router, g.ips[was.Router] || !usable(n.PodCIDR, was.Router))
	keep(&n.ID, was.ID, g.nodeIDs[was.ID])
	keep(&n.HostID, was.HostID, g.endpoints[nodeNumber{n.Name, uint32(was.HostID)}])
	keep(&n.MAC, was.MAC, g.macs[was.MAC])
	keep(&n.HostMAC, was.HostMAC, g.macs[was.HostMAC])
	keep(&n.NetMAC, was.NetMAC, g.macs[was.NetMAC])
	keep(&n.VXLANMAC, was.VXLANMAC, g.macs[was.VXLANMAC])
	g.inheritEndpoint(n, &n.Health, &was.Health)
}

func (g *given) inheritEndpoint(n *Node, e, was *Endpoint) {
	keep(&e.IP, was.IP, g.ips[was.IP] || !usable(n.PodCIDR, was.IP))
	keep(&e.ID, was.ID, g.endpoints[nodeNumber{n.Name, uint32(was.ID)}])
	keep(&e.Ifindex, was.Ifindex, g.ifindexes[nodeNumber{n.Name, was.Ifindex}])
	keep(&e.MAC, was.MAC, g.macs[was.MAC])
	keep(&e.NodeMAC, was.NodeMAC, g.macs[was.NodeMAC])
}

func (d *description) inheritServices(old *state, g *given) {
	d.nextService, d.nextBackend, d.backendIDs = old.nextService, old.nextBackend, old.backendIDs
	services := make(map[string]*Service, len(old.services))
	for i := range old.services {
		services[old.services[i].Ref()] = &old.services[i]
	}
	for i := range d.services {
		s := &d.services[i]
		was := services[s.Ref()]
		if was == nil || s.Headless {
			continue
		}
		keep(&s.ClusterIP, was.ClusterIP, g.ips[was.ClusterIP] || !d.settings.ServiceCIDR.Contains(was.ClusterIP))
		for j := range s.Ports {
			for k := range was.Ports {
				if was.Ports[k].Port == s.Ports[j].Port {
					keep(&s.Ports[j].ID, was.Ports[k].ID, g.services[was.Ports[k].ID])
				}
			}
		}
	}
}

func (d *description) overlapsGiven(p netip.Prefix) bool {
	if p.Overlaps(d.settings.ServiceCIDR) || p.Overlaps(d.settings.Underlay) {
		return true
	}
	return slices.ContainsFunc(d.nodes, func(n Node) bool { return n.PodCIDR.IsValid() && p.Overlaps(n.PodCIDR) })
}

func (d *description) collectGiven() *given {
	g := &given{
		ips: make(map[netip.Addr]bool), macs: make(map[MAC]bool), nodeIDs: make(map[uint16]bool),
		endpoints: make(map[nodeNumber]bool), ifindexes: make(map[nodeNumber]bool),
		devices: make(map[string]bool), services: make(map[uint16]bool),
	}
	endpoint := func(node string, e *Endpoint) {
		g.ips[e.IP], g.macs[e.MAC], g.macs[e.NodeMAC] = true, true, true
		g.endpoints[nodeNumber{node, uint32(e.ID)}] = true
		g.ifindexes[nodeNumber{node, e.Ifindex}] = true
		g.devices[e.Device] = true
	}
	for i := range d.nodes {
		n := &d.nodes[i]
		g.ips[n.IP], g.ips[n.Router], g.nodeIDs[n.ID] = true, true, true
		for _, m := range []MAC{n.MAC, n.HostMAC, n.NetMAC, n.VXLANMAC} {
			g.macs[m] = true
		}
		g.endpoints[nodeNumber{n.Name, uint32(n.HostID)}] = true
		endpoint(n.Name, &n.Health)
	}
	for i := range d.pods {
		endpoint(d.pods[i].Node, &d.pods[i].Endpoint)
	}
	for i := range d.services {
		g.ips[d.services[i].ClusterIP] = true
		for _, p := range d.services[i].Ports {
			g.services[p.ID] = true
		}
	}
	for _, e := range d.settings.External {
		g.ips[e.IP] = true
	}
	return g
}
