package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ledger knows who has what, so that nothing is given out twice.
type ledger struct {
	ips        map[netip.Addr]string // "pod default/web", "router of node a"
	macs       map[MAC]string
	nodeIDs    map[uint16]string
	serviceIDs map[uint16]string
	backends   map[uint32]netip.AddrPort
	onNode     map[string]*nodeLedger // by node
}

// nodeLedger is what is unique on one node only.
type nodeLedger struct {
	node      *Node
	endpoints map[uint16]string
	ifindexes map[uint32]string
	devices   map[string]string
	nextIndex uint32
}

// completion checks what was given and allocates the rest (SPEC 15).
type completion struct {
	*description
	ledger
	problems   problems
	identities map[string]uint32 // by label set
	taken      map[uint32]bool   // identities in use
	cidrs      []netip.Prefix    // networks that the pool must spare, sorted; made when first needed
	nextCIDR   uint32            // index in the pool
	nextNode   netip.Addr        // of the underlay
	nextNodeID uint16
}

// complete fills in everything that a description leaves open. What is given is
// checked and reserved first. Complete descriptions stay as they are, so that a
// change to a running cluster is a change to its description.
func (d *description) complete() problems {
	c := &completion{
		description: d,
		ledger: ledger{
			ips:        make(map[netip.Addr]string),
			macs:       make(map[MAC]string),
			nodeIDs:    make(map[uint16]string),
			serviceIDs: make(map[uint16]string),
			backends:   make(map[uint32]netip.AddrPort),
			onNode:     make(map[string]*nodeLedger),
		},
		identities: make(map[string]uint32),
		taken:      make(map[uint32]bool),
	}
	// Each phase needs the one before: what a bad node makes of its pods is not told.
	for _, phase := range [][]func(){
		{c.checkNodes},
		{c.checkPods, c.checkServices},
		{c.allocateNodes},
		{c.allocatePods},
		{c.allocateServices},
	} {
		for _, step := range phase {
			step()
		}
		if len(c.problems) > 0 {
			break
		}
	}
	return c.problems
}

// complain adds a problem of an object's field.
func (c *completion) complain(object, field, format string, args ...any) {
	c.problems.add(c.problem(object, field, format, args...))
}

// reserve enters a given value, unless it is zero, under its owner. A second owner
// is a problem.
func reserve[K comparable](c *completion, book map[K]string, k K, owner, object, field string) {
	var zero K
	if k == zero {
		return
	}
	if other, ok := book[k]; ok {
		c.complain(object, field, "%v: taken by %s", k, other)
		return
	}
	book[k] = owner
}

// checkNodes checks the lab's networks and the nodes as given.
func (c *completion) checkNodes() {
	if len(c.nodes) == 0 {
		at := c.labFrom
		c.problems.addf(at, "", "no nodes; give them as spec.nodes of a Lab, or as Node or CiliumNode objects")
		return
	}
	c.findUnderlay()
	s := &c.settings
	c.ips[s.Gateway()], c.nextNode = "the underlay's gateway", s.Gateway()
	for i := range s.External {
		e := &s.External[i]
		object := "External " + e.Name
		if !e.IP.IsValid() {
			c.complain(object, "ip", "missing; want the address of a host outside the cluster")
			continue
		}
		reserve(c, c.ips, e.IP, "external host "+e.Name, object, "ip")
	}
	for i := range c.nodes {
		c.checkNode(&c.nodes[i])
	}
	c.findPodCIDRs()
	c.checkNetworks()
}

