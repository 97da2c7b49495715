package maps

import (
	"fmt"
	"net"
	"strconv"
)

// NameLXC is the map of local endpoints.
const NameLXC = "cilium_lxc"

// FamilyIPv4 and FamilyIPv6 are the values of the Family field of keys that can hold either (ENDPOINT_KEY_IPV4, _IPV6).
const (
	FamilyIPv4 = 1
	FamilyIPv6 = 2
)

// EndpointHost is the bit of EndpointInfo.Flags that marks an address of the host itself (ENDPOINT_F_HOST).
const EndpointHost = 1

// EndpointKey is the address of a local endpoint (20 bytes, struct endpoint_key; SPEC 14.1). Make it with [NewEndpointKey].
type EndpointKey struct {
	IP          [4]byte
	Pad         [12]byte
	Family, Key uint8
	Pad2        [2]byte
}

// NewEndpointKey returns the key of an IPv4 address.
func NewEndpointKey(ip [4]byte) (k EndpointKey) {
	k.Set(ip)
	return k
}

// EndpointInfo says how to reach a local endpoint (48 bytes, struct endpoint_info; SPEC 14.1). MAC is the address inside the
// pod and NodeMAC that of the device on the host's side, both in wire order.
type EndpointInfo struct {
	Ifindex       uint32
	Unused, LXCID uint16
	Flags         uint32
	Pad           [4]byte
	MAC           [6]byte
	Pad2          [2]byte
	NodeMAC       [6]byte
	Pad3          [2]byte
	Pad4          [16]byte
}

// String returns the key as `cilium map get` prints it, IP:0.
func (k EndpointKey) String() string {
	ip, ok := either(k.Family, k.IP, k.Pad)
	if !ok {
		return "nil"
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(int(k.Key)))
}

// String returns the value as `cilium map get` prints it (SPEC 14.1).
func (v EndpointInfo) String() string {
	if v.Flags&EndpointHost != 0 {
		return "(localhost)"
	}
	return fmt.Sprintf("id=%-5d flags=0x%04X ifindex=%-3d mac=%s nodemac=%s", v.LXCID, v.Flags, v.Ifindex, mac(v.MAC), mac(v.NodeMAC))
}

func mac(m [6]byte) string {
	return fmt.Sprintf("%02X:%02X:%02X:%02X:%02X:%02X", m[0], m[1], m[2], m[3], m[4], m[5])
}

// lxcRows lists endpoints by address.
func lxcRows(s Store, _ TextOptions) ([]Row, error) {
	in, err := items(s, byKey[EndpointKey, EndpointInfo])
	return rows(in, func(k *EndpointKey, v *EndpointInfo) (string, string) { return k.String(), v.String() }), err
}
