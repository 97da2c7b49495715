package sim

import (
	"net/netip"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/tunnel"
)

// outDevice is a kind of device that the host stack's routes lead to.
type outDevice uint8

const (
	outLoopback outDevice = iota
	outEth0
	outHost // cilium_host
	outLXC  // a pod's own route, in profile endpoint-routes
)

// way is a route with what its device is.
type way struct {
	Route
	out outDevice
	pod *pod // outLXC
}

// Marks that the rules look at (SPEC 7, 10.1, 11).
const (
	markMagic    = 0xf00
	markHost     = 0xc00
	markToProxy  = 0x200
	markProxy    = 0xa00
	markProxies  = 0xe00 // mask of both proxy marks
	markIdentity = 0xf00
)

// Names of routing tables. 2004 and 2005 are Cilium's for its proxy.
const (
	tableLocal   = "local"
	tableMain    = "main"
	tableToProxy = "2004"
	tableProxy   = "2005"
)

// route is the host stack's route to an address, by its rules in order (SPEC 10.1):
// 9 and 10 for the proxy's marks, 100 local, then main.
func (m *machine) route(dst [4]byte, mark uint32) (way, bool) {
	const defaultBits = 0
	switch mark & markMagic {
	case markToProxy:
		return m.local(dst, tableToProxy), true
	case markProxy:
		return m.viaHost(tableProxy, netip.PrefixFrom(netip.IPv4Unspecified(), defaultBits), m.sim.mtu), true
	}
	if m.owns(dst) {
		return m.local(dst, tableLocal), true
	}
	if !unicast(dst) {
		return way{}, false
	}
	return m.mainRoute(dst), true
}

// local is a route to the host itself.
func (m *machine) local(dst [4]byte, table string) way {
	return way{Route: Route{Table: table, Dst: netip.PrefixFrom(addr(dst), 32), Device: m.lo.Name, Src: addr(dst), MTU: m.lo.MTU}}
}

// viaHost is a route through cilium_host, by the router's address.
func (m *machine) viaHost(table string, dst netip.Prefix, mtu int) way {
	r := Route{Table: table, Dst: dst, Via: addr(m.router), Device: node.Host.String(), Src: addr(m.router), MTU: mtu}
	return way{Route: r, out: outHost}
}

// mainRoute is the most specific route of the main table.
func (m *machine) mainRoute(dst [4]byte) way {
	s := m.sim
	if p := s.owners[dst].pod; p != nil && p.machine == m && s.settings.Profile == cluster.EndpointRoutes {
		r := Route{Table: tableMain, Dst: netip.PrefixFrom(addr(dst), 32), Device: p.endpoint.Device, Src: addr(m.ip), MTU: s.mtu}
		return way{Route: r, out: outLXC, pod: p}
	}
	if cidr, owner, ok := s.routes.find(dst); ok {
		mtu := s.mtu
		if owner != m.ip {
			mtu -= tunnel.Overhead
		}
		return m.viaHost(tableMain, cidr, mtu)
	}
	r := Route{Table: tableMain, Dst: s.settings.Underlay, Device: deviceEth0, Src: addr(m.ip), MTU: s.mtu}
	if !s.settings.Underlay.Contains(addr(dst)) {
		r.Dst, r.Via = netip.PrefixFrom(netip.IPv4Unspecified(), 0), addr(s.gateway.ip)
	}
	return way{Route: r, out: outEth0}
}
