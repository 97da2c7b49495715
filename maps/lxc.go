package maps

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
func NewEndpointKey(ip [4]byte) EndpointKey {
	return EndpointKey{IP: ip, Family: FamilyIPv4}
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
