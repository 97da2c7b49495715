package netns_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/internal/testkit/check"
	"github.com/hooklab/hooklab/netns"
)

// udpFrame returns an Ethernet frame with a UDP datagram.
func udpFrame(tb testing.TB, dstMAC, srcMAC netns.MAC, src, dst netip.AddrPort, payload string) []byte {
	tb.Helper()
	ip := &layers.IPv4{
		Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolUDP,
		SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(),
	}
	udp := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
	must(tb, udp.SetNetworkLayerForChecksum(ip))
	b := gopacket.NewSerializeBuffer()
	must(tb, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{DstMAC: dstMAC[:], SrcMAC: srcMAC[:], EthernetType: layers.EthernetTypeIPv4},
		ip, udp, gopacket.Payload(payload)))
	return b.Bytes()
}

// listenUDP opens a UDP socket inside ns. Control, if not nil, sets options.
func listenUDP(tb testing.TB, ns *netns.NS, at string, control func(fd int) error) *net.UDPConn {
	tb.Helper()
	var c *net.UDPConn
	must(tb, ns.Do(func() (err error) {
		lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			if control == nil {
				return nil
			}
			return errors.Join(raw.Control(func(fd uintptr) { err = control(int(fd)) }), err)
		}}
		pc, err := lc.ListenPacket(tb.Context(), "udp4", at)
		if err == nil {
			c = pc.(*net.UDPConn)
		}
		return err
	}))
	tb.Cleanup(func() { c.Close() })
	return c
}

func sendUDP(tb testing.TB, c *net.UDPConn, to, payload string) {
	tb.Helper()
	_, err := c.WriteToUDPAddrPort([]byte(payload), netip.MustParseAddrPort(to))
	must(tb, err)
}

func isUDP(payload string) func([]byte, netns.Meta) bool {
	return func(frame []byte, _ netns.Meta) bool { return bytes.Contains(frame, []byte(payload)) }
}

// waitGone waits until a device has disappeared. A child that another test is
// starting holds a copy of every descriptor until it runs its program.
func waitGone(tb testing.TB, ns *netns.NS, name string) {
	tb.Helper()
	for ctx := within(tb); ctx.Err() == nil; runtime.Gosched() {
		if _, err := ns.Link(name); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	tb.Fatalf("link %s is still there", name)
}

func TestPrivilegedTAP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		link  netns.Link
		o     netns.TAPOptions
		index int // 0: any
	}{
		{"plain", netns.Link{Name: "eth0"}, netns.TAPOptions{}, 0},
		{"plain, chosen index", netns.Link{Name: "eth0", Index: 77}, netns.TAPOptions{}, 77},
		{"virtio header", netns.Link{Name: "eth0"}, netns.TAPOptions{VNetHdr: true}, 0},
		{"longest name", netns.Link{Name: "0123456789abcde"}, netns.TAPOptions{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ns := testkit.NetNS(t)
			want := tt.link
			want.MAC, want.MTU, want.Up = macA, 1400, true
			p, err := ns.OpenTAP(want, tt.o)
			must(t, err)
			got := p.Link()
			if tt.index == 0 {
				want.Index = got.Index
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("Link() (-want +got):\n%s", diff)
			}
			pod, gw := addr("10.0.0.5"), addr("10.0.0.1")
			must(t,
				ns.AddAddr(want.Name, netip.PrefixFrom(pod, 32)),
				ns.AddRoute(netns.Route{Dst: netip.PrefixFrom(gw, 32), Dev: want.Name, Scope: netns.ScopeLink}),
				ns.AddNeigh(want.Name, gw, macB))
			c := listenUDP(t, ns, "10.0.0.5:80", nil)

			sendUDP(t, c, "10.0.0.1:53", "hello")
			frame, m := readUntil(t, p, isUDP("hello"))
			check.IPv4(t, frame, check.MACs(macB, macA), check.TTL(64), check.Addrs(pod, gw),
				check.UDP(check.SrcPort(80), check.DstPort(53)), check.Payload([]byte("hello")))
			if want := (netns.Meta{Ifindex: got.Index}); m != want {
				t.Errorf("meta %+v, want %+v", m, want)
			}

			reply := udpFrame(t, macA, macB, netip.AddrPortFrom(gw, 53), netip.AddrPortFrom(pod, 80), "world")
			must(t, p.Write(reply, &netns.Meta{}))
			buf := make([]byte, 100)
			n, from, err := c.ReadFromUDPAddrPort(buf)
			must(t, err)
			if got := fmt.Sprintf("%s %s", from, buf[:n]); got != "10.0.0.1:53 world" {
				t.Errorf("the pod received %q", got)
			}

			must(t, p.Close(), p.Close())
			waitGone(t, ns, want.Name)
			if _, err := p.Read(buf, &m); !errors.Is(err, netns.ErrClosed) {
				t.Errorf("read after Close: %v, want ErrClosed", err)
			}
			if err := p.Write(reply, &m); !errors.Is(err, netns.ErrClosed) {
				t.Errorf("write after Close: %v, want ErrClosed", err)
			}
		})
	}
}

