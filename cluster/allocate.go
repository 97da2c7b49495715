package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane/code"
)

// Numbers of a fresh node (SPEC 15): lo is 1, then the devices of every node.
// Each pod's pair takes two, the pod's end first.
const (
	ifindexEth0  = 2
	ifindexNet   = 3
	ifindexHost  = 4
	ifindexVXLAN = 5
	firstIfindex = 7

	maxEndpointID = 4095 // of those given by chance
)

// chance is the source of randomness of one thing of one object. Each has its own,
// so that a new pod does not change what the others are given.
func (s *Settings) chance(what, name string) *rand.Rand {
	sum := sha256.Sum256([]byte(strconv.FormatUint(s.Seed, 10) + "/" + what + "/" + name))
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[0:]), binary.LittleEndian.Uint64(sum[8:])))
}

// scan is how Cilium's allocators choose from n numbers: a random start, then the
// first free one in line. It returns -1 if none is free.
func scan(r *rand.Rand, n int, free func(int) bool) int {
	start := r.IntN(n)
	for i := range n {
		if at := (start + i) % n; free(at) {
			return at
		}
	}
	return -1
}

// toUint and toAddr count addresses.
func toUint(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func toAddr(u uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, u)))
}

// lastAddr is a network's broadcast address.
func lastAddr(p netip.Prefix) netip.Addr {
	return toAddr(toUint(p.Masked().Addr()) | uint32(1<<(32-p.Bits())-1))
}

// address allocates one of a network's host addresses.
func (c *completion) address(p netip.Prefix, what, owner string) netip.Addr {
	hosts := 1<<(32-p.Bits()) - 2 // neither the network's own nor broadcast
	base := toUint(p.Addr()) + 1
	at := scan(c.settings.chance(what, owner), max(hosts, 1), func(i int) bool {
		_, ok := c.ips[toAddr(base+uint32(i))]
		return !ok
	})
	if at < 0 || hosts < 1 {
		return netip.Addr{}
	}
	a := toAddr(base + uint32(at))
	c.ips[a] = owner
	return a
}

// mac allocates an address as Cilium does: random, locally administered.
func (c *completion) mac(to *MAC, what, owner string) {
	r := c.settings.chance(what, owner)
	for *to == (MAC{}) {
		var m [8]byte
		binary.LittleEndian.PutUint64(m[:], r.Uint64())
		m[0] = m[0]&^1 | 2
		if _, ok := c.macs[MAC(m[:6])]; !ok {
			*to = MAC(m[:6])
			c.macs[*to] = what + " of " + owner
		}
	}
}

// endpointID allocates an endpoint id on a node.
func (c *completion) endpointID(l *nodeLedger, to *uint16, owner, object string) {
	if *to != 0 {
		return
	}
	at := scan(c.settings.chance("endpoint", l.node.Name+"/"+owner), maxEndpointID, func(i int) bool {
		_, ok := l.endpoints[uint16(i)+1]
		return !ok
	})
	if at < 0 {
		c.complain(object, "id", "node %s has no endpoint id left in 1..%d", l.node.Name, maxEndpointID)
		return
	}
	*to = uint16(at) + 1
	l.endpoints[*to] = owner
}

func (l *nodeLedger) ifindex(to *uint32, owner string) {
	if *to != 0 {
		return
	}
	for l.ifindexes[l.nextIndex] != "" {
		l.nextIndex += 2
	}
	*to = l.nextIndex
	l.ifindexes[*to] = owner
}