func (c *completion) checkNode(n *Node) {
	object, owner := "Node "+n.Name, "node "+n.Name
	l := &nodeLedger{
		node: n, endpoints: make(map[uint16]string), ifindexes: make(map[uint32]string),
		devices: map[string]string{"lxc_health": owner}, nextIndex: firstIfindex,
	}
	c.onNode[n.Name] = l
	if n.IP.IsValid() && !usable(c.settings.Underlay, n.IP) {
		c.complain(object, "ip", "%s: not a host address of the underlay %s", n.IP, c.settings.Underlay)
	}
	reserve(c, c.ips, n.IP, owner, object, "ip")
	reserve(c, c.nodeIDs, n.ID, owner, object, "id")
	reserve(c, l.endpoints, n.HostID, "the host endpoint", object, "hostID")
	if !c.settings.Health {
		n.Health = Endpoint{}
	}
	h := &n.Health
	reserve(c, l.endpoints, h.ID, "the health endpoint", object, "health.id")
	reserve(c, l.ifindexes, h.Ifindex, "lxc_health", object, "health.ifindex")
	inside := make(map[MAC]string) // of devices that no other node ever sees
	for _, m := range []struct {
		book  map[MAC]string
		mac   MAC
		field string
	}{
		{c.macs, n.MAC, "mac"},
		{inside, n.HostMAC, "hostMAC"},
		{inside, n.NetMAC, "netMAC"},
		{inside, n.VXLANMAC, "vxlanMAC"},
		{c.macs, h.MAC, "health.mac"},
		{c.macs, h.NodeMAC, "health.nodeMAC"},
	} {
		reserve(c, m.book, m.mac, m.field+" of "+owner, object, m.field)
	}
	for _, d := range []struct {
		index        uint32
		name, device string
	}{{n.NetIfindex, "netIfindex", "cilium_net"}, {n.HostIfindex, "hostIfindex", "cilium_host"}, {n.VXLANIfindex, "vxlanIfindex", "cilium_vxlan"}} {
		reserve(c, l.ifindexes, d.index, d.device, object, d.name)
	}
	for _, a := range []struct {
		ip          netip.Addr
		what, field string
	}{{n.Router, "router", "router"}, {h.IP, "health endpoint", "health.ip"}} {
		if a.ip.IsValid() && n.PodCIDR.IsValid() && !usable(n.PodCIDR, a.ip) {
			c.complain(object, a.field, "%s: not a host address of the node's podCIDR %s", a.ip, n.PodCIDR)
		}
		reserve(c, c.ips, a.ip, a.what+" of "+owner, object, a.field)
	}
}

// usable says that an address is one of a network's hosts: not the network's own,
// not the broadcast address.
func usable(p netip.Prefix, a netip.Addr) bool {
	return p.Contains(a) && a != p.Masked().Addr() && a != lastAddr(p)
}

// checkNetworks looks for networks that overlap, and blames the one described last.
func (c *completion) checkNetworks() {
	s := &c.settings
	type network struct {
		p    netip.Prefix
		node string // "" for the lab's own
		what string
	}
	nets := []network{{p: s.Underlay, what: "the underlay"}, {p: s.ServiceCIDR, what: "the serviceCIDR"}}
	for i := range c.nodes {
		if n := &c.nodes[i]; n.PodCIDR.IsValid() {
			nets = append(nets, network{n.PodCIDR, n.Name, "the podCIDR of node " + n.Name})
		}
	}
	order := make([]int, len(nets))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return nets[a].p.Addr().Compare(nets[b].p.Addr()) })
	widest := order[0] // reaches furthest among those before i
	for _, i := range order[1:] {
		if nets[i].p.Overlaps(nets[widest].p) {
			first, last := nets[min(i, widest)], nets[max(i, widest)]
			if last.node == "" {
				c.problems.addf(c.labFrom, "spec.serviceCIDR", "%s: overlaps %s, %s", last.p, first.what, first.p)
			} else {
				c.complain("Node "+last.node, "podCIDR", "%s: overlaps %s, %s", last.p, first.what, first.p)
			}
		}
		if lastAddr(nets[widest].p).Less(lastAddr(nets[i].p)) {
			widest = i
		}
	}
	if s.PodMask < s.PodPool.Bits() {
		c.problems.addf(c.labFrom, "spec.podCIDRMask", "%d: shorter than the mask of podCIDR %s", s.PodMask, s.PodPool)
	}
}

// checkPods checks the pods as given.
func (c *completion) checkPods() {
	for i := range c.pods {
		p := &c.pods[i]
		object, owner := "Pod "+p.Ref(), "pod "+p.Ref()
		l := c.onNode[p.Node]
		switch {
		case p.Node == "":
			c.complain(object, "node", "missing: a pod runs on a node; nodes: %s", some(c.nodeNames()))
			continue
		case l == nil:
			c.complain(object, "node", "%s: no such node; nodes: %s", quote(p.Node), some(c.nodeNames()))
			continue
		case p.HostNetwork:
			p.Endpoint = Endpoint{}
			continue
		}
		if p.IP.IsValid() && l.node.PodCIDR.IsValid() && !usable(l.node.PodCIDR, p.IP) {
			c.complain(object, "ip", "%s: not a host address of %s, the podCIDR of node %s", p.IP, l.node.PodCIDR, p.Node)
		}
		reserve(c, c.ips, p.IP, owner, object, "ip")
		reserve(c, l.endpoints, p.ID, owner, object, "id")
		reserve(c, l.ifindexes, p.Ifindex, owner, object, "ifindex")
		reserve(c, c.macs, p.MAC, "eth0 of "+owner, object, "mac")
		reserve(c, c.macs, p.NodeMAC, "the host side of "+owner, object, "nodeMAC")
		if err := checkDevice(p.Device); err != nil {
			c.complain(object, "device", "%v", err)
		}
		reserve(c, l.devices, p.Device, owner, object, "device")
		c.checkIdentity(p, object)
	}
}

