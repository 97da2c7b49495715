package sim

import (
	"net/netip"
	"slices"

	"github.com/hooklab/hooklab/cluster"
)

// Refresh takes over what has changed in the cluster, at the present virtual time:
// nodes, pods, services, external hosts. It is due after every change and before time
// passes. Who stays keeps sockets and connections. The nodes' agents follow when the
// next frame meets them, before it does.
func (s *Sim) Refresh() {
	s.version++
	s.settings = s.cluster.Settings()
	s.owners = make(map[[4]byte]owner)
	s.refreshNodes()
	s.refreshPods()
	s.refreshOutside()
	s.ports, s.services = s.openPorts(), s.frontends()
}

func (s *Sim) refreshNodes() {
	nodes := s.cluster.Nodes()
	s.routes = podRoutes{nodes: make(map[netip.Prefix][4]byte, len(nodes))}
	there := make(map[string]bool, len(nodes))
	clear(s.underlay.stations)
	clear(s.underlay.neighbours)
	for i := range nodes {
		n := &nodes[i]
		there[n.Name] = true
		m := s.machines[n.Name]
		if m == nil || m.spec.IP != n.IP || m.spec.Router != n.Router || m.spec.MAC != n.MAC {
			m = newMachine(s, *n)
			s.machines[n.Name] = m
		}
		m.spec = *n
		s.owners[m.ip], s.owners[m.router] = owner{machine: m}, owner{machine: m}
		s.underlay.attach(m.ip, n.MAC, m)
		s.routes.add(n.PodCIDR, m.ip)
	}
	for name, m := range s.machines {
		if !there[name] {
			if err := m.close(); err != nil {
				s.fail(err)
			}
			delete(s.machines, name)
		}
	}
}

// refreshPods makes the pods and the health endpoints.
func (s *Sim) refreshPods() {
	old := s.pods
	s.pods = make(map[string]*pod, len(old))
	add := func(name, node string, e cluster.Endpoint) {
		m := s.machines[node]
		if m == nil || !e.IP.IsValid() {
			return
		}
		p := old[name]
		if p == nil || p.endpoint != e || p.machine != m {
			p = newPod(m, name, e)
		}
		s.pods[name] = p
		s.owners[p.ip] = owner{pod: p}
	}
	for _, n := range s.cluster.Nodes() {
		add(prefixHealth+n.Name, n.Name, n.Health)
	}
	pods := s.cluster.Pods()
	for i := range pods {
		if p := &pods[i]; !p.HostNetwork {
			add(p.Ref(), p.Node, p.Endpoint)
		}
	}
}

// refreshOutside makes the gateway and the external hosts.
func (s *Sim) refreshOutside() {
	gw := s.settings.Gateway().As4()
	if s.gateway == nil || s.gateway.ip != gw {
		s.gateway = newStation(s, AtGateway, "", gw)
		s.gateway.router = true
	}
	s.owners[gw] = owner{station: s.gateway}
	s.underlay.attach(gw, s.gateway.mac, s.gateway)
	for ip, x := range s.outside {
		if x.named {
			if !slices.ContainsFunc(s.settings.External, func(e cluster.External) bool { return e.IP.As4() == ip && e.Name == x.name }) {
				delete(s.outside, ip)
			}
		}
	}
	for _, e := range s.settings.External {
		ip := e.IP.As4()
		x := s.outside[ip]
		if x == nil || x.name != e.Name {
			x = newStation(s, AtExternal, e.Name, ip)
			s.outside[ip] = x
		}
		x.named, x.serves = true, len(e.Run) == 0
		s.owners[ip] = owner{station: x}
		if s.settings.Underlay.Contains(e.IP) {
			x.onUnderlay = true
			s.underlay.attach(ip, x.mac, x)
		}
	}
}

// podRoutes finds the node of a podCIDR.
type podRoutes struct {
	nodes map[netip.Prefix][4]byte
	bits  []int // lengths in use, longest first
}

func (r *podRoutes) add(p netip.Prefix, node [4]byte) {
	if !p.IsValid() {
		return
	}
	r.nodes[p.Masked()] = node
	if !slices.Contains(r.bits, p.Bits()) {
		r.bits = append(r.bits, p.Bits())
		slices.SortFunc(r.bits, func(a, b int) int { return b - a })
	}
}

// find is the podCIDR of an address and its node.
func (r *podRoutes) find(ip [4]byte) (netip.Prefix, [4]byte, bool) {
	for _, n := range r.bits {
		p := netip.PrefixFrom(addr(ip), n).Masked()
		if node, ok := r.nodes[p]; ok {
			return p, node, true
		}
	}
	return netip.Prefix{}, [4]byte{}, false
}
