package netns_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns"
)

// TestPrivilegedWire connects three nodes by a bridge in a namespace of its own,
// and lets each send to each.
func TestPrivilegedWire(t *testing.T) {
	t.Parallel()
	wire := testkit.NetNS(t)
	must(t, wire.AddBridge(netns.Link{Name: "wire", MTU: 1500, Up: true}))
	const nodes = 3
	var ns [nodes]*netns.NS
	for i := range ns {
		ns[i] = testkit.NetNS(t)
		port := fmt.Sprintf("node%d", i)
		must(t,
			wire.AddVeth(netns.Link{Name: port, Up: true}, ns[i],
				netns.Link{Name: "eth0", MAC: netns.MAC{2, 0, 0, 0, 1, byte(i)}, Up: true}),
			wire.SetBridge(port, "wire"),
			ns[i].AddAddr("eth0", netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 0, byte(i + 1)}), 24)))
	}
	for to := range ns {
		c := listenUDP(t, ns[to], fmt.Sprintf("192.168.0.%d:80", to+1), nil)
		for from := range ns {
			sendUDP(t, listenUDP(t, ns[from], "0.0.0.0:0", nil), c.LocalAddr().String(), fmt.Sprintf("from %d", from))
			buf := make([]byte, 100)
			n, sender, err := c.ReadFromUDPAddrPort(buf)
			must(t, err)
			got := fmt.Sprintf("%s %s", sender.Addr(), buf[:n])
			if want := fmt.Sprintf("192.168.0.%d from %d", from+1, from); got != want {
				t.Errorf("node %d received %q, want %q", to, got, want)
			}
		}
	}
}