// checkDevice checks the name of a host-side device: as the kernel does, and so that
// Cilium's rules for lxc+ match it.
func checkDevice(name string) error {
	bad := func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}
	if name != "" && (!strings.HasPrefix(name, "lxc") || len(name) > 15 || strings.ContainsFunc(name, bad)) {
		return fmt.Errorf("%s: allowed: lxc, then up to 12 lower case letters, digits, '-', '_' and '.'", quote(name))
	}
	return nil
}

// checkIdentity enters a given identity: pods with the same labels have one.
func (c *completion) checkIdentity(p *Pod, object string) {
	if p.Identity == 0 {
		return
	}
	set := strings.Join(c.securityLabels(p), ";")
	if id, ok := c.identities[set]; ok && id != p.Identity {
		c.complain(object, "identity", "%d: a pod with the same labels has identity %d, and one label set has one identity", p.Identity, id)
		return
	}
	c.identities[set], c.taken[p.Identity] = p.Identity, true
}

// checkServices checks the services as given.
func (c *completion) checkServices() {
	for i := range c.services {
		s := &c.services[i]
		object, owner := "Service "+s.Ref(), "service "+s.Ref()
		reserve(c, c.ips, s.ClusterIP, owner, object, "clusterIP")
		if len(s.Ports) == 0 && !s.Headless {
			c.complain(object, "ports", "missing: a service has at least one port")
		}
		seen, first := make(map[string]bool), make(map[uint16]int)
		for j := range s.Ports {
			p := &s.Ports[j]
			field := "ports[" + strconv.Itoa(j) + "]."
			if p.Protocol == "" {
				p.Protocol = "TCP"
			}
			if p.Port == 0 {
				c.complain(object, field+"port", "missing; allowed: 1..65535")
				continue
			}
			if key := p.Protocol + strconv.Itoa(int(p.Port)); seen[key] {
				c.complain(object, field+"port", "%d: a second %s port of this number", p.Port, p.Protocol)
			} else {
				seen[key] = true
			}
			if num, err := strconv.Atoi(p.TargetPort); err == nil && (num < 1 || num > 0xffff) {
				c.complain(object, field+"targetPort", "%s: allowed: 1..65535, or a port's name", quote(p.TargetPort))
			}
			c.checkServiceID(s, j, first, object, field+"id")
		}
		for addr, id := range s.BackendIDs {
			c.reserveBackend(addr, id, object, "backendIDs")
		}
	}
}

// checkServiceID enters a port's id. Ports of the same number share theirs; first is
// where each number occurs first.
func (c *completion) checkServiceID(s *Service, j int, first map[uint16]int, object, field string) {
	p := &s.Ports[j]
	i, again := first[p.Port]
	if !again {
		first[p.Port] = j
		reserve(c, c.serviceIDs, p.ID, "service "+s.Ref(), object, field)
		return
	}
	switch shared := &s.Ports[i]; {
	case p.ID == 0:
		p.ID = shared.ID
	case shared.ID == 0:
		shared.ID = p.ID
		reserve(c, c.serviceIDs, p.ID, "service "+s.Ref(), object, field)
	case p.ID != shared.ID:
		c.complain(object, field, "%d: port %d has id %d for %s, and protocols share it", p.ID, p.Port, shared.ID, shared.Protocol)
	}
}

// reserveBackend enters the id asked for a backend's address.
func (c *completion) reserveBackend(addr netip.AddrPort, id uint32, object, field string) {
	if id == 0 {
		c.complain(object, field, "0 for %s: allowed: 1..4294967295", addr)
		return
	}
	if other, ok := c.backends[id]; ok && other != addr {
		c.complain(object, field, "%d: taken by %s", id, other)
		return
	}
	c.backends[id] = addr
}
