package lab_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// routes lists a routing table as `ip route show table N` does, or nearly.
func routes(tb testing.TB, ns *netns.NS, table int) []string {
	tb.Helper()
	var lines []string
	must(tb, ns.Do(func() error {
		list, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return err
		}
		for _, r := range list {
			l, err := netlink.LinkByIndex(r.LinkIndex)
			if err != nil {
				return err
			}
			line := "default"
			if r.Dst != nil && r.Dst.String() != "0.0.0.0/0" {
				line = strings.TrimSuffix(r.Dst.String(), "/32")
			}
			if r.Type == unix.RTN_LOCAL {
				line = "local " + line
			}
			if r.Gw != nil {
				line += " via " + r.Gw.String()
			}
			line += " dev " + l.Attrs().Name
			if r.Protocol != unix.RTPROT_BOOT {
				line += " proto " + r.Protocol.String()
			}
			if r.Scope != netlink.SCOPE_UNIVERSE {
				line += " scope " + r.Scope.String()
			}
			if r.Src != nil {
				line += " src " + r.Src.String()
			}
			if r.MTU != 0 {
				line += fmt.Sprintf(" mtu %d", r.MTU)
			}
			lines = append(lines, line)
		}
		return nil
	}))
	return lines
}

// TestPrivilegedHost compares what the kernels of node and pod know with the
// article's `ip r` and SPEC 10.1.
func TestPrivilegedHost(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	node, pod := w.space("node/worker2"), w.space("default/pod1-1")
	for _, tt := range []struct {
		name  string
		ns    *netns.NS
		table int
		want  []string
	}{
		{"pod", pod, netns.TableMain, []string{
			"default via 10.0.1.197 dev eth0 mtu 1450",
			"10.0.1.197 dev eth0 scope link",
		}},
		{"node", node, netns.TableMain, []string{
			"default via 172.18.0.1 dev eth0",
			"10.0.1.0/24 via 10.0.1.197 dev cilium_host src 10.0.1.197",
			"10.0.1.197 dev cilium_host scope link",
			"10.0.2.0/24 via 10.0.1.197 dev cilium_host src 10.0.1.197 mtu 1450",
			"172.18.0.0/16 dev eth0 proto kernel scope link src 172.18.0.3",
		}},
		{"to the proxy", node, 2004, []string{"local default dev lo scope host"}},
		{"from the proxy", node, 2005, []string{
			"default via 10.0.1.197 dev cilium_host",
			"10.0.1.197 dev cilium_host scope link",
		}},
	} {
		if diff := cmp.Diff(tt.want, routes(t, tt.ns, tt.table)); diff != "" {
			t.Errorf("%s: routes (-want +got):\n%s", tt.name, diff)
		}
	}

	var rules []string
	must(t, node.Do(func() error {
		list, err := netlink.RuleList(unix.AF_INET)
		for _, r := range list {
			mask := uint32(0)
			if r.Mask != nil {
				mask = *r.Mask
			}
			rules = append(rules, fmt.Sprintf("%d: %#x/%#x lookup %d", r.Priority, r.Mark, mask, r.Table))
		}
		return err
	}))
	rules = slices.DeleteFunc(rules, func(r string) bool {
		return hasTunnelTAP(t, node) && (r == "7: 0x0/0x0 lookup 2006" || r == "8: 0x0/0x0 lookup 254")
	})
	if diff := cmp.Diff([]string{
		"9: 0x200/0xf00 lookup 2004", "10: 0xa00/0xf00 lookup 2005",
		"100: 0x0/0x0 lookup 255", "32766: 0x0/0x0 lookup 254", "32767: 0x0/0x0 lookup 253",
	}, rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}

	for name, want := range map[string]string{
		"all/rp_filter": "0", "cilium_host/rp_filter": "0", "cilium_net/rp_filter": "0",
		"cilium_host/forwarding": "1", "cilium_net/forwarding": "1",
		"cilium_host/accept_local": "1", "cilium_net/accept_local": "1", "cilium_host/send_redirects": "0",
	} {
		got, err := node.Sysctl("net/ipv4/conf/" + name)
		must(t, err)
		if got != want {
			t.Errorf("sysctl %s = %s, want %s", name, got, want)
		}
	}
}

