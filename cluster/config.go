package cluster

import (
	"cmp"
	"net"
	"slices"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
)

// NodeConfig is the configuration of a node's host and overlay programs: what its
// agent compiles into them. The error, for a node that does not exist, is ErrInput.
func (c *Cluster) NodeConfig(node string) (dataplane.Config, error) {
	s := c.now()
	n := s.node(node)
	if n == nil {
		_, err := c.Node(node)
		return dataplane.Config{}, err
	}
	return s.nodeConfig(n), nil
}

func (s *state) nodeConfig(n *Node) dataplane.Config {
	cfg := s.settings.Datapath
	cfg.NetIfindex, cfg.HostIfindex, cfg.EncapIfindex = n.ifindexes()
	cfg.HostMAC, cfg.NetMAC, cfg.OverlayMAC = n.HostMAC, n.NetMAC, n.VXLANMAC
	cfg.PodCIDRMask = [4]byte(net.CIDRMask(n.PodCIDR.Bits(), 32))
	cfg.HostEndpointID = n.HostID
	cfg.Delivery = s.settings.delivery()
	cfg.LocalNodeID = code.IdentityRemoteNode
	if s.apiServers()[n.IP] {
		cfg.LocalNodeID = code.IdentityKubeAPIServer
	}
	return cfg
}

// ifindexes are the indexes of cilium_net, cilium_host and cilium_vxlan.
func (n *Node) ifindexes() (netDevice, host, vxlan uint32) {
	return cmp.Or(n.NetIfindex, ifindexNet), cmp.Or(n.HostIfindex, ifindexHost), cmp.Or(n.VXLANIfindex, ifindexVXLAN)
}

// EndpointConfig is the configuration of the programs of one endpoint of a node. The
// verdict filter is 0: no policy selects anything.
func (c *Cluster) EndpointConfig(node string, e Endpoint) (dataplane.Config, error) {
	cfg, err := c.NodeConfig(node)
	if err != nil {
		return cfg, err
	}
	cfg.Endpoint = dataplane.EndpointConfig{ID: e.ID, IPv4: e.IP.As4(), NodeMAC: e.NodeMAC, Identity: e.Identity}
	return cfg, nil
}

// Device is a network device of a node, as its kernel lists it.
type Device struct {
	Node     string `json:"node"`
	Name     string `json:"name"`
	Ifindex  uint32 `json:"ifindex"`
	MAC      MAC    `json:"mac"`
	MTU      uint32 `json:"mtu"`
	Endpoint uint16 `json:"endpoint,omitempty"` // of an lxc device
	Pod      string `json:"pod,omitempty"`      // "namespace/name", of a pod's lxc device
}

// Devices returns the devices of a node in the order of their indexes: eth0, the
// cilium_ devices, and one lxc device for each endpoint.
func (c *Cluster) Devices(node string) []Device {
	s := c.now()
	if n := s.node(node); n != nil {
		return s.devices(n)
	}
	return nil
}

func (s *state) devices(n *Node) []Device {
	node := n.Name
	netIndex, hostIndex, vxlanIndex := n.ifindexes()
	list := []Device{
		{Node: node, Name: "eth0", Ifindex: ifindexEth0, MAC: n.MAC, MTU: s.settings.MTU},
		{Node: node, Name: "cilium_net", Ifindex: netIndex, MAC: n.NetMAC, MTU: s.settings.MTU},
		{Node: node, Name: "cilium_host", Ifindex: hostIndex, MAC: n.HostMAC, MTU: s.settings.MTU},
		{Node: node, Name: "cilium_vxlan", Ifindex: vxlanIndex, MAC: n.VXLANMAC, MTU: s.settings.MTU},
	}
	for _, e := range s.endpoints(node) {
		d := Device{
			Node: node, Name: e.Device, Ifindex: e.Ifindex, MAC: e.NodeMAC, MTU: s.settings.MTU, Endpoint: e.ID,
		}
		if e.Pod != nil {
			d.Pod = e.Pod.Ref()
		}
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Device) int { return cmp.Compare(a.Ifindex, b.Ifindex) })
	return list
}
