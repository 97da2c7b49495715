package maps

import (
	"bytes"
	"cmp"
	"fmt"
)

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

// NewIPCacheKey returns the key of an IPv4 prefix, as [IPCacheKey.Set].
func NewIPCacheKey(ip [4]byte, bits uint8) (k IPCacheKey) {
	k.Set(ip, bits)
	return k
}

// RemoteEndpointInfo is what is known of a prefix (12 bytes, struct remote_endpoint_info; SPEC 7). TunnelEndpoint is the address of the
// node to tunnel to, zero for none.
type RemoteEndpointInfo struct {
	SecLabel       uint32
	TunnelEndpoint [4]byte
	NodeID         uint16
	Key, Pad       uint8
}

// String returns the prefix as `cilium map get` prints it, A.B.C.D/len.
func (k IPCacheKey) String() string {
	ip, ok := either(k.Family, k.IP, k.Pad3)
	if !ok {
		return "<unknown>"
	}
	return fmt.Sprintf("%s/%d", ip, int64(k.PrefixLen)-ipcacheStaticBits)
}

// String returns the value as `cilium map get` of Cilium 1.12.8 prints it (SPEC 14.2).
func (v RemoteEndpointInfo) String() string {
	return fmt.Sprintf("%s nodeid=%d", v.TextWithoutNodeID(), v.NodeID)
}

// TextWithoutNodeID returns the value as earlier 1.12 releases print it, which is the form in the article.
func (v RemoteEndpointInfo) TextWithoutNodeID() string {
	return fmt.Sprintf("identity=%d encryptkey=%d tunnelendpoint=%s", v.SecLabel, v.Key, addr4(v.TunnelEndpoint))
}

// ipcacheRows lists prefixes by address, a shorter prefix before a longer one.
func ipcacheRows(s Store, opt TextOptions) ([]Row, error) {
	in, err := items(s, func(a, b *item[IPCacheKey, RemoteEndpointInfo]) int {
		return cmp.Or(bytes.Compare(view(&a.k)[7:], view(&b.k)[7:]), cmp.Compare(a.k.PrefixLen, b.k.PrefixLen))
	})
	return rows(in, func(k *IPCacheKey, v *RemoteEndpointInfo) (string, string) {
		if opt.NoNodeID {
			return k.String(), v.TextWithoutNodeID()
		}
		return k.String(), v.String()
	}), err
}
