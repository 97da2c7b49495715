package cluster_test

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
)

var update = flag.Bool("update", false, "rewrite golden files")

// load loads one description and fails the test if it is bad.
func load(t *testing.T, text string) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Load(cluster.Source{Name: "test.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

func loadFile(t *testing.T, path string) *cluster.Cluster {
	t.Helper()
	c, err := cluster.LoadFiles(path)
	if err != nil {
		t.Fatalf("LoadFiles(%s): %v", path, err)
	}
	return c
}

// golden compares an output with a file; -update writes the file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

const kinds = "Lab, Node, Pod, Service, EndpointSlice, CiliumNode, CiliumEndpoint, Namespace, List"

// TestBadFiles loads every file below testdata/bad. Each has one thing wrong and is
// answered by one line.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, want string }{
		{"alias-cycle", ":3: document 1, List: items: lists within lists, more than 4 deep"},
		{"api-version", `:1: document 1, Lab: apiVersion: "hooklab.io/v1": allowed: hooklab.io/v1alpha1`},
		{"backend-id-zero", ":6: document 1, Lab: spec.services[0].backendIDs: 0 for 10.0.1.1:80: allowed: 1..4294967295"},
		{"backend-id-twice", ":7: document 1, Lab: spec.services[1].backendIDs: 3: taken by 10.0.1.1:80"},
		{"bad-device", `:5: document 1, Lab: spec.pods[0].device: "eth1": allowed: lxc, then up to 12 lower case letters, digits, '-', '_' and '.'`},
		{"bad-ip", `:5: document 1, Pod one: status.podIP: "300.1.1.1": not an IPv4 address`},
		{"bad-mac", `:6: document 1, Lab: spec.pods[0].mac: "66:FE:F8:92:BF": not a MAC address; want six hex bytes such as 66:fe:f8:92:bf:af`},
		{"bad-name", `:1: document 1, Node ../../etc: metadata.name: "../../etc": allowed: lower case letters, digits, '-' and '.', a letter or digit at both ends`},
		{"bad-port", `:12: document 2, Service web: spec.ports[1].port: "99999": allowed: 1..65535`},
		{"container-port", ":5: document 2, Pod one: spec.containers[0].ports[1].containerPort: missing; allowed: 1..65535"},
		{"broadcast-ip", ":5: document 1, Lab: spec.pods[0].ip: 10.0.1.255: not a host address of 10.0.1.0/24, the podCIDR of node a"},
		{"conflicting-cep", ":11: document 3, CiliumEndpoint one: status.networking.addressing: 10.0.0.8, but Pod default/one has 10.0.0.7 from another document"},
		{"duplicate-cluster-ip", ":7: document 1, Lab: spec.services[1].clusterIP: 10.96.0.20: taken by service default/web"},
		{"duplicate-id", ":7: document 1, Lab: spec.pods[1].id: 7: taken by pod default/one"},
		{"duplicate-ip", ":7: document 1, Lab: spec.pods[1].ip: 10.0.1.7: taken by pod default/one"},
		{"duplicate-pod", ":7: document 1, Lab: spec.pods[1].name: a second Pod default/one; the first is in document 1 of testdata/bad/duplicate-pod.yaml, line 6"},
		{"duplicate-port", ":5: document 1, Lab: spec.services[0].ports[1].port: 80: a second TCP port of this number"},
		{"empty", ": empty: a cluster file has at least one document; known kinds: " + kinds},
		{"field-twice", ":6: document 1, Lab: spec.mtu: given twice"},
		{"full-podcidr", ":6: document 1, Lab: spec.pods[4].ip: no address left in 10.0.0.0/29, the podCIDR of node a"},
		{"group-mac", `:1: document 1, Pod one: metadata.annotations.hooklab.io/mac: "01:00:5e:00:00:01": a group address; a device's MAC has bit 0 of its first byte clear`},
		{"ip-outside-podcidr", ":5: document 1, Lab: spec.pods[0].ip: 10.0.2.7: not a host address of 10.0.1.0/24, the podCIDR of node a"},
		{"latin1", ": not a text file: byte 0xe4 at offset 7 is not UTF-8"},
		{"list-at-top", ":1: document 1: a list given where an object is wanted: a mapping with kind, metadata and so on"},
		{"mapping-for-list", ":4: document 1, Lab: spec.nodes: a mapping given where a list is wanted"},
		{"network-policy", ":1: document 1, NetworkPolicy default/deny-all: kind: not supported yet: NetworkPolicy; known kinds: " + kinds},
		{"no-kind", ":1: document 1: kind: missing; known kinds: " + kinds},
		{"no-nodes", ":1: document 1, Lab nobody: no nodes; give them as spec.nodes of a Lab, or as Node or CiliumNode objects"},
		{"node-outside-underlay", ":5: document 1, Lab: spec.nodes[0].ip: 172.18.0.3: not a host address of the underlay 192.168.7.0/24"},
		{"nul", ": not a text file: byte 0x00 at offset 9"},
		{"only-comments", ": empty: a cluster file has at least one document; known kinds: " + kinds},
		{"overlapping-podcidrs", ":6: document 2, CiliumNode b: spec.ipam.podCIDRs[0]: 10.0.1.0/24: overlaps the podCIDR of node a, 10.0.0.0/16"},
		{"pod-on-unknown-node", `:7: document 1, Pod shop/web: spec.nodeName: "worker9": no such node; nodes: worker`},
		{"pod-without-node", ":5: document 2, Pod shop/web: spec.nodeName: missing: a pod runs on a node; nodes: worker"},
		{"podcidr-host-bits", `:4: document 1, Lab: spec.nodes[0].podCIDR: "10.0.1.7/24": has bits behind its mask; the network is 10.0.1.0/24`},
		{"podcidr-in-underlay", ":4: document 1, Lab: spec.nodes[0].podCIDR: 172.18.7.0/24: overlaps the underlay, 172.18.0.0/16"},
		{"scalar", `:1: document 1: "just some text" given where an object is wanted: a mapping with kind, metadata and so on`},
		{"service-without-port", ":5: document 2, Service web: spec.ports: missing: a service has at least one port"},
		{"slice-without-service", `:5: document 2, EndpointSlice web-x: metadata.labels: kubernetes.io/service-name: "web": no such service in namespace default`},
		{"syntax", ":1: document 1: not YAML: did not find expected ',' or ']'"},
		{"tab", ":3: document 1: not YAML: found character that cannot start any token"},
		{"two-identities", ":7: document 1, Lab: spec.pods[1].identity: 1001: a pod with the same labels has identity 1000, and one label set has one identity"},
		{"two-labs", ":6: document 2, Lab: kind: a second Lab document; the first is document 1 of testdata/bad/two-labs.yaml"},
		{"unknown-annotation", ":1: document 1, Pod one: metadata.annotations.hooklab.io/cmd: unknown field; allowed: hooklab.io/run, hooklab.io/ip, hooklab.io/endpoint-id, hooklab.io/identity, hooklab.io/mac, hooklab.io/node-mac, hooklab.io/ifindex, hooklab.io/device"},
		{"unknown-field", ":6: document 1, Lab two: spec.nodes[0].podcidr: unknown field; allowed: name, role, ip, podCIDR, router, health, id, hostID, mac, hostMAC, netMAC, vxlanMAC, engine"},
		{"unknown-kind", `:1: document 1: kind: "Deployment": unknown kind; known kinds: ` + kinds},
		{"unknown-profile", `:4: document 1, Lab: spec.profile: "cilium-1.13": allowed: cilium-1.12, article, host-routing, endpoint-routes`},
	}
	tested := make(map[string]bool)
	for _, tt := range tests {
		tested[tt.name+".yaml"] = true
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata", "bad", tt.name+".yaml")
			_, err := cluster.LoadFiles(path)
			if !errors.Is(err, cluster.ErrInput) {
				t.Fatalf("LoadFiles(%s) = %v, want an ErrInput", path, err)
			}
			if diff := cmp.Diff(path+tt.want, err.Error()); diff != "" {
				t.Errorf("error of %s (-want +got):\n%s", path, diff)
			}
		})
	}
	files, err := os.ReadDir(filepath.Join("testdata", "bad"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !tested[f.Name()] {
			t.Errorf("testdata/bad/%s is not in the table", f.Name())
		}
	}
}

