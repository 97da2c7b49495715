package lab

import (
	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/node"
)

// vxlanDevice exists in the worker only, as the lxc devices do: there the frames of
// its UDP socket and of the pods' TAP devices come in.
const vxlanDevice = "cilium_vxlan"

// hostDevices are a node's devices without the pods', with the programs that the
// agent attaches to them (SPEC 1).
func hostDevices(n *cluster.Node, cfg *dataplane.Config, mtu int) []*node.Device {
	hook := func(p dataplane.Prog, ifindex uint32) *dataplane.Hook {
		return &dataplane.Hook{Prog: p, Ifindex: ifindex}
	}
	return []*node.Device{
		{Name: uplink, Ifindex: uplinkIfindex, MAC: n.MAC, MTU: mtu, Kind: node.Uplink},
		{
			Name: netDevice, Ifindex: cfg.NetIfindex, MAC: cfg.NetMAC, MTU: mtu, Kind: node.Net,
			Ingress: hook(dataplane.ToHost, cfg.NetIfindex),
		},
		{
			Name: hostDevice, Ifindex: cfg.HostIfindex, MAC: cfg.HostMAC, MTU: mtu, Kind: node.Host,
			Ingress: hook(dataplane.ToHost, cfg.HostIfindex),
			Egress:  hook(dataplane.FromHost, cfg.HostIfindex),
		},
		{
			Name: vxlanDevice, Ifindex: cfg.EncapIfindex, MAC: cfg.OverlayMAC, MTU: mtu, Kind: node.VXLAN,
			Ingress: hook(dataplane.FromOverlay, cfg.EncapIfindex),
			Egress:  hook(dataplane.ToOverlay, cfg.EncapIfindex),
		},
	}
}

// podDeviceOf is the host side of an endpoint's wire. to-container is attached only
// where the receiver's policy runs at the device's egress.
func podDeviceOf(e *cluster.Endpoint, cfg *dataplane.Config, mtu int, w node.Wire) *node.Device {
	d := &node.Device{
		Name: e.Device, Ifindex: e.Ifindex, MAC: e.NodeMAC, MTU: mtu, Kind: node.LXC, Endpoint: e.ID, Wire: w,
		Ingress: &dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: e.Ifindex, Endpoint: e.ID},
	}
	if cfg.Delivery == dataplane.DeliverToContainer || cfg.Delivery == dataplane.DeliverStack {
		d.Egress = &dataplane.Hook{Prog: dataplane.ToContainer, Ifindex: e.Ifindex, Endpoint: e.ID}
	}
	return d
}
