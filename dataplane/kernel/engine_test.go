package kernel_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/maps"
)

const podIfindex, podID = 9, 77

var podHook = dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: podIfindex, Endpoint: podID}

// podConfig is the configuration of a pod whose gateway has the MAC.
func podConfig(mac [6]byte) dataplane.Config {
	c := dataplane.DefaultConfig()
	c.EncapIfindex, c.NetIfindex, c.HostIfindex = 5, 3, 4
	c.HostMAC, c.NetMAC = [6]byte{2, 0, 0, 0, 0, 4}, [6]byte{2, 0, 0, 0, 0, 3}
	c.Endpoint = dataplane.EndpointConfig{ID: podID, IPv4: [4]byte{10, 0, 1, 2}, NodeMAC: mac, Identity: 4242}
	return c
}

// arpRequest asks for the gateway.
func arpRequest(mac [6]byte) []byte {
	b := bytes.Repeat([]byte{0xff}, 6)
	b = append(append(b, mac[:]...), 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(append(b, mac[:]...), 10, 0, 1, 2)
	return append(append(b, 0, 0, 0, 0, 0, 0), 10, 0, 1, 1)
}

// ask runs an ARP request through the pod's program and returns who says to have the address.
func ask(t *testing.T, e dataplane.Runner) [6]byte {
	t.Helper()
	p := &dataplane.Packet{Data: arpRequest([6]byte{2, 0, 0, 0, 0, 9}), Ifindex: podIfindex, Events: trace.NewRing(8)}
	v, err := e.Run(podHook, p, &dataplane.Env{KtimeNS: 1e9, Rand: func() uint32 { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	if v.Action != code.Redirect || v.Ifindex != podIfindex {
		t.Errorf("verdict %+v, want a redirect to %d", v, podIfindex)
	}
	return [6]byte(p.Data[6:12])
}

// descriptors counts the open descriptors of BPF objects.
func descriptors(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(to, "bpf") {
			n++
		}
	}
	return n
}

// TestPrivilegedReload loads a hook's program again and again: it answers by the newest configuration, nothing of older ones
// stays, and an unloaded one does not run. It is not parallel, as it counts the process's descriptors.
func TestPrivilegedReload(t *testing.T) {
	testkit.RequireRoot(t)
	before := descriptors(t)
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	if err != nil {
		t.Fatal(err)
	}
	e, err := kernel.New(b, kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	loaded := 0
	for i := range 12 {
		mac := [6]byte{2, 0, 0, 0, 1, byte(i)}
		if err := e.Load(podHook, podConfig(mac)); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, e); got != mac {
			t.Errorf("load %d: %x has the gateway's address, want %x", i, got, mac)
		}
		if i == 0 {
			loaded = descriptors(t)
		}
		if i%3 == 2 {
			if err := e.Unload(podHook); err != nil {
				t.Fatal(err)
			}
			p := &dataplane.Packet{Data: arpRequest(mac), Ifindex: podIfindex}
			if _, err := e.Run(podHook, p, &dataplane.Env{}); err == nil || !strings.Contains(err.Error(), "not loaded") {
				t.Errorf("run of an unloaded hook: %v", err)
			}
			if err := e.Unload(podHook); err == nil {
				t.Error("an unloaded hook was unloaded again")
			}
		} else if now := descriptors(t); now != loaded {
			t.Errorf("load %d: %d descriptors, after the first %d", i, now, loaded)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors after the end, %d before", after, before)
	}
}

// TestPrivilegedReset empties the maps; programs and their tail calls stay.
func TestPrivilegedReset(t *testing.T) {
	t.Parallel()
	e := newTwin(t, kernel.Options{})
	mac := [6]byte{2, 0, 0, 0, 2, 1}
	if err := e.Load(podHook, podConfig(mac)); err != nil {
		t.Fatal(err)
	}
	m, err := e.Map(maps.NameIPCache)
	if err != nil {
		t.Fatal(err)
	}
	calls, err := e.Map("cilium_calls_00077")
	if err != nil {
		t.Fatal(err)
	}
	slots := entries(t, calls)
	if slots == 0 {
		t.Error("no tail calls after loading")
	}
	spec := m.Spec()
	if err := m.Update(make([]byte, spec.KeySize), make([]byte, spec.ValueSize), maps.Any); err != nil {
		t.Fatal(err)
	}
	if n := entries(t, m); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	if err := e.Reset(); err != nil {
		t.Fatal(err)
	}
	if n := entries(t, m); n != 0 {
		t.Errorf("%d entries after the reset", n)
	}
	if n := entries(t, calls); n != slots {
		t.Errorf("%d tail calls after the reset, %d before", n, slots)
	}
	if got := ask(t, e); got != mac {
		t.Errorf("%x answers after the reset, want %x", got, mac)
	}
}

func entries(t *testing.T, m maps.Store) (n int) {
	t.Helper()
	var c maps.Cursor
	if err := m.Range(&c, 0, func(_, _ []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}
