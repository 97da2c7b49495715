package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Scopes of a Route, as in rtnetlink(7).
const (
	ScopeUniverse uint8 = 0
	ScopeLink     uint8 = 253
	ScopeHost     uint8 = 254
)

// Tables and rule preferences that every namespace starts with.
const (
	TableMain  = 254
	TableLocal = 255
)

// Route is an IPv4 or IPv6 route.
type Route struct {
	Dst    netip.Prefix // required; 0.0.0.0/0 is the default route
	Via    netip.Addr   // gateway; zero for none
	Dev    string       // outgoing device; "" if the gateway decides
	Src    netip.Addr   // preferred source address; zero for none
	MTU    int          // path MTU of the route; 0 for the device's
	Table  int          // 0 is the main table
	Scope  uint8        // one of the Scope constants
	OnLink bool         // the gateway is reachable although no route says so
	Local  bool         // type local: deliver here instead of sending
}

// AddAddr gives a device the address and the prefix length of p.
func (n *NS) AddAddr(dev string, p netip.Prefix) error {
	h, l, err := n.link(dev)
	if err != nil {
		return err
	}
	if err := h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
		return fmt.Errorf("add address %s to %s: %w", p, dev, explain(err, needNetAdmin))
	}
	return nil
}

// AddRoute adds a route. It is an error if an equal one exists.
func (n *NS) AddRoute(r Route) error {
	h, nr, err := n.netlinkRoute(r)
	if err != nil {
		return fmt.Errorf("add route %s: %w", r, err)
	}
	if err := h.RouteAdd(nr); err != nil {
		return fmt.Errorf("add route %s: %w", r, explain(err, needNetAdmin))
	}
	return nil
}

// DelRoute removes a route. One that does not exist is not an error.
func (n *NS) DelRoute(r Route) error {
	h, nr, err := n.netlinkRoute(r)
	if err != nil {
		return fmt.Errorf("delete route %s: %w", r, err)
	}
	if err := h.RouteDel(nr); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("delete route %s: %w", r, explain(err, needNetAdmin))
	}
	return nil
}

func (n *NS) netlinkRoute(r Route) (*netlink.Handle, *netlink.Route, error) {
	h, err := n.route()
	if err != nil {
		return nil, nil, err
	}
	nr := &netlink.Route{
		Dst:   ipNet(r.Dst.Masked()),
		Gw:    r.Via.AsSlice(),
		Src:   r.Src.AsSlice(),
		MTU:   r.MTU,
		Table: r.Table,
		Scope: netlink.Scope(r.Scope),
	}
	if r.OnLink {
		nr.Flags = int(netlink.FLAG_ONLINK)
	}
	if r.Local {
		nr.Type = unix.RTN_LOCAL
	}
	if r.Dev != "" {
		_, l, err := n.link(r.Dev)
		if err != nil {
			return nil, nil, err
		}
		nr.LinkIndex = l.Attrs().Index
	}
	return h, nr, nil
}

// String returns the route nearly as ip route prints it.
func (r Route) String() string {
	s := r.Dst.String()
	if r.Local {
		s = "local " + s
	}
	if r.Via.IsValid() {
		s += " via " + r.Via.String()
	}
	if r.Dev != "" {
		s += " dev " + r.Dev
	}
	if r.Src.IsValid() {
		s += " src " + r.Src.String()
	}
	if r.MTU != 0 {
		s += fmt.Sprintf(" mtu %d", r.MTU)
	}
	if r.Table != 0 {
		s += fmt.Sprintf(" table %d", r.Table)
	}
	if r.Scope != ScopeUniverse {
		s += fmt.Sprintf(" scope %d", r.Scope)
	}
	if r.OnLink {
		s += " onlink"
	}
	return s
}

// Rule is an IPv4 routing rule that looks up a table.
type Rule struct {
	Pref  int    // place in the list, smallest first
	Mark  uint32 // matches if packet mark & Mask == Mark
	Mask  uint32 // 0 matches any mark
	IIF   string // incoming device; "" for any
	Proto uint8  // IP protocol; 0 for any
	DPort uint16 // destination port of TCP or UDP; 0 for any
	Table int
}

// AddRule adds a routing rule.
func (n *NS) AddRule(r Rule) error {
	h, err := n.route()
	if err != nil {
		return err
	}
	if err := h.RuleAdd(r.netlink()); err != nil {
		return fmt.Errorf("add rule %+v: %w", r, explain(err, needNetAdmin))
	}
	return nil
}

// DelRule removes a routing rule.
func (n *NS) DelRule(r Rule) error {
	h, err := n.route()
	if err != nil {
		return err
	}
	if err := h.RuleDel(r.netlink()); err != nil {
		return fmt.Errorf("delete rule %+v: %w", r, explain(err, needNetAdmin))
	}
	return nil
}

func (r Rule) netlink() *netlink.Rule {
	nr := netlink.NewRule()
	nr.Family = unix.AF_INET
	nr.Priority = r.Pref
	nr.Table = r.Table
	nr.IifName = r.IIF
	nr.IPProto = int(r.Proto)
	if r.Mask != 0 {
		nr.Mark, nr.Mask = r.Mark, &r.Mask
	}
	if r.DPort != 0 {
		nr.Dport = netlink.NewRulePortRange(r.DPort, r.DPort)
	}
	return nr
}

// MoveLocalRule moves the lookup of the local table from preference 0 to pref,
// so that other rules can come first. The new rule exists before the old one
// goes.
func (n *NS) MoveLocalRule(pref int) error {
	if err := n.AddRule(Rule{Pref: pref, Table: TableLocal}); err != nil {
		return err
	}
	return n.DelRule(Rule{Pref: 0, Table: TableLocal})
}

// AddNeigh adds a permanent neighbour: ip has the address mac on dev.
func (n *NS) AddNeigh(dev string, ip netip.Addr, mac MAC) error {
	h, l, err := n.link(dev)
	if err != nil {
		return err
	}
	err = h.NeighSet(&netlink.Neigh{
		LinkIndex:    l.Attrs().Index,
		State:        unix.NUD_PERMANENT,
		IP:           ip.AsSlice(),
		HardwareAddr: mac[:],
	})
	if err != nil {
		return fmt.Errorf("add neighbour %s %s on %s: %w", ip, mac, dev, explain(err, needNetAdmin))
	}
	return nil
}

// ReserveNeigh gives a neighbour its place in the kernel's table before it is asked for its
// address, for as long as the device is there. The kernel counts the entries of all
// namespaces together and has no place for more than net.ipv4.neigh.default.gc_thresh3,
// 1024 by default; those that were learned from outside, as this one says of itself, are
// not counted (neigh_alloc in net/core/neighbour.c). ARP then goes on as without.
func (n *NS) ReserveNeigh(dev string, ip netip.Addr) error {
	h, l, err := n.link(dev)
	if err != nil {
		return err
	}
	err = h.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: unix.NUD_NONE, Flags: unix.NTF_EXT_LEARNED, IP: ip.AsSlice()})
	if err != nil {
		return fmt.Errorf("reserve neighbour %s on %s: %w", ip, dev, explain(err, needNetAdmin))
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
