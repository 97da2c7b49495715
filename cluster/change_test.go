package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
)

// TestAllocation compares everything that is allocated with golden files.
func TestAllocation(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"short": "testdata/good/short.yaml", "everything": "testdata/good/everything.yaml", "kubectl": "testdata/good/kubectl.yaml",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := loadFile(t, path)
			var got bytes.Buffer
			for _, kind := range []string{"nodes", "ciliumnodes", "pods", "services", "devices"} {
				v, err := c.View(kind)
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString("# " + kind + "\n")
				if err := v.WriteTable(&got); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, filepath.Join("testdata", "golden", name+".txt"), got.String())
		})
	}
}

const fourPods = `apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  nodes: [{name: a}, {name: b}]
  pods:
  - {name: p1, node: a}
  - {name: p2, node: a}
  - {name: p3, node: b}
  - {name: p4, node: b}
  services:
  - {name: web, selector: {run: p2}, ports: [80]}
`

// TestSeed checks that the same seed makes the same cluster and another one does not.
func TestSeed(t *testing.T) {
	t.Parallel()
	one, same := load(t, fourPods), load(t, fourPods)
	other := load(t, fourPods+"  seed: 1\n")
	if diff := cmp.Diff(content(one), content(same), compareAddrs); diff != "" {
		t.Errorf("the same file made another cluster:\n%s", diff)
	}
	if one.Pods()[0].MAC == other.Pods()[0].MAC || one.Pods()[0].IP == other.Pods()[0].IP {
		t.Error("another seed made the same addresses")
	}
}

