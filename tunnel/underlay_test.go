package tunnel_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/tunnel"
)

// TestPrivilegedOwnMAC checks that our own frames are dropped when they come
// back, without a count of the device.
func TestPrivilegedOwnMAC(t *testing.T) {
	t.Parallel()
	p := newPair(t, static())
	sendInOrder(t, p.kernel, outerOurs, [][]byte{datagram(last(t)), foreign(datagram(last(t)))}, 0)
	if f, _ := p.recv(t); f[11] != macOurs[5]+1 {
		t.Errorf("received from % x", f[6:12])
	}
	want := tunnel.Stats{RxPackets: 1, RxBytes: uint64(len(last(t))), RxDropped: 1}
	got := p.u.Stats()
	if n := got.RxReasons.Of(tunnel.ErrOwnMAC); n != 1 {
		t.Errorf("%d dropped for the source address, want 1", n)
	}
	got.RxReasons = tunnel.Reasons{}
	if got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestPrivilegedUnderlayErrors(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	open := func() (u *tunnel.Underlay, err error) {
		err = ns.Do(func() (err error) {
			u, err = tunnel.Open(tunnel.Config{})
			return err
		})
		return u, err
	}
	u, err := open()
	must(t, err)
	defer u.Close()
	if _, err := open(); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("second underlay: %v, want address in use", err)
	}
	frame := udpFrame(t, 0, 80, []byte("x"))
	tests := []struct {
		name  string
		frame []byte
		to    [4]byte
		want  error
	}{
		{"no route", frame, [4]byte{8, 8, 8, 8}, unix.ENETUNREACH},
		{"short frame", frame[:13], [4]byte{127, 0, 0, 1}, unix.EMSGSIZE},
		{"longer than a packet can be", make([]byte, 65536-20-8-8), [4]byte{127, 0, 0, 1}, unix.EMSGSIZE},
	}
	for i, tt := range tests {
		if err := u.Send(1, tt.to, tt.frame, 1); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if got := u.Stats().TxErrors; got != uint64(i+1) {
			t.Errorf("%s: %d send errors, want %d", tt.name, got, i+1)
		}
	}
	// The longest one fits, in fragments if need be.
	longest := bytes.Repeat(frame, 2000)[:65535-20-8-8]
	must(t, u.Send(1, [4]byte{127, 0, 0, 1}, longest, 1))
	var m tunnel.Meta
	if got, err := u.Recv(&m); err != nil || !bytes.Equal(got, longest) {
		t.Errorf("longest frame: received %d bytes, %v", len(got), err)
	}
	must(t, u.Close())
	if _, err := u.Recv(&m); !errors.Is(err, unix.EBADF) {
		t.Errorf("receive after Close: %v, want EBADF", err)
	}
	if err := u.Send(1, [4]byte{127, 0, 0, 1}, frame, 1); !errors.Is(err, unix.EBADF) {
		t.Errorf("send after Close: %v, want EBADF", err)
	}
}

// TestPrivilegedBadBurst checks that a flood of bad datagrams neither blocks Recv
// nor hides the good one behind it.
func TestPrivilegedBadBurst(t *testing.T) {
	t.Parallel()
	p := newPair(t, static())
	var flood [][]byte
	for range 200 {
		flood = append(flood, datagram(last(t), 0, 0x80))
	}
	sendInOrder(t, p.kernel, outerOurs, append(flood, foreign(datagram(last(t)))), 0)
	p.recv(t)
	if got := p.u.Stats(); got.RxFrameErrors != 200 || got.RxErrors != 200 || got.RxPackets != 1 {
		t.Errorf("stats %+v, want 200 frame errors and one frame", got)
	}
}

func TestPrivilegedUnderlayAllocs(t *testing.T) {
	ns := testkit.NetNS(t)
	var u *tunnel.Underlay
	must(t, ns.Do(func() (err error) {
		u, err = tunnel.Open(tunnel.Config{})
		return err
	}))
	defer u.Close()
	good, bad := udpFrame(t, 2, 80, []byte("x")), udpFrame(t, 0, 80, nil)[:33]
	got := testing.AllocsPerRun(100, func() {
		var m tunnel.Meta
		for _, f := range [][]byte{bad, good} {
			if err := u.Send(5, [4]byte{127, 0, 0, 1}, f, tunnel.FlowHash(f)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := u.Recv(&m); len(got) != len(good) || err != nil {
			t.Fatal(len(got), err)
		}
		if got, err := u.Recv(&m); got != nil || err != nil {
			t.Fatal(len(got), err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations for two frames, want 0", got)
	}
}

const unprivilegedEnv = "HOOKLAB_UNPRIVILEGED"

// TestPrivilegedOpenWithout opens an underlay in a child without capabilities.
func TestPrivilegedOpenWithout(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self, "-test.run", "^TestOpenWithoutPrivilege$", "-test.v")
	cmd.Env = append(os.Environ(), unprivilegedEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("child: %v\n%s", err, out)
	}
}

// TestOpenWithoutPrivilege is the child of TestPrivilegedOpenWithout.
func TestOpenWithoutPrivilege(t *testing.T) {
	if os.Getenv(unprivilegedEnv) == "" {
		return // runs as a child of TestPrivilegedOpenWithout only
	}
	_, err := tunnel.Open(tunnel.Config{Port: 18472})
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Open: %v, want permission denied", err)
	}
}

func BenchmarkPrivilegedSendRecv(b *testing.B) {
	ns := testkit.NetNS(b)
	var u *tunnel.Underlay
	must(b, ns.Do(func() (err error) {
		u, err = tunnel.Open(tunnel.Config{})
		return err
	}))
	defer u.Close()
	for _, size := range []int{60, 1450} {
		frame := udpFrame(b, 0, 80, make([]byte, size-42))
		b.Run(map[int]string{60: "small", 1450: "full"}[size], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var m tunnel.Meta
				if err := u.Send(5, [4]byte{127, 0, 0, 1}, frame, 1); err != nil {
					b.Fatal(err)
				}
				if got, err := u.Recv(&m); got == nil || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
