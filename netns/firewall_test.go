package netns_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/internal/testkit/check"
	"github.com/hooklab/hooklab/netns"
)

// noPorts returns how many datagrams came to a UDP port without a socket.
func noPorts(tb testing.TB, ns *netns.NS) int {
	tb.Helper()
	var file []byte
	must(tb, ns.Do(func() (err error) {
		file, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	}))
	var names []string
	for line := range strings.Lines(string(file)) {
		fields := strings.Fields(line)
		if fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		n, err := strconv.Atoi(fields[slices.Index(names, "NoPorts")])
		must(tb, err)
		return n
	}
	tb.Fatalf("no NoPorts in %s", file)
	return 0
}

// waitNoPorts waits until the stack has counted n datagrams without a socket: a
// port has a frame before the stack does.
func waitNoPorts(tb testing.TB, ns *netns.NS, n int) {
	tb.Helper()
	for ctx := within(tb); noPorts(tb, ns) != n; runtime.Gosched() {
		if ctx.Err() != nil {
			tb.Fatalf("the stack counts %d datagrams, want %d", noPorts(tb, ns), n)
		}
	}
}

// TestPrivilegedDropIngress checks that a frame is read exactly once: by the
// port, not by the stack behind the device, which would answer or forward it.
func TestPrivilegedDropIngress(t *testing.T) {
	t.Parallel()
	ns, p := hostPair(t, netns.PacketOptions{Marks: true})
	must(t, ns.SetSysctl("net/ipv4/conf/cilium_net/accept_local", "1"),
		ns.SetSysctl("net/ipv4/conf/all/rp_filter", "0"),
		ns.SetSysctl("net/ipv4/conf/cilium_net/rp_filter", "0"),
		ns.AddAddr("cilium_net", prefix("10.7.7.7/32")))
	in, err := ns.OpenPacket("cilium_host", netns.PacketOptions{})
	must(t, err)
	defer in.Close()
	frame := func(payload string) []byte {
		return udpFrame(t, macB, macA, netip.MustParseAddrPort("10.0.0.9:1"), netip.MustParseAddrPort("10.7.7.7:2"), payload)
	}

	must(t, in.Write(frame("before"), &netns.Meta{}))
	readUntil(t, p, isUDP("before"))
	waitNoPorts(t, ns, 1)
	f := netns.Firewall{DropIngress: []string{"cilium_net"}}
	must(t, ns.SetFirewall(f), ns.SetFirewall(f)) // again changes nothing
	must(t, in.Write(frame("after"), &netns.Meta{}))
	readUntil(t, p, isUDP("after"))
	// What the port sends is not held up.
	must(t, p.Write(udpFrame(t, macA, macB, netip.MustParseAddrPort("10.0.0.9:1"), netip.MustParseAddrPort("10.0.0.1:2"), "out"), &netns.Meta{}))
	readUntil(t, in, isUDP("out"))
	waitNoPorts(t, ns, 2) // that one, and not the one before

	must(t, ns.SetFirewall(netns.Firewall{}), ns.SetFirewall(netns.Firewall{}))
	must(t, in.Write(frame("removed"), &netns.Meta{}))
	readUntil(t, p, isUDP("removed"))
	waitNoPorts(t, ns, 3)
}

// TestPrivilegedMarkHost checks CILIUM_OUTPUT on what leaves through
// cilium_host (SPEC 11).
func TestPrivilegedMarkHost(t *testing.T) {
	t.Parallel()
	ns, p := hostPair(t, netns.PacketOptions{Marks: true})
	must(t, ns.SetFirewall(netns.Firewall{MarkHost: true}))
	tests := []struct {
		name       string
		mark, want uint32
	}{
		{"no mark", 0, 0xc00},
		{"host already", 0xc00, 0xc00},
		{"other bits stay", 0x1234_00ff, 0x1234_0cff},
		{"other kind", 0x200, 0xc00},
		{"0x700", 0x7700, 0x7c00},
		{"encrypt", 0x1e00, 0x1e00},
		{"decrypted", 0xd00, 0xd00},
		{"proxy ingress", 0xa00, 0xa00},
		{"proxy egress", 0xb00, 0xb00},
		{"0x800", 0x800, 0x800},
		{"0x900", 0x900, 0x900},
		{"identity", 0x35dd0f00, 0x35dd0f00},
	}
	for _, tt := range tests {
		c := listenUDP(t, ns, "10.0.0.1:0", func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(tt.mark))
		})
		sendUDP(t, c, "10.0.0.9:80", tt.name)
		if _, m := readUntil(t, p, isUDP(tt.name)); m.Mark != tt.want {
			t.Errorf("%s: mark %#x leaves as %#x, want %#x", tt.name, tt.mark, m.Mark, tt.want)
		}
	}
}

