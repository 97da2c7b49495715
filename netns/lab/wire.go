package lab

import (
	"fmt"
	"net/netip"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
)

// bridge is the device of the wire's namespace that joins the nodes.
const bridge = "br0"

// uplink is a node's device on the wire.
const uplink = "eth0"

// buildWire makes the underlay: a bridge that also is the nodes' gateway.
func buildWire(ns *netns.NS, s *cluster.Settings) error {
	steps := []func() error{
		func() error { return basics(ns) },
		func() error { return ns.AddBridge(netns.Link{Name: bridge, MTU: int(s.MTU), Up: true}) },
		func() error { return ns.AddAddr(bridge, netip.PrefixFrom(s.Gateway(), s.Underlay.Bits())) },
	}
	return inOrder(steps)
}

// joinWire connects a node to the wire.
func joinWire(wire, node *netns.NS, n *cluster.Node, s *cluster.Settings) error {
	port := fmt.Sprintf("node%d", n.ID)
	mtu := int(s.MTU)
	steps := []func() error{
		func() error {
			return wire.AddVeth(netns.Link{Name: port, MTU: mtu, Up: true}, node,
				netns.Link{Name: uplink, Index: uplinkIfindex, MAC: netns.MAC(n.MAC), MTU: mtu, Up: true})
		},
		func() error { return wire.SetBridge(port, bridge) },
		func() error { return node.AddAddr(uplink, netip.PrefixFrom(n.IP, s.Underlay.Bits())) },
	}
	return inOrder(steps)
}

// joinExternal connects the i-th host outside the cluster: to the wire if its address
// is one of the underlay's, else behind the gateway, which then is a router.
func joinExternal(wire, ns *netns.NS, i int, e *cluster.External, s *cluster.Settings) error {
	port := fmt.Sprintf("external%d", i)
	mtu := int(s.MTU)
	steps := []func() error{
		func() error { return basics(ns) },
		func() error {
			return wire.AddVeth(netns.Link{Name: port, MTU: mtu, Up: true}, ns, netns.Link{Name: uplink, MTU: mtu, Up: true})
		},
	}
	if s.Underlay.Contains(e.IP) {
		steps = append(steps,
			func() error { return wire.SetBridge(port, bridge) },
			func() error { return ns.AddAddr(uplink, netip.PrefixFrom(e.IP, s.Underlay.Bits())) })
	} else {
		steps = append(steps,
			func() error { return wire.AddRoute(netns.Route{Dst: single(e.IP), Dev: port, Scope: netns.ScopeLink}) },
			func() error { return ns.AddAddr(uplink, single(e.IP)) },
			func() error {
				return ns.AddRoute(netns.Route{Dst: single(s.Gateway()), Dev: uplink, Scope: netns.ScopeLink})
			})
	}
	return inOrder(append(steps, func() error {
		return ns.AddRoute(netns.Route{Dst: anywhere, Via: s.Gateway(), Dev: uplink})
	}))
}

// basics is what every namespace of a lab has: an IPv4 router's settings, no IPv6
// (which would answer nobody and fill the counters), a loopback device.
func basics(ns *netns.NS) error {
	for _, set := range []struct{ name, value string }{
		{"net/ipv4/ip_forward", "1"},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
	} {
		if err := ns.SetSysctl(set.name, set.value); err != nil {
			return err
		}
	}
	if err := disableIPv6(ns); err != nil {
		return err
	}
	return ns.SetUp("lo", true)
}

// inOrder runs the steps up to the first error.
func inOrder(steps []func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