func TestBadSources(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 10<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(1 + r.IntN(255))
	}
	text := bytes.Repeat([]byte("- "), 5<<20)
	aliases := "kind: List\nitems:\n- {kind: Node, metadata: {name: a}}\n" +
		"- {kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}\n" +
		"- kind: EndpointSlice\n  metadata: {name: x, labels: {kubernetes.io/service-name: web}}\n  ports: [{port: 80}]\n" +
		"  endpoints:\n  - &e\n    addresses: [" + strings.TrimSuffix(strings.Repeat("10.0.0.1,", 3000), ",") + "]\n" +
		strings.Repeat("  - *e\n", 3000)
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"10 MB of noise", noise, "x: larger than 4 MiB, the most that a cluster file may have"},
		{"1 MB of noise", noise[:1<<20], "x: not a text file: byte 0xc9 at offset 2 is not UTF-8"},
		{"10 MB of dashes", text, "x: larger than 4 MiB, the most that a cluster file may have"},
		{"deep lists", text[:1<<16], "x: document 1: not YAML: exceeded max depth of 10000"},
		{"deep flow", bytes.Repeat([]byte("["), 1<<16), "x: document 1: not YAML: exceeded max depth of 10000"},
		{"many aliases", []byte(aliases), "x:10: document 1, EndpointSlice x: endpoints[698].addresses[985]: too much: more than 2097152 values, aliases expanded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := cluster.Load(cluster.Source{Name: "x", Data: tt.data})
			if !errors.Is(err, cluster.ErrInput) {
				t.Fatalf("Load = %v, want an ErrInput", err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadFileErrors(t *testing.T) {
	t.Parallel()
	for _, path := range []string{filepath.Join(t.TempDir(), "missing.yaml"), t.TempDir()} {
		if _, err := cluster.LoadFiles(path); !errors.Is(err, cluster.ErrInput) || strings.Contains(err.Error(), "\n") {
			t.Errorf("LoadFiles(%s) = %v, want an ErrInput of one line", path, err)
		}
	}
}

// TestManyProblems checks that a file with many problems tells the first ones.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	text := "apiVersion: hooklab.io/v1alpha1\nkind: Lab\nspec:\n  nodes: [{name: a}]\n  pods:\n" +
		strings.Repeat("  - {name: Bad, node: a}\n", 9)
	_, err := cluster.Load(cluster.Source{Name: "x", Data: []byte(text)})
	if err == nil {
		t.Fatal("Load accepted bad names")
	}
	lines := strings.Split(err.Error(), "\n")
	if got, want := len(lines), 6; got != want {
		t.Fatalf("%d lines, want %d:\n%v", got, want, err)
	}
	if got, want := lines[5], "and 4 more problems"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	if got, want := lines[0], "x:6: document 1, Lab: spec.pods[0].name: "; !strings.HasPrefix(got, want) {
		t.Errorf("first line %q, want it to begin with %q", got, want)
	}
}

// FuzzLoad checks that no input makes Load panic, and that whatever it accepts is
// complete: its own manifests describe it again.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yaml", "../examples/*/cluster.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := cluster.Load(cluster.Source{Name: "fuzz", Data: data})
		if err != nil {
			if !errors.Is(err, cluster.ErrInput) || strings.Count(err.Error(), "\n") > 5 {
				t.Fatalf("Load = %v, want an ErrInput of a handful of lines", err)
			}
			return
		}
		if diff := cmp.Diff(content(c), content(again(t, c)), compareAddrs); diff != "" {
			t.Errorf("loading its own manifests made another cluster (-first +second):\n%s", diff)
		}
	})
}
