package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// named gives the lab's lxc devices the names of their pods.
func (w *world) named(taps []string) []string {
	out := make([]string, len(taps))
	for i, t := range taps {
		for _, p := range w.cluster.Pods() {
			t = strings.ReplaceAll(t, p.Device, "lxc/"+p.Name)
		}
		out[i] = strings.ReplaceAll(t, "default/", "")
	}
	return out
}

// TestPaths follows a ping and its answer on each path of the article and of SPEC
// 20.2, as packet sockets on all devices would show it.
func TestPaths(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, profile, from, to string
		want                    []string
	}{
		{
			name: "pod to pod", from: "pod1-1", to: "pod1-2",
			want: []string{
				"pod1-1 eth0 out 64 10.0.1.11>10.0.1.12",
				"n1 lxc/pod1-1 in 64 10.0.1.11>10.0.1.12",
				"n1 lxc/pod1-2 out 63 10.0.1.11>10.0.1.12",
				"pod1-2 eth0 in 63 10.0.1.11>10.0.1.12",
				"pod1-2 eth0 out 64 10.0.1.12>10.0.1.11",
				"n1 lxc/pod1-2 in 64 10.0.1.12>10.0.1.11",
				"n1 lxc/pod1-1 out 63 10.0.1.12>10.0.1.11",
				"pod1-1 eth0 in 63 10.0.1.12>10.0.1.11",
			},
		},
		{
			name: "pod to pod, redirect_peer", profile: "profile: article", from: "pod1-1", to: "pod1-2",
			want: []string{
				"pod1-1 eth0 out 64 10.0.1.11>10.0.1.12",
				"n1 lxc/pod1-1 in 64 10.0.1.11>10.0.1.12",
				"pod1-2 eth0 in 63 10.0.1.11>10.0.1.12",
				"pod1-2 eth0 out 64 10.0.1.12>10.0.1.11",
				"n1 lxc/pod1-2 in 64 10.0.1.12>10.0.1.11",
				"pod1-1 eth0 in 63 10.0.1.12>10.0.1.11",
			},
		},
		{
			name: "pod to pod, endpoint routes", profile: "profile: endpoint-routes", from: "pod1-1", to: "pod1-2",
			want: []string{
				"pod1-1 eth0 out 64 10.0.1.11>10.0.1.12",
				"n1 lxc/pod1-1 in 64 10.0.1.11>10.0.1.12",
				"n1 lxc/pod1-2 out 63 10.0.1.11>10.0.1.12",
				"pod1-2 eth0 in 63 10.0.1.11>10.0.1.12",
				"pod1-2 eth0 out 64 10.0.1.12>10.0.1.11",
				"n1 lxc/pod1-2 in 64 10.0.1.12>10.0.1.11",
				"n1 lxc/pod1-1 out 63 10.0.1.12>10.0.1.11",
				"pod1-1 eth0 in 63 10.0.1.12>10.0.1.11",
			},
		},
		{
			name: "pod to remote pod", from: "pod1-1", to: "pod2-1",
			want: []string{
				"pod1-1 eth0 out 64 10.0.1.11>10.0.2.11",
				"n1 lxc/pod1-1 in 64 10.0.1.11>10.0.2.11",
				"n1 cilium_vxlan out 64 10.0.1.11>10.0.2.11",
				"n1 eth0 out 172.18.0.3>172.18.0.5 vni 1001 ttl 64",
				"n2 eth0 in 172.18.0.3>172.18.0.5 vni 1001 ttl 64",
				"n2 cilium_vxlan P 64 10.0.1.11>10.0.2.11",
				"n2 lxc/pod2-1 out 63 10.0.1.11>10.0.2.11",
				"pod2-1 eth0 in 63 10.0.1.11>10.0.2.11",
				"pod2-1 eth0 out 64 10.0.2.11>10.0.1.11",
				"n2 lxc/pod2-1 in 64 10.0.2.11>10.0.1.11",
				"n2 cilium_vxlan out 64 10.0.2.11>10.0.1.11",
				"n2 eth0 out 172.18.0.5>172.18.0.3 vni 2001 ttl 64",
				"n1 eth0 in 172.18.0.5>172.18.0.3 vni 2001 ttl 64",
				"n1 cilium_vxlan P 64 10.0.2.11>10.0.1.11",
				"n1 lxc/pod1-1 out 63 10.0.2.11>10.0.1.11",
				"pod1-1 eth0 in 63 10.0.2.11>10.0.1.11",
			},
		},
		{
			name: "pod to another host through the tunnel", from: "pod1-1", to: "10.0.2.1",
			want: []string{
				"pod1-1 eth0 out 64 10.0.1.11>10.0.2.1",
				"n1 lxc/pod1-1 in 64 10.0.1.11>10.0.2.1",
				"n1 cilium_vxlan out 64 10.0.1.11>10.0.2.1",
				"n1 eth0 out 172.18.0.3>172.18.0.5 vni 1001 ttl 64",
				"n2 eth0 in 172.18.0.3>172.18.0.5 vni 1001 ttl 64",
				"n2 cilium_vxlan P 64 10.0.1.11>10.0.2.1",
				"n2 cilium_net out 63 10.0.1.11>10.0.2.1",
				"n2 cilium_host in 63 10.0.1.11>10.0.2.1",
				"n2 cilium_vxlan out 64 10.0.2.1>10.0.1.11",
				"n2 eth0 out 172.18.0.5>172.18.0.3 vni 6 ttl 64",
				"n1 eth0 in 172.18.0.5>172.18.0.3 vni 6 ttl 64",
				"n1 cilium_vxlan P 64 10.0.2.1>10.0.1.11",
				"n1 lxc/pod1-1 out 63 10.0.2.1>10.0.1.11",
				"pod1-1 eth0 in 63 10.0.2.1>10.0.1.11",
			},
		},
		{
			name: "pod to its host", from: "pod1-1", to: "node/n1",
			want: []string{
				"pod1-1 eth0 out 64 10.0.1.11>172.18.0.3",
				"n1 lxc/pod1-1 in 64 10.0.1.11>172.18.0.3",
				"n1 lxc/pod1-1 out 63 172.18.0.3>10.0.1.11",
				"pod1-1 eth0 in 63 172.18.0.3>10.0.1.11",
			},
		},
		{
			name: "host to its pod: cilium_host shows nothing", from: "node/n1", to: "pod1-1",
			want: []string{
				"n1 lxc/pod1-1 out 63 10.0.1.1>10.0.1.11",
				"pod1-1 eth0 in 63 10.0.1.1>10.0.1.11",
				"pod1-1 eth0 out 64 10.0.1.11>10.0.1.1",
				"n1 lxc/pod1-1 in 64 10.0.1.11>10.0.1.1",
			},
		},
		{
			name: "host to its pod, host routing: redirected plainly", profile: "profile: host-routing", from: "node/n1", to: "pod1-1",
			want: []string{
				"n1 lxc/pod1-1 out 63 10.0.1.1>10.0.1.11",
				"pod1-1 eth0 in 63 10.0.1.1>10.0.1.11",
				"pod1-1 eth0 out 64 10.0.1.11>10.0.1.1",
				"n1 lxc/pod1-1 in 64 10.0.1.11>10.0.1.1",
			},
		},
		{
			name: "host to remote pod: remote-node identity", from: "node/n1", to: "pod2-1",
			want: []string{
				"n1 cilium_vxlan out 64 10.0.1.1>10.0.2.11",
				"n1 eth0 out 172.18.0.3>172.18.0.5 vni 6 ttl 64",
				"n2 eth0 in 172.18.0.3>172.18.0.5 vni 6 ttl 64",
				"n2 cilium_vxlan P 64 10.0.1.1>10.0.2.11",
				"n2 lxc/pod2-1 out 63 10.0.1.1>10.0.2.11",
				"pod2-1 eth0 in 63 10.0.1.1>10.0.2.11",
				"pod2-1 eth0 out 64 10.0.2.11>10.0.1.1",
				"n2 lxc/pod2-1 in 64 10.0.2.11>10.0.1.1",
				"n2 cilium_vxlan out 64 10.0.2.11>10.0.1.1",
				"n2 eth0 out 172.18.0.5>172.18.0.3 vni 2001 ttl 64",
				"n1 eth0 in 172.18.0.5>172.18.0.3 vni 2001 ttl 64",
				"n1 cilium_vxlan P 64 10.0.2.11>10.0.1.1",
				"n1 cilium_net out 63 10.0.2.11>10.0.1.1",
				"n1 cilium_host in 63 10.0.2.11>10.0.1.1",
			},
		},
		{
			name: "pod to external: one hop by the program, one by the stack", from: "pod1-1", to: "lan",
			want: []string{
				"pod1-1 eth0 out 64 10.0.1.11>172.18.9.9",
				"n1 lxc/pod1-1 in 64 10.0.1.11>172.18.9.9",
				"n1 eth0 out 62 172.18.0.3>172.18.9.9",
				"lan eth0 in 62 172.18.0.3>172.18.9.9",
				"lan eth0 out 64 172.18.9.9>172.18.0.3",
				"n1 eth0 in 64 172.18.9.9>172.18.0.3",
				"n1 lxc/pod1-1 out 62 172.18.9.9>10.0.1.11",
				"pod1-1 eth0 in 62 172.18.9.9>10.0.1.11",
			},
		},
		{
			name: "pod to another node: natively and masqueraded", from: "pod1-1", to: "node/n2",
			want: []string{
				"pod1-1 eth0 out 64 10.0.1.11>172.18.0.5",
				"n1 lxc/pod1-1 in 64 10.0.1.11>172.18.0.5",
				"n1 eth0 out 62 172.18.0.3>172.18.0.5",
				"n2 eth0 in 62 172.18.0.3>172.18.0.5",
				"n2 eth0 out 64 172.18.0.5>172.18.0.3",
				"n1 eth0 in 64 172.18.0.5>172.18.0.3",
				"n1 lxc/pod1-1 out 62 172.18.0.5>10.0.1.11",
				"pod1-1 eth0 in 62 172.18.0.5>10.0.1.11",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			profile := tt.profile
			if profile == "" {
				profile = "profile: cilium-1.12"
			}
			w := newWorld(t, profile, nil)
			r := w.run(w.Ping(tt.from, tt.to, sim.Message{}))
			if r.Outcome != sim.Answered || len(r.Losses) != 0 {
				t.Errorf("got %s, losses %v", r.Outcome, r.Losses)
			}
			if diff := cmp.Diff(tt.want, w.named(noARP(w.taps))); diff != "" {
				t.Errorf("taps (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSCTP is the way of a protocol that the programs do not know: past the sender's
// program into the stack, delivered by from-host, and lost in the pair (SPEC 3.6, 20.2).
func TestSCTP(t *testing.T) {
	t.Parallel()
	var got []string
	w := newWorld(t, real112, nil)
	macs := map[[6]byte]string{}
	for _, p := range w.cluster.Pods() {
		macs[p.MAC], macs[p.NodeMAC] = p.Name, "lxc/"+p.Name
	}
	x := newWorld(t, real112, func(o *sim.Options) {
		o.Observer = func(e *sim.Event) {
			tap := tapOf(e)
			if tap == "" && e.Kind != sim.Routed || e.Relation == sim.Asking {
				return
			}
			if tap == "" {
				tap = fmt.Sprintf("%s stack, mark %#x, to %s", e.Place.Name, e.Mark, e.Route.Device)
			}
			eth := header.Ethernet(e.Data)
			got = append(got, fmt.Sprintf("%s, %s > %s", tap, macs[eth.Src()], macs[eth.Dst()]))
		}
	})
	r := x.run(x.IP("pod1-1", "pod1-2", header.ProtoSCTP, sim.Message{Data: make([]byte, 12)}))
	want := []string{
		"pod1-1 eth0 out 64 10.0.1.11>10.0.1.12, pod1-1 > lxc/pod1-1",
		"n1 lxc/pod1-1 in 64 10.0.1.11>10.0.1.12, pod1-1 > lxc/pod1-1",
		"n1 stack, mark 0x0, to cilium_host, pod1-1 > lxc/pod1-1",
		"n1 cilium_host out 62 10.0.1.11>10.0.1.12, lxc/pod1-2 > pod1-2",
		"n1 cilium_net P 62 10.0.1.11>10.0.1.12, lxc/pod1-2 > pod1-2",
	}
	if diff := cmp.Diff(want, w.named(got)); diff != "" {
		t.Errorf("taps (-want +got):\n%s", diff)
	}
	if len(r.Losses) != 1 || r.Losses[0].Node != node.LossOtherHost {
		t.Errorf("got %s", w.summary(r))
	}
}

// TestArticle runs the article's own walks in its own cluster.
func TestArticle(t *testing.T) {
	t.Parallel()
	c, err := cluster.LoadFiles("../../examples/01-article/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var vnis []uint32
	s, err := sim.New(c, sim.Options{Engine: engine, AnswerWorld: true, Observer: func(e *sim.Event) {
		if e.Kind == sim.Encapsulated {
			vnis = append(vnis, e.Outer.VNI)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{Sim: s, t: t, cluster: c}
	for _, to := range []string{"pod1-2", "pod2-1", "svc/web", "8.8.8.8"} {
		if r := w.run(w.TCP("pod1-1", to, 80, sim.Message{Data: []byte("x")})); r.Outcome != sim.Answered {
			t.Errorf("pod1-1 to %s: %s", to, w.summary(r))
		}
	}
	if r := w.run(w.UDP("pod1-1", "svc/kube-system/kube-dns", 53, sim.Message{})); r.Outcome != sim.Answered {
		t.Errorf("DNS: %s", w.summary(r))
	}
	if r := w.run(w.TCP("cilium-worker", "svc/kubernetes", 443, sim.Message{})); r.Outcome != sim.Answered {
		t.Errorf("node to kubernetes: %s", w.summary(r))
	}
	if len(vnis) < 2 || vnis[1] != 13789 {
		t.Errorf("got VNIs %v, want pod2-1's identity in its answer", vnis)
	}
}
