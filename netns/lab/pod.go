package lab

import (
	"errors"
	"io/fs"
	"net/netip"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

// podDevice is the device in a pod's namespace.
const podDevice = "eth0"

// buildPod makes the inside of a pod (SPEC 10.1) and returns the back of its eth0.
func buildPod(ns *netns.NS, e *cluster.Endpoint, router netip.Addr, mtu int) (*netns.Port, error) {
	if err := disableIPv6(ns); err != nil {
		return nil, err
	}
	if err := ns.SetUp("lo", true); err != nil {
		return nil, err
	}
	port, err := openPodTAP(ns, netns.Link{Name: podDevice, MAC: netns.MAC(e.MAC), MTU: mtu, Up: true})
	if err != nil {
		return nil, err
	}
	err = inOrder([]func() error{
		func() error { return ns.AddAddr(podDevice, single(e.IP)) },
		func() error {
			return ns.AddRoute(netns.Route{Dst: single(router), Dev: podDevice, Scope: netns.ScopeLink})
		},
		func() error {
			return ns.AddRoute(netns.Route{Dst: anywhere, Via: router, Dev: podDevice, MTU: mtu - tunnel.Overhead})
		},
	})
	if err != nil {
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
