package tunnel_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/gso"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/internal/testkit/check"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

const vni = 5

var (
	outerKernel = netip.MustParseAddr("192.168.9.1")
	outerOurs   = netip.MustParseAddr("192.168.9.2")
)

// pair is two nodes on a wire: one with a kernel VXLAN device, one with an
// underlay of ours.
type pair struct {
	kernel, ours *netns.NS
	u            *tunnel.Underlay
	wire         *netns.Port // sees what arrives at the kernel's node
}

func newPair(tb testing.TB, dev netns.VXLAN) *pair {
	tb.Helper()
	p := &pair{kernel: testkit.NetNS(tb), ours: testkit.NetNS(tb)}
	link := func(mac byte) netns.Link {
		return netns.Link{Name: "eth0", MAC: netns.MAC{2, 1, 0, 0, 0, mac}, Up: true}
	}
	for _, ns := range []*netns.NS{p.kernel, p.ours} {
		must(tb, ns.SetSysctl("net/ipv6/conf/default/disable_ipv6", "1"))
	}
	dev.Port = tunnel.Port
	must(tb,
		p.kernel.AddVeth(link(1), p.ours, link(2)),
		p.kernel.AddAddr("eth0", netip.PrefixFrom(outerKernel, 24)),
		p.ours.AddAddr("eth0", netip.PrefixFrom(outerOurs, 24)),
		p.kernel.AddNeigh("eth0", outerOurs, netns.MAC{2, 1, 0, 0, 0, 2}),
		p.ours.AddNeigh("eth0", outerKernel, netns.MAC{2, 1, 0, 0, 0, 1}),
		p.kernel.AddVXLAN(netns.Link{Name: "vx0", MAC: macKernel, MTU: 1500, Up: true}, dev),
		p.kernel.AddAddr("vx0", netip.PrefixFrom(ipKernel, 24)),
		p.kernel.AddNeigh("vx0", ipOurs, macOurs),
		p.ours.Do(func() (err error) {
			p.u, err = tunnel.Open(tunnel.Config{MAC: macOurs})
			return err
		}))
	var err error
	p.wire, err = p.kernel.OpenPacket("eth0", netns.PacketOptions{})
	must(tb, err)
	tb.Cleanup(func() { must(tb, p.u.Close(), p.u.Close(), p.wire.Close()) })
	return p
}

// static is a device with one VNI and one remote node.
func static() netns.VXLAN { return netns.VXLAN{VNI: vni, Remote: outerOurs.As4()} }

// recv returns the next frame that the underlay accepts.
func (p *pair) recv(tb testing.TB) ([]byte, tunnel.Meta) {
	tb.Helper()
	poll, err := netns.NewPoller()
	must(tb, err, poll.Add(p.u.FD(), 1))
	defer poll.Close()
	for ctx := within(tb); ctx.Err() == nil; {
		var m tunnel.Meta
		frame, err := p.u.Recv(&m)
		must(tb, err)
		if frame != nil {
			return frame, m
		}
		_, err = poll.Wait(make([]netns.Event, 1), patience)
		must(tb, err)
	}
	tb.Fatal("the underlay received nothing")
	return nil, tunnel.Meta{}
}

// read returns the next frame of a port.
func read(tb testing.TB, port *netns.Port) []byte {
	tb.Helper()
	poll, err := netns.NewPoller()
	must(tb, err, poll.Add(port.FD(), 1))
	defer poll.Close()
	buf := make([]byte, 1<<16)
	for ctx := within(tb); ctx.Err() == nil; {
		var m netns.Meta
		n, err := port.Read(buf, &m)
		must(tb, err)
		if n > 0 {
			return buf[:n]
		}
		_, err = poll.Wait(make([]netns.Event, 1), patience)
		must(tb, err)
	}
	tb.Fatalf("%s received nothing", port.Link().Name)
	return nil
}

func listen(tb testing.TB, ns *netns.NS, at string, tos int) *net.UDPConn {
	tb.Helper()
	var c *net.UDPConn
	must(tb, ns.Do(func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
		return err
	}))
	raw, err := c.SyscallConn()
	must(tb, err, raw.Control(func(fd uintptr) {
		must(tb, unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, tos))
	}))
	tb.Cleanup(func() { c.Close() })
	return c
}

