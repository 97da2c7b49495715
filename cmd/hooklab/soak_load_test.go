package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// generators make the load that programs make badly. What they count is theirs until the
// load has ended.
type generators struct {
	*soak
	t   *testing.T
	ctx context.Context //nolint:containedctx // as long as the load
	all *sync.WaitGroup

	connections, late, frames, datagrams atomic.Uint64
	streams                              []*stream
}

// stream is numbered datagrams to one address.
type stream struct {
	to                    string
	sent, got, outOfOrder uint64
}

func (g *generators) start() {
	// A half of the connections goes to the pods, a half to the service, which leads to another
	// port: the client's kernel may use one source port for both, and behind the translation
	// they would be one connection, of which the later one's SYN ends the former.
	const direct, service = 8080, 80
	for _, ref := range []string{"same", "other"} {
		g.serve(ref, direct)
		g.serve(ref, service)
	}
	tokens := make(chan struct{}, 100)
	g.all.Go(func() {
		g.paced(1000, func() {
			select {
			case tokens <- struct{}{}:
			default:
				g.late.Add(1)
			}
		})
		close(tokens)
	})
	for i := range 32 {
		to := netip.MustParseAddr([]string{"10.0.0.11", "10.0.1.11", "10.96.0.80", "10.96.0.80"}[i%4])
		port := []int{direct, direct, service, service}[i%4]
		g.inside("client", func() error {
			for range tokens {
				if err := connection(to, port); err != nil {
					return fmt.Errorf("connection to %v: %w", to, err)
				}
				g.connections.Add(1)
			}
			return nil
		})
	}
	for _, to := range []struct{ ref, addr string }{{"same", "10.0.0.11"}, {"other", "10.0.1.11"}} {
		g.numbered(to.ref, to.addr)
	}
	g.inside("flooder", func() error { return g.randomFrames(500, &g.frames) })
	g.inside("external/stranger", func() error { return g.randomDatagrams(500, &g.datagrams) })
}

func (g *generators) report(took time.Duration) {
	rate := func(n uint64) float64 { return float64(n) / took.Seconds() }
	g.t.Logf("%.0f connections/s (%d too late to begin), %.0f random frames/s, %.0f random datagrams/s to port 8472",
		rate(g.connections.Load()), g.late.Load(), rate(g.frames.Load()), rate(g.datagrams.Load()))
	for _, s := range g.streams {
		g.t.Logf("numbered datagrams to %s: %.0f/s, %d of %d arrived, %d out of order", s.to, rate(s.sent), s.got, s.sent, s.outOfOrder)
		if s.got == 0 || s.outOfOrder > 0 {
			g.t.Errorf("numbered datagrams to %s: %d of %d arrived, %d out of order", s.to, s.got, s.sent, s.outOfOrder)
		}
	}
	if g.connections.Load() == 0 {
		g.t.Error("no connection was made")
	}
}

// inside runs f in a namespace, on a thread of its own.
func (g *generators) inside(ref string, f func() error) {
	g.all.Go(func() {
		if err := g.spaces[ref].Do(f); err != nil {
			g.t.Errorf("%s: %v", ref, err)
		}
	})
}

// paced calls f so many times a second until the load ends. What it is late with it does at
// once, up to a tenth of a second's.
func (g *generators) paced(rate int, f func()) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for done := 0; ; {
		select {
		case <-g.ctx.Done():
			return
		case <-tick.C:
		}
		due := int(time.Since(began).Seconds() * float64(rate))
		for done = max(done, due-rate/10); done < due; done++ {
			f()
		}
	}
}

// serve accepts connections, sends one byte and closes: so that the server keeps the
// address in TIME_WAIT, and not the client, which would run out of ports.
func (g *generators) serve(ref string, port int) {
	var l net.Listener
	err := g.spaces[ref].Do(func() (err error) {
		l, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte{1}) // the client tells
			_ = c.Close()
		}
	}()
	g.t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
}

// connection is a short one: it reads what the server says, until that closes.
func connection(to netip.Addr, port int) (err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	limit := unix.NsecToTimeval(int64(4 * patience)) // a machine that gives us nothing loses segments
	for _, opt := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, opt, &limit); err != nil {
			return err
		}
	}
	if err := retried(func() error { return unix.Connect(fd, &unix.SockaddrInet4{Addr: to.As4(), Port: port}) }); err != nil {
		return err
	}
	var buf [16]byte
	for got := 0; ; {
		var n int
		err := retried(func() (err error) {
			n, err = unix.Read(fd, buf[:])
			return err
		})
		switch {
		case err != nil:
			return err
		case n == 0 && got == 1:
			return nil
		case n == 0:
			return fmt.Errorf("closed after %d bytes", got)
		}
		got += n
	}
}

