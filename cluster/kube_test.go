package cluster_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// TestKubectl checks what is made of a cluster as kubectl writes it.
func TestKubectl(t *testing.T) {
	t.Parallel()
	c := loadFile(t, "testdata/good/kubectl.yaml")
	worker, err := c.Node("kind-worker")
	if err != nil {
		t.Fatal(err)
	}
	pod, err := c.Pod("web-7d4b9c6d5-abcde")
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := c.Pod("shop/orphan")
	if err != nil {
		t.Fatal(err)
	}
	api, err := c.Pod("kube-system/kube-apiserver")
	if err != nil {
		t.Fatal(err)
	}
	backends := func(ref string) (text []string) {
		s, err := c.Service(ref)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range s.Ports[0].Backends {
			line := b.Addr.String()
			if b.Terminating {
				line += " terminating"
			}
			text = append(text, line)
		}
		return text
	}
	tests := []struct {
		name      string
		got, want any
	}{
		{"underlay holds the nodes", c.Settings().Underlay.String(), "192.168.1.0/24"},
		{"IPv6 addresses are left aside", c.Nodes()[0].IP.String(), "192.168.1.20"},
		{"CiliumNode gives podCIDR", c.Nodes()[0].PodCIDR.String(), "10.0.0.0/24"},
		{"CiliumNode gives router", c.Nodes()[0].Router.String(), "10.0.0.61"},
		{"CiliumNode gives health IP", c.Nodes()[0].Health.IP.String(), "10.0.0.209"},
		{"role", c.Nodes()[0].ControlPlane, true},
		{"podCIDR of a node without CiliumNode comes from its pods", worker.PodCIDR.String(), "10.0.1.0/24"},
		{"default node", c.DefaultNode().Name, "kind-worker"},
		{"ended pod has no endpoint", len(c.Pods()), 5},
		{"annotation says what runs", pod.Run, []string{"nc", "-lk", "8080"}},
		{"CiliumEndpoint gives id", pod.ID, uint16(1601)},
		{"CiliumEndpoint gives identity", pod.Identity, uint32(29898)},
		{"labels of a lone CiliumEndpoint", orphan.Labels, map[string]string{"app": "orphan"}},
		{"node of a lone CiliumEndpoint", orphan.Node, "kind-worker"},
		{"copies have one identity", c.Pods()[1].Identity, uint32(29898)},
		{"identity labels", c.IdentityLabels(29898), []string{
			"k8s:app=web", "k8s:io.cilium.k8s.namespace.labels.team=blue", "k8s:io.cilium.k8s.policy.cluster=default",
			"k8s:io.cilium.k8s.policy.serviceaccount=web", "k8s:io.kubernetes.pod.namespace=shop",
		}},
		{"reserved identity's labels", c.IdentityLabels(code.IdentityHealth), []string{"reserved:health"}},
		{"host network pod", api.HostNetwork && api.IP == netip.MustParseAddr("192.168.1.20") && api.ID == 0, true},
		{"its node has no endpoint for it", len(c.Endpoints("kind-control-plane")), 2},
		{"selector and named port", backends("web"), []string{"10.0.1.44:8080", "10.0.1.46:8080 terminating"}},
		{"slice", backends("sliced"), []string{"10.0.1.44:8080", "10.0.1.46:8080 terminating"}},
		{"apiserver", backends("kubernetes"), []string{"192.168.1.20:6443"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	shared, slots := 0, 0
	set := synced(t, c, "kind-worker")
	for k := range set.Services.All() {
		slots++
		if k.Address == [4]byte{10, 96, 8, 8} || k.Address == [4]byte{10, 96, 8, 9} {
			shared++
		}
	}
	if shared != 6 || slots != 8 {
		t.Errorf("%d service entries, %d of web and sliced; want 8 and 6 (headless: none)", slots, shared)
	}
	if got := set.Backends.Len(); got != 3 {
		t.Errorf("%d backends, want 3: services share them", got)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	c := loadFile(t, "testdata/good/everything.yaml")
	got, err := c.EndpointConfig("worker", c.Pods()[0].Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	want := dataplane.DefaultConfig()
	want.EncapIfindex, want.NetIfindex, want.HostIfindex = 5, 3, 4
	want.HostMAC, want.NetMAC, want.OverlayMAC = [6]byte{10, 0, 0, 0, 0, 4}, [6]byte{10, 0, 0, 0, 0, 5}, [6]byte{10, 0, 0, 0, 0, 6}
	want.PodCIDRMask = [4]byte{255, 255, 255, 192}
	want.HostEndpointID = 99
	want.Delivery = dataplane.DeliverPeer
	want.Lifetimes = dataplane.Lifetimes{
		TCP: 21600, NonTCP: 30, ServiceTCP: 100, ServiceNonTCP: 31, SYN: 32, Close: 11, ServiceCloseRebalance: 30,
	}
	want.ReportInterval, want.Clock, want.KernelHz, want.Aggregation = 7, dataplane.ClockJiffies, 1000, dataplane.AggregateNone
	want.Endpoint = dataplane.EndpointConfig{
		ID: 34, IPv4: [4]byte{10, 200, 0, 72}, NodeMAC: [6]byte{10, 0, 0, 0, 0, 8}, Identity: 1234,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("EndpointConfig (-want +got):\n%s", diff)
	}
}

// TestDelivery checks the profiles, and the node that hosts the apiserver.
func TestDelivery(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		spec string
		want dataplane.Delivery
	}{
		{"default", "", dataplane.DeliverRedirect},
		{"cilium-1.12 on an old kernel", "profile: cilium-1.12, kernelVersion: 4.19, ", dataplane.DeliverRedirect},
		{"article", "profile: article, ", dataplane.DeliverPeer},
		{"article, 5.10", "profile: article, kernelVersion: 5.10, ", dataplane.DeliverPeer},
		{"article, 5.9", "profile: article, kernelVersion: 5.9, ", dataplane.DeliverToContainer},
		{"host-routing", "profile: host-routing, ", dataplane.DeliverPeer},
		{"endpoint-routes", "profile: endpoint-routes, ", dataplane.DeliverStack},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := load(t, "apiVersion: hooklab.io/v1alpha1\nkind: Lab\nspec: {"+tt.spec+"nodes: [{name: a}, {name: b}], "+
				"services: [{name: kubernetes, ports: [{port: 443, backends: [\"172.18.0.2:6443\"]}]}]}\n")
			a, err := c.NodeConfig("a")
			if err != nil {
				t.Fatal(err)
			}
			b, err := c.NodeConfig("b")
			if err != nil {
				t.Fatal(err)
			}
			if a.Delivery != tt.want {
				t.Errorf("Delivery = %v, want %v", a.Delivery, tt.want)
			}
			if a.LocalNodeID != code.IdentityKubeAPIServer || b.LocalNodeID != code.IdentityRemoteNode {
				t.Errorf("LocalNodeID of the apiserver's node %d, of the other %d; want 7 and 6", a.LocalNodeID, b.LocalNodeID)
			}
		})
	}
}

// TestIPCache checks both views of a node, with node ids as 1.12.8 has them.
func TestIPCache(t *testing.T) {
	t.Parallel()
	c := loadFile(t, "testdata/good/short.yaml")
	w, pod := c.Nodes()[0], c.Pods()[0]
	tests := []struct {
		name, node string
		ip         netip.Addr
		want       maps.RemoteEndpointInfo
	}{
		{"own address", "worker", w.IP, maps.RemoteEndpointInfo{SecLabel: 1}},
		{"own router", "worker", w.Router, maps.RemoteEndpointInfo{SecLabel: 1}},
		{"own health endpoint", "worker", w.Health.IP, maps.RemoteEndpointInfo{SecLabel: 4}},
		{"own pod", "worker", pod.IP, maps.RemoteEndpointInfo{SecLabel: pod.Identity}},
		{"other's address", "worker2", w.IP, maps.RemoteEndpointInfo{SecLabel: 6}},
		{"other's router", "worker2", w.Router, maps.RemoteEndpointInfo{SecLabel: 6, TunnelEndpoint: w.IP.As4(), NodeID: w.ID}},
		{"other's health endpoint", "worker2", w.Health.IP, maps.RemoteEndpointInfo{SecLabel: 4, TunnelEndpoint: w.IP.As4(), NodeID: w.ID}},
		{"other's pod", "worker2", pod.IP, maps.RemoteEndpointInfo{SecLabel: pod.Identity, TunnelEndpoint: w.IP.As4(), NodeID: w.ID}},
		{"anything else", "worker2", netip.MustParseAddr("8.8.8.8"), maps.RemoteEndpointInfo{SecLabel: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := maps.NewIPCacheKey(tt.ip.As4(), 32)
			got := synced(t, c, tt.node).IPCache.Ref(&key)
			if got == nil || *got != tt.want {
				t.Errorf("ipcache[%s] on %s = %v, want %v", tt.ip, tt.node, got, tt.want)
			}
		})
	}
}