// TestPrivilegedLinks checks that devices have the cluster's indexes and addresses.
func TestPrivilegedLinks(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	n, err := w.Cluster().Node("worker2")
	must(t, err)
	pod, err := w.Cluster().Pod("pod1-1")
	must(t, err)
	links, err := w.space("node/worker2").Links()
	must(t, err)
	want := []netns.Link{
		{Name: "eth0", Index: 2, MAC: netns.MAC(n.MAC), MTU: 1500, Up: true},
		{Name: "cilium_net", Index: 3, MAC: netns.MAC(n.NetMAC), MTU: 1500, Up: true, NoARP: true},
		{Name: "cilium_host", Index: 4, MAC: netns.MAC(n.HostMAC), MTU: 1500, Up: true, NoARP: true},
	}
	if hasTunnelTAP(t, w.space("node/worker2")) {
		// In place of cilium_vxlan.
		cfg, err := w.Cluster().NodeConfig("worker2")
		must(t, err)
		want = append(want, netns.Link{Name: "hooklab0", Index: int(cfg.EncapIfindex), MTU: 65521, Up: true, NoARP: true})
		links[len(links)-1].MAC = netns.MAC{} // the kernel's choice
	}
	links = slices.DeleteFunc(links, func(l netns.Link) bool { return l.Name == "lo" })
	if diff := cmp.Diff(want, links); diff != "" {
		t.Errorf("devices of the node (-want +got):\n%s", diff)
	}
	got, err := w.space("default/pod1-1").Link("eth0")
	must(t, err)
	if diff := cmp.Diff(netns.Link{Name: "eth0", Index: got.Index, MAC: netns.MAC(pod.MAC), MTU: 1500, Up: true}, got); diff != "" {
		t.Errorf("device of the pod (-want +got):\n%s", diff)
	}
}

// TestPrivilegedProfiles runs traffic in every profile that a lab has.
func TestPrivilegedProfiles(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	for _, tt := range []struct {
		name, settings string
		wantErr        error
	}{
		{"cilium 1.12", "{profile: cilium-1.12, ", nil},
		{"article", "{profile: article, ", nil},
		{"article before 5.10", "{profile: article, kernelVersion: '4.19', ", nil},
		{"host routing", "{profile: host-routing, clock: jiffies, ", nil},
		{"without health", "{health: false, mtu: 9000, ", nil},
		{"endpoint routes", "{profile: endpoint-routes, ", dataplane.ErrNotSupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(article, "spec:\n", "spec:\n  "+strings.ReplaceAll(strings.Trim(tt.settings, "{, "), ", ", "\n  ")+"\n", 1)
			if tt.wantErr != nil {
				if _, err := lab.Up(t.Context(), options(t, text)); !errors.Is(err, tt.wantErr) {
					t.Errorf("Up: %v, want %v", err, tt.wantErr)
				}
				return
			}
			w := up(t, text)
			echo(t, w.space("default/pod1-2"), ":80")
			for _, to := range []string{"10.0.1.79", "10.0.2.158", "10.0.1.197"} {
				if _, _, err := ping(w.space("default/pod1-1"), to, 2); err != nil {
					t.Error(err)
				}
			}
			for _, from := range []string{"default/pod1-1", "default/pod2-1"} {
				exchange(t, dial(t, w.space(from), "tcp4", "10.96.52.248:80"), 1<<16)
			}
		})
	}
}

// hasTunnelTAP tells whether the kernel knows aggregates in tunnels.
func hasTunnelTAP(tb testing.TB, node *netns.NS) bool {
	tb.Helper()
	_, err := node.Link("hooklab0")
	if !errors.Is(err, fs.ErrNotExist) {
		must(tb, err)
	}
	return err == nil
}