// checkOuter checks the outer headers of a frame on the wire byte for byte, but
// for identification and header checksum, which are checked otherwise.
func checkOuter(tb testing.TB, frame []byte, tos uint8, src, dst netip.Addr, port uint16, inner int) {
	tb.Helper()
	check.VXLAN(tb, frame, tunnel.Port, vni, []check.Checker{
		check.TTL(64), check.TOS(tos), check.Fragment(false, false, 0), check.Addrs(src, dst), check.UDPChecksum(0),
	}, nil)
	if len(frame) < 50 {
		return
	}
	want := []byte{0x45, tos, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0}
	binary.BigEndian.PutUint16(want[2:], uint16(36+inner))
	want = append(append(want, src.AsSlice()...), dst.AsSlice()...)
	want = binary.BigEndian.AppendUint16(want, port)
	want = binary.BigEndian.AppendUint16(want, tunnel.Port)
	want = binary.BigEndian.AppendUint16(want, uint16(16+inner))
	want = append(want, 0, 0, 8, 0, 0, 0, 0, 0, vni, 0)
	got := bytes.Clone(frame[14:50])
	copy(got[4:6], []byte{0, 0})   // identification
	copy(got[10:12], []byte{0, 0}) // header checksum
	if diff := cmp.Diff(fmt.Sprintf("%x", want), fmt.Sprintf("%x", got)); diff != "" {
		tb.Errorf("outer headers (-want +got):\n%s", diff)
	}
}

// TestPrivilegedToKernel sends frames of ours to a kernel device.
func TestPrivilegedToKernel(t *testing.T) {
	t.Parallel()
	p := newPair(t, static())
	c := listen(t, p.kernel, "10.0.0.1:80", 0)
	ids := map[uint16]bool{}
	for tos := range 256 {
		payload := fmt.Sprintf("tos %d", tos)
		frame := udpFrame(t, uint8(tos), 80, []byte(payload))
		hash := uint32(tos) * 0x01010101
		must(t, p.u.Send(vni, outerKernel.As4(), frame, hash))
		got := read(t, p.wire)
		want := uint8(tos) & 3
		if want == 3 {
			want = 2
		}
		checkOuter(t, got, want, outerOurs, outerKernel, tunnel.SourcePort(hash), len(frame))
		if !bytes.HasSuffix(got, frame) {
			t.Errorf("%s: inner frame differs", payload)
		}
		ids[binary.BigEndian.Uint16(got[18:])] = true
		buf := make([]byte, 100)
		n, from, err := c.ReadFromUDPAddrPort(buf)
		must(t, err)
		if got := fmt.Sprintf("%s %s", from, buf[:n]); got != "10.0.0.2:4000 "+payload {
			t.Errorf("the kernel delivered %q", got)
		}
	}
	if len(ids) < 200 {
		t.Errorf("256 packets have %d identifications", len(ids))
	}
	if s := p.u.Stats(); s.TxPackets != 256 || s.TxErrors != 0 {
		t.Errorf("stats %+v, want 256 sent", s)
	}
}

