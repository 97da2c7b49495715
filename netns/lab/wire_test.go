package lab_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/internal/testkit/check"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

// tap opens a capture on a device.
func tap(tb testing.TB, ns *netns.NS, dev string) *netns.Port {
	tb.Helper()
	p, err := ns.OpenPacket(dev, netns.PacketOptions{Outgoing: true, Marks: true})
	must(tb, err)
	tb.Cleanup(func() { must(tb, p.Close()) })
	return p
}

// seen is a captured frame.
type seen struct {
	frame []byte
	meta  netns.Meta
}

// captured reads the frames that a capture has and that match accepts.
func captured(tb testing.TB, p *netns.Port, match func(frame []byte) bool) []seen {
	tb.Helper()
	var all []seen
	buf := make([]byte, 1<<16)
	for {
		var m netns.Meta
		n, err := p.Read(buf, &m)
		must(tb, err)
		if n == 0 {
			return all
		}
		if match(buf[:n]) {
			all = append(all, seen{bytes.Clone(buf[:n]), m})
		}
	}
}

// isVXLAN says that a frame is a datagram to cilium_vxlan's port.
func isVXLAN(frame []byte) bool {
	return len(frame) > 50 && binary.BigEndian.Uint16(frame[12:]) == 0x0800 && frame[23] == 17 &&
		binary.BigEndian.Uint16(frame[36:]) == tunnel.Port
}

func isICMP(frame []byte) bool {
	return len(frame) > 34 && binary.BigEndian.Uint16(frame[12:]) == 0x0800 && frame[23] == 1
}

// TestPrivilegedWire looks at what goes over the wire: VXLAN with the sender's
// identity, and the outer headers of SPEC 8 and 20.4.
func TestPrivilegedWire(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	n, err := w.Cluster().Node("worker2")
	must(t, err)
	remote, err := w.Cluster().Node("worker")
	must(t, err)
	pod, err := w.Cluster().Pod("pod1-1")
	must(t, err)
	other, err := w.Cluster().Pod("pod2-1")
	must(t, err)
	for _, tt := range []struct {
		name, from, to    string
		wantVNI, replyVNI uint32
		src               netip.Addr
		mac, dstMAC       [6]byte // of the inner request
	}{
		{"pod", "default/pod1-1", other.IP.String(), pod.Identity, other.Identity, pod.IP, pod.MAC, pod.NodeMAC},
		{"node", "node/worker2", other.IP.String(), 6, other.Identity, n.Router, n.HostMAC, n.NetMAC},
		{"pod to another node's router", "default/pod1-1", remote.Router.String(), pod.Identity, 6, pod.IP, pod.MAC, pod.NodeMAC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tap(t, w.space("wire/underlay"), "node2")
			if _, _, err := ping(w.space(tt.from), tt.to, 1); err != nil {
				t.Fatal(err)
			}
			got := captured(t, p, isVXLAN)
			if len(got) != 2 {
				t.Fatalf("%d VXLAN datagrams, want request and answer", len(got))
			}
			outer := func(src, dst netip.Addr) []check.Checker {
				return []check.Checker{
					check.TTL(64), check.TOS(0), check.Fragment(false, false, 0), check.Addrs(src, dst), check.UDPChecksum(0),
				}
			}
			dst := netip.MustParseAddr(tt.to)
			check.VXLAN(t, got[0].frame, 8472, tt.wantVNI, outer(n.IP, remote.IP),
				[]check.Checker{check.MACs(tt.dstMAC, tt.mac), check.TTL(64), check.Addrs(tt.src, dst), check.ICMPv4(8, 0)})
			check.VXLAN(t, got[1].frame, 8472, tt.replyVNI, outer(remote.IP, n.IP),
				[]check.Checker{check.TTL(64), check.Addrs(dst, tt.src), check.ICMPv4(0, 0)})
			for _, s := range got {
				if port := binary.BigEndian.Uint16(s.frame[34:]); port < 32768 || port > 60999 {
					t.Errorf("source port %d, want one of 32768 to 60999", port)
				}
			}
		})
	}
}

