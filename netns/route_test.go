package netns_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns"
)

// TestPrivilegedNodeRoutes builds the addresses, routes and rules of SPEC 10.1
// and asks the kernel which way packets go.
func TestPrivilegedNodeRoutes(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	router := addr("10.244.1.100")
	must(t,
		ns.AddVeth(netns.Link{Name: "cilium_host", Index: 10, Up: true, NoARP: true}, nil,
			netns.Link{Name: "cilium_net", Index: 11, Up: true, NoARP: true}),
		ns.AddBridge(netns.Link{Name: "eth0", Index: 12, Up: true}),
		ns.AddAddr("cilium_host", netip.PrefixFrom(router, 32)),
		ns.AddAddr("eth0", prefix("192.168.0.2/24")),
		ns.AddNeigh("eth0", addr("192.168.0.1"), macB),

		ns.AddRoute(netns.Route{Dst: netip.PrefixFrom(router, 32), Dev: "cilium_host", Scope: netns.ScopeLink}),
		ns.AddRoute(netns.Route{Dst: prefix("10.244.1.0/24"), Via: router, Dev: "cilium_host", Src: router}),
		ns.AddRoute(netns.Route{Dst: prefix("10.244.2.0/24"), Via: router, Dev: "cilium_host", Src: router, MTU: 1450}),
		ns.AddRoute(netns.Route{Dst: prefix("0.0.0.0/0"), Via: addr("192.168.0.1")}),
		ns.AddRoute(netns.Route{Dst: prefix("172.16.0.0/12"), Via: addr("10.9.9.9"), Dev: "eth0", OnLink: true}),
		ns.AddRoute(netns.Route{Dst: prefix("0.0.0.0/0"), Dev: "lo", Table: 2004, Local: true, Scope: netns.ScopeHost}),
		ns.AddRoute(netns.Route{Dst: netip.PrefixFrom(router, 32), Dev: "cilium_host", Table: 2005, Scope: netns.ScopeLink}),
		ns.AddRoute(netns.Route{Dst: prefix("0.0.0.0/0"), Via: router, Dev: "cilium_host", Table: 2005}),

		ns.MoveLocalRule(100),
		ns.AddRule(netns.Rule{Pref: 9, Mark: 0x200, Mask: 0xf00, Table: 2004}),
		ns.AddRule(netns.Rule{Pref: 10, Mark: 0xa00, Mask: 0xf00, Table: 2005}),
	)

	type answer struct {
		Ifindex int
		Gw, Src string
		MTU     int
		Table   int
		Type    int
	}
	// In the main table the router is known as an address of our own, so the
	// kernel uses no gateway there. On a NOARP device nobody sees a difference.
	tests := []struct {
		name string
		dst  string
		mark uint32
		want answer
	}{
		{"local pod", "10.244.1.5", 0, answer{Ifindex: 10, Src: "10.244.1.100", Table: 254, Type: unix.RTN_UNICAST}},
		{"remote pod", "10.244.2.5", 0, answer{Ifindex: 10, Src: "10.244.1.100", MTU: 1450, Table: 254, Type: unix.RTN_UNICAST}},
		{"external", "8.8.8.8", 0, answer{Ifindex: 12, Gw: "192.168.0.1", Src: "192.168.0.2", Table: 254, Type: unix.RTN_UNICAST}},
		{"onlink gateway", "172.16.0.1", 0, answer{Ifindex: 12, Gw: "10.9.9.9", Src: "192.168.0.2", Table: 254, Type: unix.RTN_UNICAST}},
		{"router", "10.244.1.100", 0, answer{Ifindex: 1, Src: "10.244.1.100", Table: 255, Type: unix.RTN_LOCAL}},
		{"to proxy", "8.8.8.8", 0x1200, answer{Ifindex: 1, Src: "8.8.8.8", Table: 2004, Type: unix.RTN_LOCAL}},
		{"from proxy", "8.8.8.8", 0xa00, answer{Ifindex: 10, Gw: "10.244.1.100", Src: "10.244.1.100", Table: 2005, Type: unix.RTN_UNICAST}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got answer
			err := ns.Do(func() error {
				routes, err := netlink.RouteGetWithOptions(addr(tt.dst).AsSlice(), &netlink.RouteGetOptions{Mark: tt.mark})
				if err != nil || len(routes) != 1 {
					return errors.Join(err, errors.New("want one route"))
				}
				r := routes[0]
				got = answer{Ifindex: r.LinkIndex, Src: r.Src.String(), MTU: r.MTU, Table: r.Table, Type: r.Type}
				if r.Gw != nil {
					got.Gw = r.Gw.String()
				}
				return nil
			})
			must(t, err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("route to %s (-want +got):\n%s", tt.dst, diff)
			}
		})
	}

	var prefs []int
	must(t, ns.Do(func() error {
		rules, err := netlink.RuleList(unix.AF_INET)
		for _, r := range rules {
			prefs = append(prefs, r.Priority)
		}
		return err
	}))
	if diff := cmp.Diff([]int{9, 10, 100, 32766, 32767}, prefs); diff != "" {
		t.Errorf("preferences of the rules (-want +got):\n%s", diff)
	}
	must(t, ns.DelRule(netns.Rule{Pref: 9, Mark: 0x200, Mask: 0xf00, Table: 2004}))
	if err := ns.DelRule(netns.Rule{Pref: 9, Mark: 0x200, Mask: 0xf00, Table: 2004}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("rule deleted twice: %v, want ENOENT", err)
	}
	if err := ns.AddRoute(netns.Route{Dst: prefix("10.244.2.0/24"), Via: router, Dev: "cilium_host"}); !errors.Is(err, unix.EEXIST) {
		t.Errorf("route added twice: %v, want EEXIST", err)
	}
}

