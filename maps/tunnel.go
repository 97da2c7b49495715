package maps

// NameTunnel is the map from podCIDRs of other nodes to those nodes.
const NameTunnel = "cilium_tunnel_map"

// TunnelKey is the base address of a podCIDR (20 bytes, struct tunnel_key; SPEC 8). Make it with [NewTunnelKey].
type TunnelKey struct {
	IP                [4]byte
	Pad               [12]byte
	Family, ClusterID uint8
	Pad2              [2]byte
}

// NewTunnelKey returns the key of the IPv4 podCIDR with the base address ip.
func NewTunnelKey(ip [4]byte) TunnelKey {
	return TunnelKey{IP: ip, Family: FamilyIPv4}
}

// TunnelEndpoint is the node that owns a podCIDR (20 bytes, struct tunnel_value; SPEC 8). NodeID is in host order.
type TunnelEndpoint struct {
	IP          [4]byte
	Pad         [12]byte
	Family, Key uint8
	NodeID      uint16
}

// NewTunnelEndpoint returns the value for a node with the IPv4 address ip.
func NewTunnelEndpoint(ip [4]byte) TunnelEndpoint {
	return TunnelEndpoint{IP: ip, Family: FamilyIPv4}
}