// retried calls f again if a signal has interrupted it.
func retried(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// numbered sends numbered datagrams, 2,000 a second, and counts who comes after a greater
// one.
func (g *generators) numbered(ref, addr string) {
	const port, rate = 9, 2000
	s := &stream{to: addr}
	g.streams = append(g.streams, s)
	var in net.PacketConn
	err := g.spaces[ref].Do(func() (err error) {
		in, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	over := make(chan struct{})
	g.inside("client", func() error {
		defer close(over)
		out, err := net.Dial("udp4", net.JoinHostPort(addr, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		b := make([]byte, 1200)
		g.paced(rate, func() {
			binary.BigEndian.PutUint64(b, s.sent)
			if _, err := out.Write(b[:18+s.sent/7%5*200]); err == nil {
				s.sent++
			}
		})
		return out.Close()
	})
	g.all.Go(func() {
		<-over
		// What is on its way comes before the socket has been idle for so long.
		_ = in.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	})
	g.all.Go(func() {
		b, next := make([]byte, 2000), uint64(0)
		for {
			if _, _, err := in.ReadFrom(b); err != nil {
				break
			}
			n := binary.BigEndian.Uint64(b)
			if s.got++; n < next {
				s.outOfOrder++
			}
			next = max(next, n+1)
		}
		_ = in.Close()
	})
}

// randomFrames sends frames of random bytes from the pod's eth0: half of them at random
// altogether, the others addressed to the node, as IPv4, ARP or IPv6 and with the pod's
// source address, so that they get further.
func (g *generators) randomFrames(rate int, sent *atomic.Uint64) error {
	return withFrames(func(send func() error) {
		g.paced(rate, func() {
			if send() == nil {
				sent.Add(1)
			}
		})
	})
}

// withFrames opens a packet socket and lets f send random frames on it.
func withFrames(f func(send func() error)) (err error) {
	dev, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	r := rand.NewChaCha8([32]byte{7})
	dice := rand.New(r)
	to := &unix.SockaddrLinklayer{Ifindex: dev.Index}
	f(func() error {
		b := make([]byte, 60+dice.IntN(1400))
		_, _ = r.Read(b)
		if kind := dice.IntN(8); kind < 4 {
			copy(b[6:], dev.HardwareAddr)
			binary.BigEndian.PutUint16(b[12:], []uint16{0x0800, 0x0800, 0x0806, 0x86dd}[kind])
			if kind == 1 { // IPv4 from the pod to somewhere, with a random rest
				b[14] = 0x45
				binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
				copy(b[20:], []byte{0, 0})
				copy(b[26:], []byte{10, 0, 1, 12, 10, 0, byte(dice.IntN(2)), byte(dice.IntN(20))})
			}
		}
		return unix.Sendto(fd, b, 0, to)
	})
	return nil
}

// randomDatagrams sends datagrams of random bytes to the tunnel's port of both nodes: half
// of them begin as VXLAN does.
func (g *generators) randomDatagrams(rate int, sent *atomic.Uint64) error {
	return withDatagrams([]string{"172.18.0.2", "172.18.0.3"}, func(send func() error) {
		g.paced(rate, func() {
			if send() == nil {
				sent.Add(1)
			}
		})
	})
}

// withDatagrams lets f send random datagrams to the tunnel's port of hosts in turn.
func withDatagrams(hosts []string, f func(send func() error)) error {
	var out []net.Conn
	for _, h := range hosts {
		c, err := net.Dial("udp4", h+":8472")
		if err != nil {
			return err
		}
		defer c.Close()
		out = append(out, c)
	}
	r := rand.NewChaCha8([32]byte{8})
	dice := rand.New(r)
	n := 0
	f(func() error {
		b := make([]byte, 1+dice.IntN(1400))
		_, _ = r.Read(b)
		if vxlan := []byte{8, 0, 0, 0, 0, 9, 9, 0}; dice.IntN(2) == 0 && len(b) > 60 {
			copy(b, vxlan)
			if dice.IntN(2) == 0 { // IPv4 inside
				copy(b[20:], []byte{8, 0, 0x45})
			}
		}
		n++
		_, err := out[n%len(out)].Write(b)
		if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
		return err
	})
	return nil
}
