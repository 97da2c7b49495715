package lab_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// inKernel makes the kernel run the lab's nodes, with conntrack maps that several labs
// at a time can have.
func inKernel(tb testing.TB, clsact bool) func(*lab.Options) {
	tb.Helper()
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	must(tb, err)
	return func(o *lab.Options) {
		o.Engine = "kernel"
		o.Attachers = map[string]lab.Attacher{"kernel": func(ns *netns.NS) (dataplane.Attacher, error) {
			return kernel.NewAttacher(b, ns, kernel.AttachOptions{MaxEntries: 4096, Clsact: clsact})
		}}
	}
}

// attachedPrograms are the programs on a namespace's devices, as "device side: program".
func attachedPrograms(tb testing.TB, ns *netns.NS) []string {
	tb.Helper()
	links, err := ns.Links()
	must(tb, err)
	var all []string
	for _, l := range links {
		for side, at := range map[string]ebpf.AttachType{"ingress": ebpf.AttachTCXIngress, "egress": ebpf.AttachTCXEgress} {
			must(tb, ns.Do(func() error {
				found, err := link.QueryPrograms(link.QueryOptions{Target: l.Index, Attach: at})
				if err != nil {
					return err
				}
				for _, p := range found.Programs {
					prog, err := ebpf.NewProgramFromID(p.ID)
					if err != nil {
						return err
					}
					info, err := prog.Info()
					if err != nil {
						return err
					}
					all = append(all, fmt.Sprintf("%s %s: %s", l.Name, side, info.Name))
					if err := prog.Close(); err != nil {
						return err
					}
				}
				return nil
			}))
		}
	}
	slices.Sort(all)
	return all
}

// kernelPaths are ways through a lab, with the TTL of the answer's packets.
var kernelPaths = []struct {
	name, from, to string
	ttl            uint8
}{
	{"same node", "default/pod1-1", "10.0.1.79", 63},
	{"other node", "default/pod1-1", "10.0.2.158", 63},
	{"back", "default/pod2-1", "10.0.1.178", 63},
	{"node to its pod", "node/worker2", "10.0.1.178", 63},
	{"node to a remote pod", "node/worker2", "10.0.2.158", 63},
	{"pod to its node", "default/pod1-1", "172.18.0.3", 63},
	{"pod to its router", "default/pod1-1", "10.0.1.197", 63},
	{"pod to another node's router", "default/pod1-1", "10.0.2.17", 63},
	{"pod to another node", "default/pod1-1", "172.18.0.5", 62},
	{"pod to the world", "default/pod1-1", "172.18.0.1", 62},
	{"node to another node", "node/worker", "172.18.0.3", 64},
}

// pingAll sends three echo requests on each path.
func pingAll(t *testing.T, w *world) {
	t.Helper()
	for _, p := range kernelPaths {
		ttls, _, err := ping(w.space(p.from), p.to, 3)
		if err != nil {
			t.Errorf("%s: ping %s -> %s: %v", p.name, p.from, p.to, err)
			continue
		}
		for _, ttl := range ttls {
			if ttl != p.ttl {
				t.Errorf("%s: TTL %d, want %d", p.name, ttl, p.ttl)
			}
		}
	}
}

// transferAll moves data over TCP on each path that has a server at its end, and through a
// service whose backends are on both nodes or on one.
func transferAll(t *testing.T, w *world) {
	t.Helper()
	for _, ref := range []string{"default/pod1-2", "default/pod2-1", "node/worker2"} {
		echo(t, w.space(ref), ":80")
	}
	for _, p := range []struct{ name, from, to string }{
		{"same node", "default/pod1-1", "10.0.1.79:80"},
		{"other node", "default/pod1-1", "10.0.2.158:80"},
		{"service on the same node", "default/pod1-1", "10.96.52.248:80"},
		{"service on the other node", "default/pod2-1", "10.96.52.248:80"},
		{"service from its own backend", "default/pod1-2", "10.96.52.248:80"},
		{"pod to its node", "default/pod1-1", "172.18.0.3:80"},
		{"node to its pod", "node/worker2", "10.0.1.79:80"},
		{"node to a remote pod", "node/worker2", "10.0.2.158:80"},
	} {
		const size = 2 << 20
		took := exchange(t, dial(t, w.space(p.from), "tcp4", p.to), size)
		t.Logf("%s: %d MiB there and back in %v", p.name, size>>20, took)
	}
}