// allocateNodes gives nodes what they lack, in the agent's order: the router's
// address before the health endpoint's.
func (c *completion) allocateNodes() {
	s := &c.settings
	for i := range c.nodes {
		n := &c.nodes[i]
		object, owner, l := "Node "+n.Name, "node "+n.Name, c.onNode[n.Name]
		if !n.IP.IsValid() {
			n.IP = c.nextNodeIP(owner)
		}
		if !n.PodCIDR.IsValid() {
			n.PodCIDR = c.nextPodCIDR()
		}
		if !n.IP.IsValid() || !n.PodCIDR.IsValid() {
			c.complain(object, "", "no address left for it in underlay %s and podCIDR %s", s.Underlay, s.PodPool)
			return
		}
		if !c.nodeID(n, owner) {
			c.complain(object, "id", "no node id left in 1..65535")
			return
		}
		c.mac(&n.MAC, "eth0", owner)
		c.mac(&n.HostMAC, "cilium_host", owner)
		c.mac(&n.NetMAC, "cilium_net", owner)
		c.mac(&n.VXLANMAC, "cilium_vxlan", owner)
		c.endpointID(l, &n.HostID, "host", object)
		if !n.Router.IsValid() {
			n.Router = c.address(n.PodCIDR, "router", owner)
		}
		if s.Health {
			c.allocateEndpoint(l, &n.Health, "health", object)
			n.Health.Identity, n.Health.Device = code.IdentityHealth, "lxc_health"
		}
		if !n.Router.IsValid() {
			c.complain(object, "router", "no address left in podCIDR %s", n.PodCIDR)
		}
	}
}

// nodeID gives a node the lowest free id, and says whether there was one.
func (c *completion) nodeID(n *Node, owner string) bool {
	for n.ID == 0 && c.nextNodeID < 0xffff {
		c.nextNodeID++
		if _, ok := c.nodeIDs[c.nextNodeID]; !ok {
			n.ID, c.nodeIDs[c.nextNodeID] = c.nextNodeID, owner
		}
	}
	return n.ID != 0
}

// allocateEndpoint gives an endpoint what it lacks, except identity and device.
func (c *completion) allocateEndpoint(l *nodeLedger, e *Endpoint, owner, object string) {
	name := l.node.Name + "/" + owner
	c.endpointID(l, &e.ID, owner, object)
	if !e.IP.IsValid() {
		e.IP = c.address(l.node.PodCIDR, "ip", name)
	}
	if !e.IP.IsValid() {
		c.complain(object, "ip", "no address left in %s, the podCIDR of node %s", l.node.PodCIDR, l.node.Name)
	}
	c.mac(&e.MAC, "eth0", name)
	c.mac(&e.NodeMAC, "host side", name)
	l.ifindex(&e.Ifindex, owner)
}

// allocatePods gives pods what they lack.
func (c *completion) allocatePods() {
	for i := range c.pods {
		if len(c.problems) >= maxProblems {
			return
		}
		p := &c.pods[i]
		l := c.onNode[p.Node]
		if p.HostNetwork {
			p.IP = l.node.IP
			continue
		}
		object := "Pod " + p.Ref()
		c.allocateEndpoint(l, &p.Endpoint, "pod "+p.Ref(), object)
		if p.Device == "" {
			p.Device = c.device(l, p.Ref())
		}
		c.identity(p, object)
	}
}

// device is the name of a pod's host-side device: "lxc" and the first 12 hex digits
// of the container id's hash.
func (c *completion) device(l *nodeLedger, ref string) string {
	r := c.settings.chance("container", ref)
	for {
		var id [32]byte // A container id is 32 random bytes in hex.
		for i := range 4 {
			binary.LittleEndian.PutUint64(id[8*i:], r.Uint64())
		}
		sum := sha256.Sum256([]byte(hex.EncodeToString(id[:])))
		name := "lxc" + hex.EncodeToString(sum[:6])
		if _, ok := l.devices[name]; !ok {
			l.devices[name] = ref
			return name
		}
	}
}

// identity gives a pod the identity of its labels.
func (c *completion) identity(p *Pod, object string) {
	set := strings.Join(c.securityLabels(p), ";")
	if p.Identity == 0 {
		p.Identity = c.identities[set]
	}
	if p.Identity != 0 {
		return
	}
	at := scan(c.settings.chance("identity", set), maxIdentity-minIdentity+1, func(i int) bool {
		return !c.taken[uint32(i)+minIdentity]
	})
	if at < 0 {
		c.complain(object, "identity", "no identity left in %d..%d", minIdentity, maxIdentity)
		return
	}
	p.Identity = uint32(at) + minIdentity
	c.identities[set], c.taken[p.Identity] = p.Identity, true
}