// TestReload checks that what stays keeps its allocations, though the order is
// another and a new pod wants an address that a pod had.
func TestReload(t *testing.T) {
	t.Parallel()
	c := load(t, fourPods)
	added, err := c.AddPod(cluster.Pod{Name: "extra", Node: "a", Labels: map[string]string{"run": "extra"}})
	if err != nil {
		t.Fatal(err)
	}
	before := c.Pods()
	text := `apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  nodes: [{name: new}, {name: b}, {name: a}]
  pods:
  - {name: p9, node: a, ip: ` + before[1].IP.String() + `}
  - {name: extra, node: a}
  - {name: p3, node: b}
  - {name: p2, node: a}
  - {name: p1, node: a, run: [nc]}
  services:
  - {name: first, ports: [80]}
  - {name: web, selector: {run: p2}, ports: [80]}
`
	services := c.Services()
	nodes := c.Nodes()
	changes, err := c.Reload(cluster.Source{Name: "new.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	names := func(pods []cluster.Pod) (list []string) {
		for _, p := range pods {
			list = append(list, p.Name)
		}
		return list
	}
	if diff := cmp.Diff([]string{"p1", "p2", "p4"}, names(changes.RemovedPods)); diff != "" {
		t.Errorf("removed pods (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"p9", "p2", "p1"}, names(changes.AddedPods)); diff != "" {
		t.Errorf("added pods (-want +got):\n%s", diff)
	}
	if len(changes.AddedNodes) != 1 || changes.AddedNodes[0].Name != "new" || len(changes.RemovedNodes) != 0 || changes.Settings != nil {
		t.Errorf("node changes %+v, want one added", changes)
	}
	extra, err := c.Pod("extra")
	if err != nil {
		t.Fatal(err)
	}
	if extra.Endpoint != added.Endpoint {
		t.Errorf("pod extra was given %+v, had %+v", extra.Endpoint, added.Endpoint)
	}
	p2, err := c.Pod("p2")
	if err != nil {
		t.Fatal(err)
	}
	if p2.IP == before[1].IP || p2.ID != before[1].ID || p2.Identity != before[1].Identity {
		t.Errorf("pod p2 has %+v, want another address than %s and the rest of %+v", p2.Endpoint, before[1].IP, before[1].Endpoint)
	}
	a, err := c.Node("a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(nodes[0], a, compareAddrs); diff != "" {
		t.Errorf("node a (-before +after):\n%s", diff)
	}
	web, err := c.Service("web")
	if err != nil {
		t.Fatal(err)
	}
	if web.ClusterIP != services[0].ClusterIP || web.Ports[0].ID != services[0].Ports[0].ID {
		t.Errorf("service web is %s id %d, was %s id %d", web.ClusterIP, web.Ports[0].ID, services[0].ClusterIP, services[0].Ports[0].ID)
	}
	if changes, err := c.Reload(cluster.Source{Name: "new.yaml", Data: []byte(text)}); err != nil || !changes.Empty() {
		t.Errorf("a second Reload of the same file = %+v, %v; want no changes", changes, err)
	}
	if changes, err := c.Reload(cluster.Source{Name: "new.yaml", Data: []byte(text + "  mtu: 9000\n")}); err != nil || changes.Empty() {
		t.Errorf("Reload with another MTU = %+v, %v; want changed settings", changes, err)
	}
	was := c.Pods()
	if _, err := c.Reload(cluster.Source{Name: "bad.yaml", Data: []byte("kind: Lab")}); !errors.Is(err, cluster.ErrInput) {
		t.Errorf("Reload of a bad file = %v, want ErrInput", err)
	}
	if diff := cmp.Diff(was, c.Pods(), compareAddrs); diff != "" {
		t.Errorf("a bad file changed the pods:\n%s", diff)
	}
}

// TestBackends follows a service's backends through the life of its pods.
func TestBackends(t *testing.T) {
	t.Parallel()
	c := load(t, fourPods)
	want := func(when string, backends ...cluster.Backend) {
		t.Helper()
		s, err := c.Service("default/web")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(backends, s.Ports[0].Backends, compareAddrs); diff != "" {
			t.Errorf("%s: backends (-want +got):\n%s", when, diff)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p2 := netip.AddrPortFrom(c.Pods()[1].IP, 80)
	want("start", cluster.Backend{ID: 1, Addr: p2})

	extra, err := c.AddPod(cluster.Pod{Name: "extra", Node: "b", Labels: map[string]string{"run": "p2"}})
	must(err)
	p5 := netip.AddrPortFrom(extra.IP, 80)
	want("pod added", cluster.Backend{ID: 1, Addr: p2}, cluster.Backend{ID: 2, Addr: p5})

	must(c.SetPhase("p2", cluster.Terminating))
	want("pod terminating", cluster.Backend{ID: 2, Addr: p5}, cluster.Backend{ID: 1, Addr: p2, Terminating: true})
	must(c.SetPhase("p2", cluster.NotReady))
	want("pod not ready", cluster.Backend{ID: 2, Addr: p5})
	must(c.SetPhase("p2", cluster.Running))
	want("pod ready again", cluster.Backend{ID: 2, Addr: p5}, cluster.Backend{ID: 3, Addr: p2})
	must(c.RemovePod("extra"))
	want("pod removed", cluster.Backend{ID: 3, Addr: p2})

	dns := netip.MustParseAddrPort("8.8.8.8:53")
	must(c.SetBackends("web", 80, []cluster.Backend{{Addr: dns, ID: 77}, {Addr: p2}}))
	want("backends set", cluster.Backend{ID: 3, Addr: p2}, cluster.Backend{ID: 77, Addr: dns})
	must(c.SetBackends("web", 80, nil))
	want("no backends")
	must(c.RemoveService("web"))
	if len(c.Services()) != 0 {
		t.Error("the service is still there")
	}
}

// TestChangeErrors checks that bad changes are refused and leave everything as it is.
func TestChangeErrors(t *testing.T) {
	t.Parallel()
	c := load(t, fourPods)
	was := content(c)
	tests := []struct {
		name   string
		change func() error
		want   string
	}{
		{"pod without name", func() error { _, err := c.AddPod(cluster.Pod{Node: "a"}); return err }, "Pod: name: missing"},
		{"pod twice", func() error { _, err := c.AddPod(cluster.Pod{Name: "p1", Node: "a"}); return err }, "Pod default/p1: exists already"},
		{"pod on no node", func() error { _, err := c.AddPod(cluster.Pod{Name: "p9"}); return err }, "Pod default/p9: node: missing: a pod runs on a node; nodes: a, b"},
		{"unknown pod", func() error { return c.RemovePod("p9") }, `no pod "p9"; pods: default/p1, default/p2, default/p3, default/p4`},
		{"unknown service", func() error { return c.RemoveService("kube-system/web") }, `no service "kube-system/web"; services: default/web`},
		{"unknown port", func() error { return c.SetBackends("web", 81, nil) }, "Service default/web: no port 81"},
		{"bad backend", func() error { return c.SetBackends("web", 80, []cluster.Backend{{}}) }, "Service default/web: invalid AddrPort: not an IPv4 address and port"},
		{"service without port", func() error { _, err := c.AddService(cluster.Service{Name: "x"}); return err }, "Service default/x: ports: missing: a service has at least one port"},
		{"unknown node", func() error { _, err := c.Node("z"); return err }, `no node "z"; nodes: a, b`},
		{"unknown kind", func() error { _, err := c.View("secrets"); return err }, `"secrets": unknown kind; known kinds: nodes, pods, services, devices, ciliumnodes`},
	}
	for _, tt := range tests {
		err := tt.change()
		if !errors.Is(err, cluster.ErrInput) || err.Error() != tt.want {
			t.Errorf("%s: error %v, want ErrInput %q", tt.name, err, tt.want)
		}
	}
	if diff := cmp.Diff(was, content(c), compareAddrs); diff != "" {
		t.Errorf("bad changes changed the cluster (-before +after):\n%s", diff)
	}
}

// TestConcurrentUse changes a cluster while agents and readers use it; the race
// detector is the judge.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	c := load(t, fourPods)
	var wg sync.WaitGroup
	for _, node := range []string{"a", "b"} {
		wg.Go(func() {
			for range 50 {
				synced(t, c, node)
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			if _, err := c.AddPod(cluster.Pod{Name: "extra", Node: "a"}); err != nil {
				t.Error(err)
			}
			if err := c.RemovePod("extra"); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

// TestManyNodes checks that a large cluster is made in reasonable time: a quadratic
// search for podCIDRs or addresses would show as minutes.
func TestManyNodes(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	text.WriteString("apiVersion: hooklab.io/v1alpha1\nkind: Lab\nspec:\n  nodes:\n")
	const nodes = 2000
	for i := range nodes {
		text.WriteString("  - {name: n" + strconv.Itoa(i) + "}\n")
	}
	c := load(t, text.String())
	last := c.Nodes()[nodes-1]
	// 10.0.0.0/24 is the first podCIDR; 10.96.0.0/16 lies beyond the last.
	if got, want := last.PodCIDR.String(), "10.7.207.0/24"; got != want {
		t.Errorf("podCIDR of the last node %s, want %s", got, want)
	}
	if got, want := last.IP.String(), "172.18.7.209"; got != want {
		t.Errorf("address of the last node %s, want %s", got, want)
	}
}

// TestChangesLines tells what another description would change, in a clone.
func TestChangesLines(t *testing.T) {
	t.Parallel()
	const before = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  nodes: [{name: a, podCIDR: 10.0.0.0/24}]
  pods:
  - {name: p1, node: a, ip: 10.0.0.1, labels: {app: web}}
  - {name: p2, node: a, ip: 10.0.0.2, identity: 2000}
  - {name: p3, node: a, ip: 10.0.0.3}
  services:
  - {name: web, clusterIP: 10.96.0.1, selector: {app: web}, ports: [80, 81]}
  - {name: gone, clusterIP: 10.96.0.2, ports: [80]}
`
	const after = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  mtu: 1400
  nodes: [{name: a}, {name: b, ip: 172.18.0.9, podCIDR: 10.0.7.0/24}]
  pods:
  - {name: p1, node: a, labels: {app: other}, identity: 3000}
  - {name: p2, node: a, ip: 10.0.0.2, identity: 2000, labels: {run: p2, app: web}}
  - {name: p3, node: b, ip: 10.0.7.3}
  services:
  - {name: web, selector: {app: web}, ports: [80, 82]}
  - {name: new, clusterIP: 10.96.0.3, ports: [80]}
`
	c := load(t, before)
	clone := c.Clone()
	changes, err := clone.Reload(cluster.Source{Name: "after.yaml", Data: []byte(after)})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"~ settings: MTU",
		"+ node b, 172.18.0.9, pods 10.0.7.0/24",
		"- pod default/p3 on a, 10.0.0.3",
		"+ pod default/p3 on b, 10.0.7.3",
		"~ pod default/p1: identity 3000 instead of " + fmt.Sprint(c.Pods()[0].Identity) + ", labels",
		"~ pod default/p2: labels",
		"- service default/gone",
		"+ service default/new, 10.96.0.3",
		"~ service default/web: no port 81/TCP, port 80/TCP: -10.0.0.1:80 +10.0.0.2:80, port 82/TCP",
	}
	if diff := cmp.Diff(want, changes.Lines()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if len(c.Nodes()) != 1 || len(c.Services()) != 2 {
		t.Error("the clone's change has changed the cluster")
	}
	c.Restore(clone)
	if len(c.Nodes()) != 2 {
		t.Error("the cluster did not become the clone")
	}
}
