package maps

import (
	"fmt"
	"net"
	"strconv"
)

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

// String returns the key as `cilium map get` prints it, the podCIDR's base address.
func (k TunnelKey) String() string {
	ip, ok := either(k.Family, k.IP, k.Pad)
	if !ok {
		return "nil"
	}
	return ip.String()
}

// String returns the value as `cilium map get` of Cilium 1.12.8 prints it: IP:key and the node id (SPEC 14.9).
func (v TunnelEndpoint) String() string {
	return fmt.Sprintf("%s %d", v.TextWithoutNodeID(), v.NodeID)
}

// TextWithoutNodeID returns the value as earlier 1.12 releases print it.
func (v TunnelEndpoint) TextWithoutNodeID() string {
	ip, ok := either(v.Family, v.IP, v.Pad)
	if !ok {
		return "nil"
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(int(v.Key)))
}

// tunnelRows lists podCIDRs by address.
func tunnelRows(s Store, opt TextOptions) ([]Row, error) {
	in, err := items(s, byKey[TunnelKey, TunnelEndpoint])
	return rows(in, func(k *TunnelKey, v *TunnelEndpoint) (string, string) {
		if opt.NoNodeID {
			return k.String(), v.TextWithoutNodeID()
		}
		return k.String(), v.String()
	}), err
}