// TestPrivilegedTAPOffload checks that the virtio header passes both ways: the
// pod leaves the checksum undone, and accepts a frame with an undone checksum.
func TestPrivilegedTAPOffload(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	p, err := ns.OpenTAP(netns.Link{Name: "eth0", MAC: macA, Up: true},
		netns.TAPOptions{VNetHdr: true, Offload: netns.TAPOffloadCsum | netns.TAPOffloadTSO4})
	must(t, err)
	defer p.Close()
	must(t, ns.AddAddr("eth0", prefix("10.0.0.5/24")), ns.AddNeigh("eth0", addr("10.0.0.1"), macB))
	c := listenUDP(t, ns, "10.0.0.5:80", nil)

	sendUDP(t, c, "10.0.0.1:53", "undone")
	frame, m := readUntil(t, p, isUDP("undone"))
	want := netns.VNetHdr{Flags: netns.VNetNeedsCsum, CsumStart: 34, CsumOffset: 6}
	if m.VNet != want {
		t.Errorf("virtio header %+v, want %+v", m.VNet, want)
	}

	// Send it back with the addresses exchanged: the undone sum stays right.
	back := bytes.Clone(frame)
	copy(back[0:], frame[6:12])
	copy(back[6:], frame[0:6])
	copy(back[26:], frame[30:34])
	copy(back[30:], frame[26:30])
	copy(back[34:], frame[36:38])
	copy(back[36:], frame[34:36])
	must(t, p.Write(back, &m))
	buf := make([]byte, 100)
	n, _, err := c.ReadFromUDPAddrPort(buf)
	must(t, err)
	if got := string(buf[:n]); got != "undone" {
		t.Errorf("the pod received %q", got)
	}

	if _, err := ns.OpenTAP(netns.Link{Name: "eth1"}, netns.TAPOptions{Offload: netns.TAPOffloadCsum}); err == nil {
		t.Error("offload without virtio header: no error")
	}
	if _, err := ns.OpenTAP(netns.Link{Name: "eth1"}, netns.TAPOptions{VNetHdr: true, Offload: 1 << 20}); !errors.Is(err, netns.ErrNotSupported) {
		t.Errorf("unknown offload: %v, want ErrNotSupported", err)
	}
	waitGone(t, ns, "eth1")
}

