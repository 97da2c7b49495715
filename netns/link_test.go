package netns_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns"
)

func TestPrivilegedVeth(t *testing.T) {
	t.Parallel()
	one, two := testkit.NetNS(t), testkit.NetNS(t)
	a := netns.Link{Name: "cilium_host", Index: 40, MAC: macA, MTU: 1500, Up: true, NoARP: true}
	b := netns.Link{Name: "cilium_net", Index: 41, MAC: macB, MTU: 1400, Up: true, NoARP: true}
	far := netns.Link{Name: "eth0", Index: 7, MAC: macB, MTU: 9000}
	near := netns.Link{Name: "wire1", Index: 42, MAC: macA, MTU: 9000, Up: true}
	must(t, one.AddVeth(a, nil, b), one.AddVeth(near, two, far))

	for _, tt := range []struct {
		name string
		ns   *netns.NS
		want netns.Link
	}{
		{"first end", one, a},
		{"peer in the same namespace", one, b},
		{"near end", one, near},
		{"peer in another namespace", two, far},
	} {
		got, err := tt.ns.Link(tt.want.Name)
		must(t, err)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}

	links, err := one.Links()
	must(t, err)
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	// A fresh namespace also has the fallback devices of loaded tunnel modules.
	for _, want := range []string{"lo", "cilium_host", "cilium_net", "wire1"} {
		if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+want+" ") {
			t.Errorf("Links() = %v, without %s", names, want)
		}
	}

	must(t, one.SetUp("cilium_net", false))
	if l, err := one.Link("cilium_net"); err != nil || l.Up {
		t.Errorf("after SetUp false: up %t, %v", l.Up, err)
	}
	must(t, one.DelLink("wire1"), one.DelLink("wire1"))
	if _, err := two.Link("eth0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("peer of a deleted link: %v, want not exist", err)
	}
}

func TestPrivilegedLinkErrors(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	must(t, ns.AddBridge(netns.Link{Name: "br0", Index: 9}))
	link := func(name string) netns.Link { return netns.Link{Name: name} }
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"same name", ns.AddBridge(link("br0")), unix.EEXIST},
		{"same index", ns.AddBridge(netns.Link{Name: "br1", Index: 9}), unix.EEXIST},
		{"empty name", ns.AddBridge(link("")), netns.ErrName},
		{"16 bytes", ns.AddBridge(link("0123456789abcdef")), netns.ErrName},
		{"16 bytes, tap", tapError(ns, "0123456789abcdef"), netns.ErrName},
		{"slash", ns.AddBridge(link("a/b")), netns.ErrName},
		{"dots", ns.AddBridge(link("..")), netns.ErrName},
		{"peer's name", ns.AddVeth(link("v0"), nil, link("")), netns.ErrName},
		{"no such link", ns.SetUp("v0", true), fs.ErrNotExist},
		{"aggregates of nothing", ns.SetGSOMax("v0", 60000), fs.ErrNotExist},
		{"no such bridge", ns.SetBridge("br0", "br1"), fs.ErrNotExist},
		{"offloads of nothing", ns.SetOffloads("v0", false, netns.OffloadTSO), unix.ENODEV},
		{"tap over a bridge", tapError(ns, "br0"), unix.EINVAL},
		{"packet port on nothing", packetError(ns, "v0"), fs.ErrNotExist},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
	}
}

func tapError(ns *netns.NS, name string) error {
	p, err := ns.OpenTAP(netns.Link{Name: name}, netns.TAPOptions{})
	if err == nil {
		err = p.Close()
	}
	return err
}

func packetError(ns *netns.NS, dev string) error {
	p, err := ns.OpenPacket(dev, netns.PacketOptions{})
	if err == nil {
		err = p.Close()
	}
	return err
}

func TestPrivilegedOffloads(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	must(t, ns.AddVeth(netns.Link{Name: "v0"}, nil, netns.Link{Name: "v1"}))
	all := []netns.Offload{
		netns.OffloadGRO, netns.OffloadGSO, netns.OffloadTSO,
		netns.OffloadSG, netns.OffloadTxChecksum, netns.OffloadRxChecksum,
	}
	must(t, ns.SetOffloads("v0", true, netns.OffloadTxChecksum, netns.OffloadSG, netns.OffloadTSO, netns.OffloadGSO, netns.OffloadGRO))
	for _, o := range all {
		if on, err := ns.Offload("v0", o); err != nil || !on {
			t.Errorf("%s switched on: %t, %v", o, on, err)
		}
	}
	must(t, ns.SetOffloads("v0", false, all...))
	for _, o := range all {
		if on, err := ns.Offload("v0", o); err != nil || on {
			t.Errorf("%s switched off: on %t, %v", o, on, err)
		}
		if on, err := ns.Offload("v1", o); o != netns.OffloadGRO && (err != nil || !on) {
			t.Errorf("%s of the peer: on %t, %v, want untouched", o, on, err)
		}
	}
}

func TestPrivilegedSysctl(t *testing.T) {
	t.Parallel()
	one, two := testkit.NetNS(t), testkit.NetNS(t)
	const name = "net/ipv4/ip_forward"
	must(t, one.SetSysctl(name, "1"), two.SetSysctl(name, "0"))
	for _, tt := range []struct {
		name string
		ns   *netns.NS
		want string
	}{
		{"changed namespace", one, "1"},
		{"other namespace", two, "0"},
	} {
		if got, err := tt.ns.Sysctl(name); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}

	must(t, one.AddBridge(netns.Link{Name: "br.0"}), one.SetSysctl("net/ipv4/conf/br.0/rp_filter", "2"))
	if got, err := one.Sysctl("net/ipv4/conf/br.0/rp_filter"); err != nil || got != "2" {
		t.Errorf("link with a dot: %q, %v", got, err)
	}
	if _, err := two.Sysctl("net/ipv4/conf/br.0/rp_filter"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("link of the other namespace: %v, want not exist", err)
	}
	for _, bad := range []string{"kernel/hostname", "net/../kernel/hostname", "net//ipv4", "/net/ipv4", "net.ipv4.ip_forward", ""} {
		if err := one.SetSysctl(bad, "1"); !errors.Is(err, netns.ErrName) {
			t.Errorf("sysctl %q: %v, want ErrName", bad, err)
		}
	}
}
