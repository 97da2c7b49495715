package journey

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// lookup is a map's answer, decoded where a decision depends on it. Of key and value
// those are set that belong to the map.
type lookup struct {
	line     int      // of the run
	in       []string // the functions that were open
	m        trace.Map
	name     string // of the map
	text     string // the key
	value    string
	hit      bool
	endpoint uint16

	ct      maps.CTKey
	ctEntry maps.CTEntry
	ip      [4]byte // key of cilium_ipcache and cilium_lxc
	matched string  // prefix of cilium_ipcache that answered
	remote  maps.RemoteEndpointInfo
	local   maps.EndpointInfo
	front   maps.LB4Key
	service maps.LB4Service
	id      uint32 // key of cilium_lb4_backends_v2
	backend maps.LB4Backend
	policy  maps.PolicyKey
	allow   maps.PolicyEntry
	tunnel  maps.TunnelEndpoint
}

// decode reads bytes as a key or value of one of this package's fixed layouts.
func decode[T any](b []byte) (v T) {
	copy(maps.Bytes(&v), b)
	return v
}

// lookupOf decodes a step that asked or wrote a map.
func (n *nodeView) lookupOf(m trace.Map, endpoint uint16, key, value []byte) lookup {
	l := lookup{m: m, name: m.Name(endpoint), hit: len(value) > 0, endpoint: endpoint}
	l.text, l.value = n.entryText(l.name, key, value)
	switch m {
	case trace.MapCT4, trace.MapCTAny4:
		l.ct, l.ctEntry = decode[maps.CTKey](key), decode[maps.CTEntry](value)
	case trace.MapIPCache:
		l.ip, l.remote = decode[maps.IPCacheKey](key).IP, decode[maps.RemoteEndpointInfo](value)
	case trace.MapLXC:
		l.ip, l.local = decode[[4]byte](key), decode[maps.EndpointInfo](value)
	case trace.MapServices:
		l.front, l.service = decode[maps.LB4Key](key), decode[maps.LB4Service](value)
	case trace.MapBackends:
		l.id, l.backend = decode[maps.LB4BackendKey](key).ID, decode[maps.LB4Backend](value)
	case trace.MapPolicy:
		l.policy, l.allow = decode[maps.PolicyKey](key), decode[maps.PolicyEntry](value)
	case trace.MapTunnel:
		l.tunnel = decode[maps.TunnelEndpoint](value)
	case trace.MapFrags, trace.MapRevNAT, trace.MapPolicyCall, trace.MapCalls:
	}
	return l
}

// entryText is an entry's key and value in Cilium's words, the value empty if there
// is none. Without a form of Cilium's it is the bytes.
func (n *nodeView) entryText(name string, key, value []byte) (k, v string) {
	switch {
	case name == maps.NameLXC:
		return text(key, value, maps.EndpointKey.String, maps.EndpointInfo.String)
	case name == maps.NameIPCache && n.opt.NoNodeID:
		return text(key, value, maps.IPCacheKey.String, maps.RemoteEndpointInfo.TextWithoutNodeID)
	case name == maps.NameIPCache:
		return text(key, value, maps.IPCacheKey.String, maps.RemoteEndpointInfo.String)
	case name == maps.NameTunnel && n.opt.NoNodeID:
		return text(key, value, maps.TunnelKey.String, maps.TunnelEndpoint.TextWithoutNodeID)
	case name == maps.NameTunnel:
		return text(key, value, maps.TunnelKey.String, maps.TunnelEndpoint.String)
	case name == maps.NameCT4, name == maps.NameCTAny4:
		return text(key, value, maps.CTKey.String, maps.CTEntry.String)
	case name == maps.NameServices:
		return text(key, value, serviceKeyText, maps.LB4Service.String)
	case name == maps.NameBackends:
		return text(key, value, maps.LB4BackendKey.String, maps.LB4Backend.String)
	case name == maps.NameRevNAT:
		return text(key, value, maps.RevNATKey.String, maps.RevNAT.String)
	case name == maps.NameFrags:
		return text(key, value, maps.FragKey.String, maps.FragPorts.String)
	case name == maps.NameMetrics:
		return text(key, value, maps.MetricsKey.String, maps.MetricsValue.String)
	case strings.HasPrefix(name, "cilium_policy_"):
		return text(key, value, maps.PolicyKey.String, maps.PolicyEntry.String)
	}
	return hex.EncodeToString(key), hex.EncodeToString(value)
}

func text[K, V any](key, value []byte, keyText func(K) string, valueText func(V) string) (string, string) {
	k := keyText(decode[K](key))
	if len(value) == 0 {
		return k, ""
	}
	return k, strings.TrimSpace(valueText(decode[V](value)))
}

// serviceKeyText is a frontend as Cilium writes it, with the slot where it is one.
func serviceKeyText(k maps.LB4Key) string {
	if k.BackendSlot == 0 {
		return k.String()
	}
	return fmt.Sprintf("%s slot %d", k, k.BackendSlot)
}

// matched is the prefix of cilium_ipcache that answers for an address.
func (n *nodeView) matched(ip [4]byte) string {
	best := int32(-1)
	a := binary.BigEndian.Uint32(ip[:])
	var found maps.IPCacheKey
	for k := range n.set.IPCache.All() {
		bits := int32(k.PrefixLen) - 32
		if bits > best && bits <= 32 && (bits <= 0 || (a^binary.BigEndian.Uint32(k.IP[:]))>>(32-bits) == 0) {
			best, found = bits, *k
		}
	}
	if best < 0 {
		return ""
	}
	return found.String()
}

// backends are the active backends of a service, as "7 (10.0.1.79:80)", in the order
// of their slots.
func (n *nodeView) backends(front maps.LB4Key) []string {
	front.BackendSlot = 0
	svc := n.set.Services.Ref(&front)
	if svc == nil {
		return nil
	}
	var out []string
	for slot := range svc.Count {
		front.BackendSlot = slot + 1
		if s := n.set.Services.Ref(&front); s != nil {
			out = append(out, n.backend(s.BackendID))
		}
	}
	return out
}

func (n *nodeView) backend(id uint32) string {
	b := n.set.Backends.Ref(&maps.LB4BackendKey{ID: id})
	if b == nil {
		return fmt.Sprintf("%d (no such backend)", id)
	}
	return fmt.Sprintf("%d (%s:%d)", id, ip4(b.Address), binary.BigEndian.Uint16(b.Port[:]))
}

// identity is a security identity with what is known of it.
func (n *nodeView) identity(id uint32) string {
	if name := code.IdentityName(id); name != "" {
		return fmt.Sprintf("%d (%s)", id, name)
	}
	for _, p := range n.cluster.Pods() {
		if p.Identity == id {
			return fmt.Sprintf("%d (%s)", id, p.Ref())
		}
	}
	return fmt.Sprint(id)
}

// endpoint is an endpoint id with its owner.
func (n *nodeView) endpoint(id uint16) string {
	for _, e := range n.cluster.Endpoints(n.name) {
		if e.ID != id {
			continue
		}
		if e.Pod != nil {
			return fmt.Sprintf("%d (%s)", id, e.Pod.Ref())
		}
		return fmt.Sprintf("%d (health)", id)
	}
	return fmt.Sprint(id)
}
