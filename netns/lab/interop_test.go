package lab_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// peerIP is a host of a node that is Linux alone: a kernel VXLAN device with static
// neighbours.
var peerIP = netip.MustParseAddr("10.0.9.9")

// kernelPeer makes the external host "kernel" such a node, and lets worker2 know it. One
// device has one VNI: pod1-1's identity, which is that of the peer too then, and the
// address of pod1-1's gateway, as the inner Ethernet header is not changed on the way.
func kernelPeer(tb testing.TB, w *world) *netns.NS {
	tb.Helper()
	pod, err := w.Cluster().Pod("pod1-1")
	must(tb, err)
	n, err := w.Cluster().Node("worker2")
	must(tb, err)
	ns := w.space("external/kernel")
	must(tb,
		ns.AddVXLAN(netns.Link{Name: "vx0", MAC: netns.MAC(pod.NodeMAC), MTU: 1450, Up: true},
			netns.VXLAN{Port: 8472, VNI: pod.Identity, Remote: n.IP.As4()}),
		ns.AddAddr("vx0", netip.PrefixFrom(peerIP, 32)),
		ns.AddRoute(netns.Route{Dst: n.PodCIDR, Dev: "vx0", Scope: netns.ScopeLink}),
		ns.AddNeigh("vx0", pod.IP, netns.MAC(pod.MAC)))
	backend, err := w.Cluster().Pod("pod1-2")
	must(tb, err)
	must(tb, w.Do(tb.Context(), "worker2", func(_ *node.Node, m *maps.Set) {
		k := maps.NewIPCacheKey(peerIP.As4(), 32)
		must(tb, m.IPCache.Set(&k, &maps.RemoteEndpointInfo{SecLabel: pod.Identity, TunnelEndpoint: [4]byte{172, 18, 0, 99}}, maps.Any))
		// The service's one backend is there.
		id := maps.LB4BackendKey{ID: 1}
		for ; m.Backends.Ref(&id) == nil || m.Backends.Ref(&id).Address != backend.IP.As4(); id.ID++ {
			if id.ID > 100 {
				tb.Error("no backend")
				return
			}
		}
		m.Backends.Ref(&id).Address = peerIP.As4()
	}))
	return ns
}

// TestPrivilegedKernelPeer moves data between a pod and a kernel VXLAN device both ways,
// through a service too, with each kind of underlay and with the offloads of the underlay
// switched off: everything arrives and nothing has a wrong checksum.
func TestPrivilegedKernelPeer(t *testing.T) {
	t.Parallel()
	text := strings.Replace(article, "spec:\n", "spec:\n  external: [{name: kernel, ip: 172.18.0.99}]\n", 1)
	for _, tt := range []struct {
		name, underlay string
		offloads       bool
	}{
		{"automatic", "", true},
		{"socket", "socket", true},
		{"automatic, offloads off", "", false},
		{"socket, offloads off", "socket", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := upWith(t, text, func(o *lab.Options) { o.Underlay = tt.underlay })
			peer, pod := kernelPeer(t, w), w.space("default/pod1-1")
			if !tt.offloads {
				for _, ref := range []string{"node/worker2", "external/kernel"} {
					must(t, w.space(ref).SetOffloads("eth0", false,
						netns.OffloadTxChecksum, netns.OffloadRxChecksum, netns.OffloadTSO, netns.OffloadGSO, netns.OffloadGRO))
				}
			}
			echo(t, peer, peerIP.String()+":80")
			echo(t, pod, ":80")
			if _, _, err := ping(pod, peerIP.String(), 1); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name string
				from *netns.NS
				to   string
			}{
				{"pod to kernel", pod, peerIP.String() + ":80"},
				{"kernel to pod", peer, "10.0.1.178:80"},
				{"pod to service to kernel", pod, "10.96.52.248:80"},
			} {
				const size = 4 << 20
				t.Logf("%s: %d MiB there and back in %v", c.name, size>>20, exchange(t, dial(t, c.from, "tcp4", c.to), size))
				conn := dial(t, c.from, "udp4", c.to)
				for _, n := range []int{1, 512, 1422, 4000} {
					want := bytes.Repeat([]byte{byte(n)}, n)
					_, err := conn.Write(want)
					must(t, err)
					got := make([]byte, 1<<16)
					n, err := conn.Read(got)
					must(t, err)
					if !bytes.Equal(got[:n], want) {
						t.Errorf("%s: %d bytes of UDP came back, not the %d sent", c.name, n, len(want))
					}
				}
			}
			for name, ns := range map[string]*netns.NS{"pod": pod, "kernel": peer, "node": w.space("node/worker2")} {
				for _, counter := range []string{"Tcp InCsumErrors", "Udp InCsumErrors", "Tcp InErrs", "Ip InHdrErrors"} {
					if n := snmp(t, ns, counter); n != 0 {
						t.Errorf("%s: %s %d, want 0", name, counter, n)
					}
				}
			}
		})
	}
}

// snmp is a counter of /proc/net/snmp, such as "Tcp InCsumErrors".
func snmp(tb testing.TB, ns *netns.NS, counter string) int {
	tb.Helper()
	var file []byte
	must(tb, ns.Do(func() (err error) {
		file, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	}))
	proto, field, _ := strings.Cut(counter, " ")
	var names []string
	for line := range strings.Lines(string(file)) {
		fields := strings.Fields(line)
		switch {
		case fields[0] != proto+":":
		case names == nil:
			names = fields
		default:
			for i, name := range names {
				if name == field {
					n, err := strconv.Atoi(fields[i])
					must(tb, err)
					return n
				}
			}
		}
	}
	tb.Fatal(fmt.Errorf("no %s in %s", counter, file))
	return 0
}
