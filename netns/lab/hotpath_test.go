package lab

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/maps"
)

const twoNodes = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: hot}
spec:
  nodes: [{name: n1}, {name: n2}]
  pods: [{name: a, node: n1}, {name: b, node: n1}, {name: c, node: n2}]
`

// TestPrivilegedHotPath: from a pod's socket to another pod's, on the same node and on
// another one, with each kind of wire and underlay, nothing is allocated, and a node with
// nothing to do waits for frames alone.
func TestPrivilegedHotPath(t *testing.T) {
	testkit.RequireRoot(t)
	for _, tt := range []struct{ wire, underlay string }{{"tap", ""}, {"tap", "socket"}, {"veth", ""}} {
		c, err := cluster.Load(cluster.Source{Name: "hot.yaml", Data: []byte(twoNodes)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := Up(t.Context(), Options{
			Cluster: c, RunDir: RunDir(t.TempDir()), Wire: tt.wire, Underlay: tt.underlay,
			Engines: map[string]Engine{DefaultEngine: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }},
		})
		if err != nil {
			t.Fatal(err)
		}
		w, err := l.worker("n1")
		if err != nil {
			t.Fatal(err)
		}
		from, _ := c.Pod("a")
		for _, to := range []string{"b", "c"} {
			pod, err := c.Pod(to)
			if err != nil {
				t.Fatal(err)
			}
			at, in := newSpace(KindPod, "default", "a"), newSpace(KindPod, "default", to)
			var fd int
			err = l.spaces[at.Pin].Do(func() (err error) {
				fd, err = connected(netip.AddrPortFrom(pod.IP, 9))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			var sink net.PacketConn
			err = l.spaces[in.Pin].Do(func() (err error) {
				sink, err = net.ListenPacket("udp4", ":9")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			var got float64
			payload := []byte("eighteen bytes of x")
			// On the worker's own goroutine, so that nobody else reads the frames.
			err = w.node.Do(t.Context(), func() {
				var s *source
				for _, x := range w.sources {
					if x.name == from.Device {
						s = x
					}
				}
				got = testing.AllocsPerRun(200, func() {
					for range 3 { // more than one, so that some wait for each other
						_, _ = unix.Write(fd, payload)
					}
					s.burst = 8
					w.drain(s)
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			if got != 0 {
				t.Errorf("wire %q, underlay %q, to %s: %v allocations for three frames, want 0", tt.wire, tt.underlay, to, got)
			}
			_ = sink.Close()
			_ = unix.Close(fd)
		}
		err = w.node.Do(t.Context(), func() {
			wait := time.Duration(0)
			for i := 0; wait == 0 && i < 1000; i++ {
				wait = w.collect()
			}
			if wait < time.Second {
				t.Errorf("an idle node waits for %v only", wait)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func connected(to netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return fd, unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
}
