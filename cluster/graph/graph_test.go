package graph_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/cluster/graph"
	"github.com/hooklab/hooklab/internal/browser"
	"github.com/hooklab/hooklab/internal/testkit"
)

// small is a cluster with a service, a host outside, a pod of the host's network and a
// name that every form has to escape.
const small = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: small}
spec:
  nodes: [{name: n1}, {name: n2}]
  pods:
  - {name: a, node: n1}
  - {name: b, node: n2, labels: {app: web}}
  services: [{name: web, selector: {app: web}, ports: [80]}]
  external: [{name: dns, ip: 192.0.2.53}]
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: kube-system}
spec: {nodeName: n2, hostNetwork: true}
`

func load(tb testing.TB, text string) *cluster.Cluster {
	tb.Helper()
	c, err := cluster.Load(cluster.Source{Name: "test", Data: []byte(text)})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func written(tb testing.TB, write func(io.Writer) error) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// TestForms compares the three forms with what was approved.
func TestForms(t *testing.T) {
	t.Parallel()
	g := graph.New(load(t, small), graph.Options{})
	testkit.Golden(t, "small.svg", written(t, g.WriteSVG))
	testkit.Golden(t, "small.mmd", written(t, g.WriteMermaid))
	testkit.Golden(t, "small.dot", written(t, g.WriteDOT))
}

// TestSVG finds well-formed XML, in which everything is inside of the picture and nothing
// of a row covers another one.
func TestSVG(t *testing.T) {
	t.Parallel()
	article, err := cluster.LoadFiles("../../examples/01-article/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*cluster.Cluster{"small": load(t, small), "article": article} {
		g := graph.New(c, graph.Options{})
		d := xml.NewDecoder(bytes.NewReader(written(t, g.WriteSVG)))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		var boxes []*graph.Box
		for _, s := range g.Services {
			boxes = append(boxes, &s.Box)
		}
		for _, n := range g.Nodes {
			boxes = append(boxes, n.Devices...)
			boxes = append(boxes, n.Stack)
			for _, p := range n.Pods {
				boxes = append(boxes, &p.Box)
				if p.Device != nil {
					boxes = append(boxes, p.Device)
				}
			}
		}
		boxes = append(boxes, g.Outside...)
		for i, a := range boxes {
			if a.W <= 0 || a.H <= 0 || a.X < 0 || a.Y < 0 || a.X+a.W > g.W || a.Y+a.H > g.H {
				t.Errorf("%s: %s at %+v is not within %d×%d", name, a.ID, a.Rect, g.W, g.H)
			}
			for _, b := range boxes[:i] {
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: %s at %+v covers %s at %+v", name, a.ID, a.Rect, b.ID, b.Rect)
				}
			}
		}
	}
}

// TestAnchor finds where something happens.
func TestAnchor(t *testing.T) {
	t.Parallel()
	g := graph.New(load(t, small), graph.Options{})
	n2 := g.Nodes[1]
	for _, tt := range []struct {
		place, device string
		want          graph.Rect
	}{
		{"pod default/b", "eth0", n2.Pods[0].Rect},
		{"node n2", n2.Pods[0].Device.Name, n2.Pods[0].Device.Rect},
		{"node n2", "cilium_vxlan", n2.Devices[0].Rect},
		{"node n2", "", n2.Stack.Rect},
		{"gateway", "eth0", g.Gateway.Rect},
		{"external dns", "eth0", g.Outside[0].Rect},
		{"underlay", "", g.Underlay[0]},
	} {
		if got, ok := g.Anchor(tt.place, tt.device); !ok || got != tt.want.Centre() {
			t.Errorf("%s %s: got %v, %v, want %v", tt.place, tt.device, got, ok, tt.want.Centre())
		}
	}
	if _, ok := g.Anchor("pod default/nosuch", ""); ok {
		t.Error("a pod that is not drawn has a place")
	}
}

// TestOptions draws what was asked for, and says what it leaves out.
func TestOptions(t *testing.T) {
	t.Parallel()
	article, err := cluster.LoadFiles("../../examples/01-article/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g := graph.New(article, graph.Options{Nodes: []string{"cilium-worker"}, Pods: []string{"local-path-storage/provisioner"}, PodsPerNode: 2, Services: []string{}, Outside: []string{"8.8.8.8"}})
	var pods []string
	for _, p := range g.Nodes[0].Pods {
		pods = append(pods, p.Name)
	}
	if got := strings.Join(pods, " "); len(g.Nodes) != 1 || got != "pod1-1 local-path-storage/provisioner" || g.Nodes[0].Omitted != 2 {
		t.Errorf("got %d nodes, pods %s, %d omitted", len(g.Nodes), got, g.Nodes[0].Omitted)
	}
	if len(g.Services) != 0 || len(g.Outside) != 1 || g.Gateway == nil {
		t.Errorf("got %d services, %d outside, gateway %v", len(g.Services), len(g.Outside), g.Gateway)
	}
}

// TestMermaid lets Mermaid draw the flowchart.
func TestMermaid(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(page, []byte(`<!doctype html><script src="file://`+testkit.Mermaid(t)+`"></script><p id=out>`), 0o600); err != nil {
		t.Fatal(err)
	}
	code, err := json.Marshal(string(written(t, graph.New(load(t, small), graph.Options{}).WriteMermaid)))
	if err != nil {
		t.Fatal(err)
	}
	var text string
	browser.Open(t, "file://"+page, 800, 600).Eval(`mermaid.render("d", `+string(code)+`).then(r => {
		document.getElementById("out").innerHTML = r.svg; return document.getElementById("out").textContent })`, &text)
	for _, want := range []string{"n1", "svc/web", "kube-system/agent", "dns", "underlay 172.18.0.0/16"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the drawing: %s", want, text)
		}
	}
}
