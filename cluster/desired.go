package cluster

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// entries are a map's content as bytes, by key.
type entries map[string]string

// put adds an entry. Keys and values are structs of package maps, which have no
// hidden padding and are little endian where they are integers.
func (e entries) put(key, value any) { e[encode(key)] = encode(value) }

func encode(v any) string {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		return "" // Only a struct without fixed size could do this; a test sees it.
	}
	return string(b)
}

// layers are entries over entries: the first that has a key counts.
type layers []entries

func (l layers) get(key string) (value string, ok bool) {
	for _, e := range l {
		if value, ok = e[key]; ok {
			return value, true
		}
	}
	return "", false
}

// keys returns the keys for which use says yes, sorted.
func (l layers) keys(use func(key string) bool) []string {
	var keys []string
	for i, e := range l {
		for k := range e {
			if _, above := l[:i].get(k); !above && use(k) {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// common is what the maps of all nodes have in common. It is made once for each
// state, by who changes the cluster, so that a node's goroutine only compares.
type common struct {
	ipcache   entries // as a node sees it that is none of the cluster's
	backends  entries
	revNAT    entries
	slots     entries // of cilium_lb4_services_v2, from 1 on
	frontends entries // of cilium_lb4_services_v2, slot 0
}

// desired is what one node's maps are to hold.
type desired struct {
	*common
	lxc, ipcache, tunnel entries // ipcache: what differs from common
	policies             map[uint16]entries
}

// desiredFor computes a node's maps from the topology.
func (s *state) desiredFor(n *Node) *desired {
	d := &desired{
		common: s.common, lxc: make(entries), ipcache: make(entries), tunnel: make(entries),
		policies: make(map[uint16]entries),
	}
	d.endpoints(s, n)
	d.addresses(s, n)
	return d
}

func newCommon(s *state) *common {
	c := &common{
		ipcache: make(entries), backends: make(entries), revNAT: make(entries),
		slots: make(entries), frontends: make(entries),
	}
	c.addresses(s)
	c.services(s)
	return c
}

// endpoints fills cilium_lxc, with the host's own addresses (SPEC 14.1), and the
// policy maps of endpoints that no policy selects (SPEC 13).
func (d *desired) endpoints(s *state, n *Node) {
	for _, ip := range []netip.Addr{n.Router, n.IP} {
		d.lxc.put(maps.NewEndpointKey(ip.As4()), maps.EndpointInfo{Flags: maps.EndpointHost})
	}
	for _, e := range s.endpoints(n.Name) {
		d.lxc.put(maps.NewEndpointKey(e.IP.As4()), maps.EndpointInfo{
			Ifindex: e.Ifindex, LXCID: e.ID, MAC: e.MAC, NodeMAC: e.NodeMAC,
		})
		allow := make(entries)
		allow.put(maps.PolicyKey{Egress: maps.PolicyIngress}, maps.PolicyEntry{})
		allow.put(maps.PolicyKey{Egress: maps.PolicyEgress}, maps.PolicyEntry{})
		allow.put(maps.PolicyKey{SecLabel: code.IdentityHost, Egress: maps.PolicyIngress}, maps.PolicyEntry{})
		d.policies[e.ID] = allow
	}
}

// know adds what is known of an address: whose it is, and through which node's
// tunnel it is reached, if any.
func (e entries) know(s *state, ip netip.Addr, identity uint32, via *Node) {
	v := maps.RemoteEndpointInfo{SecLabel: identity}
	if via != nil {
		v.TunnelEndpoint, v.NodeID = via.IP.As4(), s.nodeID(via)
	}
	e.put(maps.NewIPCacheKey(ip.As4(), 32), v)
}

// addresses fills cilium_ipcache as remote nodes have it (SPEC 7).
func (c *common) addresses(s *state) {
	c.ipcache.put(maps.NewIPCacheKey([4]byte{}, 0), maps.RemoteEndpointInfo{SecLabel: code.IdentityWorld})
	servers := s.apiServers()
	nodes := make(map[string]*Node, len(s.nodes))
	for i := range s.nodes {
		n := &s.nodes[i]
		nodes[n.Name] = n
		identity := code.IdentityRemoteNode
		if servers[n.IP] {
			identity = code.IdentityKubeAPIServer
		}
		c.ipcache.know(s, n.IP, identity, nil) // natively, not through the tunnel
		c.ipcache.know(s, n.Router, code.IdentityRemoteNode, n)
		if n.Health.IP.IsValid() {
			c.ipcache.know(s, n.Health.IP, code.IdentityHealth, n)
		}
	}
	for i := range s.pods {
		if p := &s.pods[i]; !p.HostNetwork {
			c.ipcache.know(s, p.IP, p.Identity, nodes[p.Node])
		}
	}
}

// addresses fills cilium_tunnel_map (SPEC 8), and cilium_ipcache where a node's view
// of itself is another than that of the others.
func (d *desired) addresses(s *state, local *Node) {
	for i := range s.nodes {
		n := &s.nodes[i]
		if n.Name == local.Name {
			continue
		}
		end := maps.NewTunnelEndpoint(n.IP.As4())
		end.NodeID = s.nodeID(n)
		d.tunnel.put(maps.NewTunnelKey(n.PodCIDR.Addr().As4()), end)
	}
	d.ipcache.know(s, local.IP, code.IdentityHost, nil)
	d.ipcache.know(s, local.Router, code.IdentityHost, nil)
	for _, e := range s.endpoints(local.Name) {
		d.ipcache.know(s, e.IP, e.Identity, nil)
	}
}

// nodeID is a node's id in map values. The article's Cilium has none there yet.
func (s *state) nodeID(n *Node) uint16 {
	if s.settings.Profile == Article {
		return 0
	}
	return n.ID
}

// services fills the service maps (SPEC 6.1).
func (c *common) services(s *state) {
	for i := range s.services {
		svc := &s.services[i]
		if svc.Headless {
			continue
		}
		seen := make(map[uint16]bool, len(svc.Ports))
		for j := range svc.Ports {
			// Ports of the same number share a frontend; the first one counts.
			if p := &svc.Ports[j]; !seen[p.Port] {
				seen[p.Port] = true
				c.servicePort(svc.ClusterIP.As4(), p)
			}
		}
	}
}

func (c *common) servicePort(ip [4]byte, p *ServicePort) {
	port, rev := be16(p.Port), be16(p.ID)
	c.revNAT.put(maps.RevNATKey{ID: rev}, maps.RevNAT{Address: ip, Port: port})
	c.frontends.put(maps.LB4Key{Address: ip, DPort: port}, maps.LB4Service{Count: uint16(p.Active()), RevNAT: rev})
	for slot, b := range p.Backends {
		v := maps.LB4Backend{Address: b.Addr.Addr().As4(), Port: be16(b.Addr.Port()), State: maps.BackendActive}
		if b.Terminating {
			v.State = maps.BackendTerminating
		}
		c.backend(b.ID, v)
		c.slots.put(maps.LB4Key{Address: ip, DPort: port, BackendSlot: uint16(slot + 1)},
			maps.LB4Service{BackendID: b.ID, RevNAT: rev})
	}
}

// backend adds a backend. One that any service calls active is active.
func (c *common) backend(id uint32, v maps.LB4Backend) {
	key := maps.LB4BackendKey{ID: id}
	if _, ok := c.backends[encode(key)]; !ok || v.State == maps.BackendActive {
		c.backends.put(key, v)
	}
}

func be16(v uint16) [2]byte { return [2]byte{byte(v >> 8), byte(v)} }
