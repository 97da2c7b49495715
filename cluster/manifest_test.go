package cluster_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"github.com/hooklab/hooklab/cluster"
)

// compareAddrs lets cmp compare netip's types, and no list with an empty one.
var compareAddrs = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

// whole is everything that a cluster consists of.
type whole struct {
	Settings cluster.Settings
	Nodes    []cluster.Node
	Pods     []cluster.Pod
	Services []cluster.Service
}

// content is a cluster without what its manifests add: every backend's id becomes a
// wish, and a role becomes a label.
func content(c *cluster.Cluster) whole {
	w := whole{Settings: c.Settings(), Nodes: c.Nodes(), Pods: c.Pods()}
	nodes := make([]cluster.Node, len(w.Nodes))
	for i, n := range w.Nodes {
		n.Labels = nil
		nodes[i] = n
	}
	w.Nodes = nodes
	for _, s := range c.Services() {
		s.BackendIDs = nil
		w.Services = append(w.Services, s)
	}
	return w
}

// again loads a cluster's own manifests.
func again(t *testing.T, c *cluster.Cluster) *cluster.Cluster {
	t.Helper()
	var text bytes.Buffer
	for _, o := range c.Manifests() {
		b, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("---\n")
		text.Write(b)
	}
	c2, err := cluster.Load(cluster.Source{Name: "again", Data: text.Bytes()})
	if err != nil {
		t.Fatalf("Load of the cluster's own manifests: %v\n%s", err, text.String())
	}
	return c2
}

func TestManifestsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"../examples/01-article/cluster.yaml", "testdata/good/short.yaml", "testdata/good/kubectl.yaml", "testdata/good/everything.yaml",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			c := loadFile(t, path)
			if diff := cmp.Diff(content(c), content(again(t, c)), compareAddrs); diff != "" {
				t.Errorf("loading its own manifests made another cluster (-first +second):\n%s", diff)
			}
		})
	}
}
