package lab_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/gso"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// TestPrivilegedWireAgreement lets the same pods say the same in labs of all engines: the
// VXLAN datagrams are equal in every field but those that chance or the clock decides on.
func TestPrivilegedWireAgreement(t *testing.T) {
	t.Parallel()
	frames := map[string][]string{}
	engines := []string{"kernel", "emulated", "emulated, sockets", "bytecode", "emulated to kernel", "kernel to bytecode"}
	for _, name := range engines {
		w := upWith(t, article, func(o *lab.Options) {
			allEngines(t)(o)
			from, to, mixed := strings.Cut(name, " to ")
			if mixed {
				o.Cluster = load(t, strings.NewReplacer("{name: worker,", "{engine: "+to+", name: worker,",
					"{name: worker2,", "{engine: "+from+", name: worker2,").Replace(article))
			}
			if from, sockets := strings.CutSuffix(from, ", sockets"); !mixed {
				o.Engine = from
				if sockets {
					o.Underlay = "socket"
				}
			}
		})
		frames[name] = script(t, w)
		must(t, w.Close())
	}
	want := frames[engines[0]]
	for _, f := range want {
		t.Log(f)
	}
	const all = 2 + 2 + 11 // ICMP, UDP, TCP
	if len(want) != all {
		t.Errorf("%d datagrams, want %d", len(want), all)
	}
	for _, name := range engines[1:] {
		if got := frames[name]; !slices.Equal(got, want) {
			t.Errorf("%s:\n %s\n%s:\n %s", engines[0], strings.Join(want, "\n "), name, strings.Join(got, "\n "))
		}
	}
}

// script sends a ping, a datagram and one TCP exchange from pod1-1 to pod2-1 and returns
// what went over the wire, without what no two runs have in common.
func script(t *testing.T, w *world) []string {
	t.Helper()
	p, err := w.space("wire/underlay").OpenPacket("node2", netns.PacketOptions{Outgoing: true, Marks: true, VNetHdr: true})
	must(t, err)
	defer func() { must(t, p.Close()) }()
	c := newCanon(t)
	wire := func(n int) {
		t.Helper()
		until(t, func() bool { c.read(p); return len(c.frames) >= n })
	}
	from, to := w.space("default/pod1-1"), w.space("default/pod2-1")
	const dst = "10.0.2.158"
	must(t, pingFixed(from, dst))
	wire(2)
	udpScript(t, from, to, dst)
	wire(4)
	tcpScript(t, from, to, dst)
	wire(15)
	return c.frames
}

// pingFixed sends one echo request whose bytes are always the same.
func pingFixed(ns *netns.NS, to string) error {
	return ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		msg := append([]byte{8, 0, 0, 0, 0x12, 0x34, 0, 1}, "a fixed payload"...)
		msg = append(msg, 0)
		binary.BigEndian.PutUint16(msg[2:], checksum(msg))
		return unix.Sendto(fd, msg, 0, &unix.SockaddrInet4{Addr: netip.MustParseAddr(to).As4()})
	})
}

// udpScript sends a datagram there and one back.
func udpScript(t *testing.T, from, to *netns.NS, dst string) {
	t.Helper()
	var a, b net.PacketConn
	must(t, to.Do(func() (err error) { b, err = net.ListenPacket("udp4", ":4001"); return err }))
	must(t, from.Do(func() (err error) { a, err = net.ListenPacket("udp4", ":40001"); return err }))
	defer func() { must(t, a.Close(), b.Close()) }()
	_, err := a.WriteTo([]byte("question"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(dst+":4001")))
	must(t, err, b.SetDeadline(time.Now().Add(patience)), a.SetDeadline(time.Now().Add(patience)))
	buf := make([]byte, 100)
	_, peer, err := b.ReadFrom(buf)
	must(t, err)
	_, err = b.WriteTo([]byte("answer"), peer)
	must(t, err)
	_, _, err = a.ReadFrom(buf)
	must(t, err)
}

