package cluster

import "net/netip"

// NameOf says whose an address is: "pod default/web", "node worker", "router of
// worker", "health endpoint of worker", "service default/web", "external host dns",
// and "" for an address that the cluster does not know.
func (c *Cluster) NameOf(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	s := c.now()
	for i := range s.nodes {
		switch n := &s.nodes[i]; ip {
		case n.IP:
			return "node " + n.Name
		case n.Router:
			return "router of " + n.Name
		case n.Health.IP:
			return "health endpoint of " + n.Name
		}
	}
	for i := range s.pods {
		if s.pods[i].IP == ip {
			return "pod " + s.pods[i].Ref()
		}
	}
	for i := range s.services {
		if s.services[i].ClusterIP == ip {
			return "service " + s.services[i].Ref()
		}
	}
	for _, e := range s.settings.External {
		if e.IP == ip {
			return "external host " + e.Name
		}
	}
	return ""
}