// TestPrivilegedMasquerade sends packets through a node whose pods are
// 10.244.1.0/24 and looks at their source address on the way out.
func TestPrivilegedMasquerade(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	pods, router := prefix("10.244.1.0/24"), addr("10.244.1.100")
	link := func(name string, mac netns.MAC) netns.Link {
		return netns.Link{Name: name, MAC: mac, Up: true, NoARP: true}
	}
	must(t,
		ns.SetSysctl("net/ipv4/ip_forward", "1"),
		ns.SetSysctl("net/ipv4/conf/all/rp_filter", "0"),
		ns.SetSysctl("net/ipv4/conf/default/rp_filter", "0"),
		ns.SetSysctl("net/ipv4/conf/default/accept_local", "1"),
		ns.SetSysctl("net/ipv4/conf/default/route_localnet", "1"),
		ns.AddVeth(link("cilium_host", macA), nil, link("cilium_net", macB)),
		ns.SetOffloads("cilium_host", false, netns.OffloadTxChecksum),
		ns.AddVeth(link("eth0", macA), nil, link("world", macB)),
		ns.AddVeth(link("lxc1", macA), nil, link("pod", macB)),
		ns.AddAddr("cilium_host", netip.PrefixFrom(router, 32)),
		ns.AddAddr("eth0", prefix("192.168.0.2/24")),
		ns.AddRoute(netns.Route{Dst: pods, Via: router, Dev: "cilium_host", Src: router}),
		// Another node's pods, also behind cilium_host.
		ns.AddRoute(netns.Route{Dst: prefix("10.244.2.0/24"), Via: router, Dev: "cilium_host", Src: router}),
		ns.AddRoute(netns.Route{Dst: prefix("0.0.0.0/0"), Via: addr("192.168.0.1")}),
		ns.SetFirewall(netns.Firewall{PodCIDR: pods, Router: router}),
	)
	open := func(dev string) *netns.Port {
		p, err := ns.OpenPacket(dev, netns.PacketOptions{Marks: true})
		must(t, err)
		t.Cleanup(func() { p.Close() })
		return p
	}
	pod, host, world := open("pod"), open("cilium_net"), open("world")

	// A DNAT as kube-proxy installs it, for the hairpin rule.
	must(t, ns.Do(func() error { return addDNAT("10.96.0.9", "10.244.1.6") }))

	tests := []struct {
		name     string
		from     *netns.Port
		src, dst string
		mark     uint32
		out      *netns.Port
		want     string
	}{
		{"pod to the world", pod, "10.244.1.5", "8.8.8.8", 0, world, "192.168.0.2"},
		{"pod to pod", pod, "10.244.1.5", "10.244.1.6", 0, host, "10.244.1.5"},
		{"pod to another node's pod", pod, "10.244.1.5", "10.244.2.6", 0, host, "10.244.1.5"},
		{"proxy to another node's pod", pod, "192.168.0.9", "10.244.2.6", 0xa00, host, "192.168.0.9"},
		{"foreign address to another node's pod", pod, "192.168.0.9", "10.244.2.6", 0, host, "10.244.1.100"},
		{"foreign address to pod", pod, "192.168.0.9", "10.244.1.6", 0, host, "192.168.0.9"},
		{"world to world", pod, "1.2.3.4", "8.8.8.8", 0, world, "1.2.3.4"},
		{"hairpin", pod, "10.244.1.5", "10.96.0.9", 0xf00, host, "10.244.1.100"},
		{"service without mark", pod, "10.244.1.7", "10.96.0.9", 0, host, "10.244.1.7"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, dst := addr(tt.src), addr(tt.dst)
			payload := "case " + strconv.Itoa(i)
			sport := uint16(1000 + i)
			frame := udpFrame(t, macA, macB, netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, 53), payload)
			must(t, ns.Do(func() error { return setIngressMark("lxc1", tt.mark) }))
			must(t, tt.from.Write(frame, &netns.Meta{}))
			got, _ := readUntil(t, tt.out, isUDP(payload))
			if tt.name == "hairpin" || tt.name == "service without mark" {
				dst = addr("10.244.1.6")
			}
			check.IPv4(t, got, check.Addrs(addr(tt.want), dst), check.TTL(63), check.UDP(check.DstPort(53)))
		})
	}

	t.Run("from 127.0.0.1", func(t *testing.T) {
		c := listenUDP(t, ns, "127.0.0.1:0", nil)
		sendUDP(t, c, "10.244.1.6:53", "loopback")
		got, _ := readUntil(t, host, isUDP("loopback"))
		check.IPv4(t, got, check.Addrs(router, addr("10.244.1.6")), check.UDP())
	})
}

// TestPrivilegedFirewallNames checks that the rules can be recognised.
func TestPrivilegedFirewallNames(t *testing.T) {
	t.Parallel()
	ns, _ := hostPair(t, netns.PacketOptions{})
	must(t, ns.SetFirewall(netns.Firewall{
		DropIngress: []string{"cilium_net"}, MarkHost: true,
		PodCIDR: prefix("10.0.0.0/24"), Router: addr("10.0.0.1"),
	}))
	var got bytes.Buffer
	must(t, ns.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		chains, err := c.ListChains()
		for _, ch := range chains {
			rules, err := c.GetRules(ch.Table, ch)
			if err != nil {
				return err
			}
			got.WriteString(ch.Table.Name + " " + ch.Name + " " + strconv.Itoa(int(*ch.Priority)) + " " + strconv.Itoa(len(rules)) + "\n")
		}
		return err
	}))
	for _, want := range []string{"hooklab CILIUM_OUTPUT 0 1\n", "hooklab CILIUM_POST_nat 100 5\n", "hooklab cilium_net -500 0\n"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("chains:\n%swithout %s", &got, want)
		}
	}
}

func TestPrivilegedFirewallErrors(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	tests := []struct {
		name string
		f    netns.Firewall
		want error // nil: any
	}{
		{"pods without router", netns.Firewall{PodCIDR: prefix("10.0.0.0/24")}, nil},
		{"router without pods", netns.Firewall{Router: addr("10.0.0.1")}, nil},
		{"IPv6", netns.Firewall{PodCIDR: prefix("fd00::/64"), Router: addr("fd00::1")}, nil},
		{"no such device", netns.Firewall{DropIngress: []string{"nothing"}}, fs.ErrNotExist},
	}
	for _, tt := range tests {
		err := ns.SetFirewall(tt.f)
		if err == nil || (tt.want != nil && !errors.Is(err, tt.want)) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
