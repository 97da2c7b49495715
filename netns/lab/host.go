package lab

import (
	"net/netip"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

const (
	hostDevice = "cilium_host"
	netDevice  = "cilium_net"

	uplinkIfindex = 2 // a node's eth0, after lo
)

// The agent's rules and tables for packets that a proxy has seen (SPEC 10.1).
const (
	prefToProxy   = 9
	prefFromProxy = 10
	prefLocal     = 100

	tableToProxy   = 2004
	tableFromProxy = 2005

	markToProxy   = 0x200
	markFromProxy = 0xa00
	markMagic     = 0xf00
)

var anywhere = netip.PrefixFrom(netip.IPv4Unspecified(), 0)

// buildHost makes a node's side of the datapath in the kernel: cilium_host and
// cilium_net, addresses, routes, rules and firewall as the agent would (SPEC 10.1, 11).
// The uplink exists already.
func buildHost(ns *netns.NS, c *cluster.Cluster, n *cluster.Node, cfg *dataplane.Config, attached bool) error {
	s := c.Settings()
	drop := []string{netDevice} // what the stack sends to pods ends in the worker
	if attached {
		drop = nil // programs take it before it gets there
	}
	steps := []func() error{
		func() error { return addHostPair(ns, cfg, int(s.MTU)) },
		func() error { return ns.AddAddr(hostDevice, single(n.Router)) },
	}
	for _, r := range hostRoutes(c, n) {
		steps = append(steps, func() error { return ns.AddRoute(r) })
	}
	steps = append(steps, func() error { return ns.MoveLocalRule(prefLocal) })
	for _, r := range []netns.Rule{
		{Pref: prefToProxy, Mark: markToProxy, Mask: markMagic, Table: tableToProxy},
		{Pref: prefFromProxy, Mark: markFromProxy, Mask: markMagic, Table: tableFromProxy},
	} {
		steps = append(steps, func() error { return ns.AddRule(r) })
	}
	steps = append(steps, func() error {
		return ns.SetFirewall(netns.Firewall{
			DropIngress: drop,
			MarkHost:    true, PodCIDR: n.PodCIDR, Router: n.Router,
		})
	})
	return inOrder(steps)
}

// addHostPair makes cilium_host and cilium_net.
func addHostPair(ns *netns.NS, cfg *dataplane.Config, mtu int) error {
	err := ns.AddVeth(
		netns.Link{Name: hostDevice, Index: int(cfg.HostIfindex), MAC: netns.MAC(cfg.HostMAC), MTU: mtu, NoARP: true, Up: true},
		nil,
		netns.Link{Name: netDevice, Index: int(cfg.NetIfindex), MAC: netns.MAC(cfg.NetMAC), MTU: mtu, NoARP: true, Up: true})
	if err != nil {
		return err
	}
	// A redirect of the stack would tell pods about each other; it does not happen in
	// Cilium, where pods come in through devices of their own. The kernel takes the
	// stricter of "all" and the device's setting.
	if err := ns.SetSysctl("net/ipv4/conf/all/send_redirects", "0"); err != nil {
		return err
	}
	for _, dev := range []string{hostDevice, netDevice} {
		for _, set := range []struct{ name, value string }{
			{"forwarding", "1"}, {"rp_filter", "0"}, {"accept_local", "1"}, {"send_redirects", "0"},
		} {
			if err := ns.SetSysctl("net/ipv4/conf/"+dev+"/"+set.name, set.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostRoutes is a node's routing table beside the connected route of its uplink.
func hostRoutes(c *cluster.Cluster, n *cluster.Node) []netns.Route {
	s := c.Settings()
	routes := []netns.Route{
		{Dst: anywhere, Via: s.Gateway(), Dev: uplink},
		{Dst: single(n.Router), Dev: hostDevice, Scope: netns.ScopeLink},
	}
	for _, other := range c.Nodes() {
		routes = append(routes, podRoute(n, &other, &s))
	}
	return append(routes,
		netns.Route{Dst: anywhere, Dev: "lo", Table: tableToProxy, Local: true, Scope: netns.ScopeHost},
		netns.Route{Dst: single(n.Router), Dev: hostDevice, Table: tableFromProxy, Scope: netns.ScopeLink},
		netns.Route{Dst: anywhere, Via: n.Router, Dev: hostDevice, Table: tableFromProxy})
}

// podRoute is a node's way to the pods of a node, which may be itself.
func podRoute(n, other *cluster.Node, s *cluster.Settings) netns.Route {
	r := netns.Route{Dst: other.PodCIDR, Via: n.Router, Dev: hostDevice, Src: n.Router}
	if other.Name != n.Name {
		r.MTU = int(s.MTU) - tunnel.Overhead
	}
	return r
}

// reservePeers gives a node of a crowded lab the other nodes as neighbours.
func reservePeers(ns *netns.NS, c *cluster.Cluster, n *cluster.Node) error {
	if !crowded(c) {
		return nil
	}
	for _, other := range c.Nodes() {
		if other.Name == n.Name {
			continue
		}
		if err := ns.ReserveNeigh(uplink, other.IP); err != nil {
			return err
		}
	}
	return nil
}

// single is the prefix that holds one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
