package conformance

import (
	"fmt"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// Load loads every hook of the world into the engine, configured as a group says.
func (w *World) Load(e dataplane.Engine, config string) error {
	base, err := w.config(config)
	if err != nil {
		return err
	}
	for _, d := range w.Devices {
		for _, prog := range programs(d.Name) {
			if err := e.Load(dataplane.Hook{Prog: prog, Ifindex: d.Ifindex}, base); err != nil {
				return err
			}
		}
	}
	for _, ep := range w.Endpoints {
		c := base
		c.Endpoint = dataplane.EndpointConfig{
			ID: ep.ID, IPv4: ep.IP.As4(), NodeMAC: ep.NodeMAC, Identity: ep.Identity, VerdictFilter: ep.VerdictFilter,
		}
		for _, prog := range []dataplane.Prog{dataplane.FromContainer, dataplane.ToContainer, dataplane.PolicyProg} {
			if err := e.Load(dataplane.Hook{Prog: prog, Ifindex: ep.Ifindex, Endpoint: ep.ID}, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// programs are those that a device can have; pods' devices have them by endpoint.
func programs(device string) []dataplane.Prog {
	switch device {
	case "cilium_host":
		return []dataplane.Prog{dataplane.FromHost, dataplane.ToHost}
	case "cilium_net":
		return []dataplane.Prog{dataplane.ToHost}
	case "cilium_vxlan":
		return []dataplane.Prog{dataplane.FromOverlay, dataplane.ToOverlay}
	case "eth0":
		return []dataplane.Prog{dataplane.FromNetdev, dataplane.ToNetdev}
	}
	return nil
}

// config is the build that a group was recorded with: the constants of the
// recordings differ from a default agent's in three places.
func (w *World) config(name string) (dataplane.Config, error) {
	c := dataplane.DefaultConfig()
	c.Aggregation = dataplane.AggregateNone
	c.ReportFlags = 7
	c.Lifetimes.ServiceCloseRebalance = 30
	switch name {
	case "base":
	case "medium":
		c.Aggregation = dataplane.AggregateMedium
	case "hostrouting":
		c.Delivery = dataplane.DeliverPeer
	case "eproutes":
		c.Delivery = dataplane.DeliverStack
	case "ingressprog":
		c.Delivery = dataplane.DeliverToContainer
	default:
		return c, fmt.Errorf("config %q: want base, medium, hostrouting, eproutes or ingressprog", name)
	}
	n := &w.Node
	c.EncapIfindex, c.NetIfindex, c.HostIfindex = n.EncapIfindex, n.HostIfindex, n.CiliumHostIfindex
	c.HostMAC, c.NetMAC = n.HostMAC, n.CiliumNetMAC
	c.PodCIDRMask, c.Loopback = n.PodCIDRMask.As4(), n.LoopbackSNAT.As4()
	c.TunnelPort, c.HostEndpointID = n.TunnelPort, n.HostEndpointID
	for _, d := range w.Devices {
		if d.Ifindex == n.EncapIfindex {
			c.OverlayMAC = d.MAC
		}
	}
	return c, nil
}

// Hook is the hook of a step.
func (w *World) Hook(s *Step) (h dataplane.Hook, device [6]byte, err error) {
	prog, ok := dataplane.ParseProg(s.Hook)
	if !ok {
		return h, device, fmt.Errorf("hook %q: no such program", s.Hook)
	}
	for _, d := range w.Devices {
		if d.Name != s.Dev {
			continue
		}
		h = dataplane.Hook{Prog: prog, Ifindex: d.Ifindex}
		for _, ep := range w.Endpoints {
			if ep.Ifindex == d.Ifindex {
				h.Endpoint = ep.ID
			}
		}
		return h, d.MAC, nil
	}
	return h, device, fmt.Errorf("device %q: not in base.json", s.Dev)
}

// MapName is a map's name in the engine: policy and calls maps are recorded by pod.
func (w *World) MapName(recorded string) string {
	for _, ep := range w.Endpoints {
		switch recorded {
		case "cilium_policy:" + ep.Name:
			return policyMap(ep.ID)
		case "cilium_calls:" + ep.Name:
			return maps.CallsName(ep.ID)
		}
	}
	return recorded
}

func policyMap(endpoint uint16) string { return maps.PolicyName(endpoint) }
