package cluster

import (
	"fmt"

	"github.com/hooklab/hooklab/dataplane"
)

// Adopt lets all nodes have what adopt makes of their programs' configuration: that of
// objects which were compiled with constants of their own. Device indexes, MACs and the
// host's endpoint id become the nodes', as if the description gave them; a Reload keeps
// them. What cannot be adopted, as it contradicts the description, is an ErrInput that
// names the constant. The cluster is as before then.
func (c *Cluster) Adopt(adopt func(dataplane.Config) dataplane.Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.now().clone()
	if err := s.adopt(adopt); err != nil {
		return err
	}
	c.adopted = adopt
	c.publish(&s)
	return nil
}

// adopt changes a state that is not published yet.
func (s *state) adopt(adopt func(dataplane.Config) dataplane.Config) error {
	for i := range s.nodes {
		n := &s.nodes[i]
		is := s.nodeConfig(n)
		cfg := adopt(is)
		if err := s.adoptable(n, &is, &cfg); err != nil {
			return err
		}
		n.NetIfindex, n.HostIfindex, n.VXLANIfindex = cfg.NetIfindex, cfg.HostIfindex, cfg.EncapIfindex
		n.HostMAC, n.NetMAC, n.VXLANMAC = cfg.HostMAC, cfg.NetMAC, cfg.OverlayMAC
		n.HostID = cfg.HostEndpointID
	}
	s.settings.Datapath = adopt(s.settings.Datapath)
	return nil
}

// adoptable refuses a configuration that contradicts what is described.
func (s *state) adoptable(n *Node, is, cfg *dataplane.Config) error {
	refuse := func(constant, format string, args ...any) error {
		return inputErrorf("Node "+n.Name, "", "the objects' %s: %s", constant, fmt.Sprintf(format, args...))
	}
	switch {
	case cfg.PodCIDRMask != is.PodCIDRMask:
		return refuse("IPV4_MASK", "compiled in as %v, but the node's podCIDR is %s", cfg.PodCIDRMask, n.PodCIDR)
	case cfg.Delivery != is.Delivery:
		return refuse("ENABLE_ROUTING, ENABLE_HOST_ROUTING, ENABLE_ENDPOINT_ROUTES, USE_BPF_PROG_FOR_INGRESS_POLICY",
			"not those of profile %s; give the Lab document the profile that they were compiled for", s.settings.Profile)
	case cfg.LocalNodeID != is.LocalNodeID:
		return refuse("LOCAL_NODE_ID", "compiled in as %d, but the node's identity is %d", cfg.LocalNodeID, is.LocalNodeID)
	}
	taken := map[uint32]string{1: "lo", ifindexEth0: "eth0"}
	for _, d := range []struct {
		constant, device string
		index            uint32
	}{
		{"HOST_IFINDEX", "cilium_net", cfg.NetIfindex},
		{"CILIUM_IFINDEX", "cilium_host", cfg.HostIfindex},
		{"ENCAP_IFINDEX", "cilium_vxlan", cfg.EncapIfindex},
	} {
		if other := taken[d.index]; other != "" || d.index == 0 {
			return refuse(d.constant, "%s cannot have index %d, which is that of %s", d.device, d.index, other)
		}
		taken[d.index] = d.device
	}
	for _, e := range s.endpoints(n.Name) {
		what := e.Device
		if e.Pod != nil {
			what = "pod " + e.Pod.Ref()
		}
		if other := taken[e.Ifindex]; other != "" {
			return refuse("device indexes", "%s has index %d, and so has %s; give the pod another ifindex", other, e.Ifindex, what)
		}
		if e.ID == cfg.HostEndpointID {
			return refuse("HOST_EP_ID", "the host's endpoint id is %d, and so is that of %s; give the pod another id", e.ID, what)
		}
	}
	return nil
}