// TestPrivilegedKernelLab runs the article's cluster on programs in the kernel, by tcx.
func TestPrivilegedKernelLab(t *testing.T) {
	t.Parallel()
	w := upWith(t, article, inKernel(t, false))
	pingAll(t, w)
	transferAll(t, w)
	n, err := w.Cluster().Node("worker2")
	must(t, err)
	want := []string{
		"cilium_host egress: from_host", "cilium_host ingress: to_host", "cilium_net ingress: to_host",
		"cilium_vxlan egress: to_overlay", "cilium_vxlan ingress: from_overlay",
	}
	for _, e := range w.Cluster().Endpoints(n.Name) {
		want = append(want, e.Device+" ingress: handle_xgress")
	}
	slices.Sort(want)
	if got := attachedPrograms(t, w.space("node/worker2")); !slices.Equal(got, want) {
		t.Errorf("programs (SPEC 1):\n got  %s\n want %s", strings.Join(got, "\n      "), strings.Join(want, "\n      "))
	}
}

// TestPrivilegedKernelLabClsact is the same by clsact, as bpftool shows it.
func TestPrivilegedKernelLabClsact(t *testing.T) {
	t.Parallel()
	w := upWith(t, strings.Replace(article, "spec:\n", "spec:\n  profile: article\n", 1), inKernel(t, true))
	pingAll(t, w)
	transferAll(t, w)
	cmd := exec.Command("bpftool", "net")
	var out strings.Builder
	cmd.Stdout = &out
	must(t, w.space("node/worker2").Start(cmd))
	must(t, cmd.Wait())
	for _, want := range []string{
		"cilium_host(4) clsact/ingress to-host", "cilium_host(4) clsact/egress from-host", "cilium_net(3) clsact/ingress to-host",
		"cilium_vxlan(5) clsact/ingress from-overlay", "cilium_vxlan(5) clsact/egress to-overlay", "clsact/ingress from-container",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("bpftool net has no %q:\n%s", want, out.String())
		}
	}
}

// TestPrivilegedKernelLabProfiles: to-container is where the profile wants it, and packets
// arrive.
func TestPrivilegedKernelLabProfiles(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"{profile: article, kernelVersion: \"5.4\",", "{profile: endpoint-routes,"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(article, "spec:\n", "spec:\n  "+strings.ReplaceAll(strings.Trim(profile, "{,"), ", ", "\n  ")+"\n", 1)
			w := upWith(t, text, inKernel(t, false))
			for _, to := range []string{"10.0.1.79", "10.0.2.158", "172.18.0.3", "172.18.0.1"} {
				if _, _, err := ping(w.space("default/pod1-1"), to, 3); err != nil {
					t.Errorf("ping %s: %v", to, err)
				}
			}
			echo(t, w.space("default/pod1-2"), ":80")
			exchange(t, dial(t, w.space("default/pod1-1"), "tcp4", "10.96.52.248:80"), 1<<20)
			exchange(t, dial(t, w.space("default/pod2-1"), "tcp4", "10.96.52.248:80"), 1<<20)
			egress := 0
			for _, p := range attachedPrograms(t, w.space("node/worker2")) {
				if strings.Contains(p, "egress: handle_to_con") {
					egress++
				}
			}
			if want := len(w.Cluster().Endpoints("worker2")); egress != want {
				t.Errorf("to-container on %d devices, want %d", egress, want)
			}
		})
	}
}
