package tunnel_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

// forwarder moves frames between a TAP device and an underlay.
type forwarder struct {
	tap     *netns.Port
	u       *tunnel.Underlay
	poll    *netns.Poller
	stop    atomic.Bool
	partial int // frames whose checksum was left undone
	longest int // longest frame received
}

func (f *forwarder) run() error {
	buf := make([]byte, tunnel.MaxDatagram)
	events := make([]netns.Event, 2)
	for !f.stop.Load() {
		if _, err := f.poll.Wait(events, -1); err != nil {
			return err
		}
		for {
			var m netns.Meta
			n, err := f.tap.Read(buf, &m)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			v, p := m.VNet, dataplane.Packet{Data: buf[:n]}
			p.TunnelOut = dataplane.TunnelKey{Present: true, ID: vni, Remote: outerKernel.As4()}
			p.Csum = dataplane.Csum{Partial: v.Flags&netns.VNetNeedsCsum != 0, Start: v.CsumStart, Off: v.CsumOffset}
			p.GSO = dataplane.GSO{Type: v.GSOType, Size: v.GSOSize, HdrLen: v.HdrLen}
			if err := f.u.SendPacket(&p); err != nil {
				return err
			}
		}
		for {
			var m tunnel.Meta
			frame, err := f.u.Recv(&m)
			if err != nil {
				return err
			}
			if frame == nil {
				break
			}
			f.longest = max(f.longest, len(frame))
			var v netns.VNetHdr
			if m.Csum.Partial {
				f.partial++
				v = netns.VNetHdr{Flags: netns.VNetNeedsCsum, CsumStart: m.Csum.Start, CsumOffset: m.Csum.Off}
			}
			v.GSOType, v.GSOSize, v.HdrLen = m.GSO.Type, m.GSO.Size, m.GSO.HdrLen
			if err := f.tap.Write(frame, &netns.Meta{VNet: v}); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestPrivilegedTCP moves data over TCP between a host behind a kernel VXLAN
// device and a pod behind a TAP device and our underlay, both ways. TCP itself
// checks that nothing is lost or changed.
func TestPrivilegedTCP(t *testing.T) {
	t.Parallel()
	p := newPair(t, static())
	pod := testkit.NetNS(t)
	must(t, pod.SetSysctl("net/ipv6/conf/default/disable_ipv6", "1"))
	tap, err := pod.OpenTAP(netns.Link{Name: "eth0", MAC: macOurs, MTU: 1450, Up: true}, netns.TAPOptions{VNetHdr: true, Offload: netns.TAPOffloadAll})
	must(t, err)
	defer tap.Close()
	must(t, pod.AddAddr("eth0", netip.PrefixFrom(ipOurs, 24)), pod.AddNeigh("eth0", ipKernel, macKernel))
	poll, err := netns.NewPoller()
	must(t, err, poll.Add(tap.FD(), 0), poll.Add(p.u.FD(), 1))
	defer poll.Close()

	f := &forwarder{tap: tap, u: p.u, poll: poll}
	done := make(chan error, 1)
	go func() { done <- f.run() }()

	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	for _, dir := range []struct {
		name     string
		from, to *netns.NS
		at       string
	}{
		{"pod to host", pod, p.kernel, "10.0.0.1:80"},
		{"host to pod", p.kernel, pod, "10.0.0.2:80"},
	} {
		if got, err := transfer(within(t), dir.from, dir.to, dir.at, data); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: received %d of %d bytes, %v", dir.name, len(got), len(data), err)
		}
	}
	f.stop.Store(true)
	must(t, poll.Wake(), <-done)

	for _, ns := range []*netns.NS{pod, p.kernel} {
		if n := tcpInCsumErrors(t, ns); n != 0 {
			t.Errorf("%d TCP checksum errors", n)
		}
	}
	if f.partial == 0 {
		t.Error("the kernel left no checksum undone: the test no longer tests that")
	}
	s := p.u.Stats()
	if s.RxErrors+s.RxDropped+s.TxErrors != 0 {
		t.Errorf("stats %+v, want no errors", s)
	}
	t.Logf("received %d frames, longest %d bytes, %d partial checksums, sent %d", s.RxPackets, f.longest, f.partial, s.TxPackets)
}

// transfer sends data from one namespace to an address in another.
func transfer(ctx context.Context, from, to *netns.NS, at string, data []byte) (got []byte, err error) {
	var l net.Listener
	if err := to.Do(func() (err error) {
		l, err = net.Listen("tcp4", at)
		return err
	}); err != nil {
		return nil, err
	}
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	var sendErr error
	wg.Go(func() {
		sendErr = from.Do(func() error {
			c, err := net.DialTimeout("tcp4", at, patience)
			if err != nil {
				return errors.Join(err, l.Close())
			}
			_, err = c.Write(data)
			return errors.Join(err, c.Close())
		})
	})
	c, err := l.Accept()
	if err != nil {
		wg.Wait()
		return nil, errors.Join(err, sendErr)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	return io.ReadAll(c)
}

func tcpInCsumErrors(tb testing.TB, ns *netns.NS) int {
	tb.Helper()
	var file []byte
	must(tb, ns.Do(func() (err error) {
		file, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	}))
	var names []string
	for line := range strings.Lines(string(file)) {
		fields := strings.Fields(line)
		if fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "InCsumErrors" {
				n, err := strconv.Atoi(fields[i])
				must(tb, err)
				return n
			}
		}
	}
	tb.Fatalf("no InCsumErrors in %s", file)
	return 0
}
