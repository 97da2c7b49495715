package node_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/node"
)

// TestEvents checks who sees a frame and when, as SPEC 20.1 says of taps: an In
// tap before the program, an Out tap after it, none of a peer redirect.
func TestEvents(t *testing.T) {
	t.Parallel()
	words := map[node.EventKind]string{
		node.EventIn: "in", node.EventBefore: "before", node.EventAfter: "after", node.EventOut: "out",
		node.EventToPod: "to pod", node.EventToStack: "to stack", node.EventToUnderlay: "to underlay", node.EventLost: "lost",
	}
	for _, tt := range []struct {
		name     string
		delivery dataplane.Delivery
		dst      [4]byte
		want     []string
	}{
		{"redirect", dataplane.DeliverRedirect, pod2.ip, []string{
			"in lxc101 64", "before lxc101 64", "after lxc101 63", "out lxc102 63", "to pod lxc102 63",
		}},
		{"redirect_peer", dataplane.DeliverPeer, pod2.ip, []string{
			"in lxc101 64", "before lxc101 64", "after lxc101 63", "to pod lxc102 63",
		}},
		{"to-container", dataplane.DeliverToContainer, pod2.ip, []string{
			"in lxc101 64", "before lxc101 64", "after lxc101 63",
			"before lxc102 63", "after lxc102 63", "out lxc102 63", "to pod lxc102 63",
		}},
		{"tunnel", dataplane.DeliverRedirect, pod3.ip, []string{
			"in lxc101 64", "before lxc101 64", "after lxc101 64",
			"before cilium_vxlan 64", "after cilium_vxlan 64", "out cilium_vxlan 64", "to underlay - 64",
		}},
		{"world", dataplane.DeliverRedirect, [4]byte{8, 8, 8, 8}, []string{
			"in lxc101 64", "before lxc101 64", "after lxc101 63", "to stack lxc101 63",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			w := newWorld(t, tt.delivery)
			w.a.SetObserver(func(e *node.Event) {
				dev := "-"
				if e.Device != nil {
					dev = e.Device.Name
				}
				got = append(got, fmt.Sprintf("%s %s %d", words[e.Kind], dev, e.Packet.IPv4().TTL()))
			})
			w.must(w.a.Receive(ifPod1, udp(t, pod1.ip, tt.dst, podMAC(pod1), nodeMAC(pod1), layers.IPProtocolUDP, 64, 20)))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

type sink struct{}

func (sink) Send([]byte, *dataplane.Packet) error { return nil }

func TestAllocs(t *testing.T) {
	w := newWorld(t, dataplane.DeliverRedirect)
	w.a.Device(ifPod2).Wire = sink{}
	p := udp(t, pod1.ip, pod2.ip, podMAC(pod1), nodeMAC(pod1), layers.IPProtocolUDP, 64, 20)
	frame, buf := p.Data, make([]byte, len(p.Data))
	send := func() {
		copy(buf, frame)
		p.Reset(buf)
		w.must(w.a.Receive(ifPod1, p))
	}
	send() // the first packet makes conntrack entries
	if n := testing.AllocsPerRun(100, send); n != 0 {
		t.Errorf("got %v allocations a packet, want 0", n)
	}
	if got := w.a.Stats().ToPod; got < 100 {
		t.Errorf("got %d packets to the pod", got)
	}
}
