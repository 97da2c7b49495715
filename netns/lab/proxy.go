package lab

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
)

// frontends are the services as kube-proxy knows them, for what a node itself sends:
// what pods send has been translated by their programs before.
func frontends(c *cluster.Cluster) []netns.Frontend {
	protocols := map[string]uint8{"": unix.IPPROTO_TCP, "TCP": unix.IPPROTO_TCP, "UDP": unix.IPPROTO_UDP, "SCTP": unix.IPPROTO_SCTP}
	var list []netns.Frontend
	for _, s := range c.Services() {
		if !s.ClusterIP.IsValid() {
			continue
		}
		for i := range s.Ports {
			p := &s.Ports[i]
			f := netns.Frontend{Addr: netip.AddrPortFrom(s.ClusterIP, p.Port), Proto: protocols[p.Protocol]}
			for _, b := range p.Backends {
				if !b.Terminating {
					f.Backends = append(f.Backends, b.Addr)
				}
			}
			list = append(list, f)
		}
	}
	return list
}