// TestPrivilegedFromKernel receives what a kernel device sends, and checks that
// the kernel's outer headers are those that ours are checked against.
func TestPrivilegedFromKernel(t *testing.T) {
	t.Parallel()
	p := newPair(t, static())
	wire, err := p.ours.OpenPacket("eth0", netns.PacketOptions{})
	must(t, err)
	defer wire.Close()
	for tos := range 256 {
		payload := fmt.Sprintf("tos %d", tos)
		c := listen(t, p.kernel, "10.0.0.1:0", tos)
		_, err := c.WriteToUDPAddrPort([]byte(payload), netip.AddrPortFrom(ipOurs, 80))
		must(t, err)
		frame, m := p.recv(t)
		want := uint8(tos) & 3
		if want == 3 {
			want = 2
		}
		if m.SrcPort < 32768 || m.SrcPort > 60999 {
			t.Errorf("source port %d", m.SrcPort)
		}
		undone := dataplane.Csum{Partial: true, Start: 34, Off: 6}
		if diff := cmp.Diff(tunnel.Meta{Remote: outerKernel.As4(), SrcPort: m.SrcPort, VNI: vni, TOS: want, TTL: 64, Csum: undone}, m); diff != "" {
			t.Errorf("%s: meta (-want +got):\n%s", payload, diff)
		}
		checkOuter(t, read(t, wire), want, outerKernel, outerOurs, m.SrcPort, len(frame))
		if !gso.Complete(frame, m.Csum) {
			t.Errorf("%s: checksum cannot be completed", payload)
		}
		check.IPv4(t, frame, check.MACs(macOurs, macKernel), check.TOS(uint8(tos)), check.TTL(64), check.UDP(), check.Payload([]byte(payload)))
		c.Close()
	}
	if s := p.u.Stats(); s.RxPackets != 256 || s.RxErrors != 0 || s.RxDropped != 0 {
		t.Errorf("stats %+v, want 256 received", s)
	}
}

// TestPrivilegedFragments sends inner packets around the limit of SPEC 20.4 both
// ways.
func TestPrivilegedFragments(t *testing.T) {
	t.Parallel()
	p := newPair(t, static())
	c := listen(t, p.kernel, "10.0.0.1:80", 0)
	wire, err := p.ours.OpenPacket("eth0", netns.PacketOptions{})
	must(t, err)
	defer wire.Close()
	vx, err := p.kernel.OpenPacket("vx0", netns.PacketOptions{})
	must(t, err)
	defer vx.Close()
	for _, tt := range []struct {
		frame, fragments int // inner frame with Ethernet header
	}{
		{1464, 1},
		{1465, 2},
		{1514, 2},
	} {
		payload := bytes.Repeat([]byte{'x'}, tt.frame-42)
		must(t, p.u.Send(vni, outerKernel.As4(), udpFrame(t, 0, 80, payload), 1))
		check.Ethernet(t, read(t, p.wire), check.Fragment(false, tt.fragments > 1, 0), check.TTL(64))
		if tt.fragments > 1 {
			check.Ethernet(t, read(t, p.wire), check.Fragment(false, false, 1480), check.TTL(64))
		}
		buf := make([]byte, 2000)
		n, err := c.Read(buf)
		must(t, err)
		if !bytes.Equal(buf[:n], payload) {
			t.Errorf("frame of %d bytes: the kernel received %d bytes", tt.frame, n)
		}

		// As a program redirects it: without a route whose MTU would be learnt.
		sent := udpFrame(t, 0, 80, payload)
		sent[11]++ // not our own device's address
		must(t, vx.Write(sent, &netns.Meta{}))
		frame, _ := p.recv(t)
		check.IPv4(t, frame, check.Fragment(true, false, 0), check.UDP(), check.Payload(payload))
		check.Ethernet(t, read(t, wire), check.Fragment(false, tt.fragments > 1, 0))
		if tt.fragments > 1 {
			check.Ethernet(t, read(t, wire), check.Fragment(false, false, 1480))
		}
	}
}

// outcome is what became of a datagram: the frame that came out, and what the
// device counted.
type outcome struct {
	Frame                          string
	Errors, FrameErrors, LenErrors uint64
}