func TestPrivilegedBatch(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	p, err := ns.OpenTAP(netns.Link{Name: "eth0", MAC: macA, Up: true}, netns.TAPOptions{})
	must(t, err)
	defer p.Close()
	must(t, ns.SetSysctl("net/ipv6/conf/eth0/disable_ipv6", "1"),
		ns.AddAddr("eth0", prefix("10.0.0.5/24")), ns.AddNeigh("eth0", addr("10.0.0.1"), macB))
	c := listenUDP(t, ns, "10.0.0.5:80", nil)
	sendUDP(t, c, "10.0.0.1:53", "first")
	readUntil(t, p, isUDP("first")) // whatever the device says when it comes up is read

	for i := range 5 {
		sendUDP(t, c, "10.0.0.1:53", fmt.Sprintf("packet %d", i))
	}
	frames := make([]netns.Frame, 3)
	for i := range frames {
		frames[i].Buf = make([]byte, 2048)
	}
	var got []string
	for _, want := range []int{3, 2, 0} {
		n, err := p.ReadBatch(frames)
		must(t, err)
		if n != want {
			t.Errorf("ReadBatch = %d, want %d", n, want)
		}
		for _, f := range frames[:n] {
			got = append(got, string(f.Buf[42:f.N]))
		}
	}
	want := []string{"packet 0", "packet 1", "packet 2", "packet 3", "packet 4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}

	for i := range frames {
		b := udpFrame(t, macA, macB, netip.MustParseAddrPort("10.0.0.1:53"), netip.MustParseAddrPort("10.0.0.5:80"), want[i])
		frames[i].N = copy(frames[i].Buf, b)
	}
	frames[2].N = 0
	if n, err := p.WriteBatch(frames); n != 2 || err == nil {
		t.Errorf("WriteBatch with an empty third frame = %d, %v, want 2 and an error", n, err)
	}
	for i := range 2 {
		buf := make([]byte, 100)
		n, _, err := c.ReadFromUDPAddrPort(buf)
		must(t, err)
		if got := string(buf[:n]); got != want[i] {
			t.Errorf("the pod received %q, want %q", got, want[i])
		}
	}
}

// TestPrivilegedDeviceGone takes the device away under the ports.
func TestPrivilegedDeviceGone(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	p, err := ns.OpenTAP(netns.Link{Name: "eth0", Up: true}, netns.TAPOptions{})
	must(t, err)
	defer p.Close()
	poll, err := netns.NewPoller()
	must(t, err)
	defer poll.Close()
	must(t, poll.Add(p.FD(), 1))
	must(t, ns.DelLink("eth0"))
	var m netns.Meta
	buf := make([]byte, 1<<16)
	if n, err := poll.Wait(make([]netns.Event, 1), patience); n != 1 || err != nil {
		t.Errorf("Wait = %d, %v, want an event", n, err)
	}
	if _, err := p.Read(buf, &m); !errors.Is(err, netns.ErrClosed) {
		t.Errorf("read: %v, want ErrClosed", err)
	}
	if err := p.Write(buf[:60], &m); !errors.Is(err, netns.ErrClosed) {
		t.Errorf("write: %v, want ErrClosed", err)
	}
}

// hostPair makes cilium_host and cilium_net and a port with marks on the latter.
func hostPair(tb testing.TB, o netns.PacketOptions) (*netns.NS, *netns.Port) {
	tb.Helper()
	ns := testkit.NetNS(tb)
	must(tb,
		ns.SetSysctl("net/ipv6/conf/default/disable_ipv6", "1"), // no router solicitations
		ns.AddVeth(netns.Link{Name: "cilium_host", MAC: macA, NoARP: true, Up: true}, nil,
			netns.Link{Name: "cilium_net", MAC: macB, NoARP: true, Up: true}),
		ns.SetOffloads("cilium_host", false, netns.OffloadTxChecksum, netns.OffloadTSO, netns.OffloadGSO),
		ns.AddAddr("cilium_host", prefix("10.0.0.1/32")),
		ns.AddRoute(netns.Route{Dst: prefix("10.0.0.0/24"), Via: addr("10.0.0.1"), Dev: "cilium_host", Src: addr("10.0.0.1")}))
	p, err := ns.OpenPacket("cilium_net", o)
	must(tb, err)
	tb.Cleanup(func() { p.Close() })
	return ns, p
}

func TestPrivilegedPacketMarks(t *testing.T) {
	t.Parallel()
	ns, p := hostPair(t, netns.PacketOptions{Marks: true})
	for _, mark := range []int{0, 0xc00, 0x35dd0f00} {
		t.Run(fmt.Sprintf("%#x", mark), func(t *testing.T) {
			var received uint32
			c := listenUDP(t, ns, "10.0.0.1:0", func(fd int) error {
				return errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark),
					unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVMARK, 1))
			})
			local := c.LocalAddr().(*net.UDPAddr).AddrPort()

			sendUDP(t, c, "10.0.0.9:80", "to pod")
			frame, m := readUntil(t, p, isUDP("to pod"))
			// NOARP: the kernel fills in the device's own address.
			check.IPv4(t, frame, check.MACs(macA, macA), check.UDP(check.SrcPort(local.Port())), check.Payload([]byte("to pod")))
			want := netns.Meta{Mark: uint32(mark), PktType: netns.PacketOtherHost, Ifindex: p.Link().Index}
			if m != want {
				t.Errorf("meta %+v, want %+v", m, want)
			}

			frame = udpFrame(t, macA, macB, netip.MustParseAddrPort("10.0.0.9:80"), local, "from pod")
			must(t, p.Write(frame, &netns.Meta{Mark: uint32(mark)}))
			buf, oob := make([]byte, 100), make([]byte, 100)
			n, oobn, _, _, err := c.ReadMsgUDPAddrPort(buf, oob)
			must(t, err)
			msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
			must(t, err)
			for _, msg := range msgs {
				if msg.Header.Type == unix.SO_MARK {
					received = binary.NativeEndian.Uint32(msg.Data)
				}
			}
			if string(buf[:n]) != "from pod" || received != uint32(mark) {
				t.Errorf("the stack received %q with mark %#x, want mark %#x", buf[:n], received, mark)
			}
			quiet(t, p, isUDP("from pod")) // outgoing frames are not ours
		})
	}
}

