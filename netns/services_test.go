package netns_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns"
)

// TestPrivilegedServices connects to services of a namespace and looks which backend
// answers.
func TestPrivilegedServices(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	const service, other, empty = "10.96.0.1:80", "10.96.0.1:81", "10.96.0.2:80"
	must(t, ns.AddVeth(netns.Link{Name: "eth0", Up: true}, nil, netns.Link{Name: "world", Up: true}),
		ns.AddAddr("eth0", prefix("192.168.0.2/24")), ns.AddAddr("lo", prefix("192.168.1.2/32")),
		ns.AddAddr("lo", prefix("192.168.1.3/32")), ns.AddAddr("lo", prefix("192.168.1.4/32")),
		ns.AddRoute(netns.Route{Dst: prefix("0.0.0.0/0"), Via: addr("192.168.0.1")}))
	backends := []netip.AddrPort{}
	for _, at := range []string{"192.168.1.2:8080", "192.168.1.3:8081", "192.168.1.4:8082"} {
		var l net.Listener
		must(t, ns.Do(func() (err error) {
			l, err = net.Listen("tcp4", at)
			return err
		}))
		defer l.Close()
		backends = append(backends, netip.MustParseAddrPort(at))
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte(at))
				_ = c.Close()
			}
		}()
	}
	connect := func(to string) (string, error) {
		var c net.Conn
		err := ns.Do(func() (err error) {
			c, err = net.DialTimeout("tcp4", to, patience)
			return err
		})
		if err != nil {
			return "", err
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return "", err
		}
		b := make([]byte, 100)
		n, err := c.Read(b)
		return string(b[:n]), err
	}
	front := func(at string, b ...netip.AddrPort) netns.Frontend {
		return netns.Frontend{Addr: netip.MustParseAddrPort(at), Proto: unix.IPPROTO_TCP, Backends: b}
	}
	must(t, ns.SetServices([]netns.Frontend{front(service, backends...), front(other, backends[1]), front(empty)}))
	count := map[string]int{}
	for range 60 {
		got, err := connect(service)
		must(t, err)
		count[got]++
	}
	// Each comes less than twice in sixty tries once in 10^8 runs.
	for _, b := range backends {
		if count[b.String()] < 2 {
			t.Errorf("backends of %s: %v", service, count)
		}
	}
	if got, err := connect(other); err != nil || got != backends[1].String() {
		t.Errorf("%s: %q, %v", other, got, err)
	}
	if _, err := connect(empty); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("without backends: %v, want %v", err, syscall.ECONNREFUSED)
	}

	must(t, ns.SetServices([]netns.Frontend{front(service, backends[2])}))
	if got, err := connect(service); err != nil || got != backends[2].String() {
		t.Errorf("with one backend: %q, %v", got, err)
	}
	must(t, ns.SetServices(nil), ns.SetServices(nil))
	must(t, ns.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := c.ListTables()
		if len(tables) != 0 {
			t.Errorf("%d tables left", len(tables))
		}
		return err
	}))
	bad := netns.Frontend{Addr: netip.MustParseAddrPort("[::1]:80"), Proto: unix.IPPROTO_TCP}
	if err := ns.SetServices([]netns.Frontend{bad}); err == nil || !strings.Contains(err.Error(), "[::1]:80") {
		t.Errorf("an IPv6 frontend: %v", err)
	}
}
