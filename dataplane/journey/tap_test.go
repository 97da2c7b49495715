package journey_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/journey"
)

// TestTaps compares where tcpdump sees a packet, and where not, with what was observed
// on real devices (SPEC 20.2), in the default profile and with redirect_peer.
func TestTaps(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../examples/01-article/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	peer := article(t)
	plain := load(t, strings.Replace(string(data), "profile: article", "profile: cilium-1.12", 1))
	names := strings.NewReplacer("lxc2fa3dbdebd6c", "lxc1", "lxcaf67c9fe6516", "lxc2", "lxc85df8762428b", "lxc3")
	tests := []struct {
		name string
		c    *cluster.Cluster
		q    journey.Question
		want []string
	}{
		{
			"same node, plain", plain,
			journey.Question{From: "pod1-1", To: "pod1-2"},
			[]string{"eth0 Out 64", "lxc1 In 64", "lxc2 Out 63", "eth0 In 63"},
		},
		{
			"same node, peer", peer,
			journey.Question{From: "pod1-1", To: "pod1-2"},
			[]string{"eth0 Out 64", "lxc1 In 64", "lxc2 unseen", "eth0 In 63"},
		},
		{
			"other node, plain", plain,
			journey.Question{From: "pod1-1", To: "pod2-1"},
			[]string{"eth0 Out 64", "lxc1 In 64", "cilium_vxlan Out 64", "eth0 Out 64", "eth0 In 64", "cilium_vxlan P 64", "lxc3 Out 63", "eth0 In 63"},
		},
		{
			"host to pod, peer too", peer,
			journey.Question{From: "node/cilium-worker", To: "pod1-1"},
			[]string{"cilium_host unseen", "lxc1 Out 63", "eth0 In 63"},
		},
		{
			"host to remote pod", plain,
			journey.Question{From: "node/cilium-worker", To: "pod2-1"},
			[]string{"cilium_host unseen", "cilium_vxlan Out 64", "eth0 Out 64", "eth0 In 64", "cilium_vxlan P 64", "lxc3 Out 63", "eth0 In 63"},
		},
		{
			"pod to remote host", plain,
			journey.Question{From: "pod2-1", To: "10.0.1.197"},
			[]string{"eth0 Out 64", "lxc3 In 64", "cilium_vxlan Out 64", "eth0 Out 64", "eth0 In 64", "cilium_vxlan P 64", "cilium_net Out 63", "cilium_host In 63"},
		},
		{
			"external", plain,
			journey.Question{From: "pod1-1", To: "8.8.8.8"},
			[]string{"eth0 Out 64", "lxc1 In 64", "eth0 Out 62", "eth0 In 62", "world Out 61", "eth0 In 61"},
		},
		{
			"dropped at the first hook", plain,
			journey.Question{From: "pod1-1", To: "pod1-2", TTL: 1},
			[]string{"eth0 Out 1", "lxc1 In 1"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, s := range ask(t, tt.c, tt.q).Asked().Steps {
				switch {
				case s.Tap != nil:
					got = append(got, fmt.Sprintf("%s %s %d", names.Replace(s.Device), s.Tap.Direction, s.Tap.TTL))
				case s.Kind == journey.StepNoTap:
					got = append(got, names.Replace(s.Device)+" unseen")
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// BenchmarkAsk is a ping to another node with its answer: simulation, journey and text.
func BenchmarkAsk(b *testing.B) {
	c := article(b)
	b.ReportAllocs()
	for b.Loop() {
		j := ask(b, c, journey.Question{From: "pod1-1", To: "pod2-1"})
		if text(b, j, journey.Full) == "" {
			b.Fatal("no text")
		}
	}
}
