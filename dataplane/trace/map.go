package trace

import "fmt"

// Map is a map that the datapath asks.
type Map uint8

// Maps, by their Cilium names.
const (
	MapLXC        Map = iota + 1 // cilium_lxc
	MapIPCache                   // cilium_ipcache
	MapTunnel                    // cilium_tunnel_map
	MapCT4                       // cilium_ct4_global
	MapCTAny4                    // cilium_ct_any4_global
	MapFrags                     // cilium_ipv4_frag_datagrams
	MapServices                  // cilium_lb4_services_v2
	MapBackends                  // cilium_lb4_backends_v2
	MapRevNAT                    // cilium_lb4_reverse_nat
	MapPolicy                    // cilium_policy_NNNNN, one for each endpoint
	MapPolicyCall                // cilium_call_policy
	MapCalls                     // cilium_calls_…, of the object that runs
)

// Name is the map's name; endpoint counts for policy maps only.
func (m Map) Name(endpoint uint16) string {
	names := [...]string{
		"", "cilium_lxc", "cilium_ipcache", "cilium_tunnel_map", "cilium_ct4_global", "cilium_ct_any4_global",
		"cilium_ipv4_frag_datagrams", "cilium_lb4_services_v2", "cilium_lb4_backends_v2", "cilium_lb4_reverse_nat",
		"", "cilium_call_policy", "cilium_calls",
	}
	if m == MapPolicy {
		return fmt.Sprintf("cilium_policy_%05d", endpoint)
	}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("map(%d)", m)
}