// tcpScript has one exchange below a segment. Each step waits until the one before is
// acknowledged, so that no run saves a segment.
func tcpScript(t *testing.T, from, to *netns.NS, dst string) {
	t.Helper()
	var l net.Listener
	var a net.Conn
	must(t, to.Do(func() (err error) { l, err = net.Listen("tcp4", ":4002"); return err }))
	defer func() { must(t, l.Close()) }()
	must(t, from.Do(func() (err error) {
		d := net.Dialer{Timeout: patience, KeepAlive: -1, LocalAddr: &net.TCPAddr{Port: 40002}}
		a, err = d.DialContext(t.Context(), "tcp4", dst+":4002")
		return err
	}))
	defer func() { must(t, a.Close()) }()
	b, err := l.Accept()
	must(t, err)
	must(t, a.SetDeadline(time.Now().Add(patience)), b.SetDeadline(time.Now().Add(patience)))
	say := func(c, other net.Conn, text string) {
		t.Helper()
		_, err := io.WriteString(c, text)
		must(t, err)
		_, err = io.ReadFull(other, make([]byte, len(text)))
		must(t, err)
		until(t, func() bool { return tcpInfo(t, c).Unacked == 0 })
	}
	say(a, b, "GET")
	say(b, a, "200 OK")
	must(t, a.(*net.TCPConn).CloseWrite())
	const finWait2 = 5
	until(t, func() bool { return tcpInfo(t, a).State == finWait2 })
	must(t, b.Close())
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read after the end: %v", err)
	}
}

// tcpInfo asks the kernel about a connection.
func tcpInfo(tb testing.TB, c net.Conn) *unix.TCPInfo {
	tb.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	must(tb, err)
	var info *unix.TCPInfo
	must(tb, raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }), err)
	return info
}

// canon makes frames comparable.
type canon struct {
	tb     testing.TB
	frames []string
	isn    map[[4]byte]uint32 // of the TCP connection, by sender
	buf    []byte
}

func newCanon(tb testing.TB) *canon {
	tb.Helper()
	return &canon{tb: tb, isn: map[[4]byte]uint32{}, buf: make([]byte, 1<<16)}
}

// read takes what a capture has. What is sent again, because the machine was slow, counts
// once.
func (c *canon) read(p *netns.Port) {
	c.tb.Helper()
	for {
		var m netns.Meta
		n, err := p.Read(c.buf, &m)
		must(c.tb, err)
		if n == 0 {
			return
		}
		f := bytes.Clone(c.buf[:n])
		if !isVXLAN(f) {
			continue
		}
		if v := m.VNet; v.Flags&netns.VNetNeedsCsum != 0 && !gso.Complete(f, dataplane.Csum{Partial: true, Start: v.CsumStart, Off: v.CsumOffset}) {
			c.tb.Fatalf("a partial checksum outside of the frame: %+v", v)
		}
		if text := c.canonical(f); !slices.Contains(c.frames, text) {
			c.frames = append(c.frames, text)
		}
	}
}

// canonical checks a datagram's checksums, makes TCP's numbers relative to the first, and
// clears what two runs do not share. The rest is the text.
func (c *canon) canonical(f []byte) string {
	const outer, inner = 14, 14 + 20 + 8 + 8 + 14
	c.ip(f[outer:])
	clear(f[outer+20 : outer+22]) // UDP source port
	ip := header.IPv4(f[inner:])
	c.ip(ip)
	l4 := f[inner+20:]
	pseudo := header.Sum(0)
	if p := ip.Protocol(); p == unix.IPPROTO_TCP || p == unix.IPPROTO_UDP {
		pseudo = header.PseudoSum(ip.Src(), ip.Dst(), p, len(l4))
	}
	if sum := pseudo.Partial(l4).Fold(); sum != 0 {
		c.tb.Errorf("inner checksum wrong by %#04x: %s", sum, dissect.Summary(f))
	}
	if ip.Protocol() == unix.IPPROTO_TCP {
		c.tcp(ip, l4)
	}
	return fmt.Sprintf("%s [%x]", dissect.Summary(f), f)
}

// ip checks the header's checksum and clears it and the id.
func (c *canon) ip(h []byte) {
	if sum := gso.Sum(h[:20]).Fold(); sum != 0 {
		c.tb.Errorf("IP checksum wrong by %#04x: %x", sum, h[:20])
	}
	clear(h[4:6])
	clear(h[10:12])
}

func (c *canon) tcp(ip header.IPv4, l4 []byte) {
	const syn, ack = 2, 16
	seq, acked, flags := binary.BigEndian.Uint32(l4[4:]), binary.BigEndian.Uint32(l4[8:]), l4[13]
	if flags&syn != 0 {
		c.isn[ip.Src()] = seq
	}
	binary.BigEndian.PutUint32(l4[4:], seq-c.isn[ip.Src()])
	if flags&ack != 0 {
		binary.BigEndian.PutUint32(l4[8:], acked-c.isn[ip.Dst()])
	}
	clear(l4[16:18])
	for o := l4[20 : int(l4[12]>>4)*4]; len(o) > 1 && o[0] != 0; {
		switch {
		case o[0] == 1:
			o = o[1:]
			continue
		case int(o[1]) < 2 || int(o[1]) > len(o):
			c.tb.Errorf("TCP options: %x", o)
			return
		case o[0] == 8: // timestamps
			clear(o[2:o[1]])
		}
		o = o[o[1]:]
	}
}