func TestPrivilegedPacketTypes(t *testing.T) {
	t.Parallel()
	ns, p := hostPair(t, netns.PacketOptions{Outgoing: true})
	in, err := ns.OpenPacket("cilium_host", netns.PacketOptions{})
	must(t, err)
	defer in.Close()
	tests := []struct {
		name string
		dst  netns.MAC
		want uint8
	}{
		{"own address", macB, netns.PacketHost},
		{"foreign address", netns.MAC{2, 9, 9, 9, 9, 9}, netns.PacketOtherHost},
		{"broadcast", netns.MAC{255, 255, 255, 255, 255, 255}, netns.PacketBroadcast},
		{"multicast", netns.MAC{1, 0, 0x5e, 0, 0, 1}, netns.PacketMulticast},
	}
	src, dst := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.9:2")
	for _, tt := range tests {
		must(t, in.Write(udpFrame(t, tt.dst, macA, src, dst, tt.name), &netns.Meta{}))
		if _, m := readUntil(t, p, isUDP(tt.name)); m.PktType != tt.want {
			t.Errorf("%s: type %d, want %d", tt.name, m.PktType, tt.want)
		}
	}
	other, err := ns.OpenPacket("cilium_net", netns.PacketOptions{})
	must(t, err)
	defer other.Close()
	must(t, other.Write(udpFrame(t, macA, macB, dst, netip.MustParseAddrPort("10.0.0.8:2"), "out"), &netns.Meta{}))
	if _, m := readUntil(t, p, isUDP("out")); m.PktType != netns.PacketOutgoing {
		t.Errorf("outgoing: type %d, want %d", m.PktType, netns.PacketOutgoing)
	}

	must(t, in.Write(udpFrame(t, macB, macA, src, dst, string(make([]byte, 1000))), &netns.Meta{}))
	poll, err := netns.NewPoller()
	must(t, err, poll.Add(p.FD(), 1))
	defer poll.Close()
	if n, err := poll.Wait(make([]netns.Event, 1), patience); n != 1 || err != nil {
		t.Fatalf("Wait = %d, %v", n, err)
	}
	var m netns.Meta
	if n, err := p.Read(make([]byte, 200), &m); n != 0 || !errors.Is(err, netns.ErrTruncated) {
		t.Errorf("a long frame: %d, %v, want ErrTruncated", n, err)
	}
}

// TestPrivilegedPortAllocs guards the hot path.
func TestPrivilegedPortAllocs(t *testing.T) {
	ns, p := hostPair(t, netns.PacketOptions{Marks: true})
	host, err := ns.OpenPacket("cilium_host", netns.PacketOptions{Marks: true})
	must(t, err)
	defer host.Close()
	tapNS := testkit.NetNS(t)
	plain, err := tapNS.OpenTAP(netns.Link{Name: "eth0", Up: true}, netns.TAPOptions{})
	must(t, err)
	defer plain.Close()
	vnet, err := tapNS.OpenTAP(netns.Link{Name: "eth1", Up: true}, netns.TAPOptions{VNetHdr: true})
	must(t, err)
	defer vnet.Close()

	frame := udpFrame(t, macB, macA, netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.9:2"), "x")
	buf := make([]byte, 2048)
	for _, tt := range []struct {
		name        string
		write, read *netns.Port
	}{
		{"packet with marks", host, p},
		{"plain tap", plain, plain},
		{"tap with virtio header", vnet, vnet},
	} {
		got := testing.AllocsPerRun(100, func() {
			m := netns.Meta{Mark: 0xc00}
			if err := tt.write.Write(frame, &m); err != nil {
				t.Fatal(err)
			}
			for {
				n, err := tt.read.Read(buf, &m)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
			}
		})
		if got != 0 {
			t.Errorf("%s: %v allocations a frame, want 0", tt.name, got)
		}
	}
}
