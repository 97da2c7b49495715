package maps

// NameIPCache is the map from prefixes to identities and tunnel endpoints.
const NameIPCache = "cilium_ipcache"

// ipcacheStaticBits is the part of an ipcache key's prefix length which covers the bytes before the address.
const ipcacheStaticBits = 32

// IPCacheKey is a prefix (24 bytes, struct ipcache_key; SPEC 7). PrefixLen counts bits from Pad1 on, so an IPv4 prefix has 32 more
// than its own length. Make it with [NewIPCacheKey].
type IPCacheKey struct {
	PrefixLen    uint32
	Pad1         uint16
	Pad2, Family uint8
	IP           [4]byte
	Pad3         [12]byte
}

// NewIPCacheKey returns the key of the IPv4 prefix ip/bits, bits being 0 to 32. It does not clear the bits beyond the prefix,
// which the trie ignores.
func NewIPCacheKey(ip [4]byte, bits uint8) IPCacheKey {
	return IPCacheKey{PrefixLen: ipcacheStaticBits + uint32(bits), Family: FamilyIPv4, IP: ip}
}

// RemoteEndpointInfo is what is known of a prefix (12 bytes, struct remote_endpoint_info; SPEC 7). TunnelEndpoint is the address of the
// node to tunnel to, zero for none.
type RemoteEndpointInfo struct {
	SecLabel       uint32
	TunnelEndpoint [4]byte
	NodeID         uint16
	Key, Pad       uint8
}
