package lab_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hooklab/hooklab/netns"
)

// echo serves TCP and UDP on a port of a namespace: it sends back what it gets.
func echo(tb testing.TB, ns *netns.NS, addr string) {
	tb.Helper()
	var tcp net.Listener
	var udp net.PacketConn
	must(tb, ns.Do(func() (err error) {
		if tcp, err = net.Listen("tcp4", addr); err != nil {
			return err
		}
		udp, err = net.ListenPacket("udp4", addr)
		return err
	}))
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 1<<16)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo(buf[:n], from)
		}
	}()
	tb.Cleanup(func() {
		must(tb, tcp.Close(), udp.Close())
		<-done
		<-done
	})
}

// dial connects from a namespace.
func dial(tb testing.TB, ns *netns.NS, network, addr string) net.Conn {
	tb.Helper()
	var c net.Conn
	must(tb, ns.Do(func() (err error) {
		d := net.Dialer{Timeout: patience}
		c, err = d.DialContext(context.Background(), network, addr)
		return err
	}))
	tb.Cleanup(func() {
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			must(tb, err)
		}
	})
	must(tb, c.SetDeadline(time.Now().Add(2*patience)))
	return c
}

// exchange sends n bytes over a TCP connection to an echo and checks that they come
// back.
func exchange(tb testing.TB, c net.Conn, n int) time.Duration {
	tb.Helper()
	want := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(want)
	start := time.Now()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	got, err := io.ReadAll(c)
	must(tb, err, <-sent)
	if !bytes.Equal(got, want) {
		tb.Errorf("%d bytes came back, not the %d sent", len(got), n)
	}
	return time.Since(start)
}

// TestPrivilegedTCP moves data on every path, through a service too.
func TestPrivilegedTCP(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	for _, ref := range []string{"default/pod1-2", "default/pod2-1", "node/worker2", "node/worker"} {
		echo(t, w.space(ref), ":80")
	}
	for _, tt := range []struct{ name, from, to string }{
		{"same node", "default/pod1-1", "10.0.1.79:80"},
		{"other node", "default/pod1-1", "10.0.2.158:80"},
		{"service on the same node", "default/pod1-1", "10.96.52.248:80"},
		{"service on the other node", "default/pod2-1", "10.96.52.248:80"},
		{"service from its own backend", "default/pod1-2", "10.96.52.248:80"},
		{"pod to its node", "default/pod1-1", "172.18.0.3:80"},
		{"pod to its router", "default/pod1-1", "10.0.1.197:80"},
		{"pod to another node", "default/pod1-1", "172.18.0.5:80"},
		{"node to its pod", "node/worker2", "10.0.1.79:80"},
		{"node to a remote pod", "node/worker2", "10.0.2.158:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const size = 2 << 20
			took := exchange(t, dial(t, w.space(tt.from), "tcp4", tt.to), size)
			t.Logf("%d MiB there and back in %v", size>>20, took)
		})
	}
}

// TestPrivilegedUDP sends datagrams of several lengths, also such that the sender, or
// the outer packet, is fragmented.
func TestPrivilegedUDP(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	echo(t, w.space("default/pod1-2"), ":80")
	echo(t, w.space("default/pod2-1"), ":80")
	for _, to := range []string{"10.0.1.79:80", "10.0.2.158:80", "10.96.52.248:80"} {
		t.Run(to, func(t *testing.T) {
			c := dial(t, w.space("default/pod1-1"), "udp4", to)
			for _, n := range []int{1, 512, 1422, 1423, 4000} {
				want := bytes.Repeat([]byte{byte(n)}, n)
				_, err := c.Write(want)
				must(t, err)
				got := make([]byte, 1<<16)
				n, err := c.Read(got)
				must(t, err)
				if !bytes.Equal(got[:n], want) {
					t.Errorf("%d bytes came back, not the %d sent", n, len(want))
				}
			}
		})
	}
}

// TestPrivilegedMasquerade lets pods reach hosts outside the cluster, which see the
// node, and hosts outside reach nothing but nodes.
func TestPrivilegedMasquerade(t *testing.T) {
	t.Parallel()
	w := up(t, strings.Replace(article, "spec:\n", `spec:
  external:
  - {name: dns, ip: 8.8.8.8}
  - {name: neighbour, ip: 172.18.0.77}
`, 1))
	for _, tt := range []struct{ host, ip, from, want string }{
		{"external/dns", "8.8.8.8", "default/pod1-1", "172.18.0.3"},
		{"external/dns", "8.8.8.8", "default/pod2-1", "172.18.0.5"},
		{"external/dns", "8.8.8.8", "node/worker", "172.18.0.5"},
		{"external/neighbour", "172.18.0.77", "default/pod1-1", "172.18.0.3"},
		{"wire/underlay", "172.18.0.1", "default/pod1-1", "172.18.0.3"},
		{"node/worker", "172.18.0.5", "default/pod1-1", "172.18.0.3"},
		{"default/pod1-2", "10.0.1.79", "default/pod1-1", "10.0.1.178"},
		{"default/pod2-1", "10.0.2.158", "default/pod1-1", "10.0.1.178"},
		{"default/pod2-1", "10.0.2.158", "node/worker2", "10.0.1.197"},
		{"default/pod2-1", "10.0.2.158", "node/worker", "10.0.2.17"},
	} {
		if got := peerOf(t, w, tt.host, tt.ip, tt.from); got != tt.want {
			t.Errorf("%s sees %s as %s, want %s", tt.host, tt.from, got, tt.want)
		}
	}
	if _, _, err := ping(w.space("external/dns"), "172.18.0.3", 1); err != nil {
		t.Errorf("from outside to a node: %v", err)
	}
}

// peerOf connects by TCP and returns the client's address as the server sees it.
func peerOf(tb testing.TB, w *world, host, ip, from string) string {
	tb.Helper()
	var l net.Listener
	must(tb, w.space(host).Do(func() (err error) {
		l, err = net.Listen("tcp4", ip+":0")
		return err
	}))
	defer l.Close()
	peer := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			peer <- err.Error()
			return
		}
		peer <- netip.MustParseAddrPort(c.RemoteAddr().String()).Addr().String()
		_ = c.Close()
	}()
	dial(tb, w.space(from), "tcp4", l.Addr().String())
	return <-peer
}
