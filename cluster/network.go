package cluster

import (
	"net/netip"
	"slices"
)

// findUnderlay chooses the underlay if no Lab document names one: the default, or,
// if the nodes have addresses elsewhere, the smallest network that holds them all.
func (c *completion) findUnderlay() {
	if c.underlayGiven {
		return
	}
	var low, high netip.Addr
	outside := false
	for i := range c.nodes {
		ip := c.nodes[i].IP
		if !ip.IsValid() {
			continue
		}
		if !low.IsValid() || ip.Less(low) {
			low = ip
		}
		if !high.IsValid() || high.Less(ip) {
			high = ip
		}
		outside = outside || !c.settings.Underlay.Contains(ip)
	}
	if !outside {
		return
	}
	for bits := 24; bits >= 8; bits-- {
		p := netip.PrefixFrom(low, bits).Masked()
		if usable(p, low) && usable(p, high) && c.roomForGateway(p) {
			c.settings.Underlay = p
			return
		}
	}
}

// roomForGateway says that no node has the network's first address.
func (c *completion) roomForGateway(p netip.Prefix) bool {
	for i := range c.nodes {
		if c.nodes[i].IP == p.Addr().Next() {
			return false
		}
	}
	return true
}

// findPodCIDRs derives the podCIDR of nodes that have none from the addresses of
// their router, health endpoint and pods, so that a dump without CiliumNodes is
// enough.
func (c *completion) findPodCIDRs() {
	known := make(map[string]netip.Addr)
	for i := range c.pods {
		p := &c.pods[i]
		if _, ok := known[p.Node]; !ok && p.IP.IsValid() && !p.HostNetwork {
			known[p.Node] = p.IP
		}
	}
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.PodCIDR.IsValid() {
			continue
		}
		for _, ip := range []netip.Addr{n.Router, n.Health.IP, known[n.Name]} {
			if ip.IsValid() && !n.PodCIDR.IsValid() {
				n.PodCIDR = netip.PrefixFrom(ip, c.settings.PodMask).Masked()
			}
		}
	}
}

// nextNodeIP is the lowest free address of the underlay, as a container engine
// gives them to a kind cluster's nodes.
func (c *completion) nextNodeIP(owner string) netip.Addr {
	for c.nextNode = c.nextNode.Next(); usable(c.settings.Underlay, c.nextNode); c.nextNode = c.nextNode.Next() {
		if _, ok := c.ips[c.nextNode]; !ok {
			c.ips[c.nextNode] = owner
			return c.nextNode
		}
	}
	return netip.Addr{}
}

// nextPodCIDR is the next network of the pool that overlaps nothing.
func (c *completion) nextPodCIDR() netip.Prefix {
	s := &c.settings
	if c.cidrs == nil {
		c.cidrs = []netip.Prefix{s.Underlay, s.ServiceCIDR}
		for i := range c.nodes {
			if p := c.nodes[i].PodCIDR; p.IsValid() {
				c.cidrs = append(c.cidrs, p)
			}
		}
		slices.SortFunc(c.cidrs, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	}
	for ; c.nextCIDR < 1<<(s.PodMask-s.PodPool.Bits()); c.nextCIDR++ {
		p := netip.PrefixFrom(toAddr(toUint(s.PodPool.Addr())+c.nextCIDR<<(32-s.PodMask)), s.PodMask)
		if !c.spared(p) {
			c.nextCIDR++
			return p
		}
	}
	return netip.Prefix{}
}

// spared says that a network of the pool overlaps one that is in use. As those do
// not overlap each other, only its neighbours in their order can.
func (c *completion) spared(p netip.Prefix) bool {
	i, _ := slices.BinarySearchFunc(c.cidrs, p, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return i < len(c.cidrs) && c.cidrs[i].Overlaps(p) || i > 0 && c.cidrs[i-1].Overlaps(p)
}
