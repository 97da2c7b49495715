package lab

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/maps"
)

// TestPrivilegedGather: datagrams of two flows that wait in front of a node enter the pod
// in fewer frames than they are, and arrive as they were sent, in order, from the same and
// from another node.
func TestPrivilegedGather(t *testing.T) {
	testkit.RequireRoot(t)
	c, err := cluster.Load(cluster.Source{Name: "gather.yaml", Data: []byte(twoNodes)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Up(t.Context(), Options{
		Cluster: c, RunDir: RunDir(t.TempDir()), Name: "gather", Wire: wireTAP,
		Engines: map[string]Engine{DefaultEngine: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	at := func(ref string) Space { return newSpace(KindPod, "default", ref) }
	target, _ := c.Pod("b")
	var sink *net.UDPConn
	err = l.spaces[at("b").Pin].Do(func() (err error) {
		sink, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 9})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	const each = 30 // 20 of one length, then 10 of another one
	for _, from := range []string{"a", "c"} {
		var fds [2]int
		err = l.spaces[at(from).Pin].Do(func() (err error) {
			for i := range fds {
				if fds[i], err = connected(netip.AddrPortFrom(target.IP, 9)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		pod, _ := c.Pod(from)
		w, err := l.worker(pod.Node)
		if err != nil {
			t.Fatal(err)
		}
		var wrote uint64
		// While they are sent the loop reads nothing, so all of them wait.
		err = w.node.Do(t.Context(), func() {
			before := w.node.Stats()
			for flow, fd := range fds {
				for n := range each {
					b := make([]byte, 18+n/20)
					b[0], b[1] = byte(flow), byte(n)
					binary.BigEndian.PutUint64(b[8:], uint64(n)*0x0123456789abcd)
					_, _ = unix.Write(fd, b)
				}
			}
			for _, s := range w.sources {
				if s.name == pod.Device {
					s.burst = readBudget
					w.drain(s)
				}
			}
			after := w.node.Stats()
			wrote = after.ToPod + after.ToUnderlay - before.ToPod - before.ToUnderlay
		})
		if err != nil {
			t.Fatal(err)
		}
		if wrote < 2*each { // and an answer to ARP
			t.Errorf("from %s: the node has forwarded %d packets, want %d at least: an aggregate is none before it enters a pod", from, wrote, 2*each)
		}
		var next [2]int
		buf := make([]byte, 100)
		if err := sink.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for range 2 * each {
			size, err := sink.Read(buf)
			if err != nil {
				t.Fatalf("from %s: %v after %v", from, err, next)
			}
			flow, n := buf[0], int(buf[1])
			if n != next[flow] || size != 18+n/20 || binary.BigEndian.Uint64(buf[8:]) != uint64(n)*0x0123456789abcd {
				t.Fatalf("from %s: flow %d: got % x, want number %d", from, flow, buf[:size], next[flow])
			}
			next[flow]++
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
	in, err := received(l, at("b"))
	if err != nil {
		t.Fatal(err)
	}
	if in >= 2*each {
		t.Errorf("%d frames have entered the pod, want fewer than the %d datagrams of one sender", in, 2*each)
	}
}

// received is how many frames a pod's eth0 has received.
func received(l *Lab, s Space) (n uint64, err error) {
	err = l.spaces[s.Pin].Do(func() error {
		data, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); f[0] == podDevice+":" {
				n, err = strconv.ParseUint(f[2], 10, 64)
			}
		}
		return err
	})
	return n, err
}
