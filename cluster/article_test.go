package cluster_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/maps"
)

const article = "../examples/01-article/cluster.yaml"

// synced makes a node's maps as its agent fills them.
func synced(t *testing.T, c *cluster.Cluster, node string) *maps.Set {
	t.Helper()
	set := maps.NewSet(maps.Sizes{})
	a, err := cluster.NewAgent(c, node, set)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(); err != nil {
		t.Fatal(err)
	}
	return set
}

// mapGet is the output of `cilium map get`, in lines.
func mapGet(t *testing.T, set *maps.Set, name string, opt maps.TextOptions) []string {
	t.Helper()
	store, err := set.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := maps.WriteTable(&out, store, opt); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// TestArticle checks that the article's dumps come out, columns included. Each row
// of the article is there byte for byte, and extra is all there is besides.
func TestArticle(t *testing.T) {
	t.Parallel()
	c := loadFile(t, article)
	tests := []struct {
		name  string
		rows  []string
		extra []string
	}{
		{
			name: maps.NameLXC,
			rows: []string{
				"Key            Value                                                                               State   Error",
				"10.0.1.51:0    id=51    flags=0x0000 ifindex=8   mac=AE:3A:52:A3:EC:B3 nodemac=0A:5A:DE:B8:D8:F4   sync    ",
				"10.0.1.9:0     id=2389  flags=0x0000 ifindex=10  mac=A6:0D:28:CA:4A:85 nodemac=5A:01:4A:68:C4:C4   sync    ",
				"10.0.1.18:0    id=2400  flags=0x0000 ifindex=12  mac=EE:9D:C0:B1:94:34 nodemac=12:3F:87:06:72:79   sync    ",
				"10.0.1.178:0   id=1272  flags=0x0000 ifindex=14  mac=66:FE:F8:92:BF:AF nodemac=5A:03:C6:E1:49:D2   sync    ",
				"10.0.1.79:0    id=436   flags=0x0000 ifindex=16  mac=32:ED:0B:F8:18:E9 nodemac=C2:8B:75:D9:5F:EC   sync    ",
			},
			extra: []string{"10.0.1.197:0   (localhost)", "172.18.0.3:0   (localhost)"},
		},
		{
			name: maps.NameIPCache,
			rows: []string{
				"10.0.2.158/32   identity=13789 encryptkey=0 tunnelendpoint=172.18.0.5   sync    ",
				"0.0.0.0/0       identity=2 encryptkey=0 tunnelendpoint=0.0.0.0          sync    ",
			},
			extra: []string{
				"Key             Value",
				"172.18.0.3/32   identity=1 ", "10.0.1.197/32   identity=1 ", "10.0.1.51/32    identity=4 ",
				"172.18.0.4/32   identity=7 ", "172.18.0.5/32   identity=6 ",
				"10.0.0.102/32   identity=6 ", "10.0.0.192/32   identity=4 ", "10.0.2.93/32    identity=6 ", "10.0.2.231/32   identity=4 ",
				"10.0.1.178/32 ", "10.0.1.79/32 ", "10.0.1.9/32 ", "10.0.1.18/32 ", "10.0.2.230/32 ",
			},
		},
		{
			name: maps.NameServices,
			rows: []string{
				"Key               Value               State   Error",
				"10.96.0.1:443     0 1 (1) [0x0 0x0]   sync    ",
				"10.96.0.10:53     0 2 (2) [0x0 0x0]   sync    ",
				"10.96.0.10:9153   0 2 (3) [0x0 0x0]   sync    ",
				"10.96.52.248:80   0 1 (5) [0x0 0x0]   sync    ",
			},
		},
		{
			name: maps.NameBackends,
			rows: []string{
				"Key   Value                   State   Error",
				"4     ANY://10.0.2.230:53     sync    ",
				"5     ANY://10.0.2.230:9153   sync    ",
				"7     ANY://10.0.1.79:80      sync    ",
				"1     ANY://172.18.0.4:6443   sync    ",
				"2     ANY://10.0.1.9:53       sync    ",
				"3     ANY://10.0.1.9:9153     sync    ",
			},
		},
		{
			name:  maps.NameTunnel,
			extra: []string{"Key        Value          State   Error", "10.0.0.0   172.18.0.4:0   sync", "10.0.2.0   172.18.0.5:0   sync"},
		},
	}
	set := synced(t, c, c.DefaultNode().Name)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := mapGet(t, set, tt.name, c.MapText())
			for _, row := range tt.rows {
				at := slices.Index(got, row)
				if at < 0 {
					t.Errorf("no row %q in\n%s", row, strings.Join(got, "\n"))
					continue
				}
				got = slices.Delete(got, at, at+1)
			}
			for _, prefix := range tt.extra {
				got = slices.DeleteFunc(got, func(row string) bool { return strings.HasPrefix(row, prefix) })
			}
			if len(got) > 0 {
				t.Errorf("rows beyond the article's and those that are known:\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

// TestArticleExpected compares whole outputs with the files of the example.
func TestArticleExpected(t *testing.T) {
	t.Parallel()
	c := loadFile(t, article)
	set := synced(t, c, c.DefaultNode().Name)
	outputs := make(map[string]string)
	for _, name := range []string{maps.NameLXC, maps.NameIPCache, maps.NameServices, maps.NameBackends, maps.NameRevNAT, maps.NameTunnel} {
		outputs["map-get-"+name+".txt"] = strings.Join(mapGet(t, set, name, c.MapText()), "\n") + "\n"
	}
	for _, kind := range []string{"nodes", "pods", "services", "devices"} {
		v, err := c.View(kind)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := v.WriteTable(&out); err != nil {
			t.Fatal(err)
		}
		outputs["get-"+kind+".txt"] = out.String()
	}
	for name, got := range outputs {
		golden(t, filepath.Join(filepath.Dir(article), "expected", name), got)
	}
}

// TestArticleCiliumNode checks the article's `kubectl get ciliumnodes`.
func TestArticleCiliumNode(t *testing.T) {
	t.Parallel()
	v, err := loadFile(t, article).View("ciliumnodes", "cilium-worker")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := v.WriteYAML(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join(filepath.Dir(article), "expected", "get-ciliumnode.yaml"), out.String())
	for _, want := range []string{"apiVersion: cilium.io/v2\nkind: CiliumNode\n", "\nspec:\n", "\n  ipam:\n    podCIDRs:\n    - 10.0.1.0/24\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestPolicyMaps checks the maps of endpoints that no policy selects.
func TestPolicyMaps(t *testing.T) {
	t.Parallel()
	c := loadFile(t, article)
	set := synced(t, c, "cilium-worker")
	want := map[maps.PolicyKey]maps.PolicyEntry{
		{Egress: maps.PolicyIngress}:              {},
		{Egress: maps.PolicyEgress}:               {},
		{SecLabel: 1, Egress: maps.PolicyIngress}: {},
	}
	for _, e := range c.Endpoints("cilium-worker") {
		got := make(map[maps.PolicyKey]maps.PolicyEntry)
		for k, v := range set.Policy(e.ID).All() {
			got[*k] = *v
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("policy of endpoint %d (-want +got):\n%s", e.ID, diff)
		}
	}
}