// TestPrivilegedMarks checks that marks pass between the node's kernel and the
// programs in both directions, and what the kernel sees of a pod's frame.
func TestPrivilegedMarks(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	worker2 := w.space("node/worker2")
	n, err := w.Cluster().Node("worker2")
	must(t, err)
	pod, err := w.Cluster().Pod("pod1-1")
	must(t, err)

	t.Run("to the stack", func(t *testing.T) {
		p := tap(t, worker2, "cilium_host")
		if _, _, err := ping(w.space("default/pod1-1"), n.IP.String(), 1); err != nil {
			t.Fatal(err)
		}
		got := captured(t, p, isICMP)
		if len(got) != 2 {
			t.Fatalf("%d frames on cilium_host, want request and answer", len(got))
		}
		if want := pod.Identity<<16 | 0xf00 | pod.Identity>>16; got[0].meta.Mark != want {
			t.Errorf("mark of the request %#x, want %#x", got[0].meta.Mark, want)
		}
		if got[0].meta.PktType != netns.PacketHost {
			t.Errorf("packet type of the request %d, want %d", got[0].meta.PktType, netns.PacketHost)
		}
		check.IPv4(t, got[0].frame, check.MACs(n.HostMAC, pod.MAC), check.TTL(63), check.Addrs(pod.IP, n.IP))
		if got[1].meta.Mark != 0xc00 {
			t.Errorf("mark of the answer %#x, want 0xc00", got[1].meta.Mark)
		}
	})
	t.Run("from the stack", func(t *testing.T) {
		for _, tt := range []struct{ mark, wantVNI uint32 }{
			{0, 6}, // CILIUM_OUTPUT makes it 0xc00: the host
			{0x1234_0f00, 0x1234},
			{0x1234_0f56, 0x56_1234},
		} {
			p := tap(t, w.space("wire/underlay"), "node2")
			must(t, sendMarked(worker2, "10.0.2.158", tt.mark))
			if _, _, err := ping(w.space("node/worker2"), "10.0.2.158", 1); err != nil {
				t.Fatal(err)
			}
			got := captured(t, p, isVXLAN)
			if len(got) == 0 {
				t.Fatalf("mark %#x: nothing on the wire", tt.mark)
			}
			const outer = 14 + 20 + 8
			if vni := header.VXLAN(got[0].frame[outer:]).VNI(); vni != tt.wantVNI {
				t.Errorf("mark %#x: VNI %#x, want %#x", tt.mark, vni, tt.wantVNI)
			}
		}
	})
}

// TestPrivilegedForwarded checks what the programs are told about frames that the
// node's kernel forwards, and about its own.
func TestPrivilegedForwarded(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	type sent struct {
		src     string
		mark    uint32
		ingress uint32
	}
	var got []sent // the node's goroutine's
	must(t, w.Do(t.Context(), "worker2", func(n *node.Node, _ *maps.Set) {
		n.SetObserver(func(e *node.Event) {
			if e.Kind == node.EventBefore && e.Hook.Prog == dataplane.FromHost && isICMP(e.Packet.Data) {
				got = append(got, sent{netip.AddrFrom4(e.Packet.IPv4().Src()).String(), e.Packet.Mark, e.Packet.IngressIfindex})
			}
		})
	}))
	for _, to := range []string{"172.18.0.1", "10.0.1.197"} {
		if _, _, err := ping(w.space("default/pod1-1"), to, 1); err != nil {
			t.Fatal(err)
		}
	}
	var now []sent
	must(t, w.Do(t.Context(), "worker2", func(*node.Node, *maps.Set) { now = slices.Clone(got) }))
	want := []sent{{"172.18.0.1", 0, 0}, {"10.0.1.197", 0xc00, 0}}
	if !slices.Equal(now, want) {
		t.Errorf("frames at from-host: %+v, want %+v", now, want)
	}
}