// TestPrivilegedLikeKernel sends the same datagrams to a kernel device in
// collect-metadata mode and to our underlay, and compares what comes out.
func TestPrivilegedLikeKernel(t *testing.T) {
	t.Parallel()
	p := newPair(t, netns.VXLAN{External: true})
	vx, err := p.kernel.OpenPacket("vx0", netns.PacketOptions{})
	must(t, err)
	defer vx.Close()

	type input struct {
		name string
		b    []byte
		tos  uint8
	}
	var inputs []input
	for _, tt := range decapTests(t) {
		inputs = append(inputs, input{tt.name, tt.b, 0})
	}
	for outer := range uint8(4) {
		for inner := range uint8(4) {
			name := fmt.Sprintf("outer %d inner %d", outer, inner)
			inputs = append(inputs,
				input{"IPv4 " + name, datagram(udpFrame(t, 0xb8|inner, 80, []byte("ecn"))), 0xfc | outer},
				input{"IPv6 " + name, datagram(ipv6Frame(t, 0xb8|inner)), 0xfc | outer})
		}
	}
	wrong := udpFrame(t, 2, 80, []byte("wrong checksum"))
	wrong[24] ^= 0x55
	version := udpFrame(t, 2, 80, []byte("version 0"))
	version[14] = 0x05
	inputs = append(inputs,
		input{"ARP with CE", datagram(arpFrame(t)), 3},
		input{"VNI 0", datagram(udpFrame(t, 0, 80, []byte("vni")), 6, vni), 0},
		input{"wrong header checksum with CE", datagram(wrong), 3},
		input{"IP version 0 with CE", datagram(version), 3})

	for _, in := range inputs {
		kernel := p.throughKernel(t, vx, in.b, in.tos)
		ours := p.throughOurs(t, in.b, in.tos)
		if diff := cmp.Diff(kernel, ours); diff != "" {
			t.Errorf("%s (-kernel +ours):\n%s", in.name, diff)
		}
	}
}

// last follows every datagram, to see that nothing more comes.
func last(tb testing.TB) []byte {
	tb.Helper()
	return udpFrame(tb, 0, 9, []byte("last"))
}

func (p *pair) throughKernel(tb testing.TB, vx *netns.Port, b []byte, tos uint8) outcome {
	tb.Helper()
	before := deviceStats(tb, p.kernel)
	sendInOrder(tb, p.ours, outerKernel, [][]byte{b, datagram(last(tb))}, tos)
	var o outcome
	for {
		f := read(tb, vx)
		if bytes.Equal(f, last(tb)) {
			break
		}
		o.Frame += fmt.Sprintf("%x", f)
	}
	after := deviceStats(tb, p.kernel)
	o.Errors = after.RxErrors - before.RxErrors
	o.FrameErrors = after.RxFrameErrors - before.RxFrameErrors
	o.LenErrors = after.RxLengthErrors - before.RxLengthErrors
	return o
}

func (p *pair) throughOurs(tb testing.TB, b []byte, tos uint8) outcome {
	tb.Helper()
	before := p.u.Stats()
	// From another address than our own device's, which would be an echo.
	sendInOrder(tb, p.kernel, outerOurs, [][]byte{foreign(b), foreign(datagram(last(tb)))}, tos)
	var o outcome
	for {
		f, _ := p.recv(tb)
		if f[11]--; bytes.Equal(f, last(tb)) {
			break
		}
		o.Frame += fmt.Sprintf("%x", f)
	}
	after := p.u.Stats()
	o.Errors = after.RxErrors - before.RxErrors
	o.FrameErrors = after.RxFrameErrors - before.RxFrameErrors
	o.LenErrors = after.RxLengthErrors - before.RxLengthErrors
	return o
}

// foreign changes the inner source address.
func foreign(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= 20 {
		b[19]++
	}
	return b
}

// sendInOrder sends datagrams from one CPU, so that a veth pair keeps their
// order. Only the first has the TOS.
func sendInOrder(tb testing.TB, ns *netns.NS, to netip.Addr, datagrams [][]byte, tos uint8) {
	tb.Helper()
	must(tb, ns.Do(func() error {
		var cpus unix.CPUSet
		if err := unix.SchedGetaffinity(0, &cpus); err != nil {
			return err
		}
		for i := range runtime.NumCPU() * 64 {
			if cpus.IsSet(i) {
				cpus.Zero()
				cpus.Set(i)
				break
			}
		}
		if err := unix.SchedSetaffinity(0, &cpus); err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, b := range datagrams {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, int(tos)); err != nil {
				return err
			}
			if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Port: tunnel.Port, Addr: to.As4()}); err != nil {
				return err
			}
			tos = 0
		}
		return nil
	}))
}

func deviceStats(tb testing.TB, ns *netns.NS) netlink.LinkStatistics {
	tb.Helper()
	var s netlink.LinkStatistics
	must(tb, ns.Do(func() error {
		l, err := netlink.LinkByName("vx0")
		if err == nil {
			s = *l.Attrs().Statistics
		}
		return err
	}))
	return s
}
