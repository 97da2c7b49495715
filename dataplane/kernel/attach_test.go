package kernel_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
)

// newAttacher makes an attacher for a namespace of the test's own.
func newAttacher(tb testing.TB, o kernel.AttachOptions) *kernel.Attacher {
	tb.Helper()
	a, _ := attacherIn(tb, o)
	return a
}

func attacherIn(tb testing.TB, o kernel.AttachOptions) (*kernel.Attacher, *netns.NS) {
	tb.Helper()
	ns := testkit.NetNS(tb)
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	if err != nil {
		tb.Fatal(err)
	}
	a, err := kernel.NewAttacher(b, ns, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := a.Close(); err != nil {
			tb.Error(err)
		}
	})
	return a, ns
}

// TestPrivilegedAttach attaches a pod's program to a device, loads it anew while it is attached, and unloads it. What a
// frame meets is always the newest.
func TestPrivilegedAttach(t *testing.T) {
	t.Parallel()
	for _, clsact := range []bool{false, true} {
		name := map[bool]string{false: "tcx", true: "clsact"}[clsact]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, ns := attacherIn(t, kernel.AttachOptions{MaxEntries: 64, Clsact: clsact})
			pod := testkit.NetNS(t)
			up := func(n, i string, index int) netns.Link { return netns.Link{Name: n + i, Index: index, Up: true} }
			if err := ns.AddVeth(up("lxc", "1", podIfindex), pod, up("eth", "0", 2)); err != nil {
				t.Fatal(err)
			}
			port, err := pod.OpenPacket("eth0", netns.PacketOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := port.Close(); err != nil {
					t.Error(err)
				}
			})
			if _, err := a.Attach(podHook); err == nil {
				t.Error("a hook that is not loaded was attached")
			}
			first, second := [6]byte{2, 0, 0, 0, 3, 1}, [6]byte{2, 0, 0, 0, 3, 2}
			if err := a.Load(podHook, podConfig(first)); err != nil {
				t.Fatal(err)
			}
			l, err := a.Attach(podHook)
			if err != nil {
				t.Fatal(err)
			}
			answer(t, port, first)
			if _, err := a.Attach(podHook); err == nil {
				t.Error("a hook was attached twice")
			}
			if err := a.Load(podHook, podConfig(second)); err != nil {
				t.Fatal(err)
			}
			answer(t, port, second)
			if err := a.Unload(podHook); err != nil {
				t.Fatal(err)
			}
			if n := attachedTo(t, ns, podIfindex); n != 0 {
				t.Errorf("%d programs on the device after unloading", n)
			}
			if err := l.Close(); err != nil {
				t.Errorf("close after unloading: %v", err)
			}
		})
	}
}

// answer sends an ARP request and waits for the answer of the MAC.
func answer(t *testing.T, port *netns.Port, want [6]byte) {
	t.Helper()
	if err := port.Write(arpRequest(port.Link().MAC), &netns.Meta{}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		var m netns.Meta
		n, err := port.Read(buf, &m)
		if err != nil {
			t.Fatal(err)
		}
		if n >= 42 && bytes.Equal(buf[12:22], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2}) {
			if got := [6]byte(buf[6:12]); got != want {
				t.Errorf("%x answers, want %x", got, want)
			}
			return
		}
		if n == 0 {
			fds := []unix.PollFd{{Fd: int32(port.FD()), Events: unix.POLLIN}}
			_, _ = unix.Poll(fds, 1000)
		}
	}
	t.Fatalf("nobody answers, want %x", want)
}

// attachedTo counts the programs on a device, by tcx and by clsact.
func attachedTo(t *testing.T, ns *netns.NS, ifindex int) (n int) {
	t.Helper()
	for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		if err := ns.Do(func() error {
			found, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: at})
			if err == nil {
				n += len(found.Programs)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	cmd := exec.Command("bpftool", "net")
	cmd.Stdout = &out
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return n + strings.Count(out.String(), "clsact/")
}

// TestPrivilegedPin pins the maps in a BPF file system, where bpftool reads them.
func TestPrivilegedPin(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "bpftool")
	a := newAttacher(t, kernel.AttachOptions{MaxEntries: 64})
	dir := t.TempDir()
	if err := netns.MountBPF(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.UnmountBPF(dir); err != nil {
			t.Error(err)
		}
	})
	m, err := a.Map(maps.NameIPCache)
	if err != nil {
		t.Fatal(err)
	}
	key, value := make([]byte, m.Spec().KeySize), make([]byte, m.Spec().ValueSize)
	key[0], value[0] = 64, 0x2a
	if err := m.Update(key, value, maps.Any); err != nil {
		t.Fatal(err)
	}
	paths, err := a.Pin(filepath.Join(dir, "node", "tc", "globals"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("bpftool", "-j", "map", "dump", "pinned", filepath.Join(dir, "node/tc/globals", maps.NameIPCache)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var dumped []struct{ Key, Value []string }
	if err := json.Unmarshal(out, &dumped); err != nil {
		t.Fatal(err)
	}
	if len(dumped) != 1 || dumped[0].Key[0] != "0x40" || dumped[0].Value[0] != "0x2a" {
		t.Errorf("bpftool dumps %s", out)
	}
	for _, name := range []string{maps.NameCT4, maps.NameMetrics, maps.NameLXC} {
		if _, err := os.Stat(filepath.Join(dir, "node/tc/globals", name)); err != nil {
			t.Errorf("among %d pins: %v", len(paths), err)
		}
	}
	if _, err := a.Pin(t.TempDir()); err == nil {
		t.Error("maps were pinned outside of a BPF file system")
	}
}