// TestPrivilegedReserveNeigh: a reserved neighbour is not counted, which its flag tells, and
// is found by ARP as any other.
func TestPrivilegedReserveNeigh(t *testing.T) {
	t.Parallel()
	one, two := testkit.NetNS(t), testkit.NetNS(t)
	there := addr("10.0.0.2")
	must(t,
		one.AddVeth(netns.Link{Name: "eth0", Up: true}, two, netns.Link{Name: "eth0", MAC: macB, Up: true}),
		one.AddAddr("eth0", prefix("10.0.0.1/24")), two.AddAddr("eth0", netip.PrefixFrom(there, 24)),
		one.ReserveNeigh("eth0", there),
	)
	neighbour := func() (n netlink.Neigh) {
		must(t, one.Do(func() error {
			list, err := netlink.NeighList(0, netlink.FAMILY_V4)
			for _, n = range list {
				if n.IP.Equal(there.AsSlice()) {
					return err
				}
			}
			return errors.Join(err, errors.New("there is no such neighbour"))
		}))
		return n
	}
	if n := neighbour(); n.Flags&unix.NTF_EXT_LEARNED == 0 || n.State != unix.NUD_NONE {
		t.Errorf("reserved: flags %#x, state %#x; want %#x and none", n.Flags, n.State, unix.NTF_EXT_LEARNED)
	}
	var in net.PacketConn
	must(t, two.Do(func() (err error) {
		in, err = net.ListenPacket("udp4", "10.0.0.2:9")
		return err
	}))
	defer in.Close()
	must(t, one.Do(func() error {
		out, err := net.Dial("udp4", "10.0.0.2:9")
		if err != nil {
			return err
		}
		_, err = out.Write([]byte("?"))
		return errors.Join(err, out.Close())
	}))
	must(t, in.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, _, err := in.ReadFrom(make([]byte, 1)); err != nil {
		t.Errorf("to a reserved neighbour: %v", err)
	}
	if n := neighbour(); n.Flags&unix.NTF_EXT_LEARNED == 0 || n.HardwareAddr.String() != macB.String() {
		t.Errorf("found: flags %#x, address %v; want %#x and %v", n.Flags, n.HardwareAddr, unix.NTF_EXT_LEARNED, macB)
	}
}

func TestRouteString(t *testing.T) {
	t.Parallel()
	tests := []struct {
		want string
		r    netns.Route
	}{
		{"0.0.0.0/0 via 10.0.0.1", netns.Route{Dst: prefix("0.0.0.0/0"), Via: addr("10.0.0.1")}},
		{"10.0.0.1/32 dev eth0 scope 253", netns.Route{Dst: prefix("10.0.0.1/32"), Dev: "eth0", Scope: netns.ScopeLink}},
		{
			"10.2.0.0/24 via 10.0.0.1 dev eth0 src 10.0.0.1 mtu 1450 table 5 onlink",
			netns.Route{Dst: prefix("10.2.0.0/24"), Via: addr("10.0.0.1"), Dev: "eth0", Src: addr("10.0.0.1"), MTU: 1450, Table: 5, OnLink: true},
		},
		{"local 0.0.0.0/0 dev lo scope 254", netns.Route{Dst: prefix("0.0.0.0/0"), Dev: "lo", Local: true, Scope: netns.ScopeHost}},
	}
	for _, tt := range tests {
		if got := tt.r.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
