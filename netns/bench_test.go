package netns_test

import (
	"net/netip"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns"
)

// BenchmarkPrivilegedPort measures a write on one end of a veth pair and a read
// on the other, and a write to a TAP device whose stack drops the frame.
func BenchmarkPrivilegedPort(b *testing.B) {
	frame := udpFrame(b, macB, macA, netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.9:2"), "x")
	ns, p := hostPair(b, netns.PacketOptions{Marks: true})
	must(b, ns.SetFirewall(netns.Firewall{DropIngress: []string{"cilium_net"}}))
	host, err := ns.OpenPacket("cilium_host", netns.PacketOptions{Marks: true})
	must(b, err)
	defer host.Close()
	b.Run("packet", func(b *testing.B) {
		buf, m := make([]byte, 2048), netns.Meta{Mark: 0xc00}
		b.ReportAllocs()
		for b.Loop() {
			if err := host.Write(frame, &m); err != nil {
				b.Fatal(err)
			}
			if _, err := p.Read(buf, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
	tap, err := testkit.NetNS(b).OpenTAP(netns.Link{Name: "eth0", MAC: macA, Up: true}, netns.TAPOptions{})
	must(b, err)
	defer tap.Close()
	b.Run("tap write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := tap.Write(frame, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	poll, err := netns.NewPoller()
	must(b, err, poll.Add(p.FD(), 1))
	defer poll.Close()
	b.Run("wake and wait", func(b *testing.B) {
		events := make([]netns.Event, 8)
		b.ReportAllocs()
		for b.Loop() {
			if err := poll.Wake(); err != nil {
				b.Fatal(err)
			}
			if _, err := poll.Wait(events, -1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("do", func(b *testing.B) {
		for b.Loop() {
			must(b, ns.Do(func() error { return nil }))
		}
	})
}
