package lab_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/internal/testkit"
)

// machine is what the namespace that the test runs in looks like.
type machine struct {
	Namespace, Links, Addrs, Routes, Rules, Tables, Mounts []string
	Sysctls                                                map[string]string
}

func lookAtMachine(tb testing.TB, runDir string) machine {
	tb.Helper()
	m := machine{Sysctls: make(map[string]string)}
	ns, err := os.Readlink("/proc/self/ns/net")
	must(tb, err)
	m.Namespace = []string{ns}
	links, err := netlink.LinkList()
	must(tb, err)
	for _, l := range links {
		a := l.Attrs()
		m.Links = append(m.Links, fmt.Sprint(a.Index, a.Name, l.Type(), a.HardwareAddr, a.MTU, a.Flags))
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		must(tb, err)
		for _, a := range addrs {
			m.Addrs = append(m.Addrs, a.IPNet.String()+" "+a.Label)
		}
	}
	rs, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	must(tb, err)
	for _, r := range rs {
		m.Routes = append(m.Routes, r.String())
	}
	rules, err := netlink.RuleList(unix.AF_INET)
	must(tb, err)
	for _, r := range rules {
		m.Rules = append(m.Rules, r.String())
	}
	c, err := nftables.New()
	must(tb, err)
	tables, err := c.ListTables()
	must(tb, err)
	for _, t := range tables {
		m.Tables = append(m.Tables, fmt.Sprint(t.Family, t.Name))
	}
	m.readSysctls(tb)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(tb, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, runDir) {
			m.Mounts = append(m.Mounts, line)
		}
	}
	for _, list := range []*[]string{&m.Links, &m.Addrs, &m.Routes, &m.Rules, &m.Tables} {
		slices.Sort(*list)
	}
	return m
}

// readSysctls reads net.* without what counts or is there only once a module is
// loaded.
func (m *machine) readSysctls(tb testing.TB) {
	tb.Helper()
	must(tb, filepath.WalkDir("/proc/sys/net", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "/netfilter/") {
			return nil //nolint:nilerr // what nobody may list cannot be compared
		}
		if value, err := os.ReadFile(path); err == nil {
			m.Sysctls[path] = string(value)
		}
		return nil
	}))
}

// TestPrivilegedUntouched compares the namespace that the lab is started in before,
// while and after it is up. It does not run beside other tests.
func TestPrivilegedUntouched(t *testing.T) {
	testkit.RequireRoot(t)
	o := options(t, article)
	before := lookAtMachine(t, string(o.RunDir))
	if len(before.Sysctls) < 100 || len(before.Links) == 0 {
		t.Fatalf("%d sysctls and %d links: nothing to compare", len(before.Sysctls), len(before.Links))
	}
	t.Run("up", func(t *testing.T) {
		w := up(t, article)
		if _, _, err := ping(w.space("default/pod1-1"), "10.0.2.158", 1); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(before, lookAtMachine(t, string(o.RunDir))); diff != "" {
			t.Errorf("while the lab is up (-before +now):\n%s", diff)
		}
	})
	if diff := cmp.Diff(before, lookAtMachine(t, string(o.RunDir))); diff != "" {
		t.Errorf("after the lab (-before +now):\n%s", diff)
	}
}
