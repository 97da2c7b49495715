package lab_test

import (
	"net/netip"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit/check"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

func veth(o *lab.Options) { o.Wire = "veth" }

// TestPrivilegedVeth moves data over veth pairs, looks at an lxc device as a user would,
// and proves by counters that the node's stack takes no frame that the datapath has taken.
func TestPrivilegedVeth(t *testing.T) {
	t.Parallel()
	w := upWith(t, article, veth)
	node := w.space("node/worker2")
	pod, err := w.Cluster().Pod("pod1-1")
	must(t, err)
	other, err := w.Cluster().Pod("pod1-2")
	must(t, err)
	got, err := node.Link(pod.Device)
	must(t, err)
	if want := (netns.Link{Name: pod.Device, Index: int(pod.Ifindex), MAC: netns.MAC(pod.NodeMAC), MTU: 1500, Up: true}); got != want {
		t.Errorf("lxc device %+v, want %+v", got, want)
	}

	sent := tap(t, node, pod.Device)
	received := snmp(t, node, "Ip InReceives")
	forwarded := snmp(t, node, "Ip ForwDatagrams")
	kept, err := node.Guarded(pod.Device)
	must(t, err)
	const pings = 10
	for _, to := range []netip.Addr{other.IP, netip.MustParseAddr("10.0.2.158")} {
		if _, _, err := ping(w.space("default/pod1-1"), to.String(), pings); err != nil {
			t.Fatalf("ping %s: %v", to, err)
		}
	}
	requests, replies := 0, 0
	for _, s := range captured(t, sent, isICMP) {
		if s.frame[34] == 8 {
			requests++
			check.IPv4(t, s.frame, check.TTL(64), check.MACs(pod.NodeMAC, pod.MAC))
		} else {
			replies++
			check.IPv4(t, s.frame, check.TTL(63), check.MACs(pod.MAC, pod.NodeMAC))
		}
	}
	if requests != 2*pings || replies != 2*pings {
		t.Errorf("tcpdump on %s sees %d requests and %d replies, want %d each", pod.Device, requests, replies, 2*pings)
	}
	after, err := node.Guarded(pod.Device)
	must(t, err)
	if got := after - kept; got < 2*pings {
		t.Errorf("the guard kept %d frames from the stack, want the %d pings at least", got, 2*pings)
	}
	// Only the tunnel's datagrams are for the stack, forwarded or delivered: at most two
	// for each remote ping.
	for name, was := range map[string]int{"Ip InReceives": received, "Ip ForwDatagrams": forwarded} {
		if n := snmp(t, node, name) - was; n > 2*pings+5 {
			t.Errorf("%s grew by %d: the stack has taken frames of pods", name, n)
		}
	}

	echo(t, w.space("default/pod1-2"), ":80")
	echo(t, w.space("default/pod2-1"), ":80")
	for _, to := range []string{"10.0.1.79:80", "10.0.2.158:80", "10.96.52.248:80"} {
		exchange(t, dial(t, w.space("default/pod1-1"), "tcp4", to), 4<<20)
	}
	for _, ref := range []string{"default/pod1-1", "default/pod1-2", "default/pod2-1"} {
		for _, counter := range []string{"Tcp InCsumErrors", "Udp InCsumErrors"} {
			if n := snmp(t, w.space(ref), counter); n != 0 {
				t.Errorf("%s: %s %d, want 0", ref, counter, n)
			}
		}
	}
}
