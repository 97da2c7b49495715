package lab

import (
	"errors"
	"io/fs"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

// podDevice is the device in a pod's namespace.
const podDevice = "eth0"

// Kinds of pod wires, see Options.
const (
	wireTAP  = "tap"
	wireVeth = "veth"
)

// buildPod makes the inside of a pod (SPEC 10.1) and returns the worker's end of its
// wire, nil on a kernel node.
func buildPod(ns *netns.NS, e *cluster.Endpoint, on *seat, mtu int) (port *netns.Port, err error) {
	if err := disableIPv6(ns); err != nil {
		return nil, err
	}
	if err := ns.SetUp("lo", true); err != nil {
		return nil, err
	}
	eth0 := netns.Link{Name: podDevice, MAC: netns.MAC(e.MAC), MTU: mtu, Up: true}
	switch {
	case on.attacher != nil:
		err = linkPod(ns, eth0, on.ns, e)
	case on.wire == wireVeth:
		port, err = openPodVeth(ns, eth0, on.ns, e)
	default:
		port, err = openPodTAP(ns, eth0)
	}
	if err != nil {
		return nil, err
	}
	router := on.node.Router
	err = inOrder([]func() error{
		func() error { return ns.AddAddr(podDevice, single(e.IP)) },
		func() error {
			return ns.AddRoute(netns.Route{Dst: single(router), Dev: podDevice, Scope: netns.ScopeLink})
		},
		func() error {
			return ns.AddRoute(netns.Route{Dst: anywhere, Via: router, Dev: podDevice, MTU: mtu - tunnel.Overhead})
		},
		func() error {
			if !on.crowded {
				return nil
			}
			return ns.ReserveNeigh(podDevice, router)
		},
	})
	if err != nil && port != nil {
		err = errors.Join(err, port.Close())
	}
	if err != nil {
		return nil, err
	}
	return port, nil
}

// limitAggregates keeps a pod's kernel from aggregates of TCP that the way to other nodes
// would have to send in two parts, the second of which is short.
func limitAggregates(pod *netns.NS, way carrier) error {
	if way == nil || way.MaxAggregate() == 0 {
		return nil
	}
	return pod.SetGSOMax(podDevice, way.MaxAggregate())
}

// crowd is how many pods a lab may have before it could fill the kernel's one table of
// neighbours, 1024 entries, together with other labs.
const crowd = 256

// crowded says that namespaces must not count on a place in that table.
func crowded(c *cluster.Cluster) bool { return len(c.Pods()) > crowd }

// openPodVeth makes a veth pair: the pod's eth0, and on the node the lxc device that the
// maps name, with its index and address, behind which the node's stack sees nothing.
func openPodVeth(ns *netns.NS, eth0 netns.Link, node *netns.NS, e *cluster.Endpoint) (*netns.Port, error) {
	lxc := netns.Link{Name: e.Device, Index: int(e.Ifindex), MAC: netns.MAC(e.NodeMAC), MTU: eth0.MTU}
	if err := node.AddVeth(lxc, ns, eth0); err != nil {
		return nil, err
	}
	if err := node.GuardIngress(e.Device); err != nil {
		return nil, err
	}
	port, err := node.OpenPacket(e.Device, netns.PacketOptions{VNetHdr: true})
	if err != nil {
		return nil, err
	}
	if err := node.SetUp(e.Device, true); err != nil {
		return nil, errors.Join(err, port.Close())
	}
	return port, nil
}

// openPodTAP makes a pod's eth0 with the offloads that the kernel knows.
func openPodTAP(ns *netns.NS, l netns.Link) (port *netns.Port, err error) {
	for _, o := range []netns.TAPOffload{netns.TAPOffloadAll, netns.TAPOffloadTCP, 0} {
		port, err = ns.OpenTAP(l, netns.TAPOptions{VNetHdr: true, Offload: o})
		if !errors.Is(err, netns.ErrNotSupported) {
			break
		}
	}
	return port, err
}

// disableIPv6 keeps a namespace from sending IPv6 of its own accord: this is an IPv4
// cluster. A kernel without IPv6 is no error.
func disableIPv6(ns *netns.NS) error {
	for _, scope := range []string{"all", "default"} {
		err := ns.SetSysctl("net/ipv6/conf/"+scope+"/disable_ipv6", "1")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
