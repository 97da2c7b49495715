package netns_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns"
)

func currentID(t *testing.T) string {
	t.Helper()
	c, err := netns.Current()
	must(t, err)
	defer c.Close()
	return c.ID()
}

func TestPrivilegedPin(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	path := filepath.Join(t.TempDir(), "pod")

	ns, err := netns.New(path)
	must(t, err)
	id := ns.ID()
	if got := ns.Path(); got != path {
		t.Errorf("Path() = %q, want %q", got, path)
	}
	must(t, ns.AddBridge(netns.Link{Name: "proof"}))
	if second, err := netns.New(path); err == nil {
		second.Close()
		t.Error("a second namespace at the same path: no error")
	}
	must(t, ns.Close(), ns.Close())

	again, err := netns.Open(path)
	must(t, err)
	if got := again.ID(); got != id {
		t.Errorf("opened %s, want %s", got, id)
	}
	if _, err := again.Link("proof"); err != nil {
		t.Errorf("the pinned namespace lost its link: %v", err)
	}
	must(t, again.Close(), netns.Unpin(path), netns.Unpin(path))
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Unpin: %v, want not exist", err)
	}
}

func TestPrivilegedUnpinLeftovers(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	dir := t.TempDir()
	empty, full, dirty := filepath.Join(dir, "empty"), filepath.Join(dir, "full"), filepath.Join(dir, "dir")
	must(t, os.WriteFile(empty, nil, 0o444), os.WriteFile(full, []byte("x"), 0o644), os.Mkdir(dirty, 0o755))
	tests := []struct {
		name, path string
		wantErr    bool
		wantGone   bool
	}{
		{"empty file", empty, false, true},
		{"file with contents", full, true, false},
		{"directory", dirty, true, false},
		{"nothing", filepath.Join(dir, "nothing"), false, true},
	}
	for _, tt := range tests {
		err := netns.Unpin(tt.path)
		if (err != nil) != tt.wantErr {
			t.Errorf("%s: error %v, want error %t", tt.name, err, tt.wantErr)
		}
		_, err = os.Lstat(tt.path)
		if gone := errors.Is(err, os.ErrNotExist); gone != tt.wantGone {
			t.Errorf("%s: gone %t, want %t", tt.name, gone, tt.wantGone)
		}
	}
}

func TestOpenRefusesFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o644))
	for _, p := range []string{path, path + "-missing"} {
		if ns, err := netns.Open(p); err == nil {
			ns.Close()
			t.Errorf("Open(%s): no error", p)
		}
	}
}

// TestPrivilegedMountDir works in a mount namespace of its own whose mounts
// propagate, as on most machines.
func TestPrivilegedMountDir(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	dir := t.TempDir()
	const script = `set -e
mount --make-rshared /
exec "$0" -test.run '^TestMountDirHelper$' -test.v`
	cmd := exec.Command("unshare", "-m", "sh", "-c", script, testBinary(t))
	cmd.Env = append(os.Environ(), "HOOKLAB_MOUNTDIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("helper: %v\n%s", err, out)
	}
}

// TestMountDirHelper is the child of TestPrivilegedMountDir.
func TestMountDirHelper(t *testing.T) {
	dir := os.Getenv("HOOKLAB_MOUNTDIR")
	if dir == "" {
		return // runs as a child of TestPrivilegedMountDir only
	}
	mounts := func() string {
		b, err := os.ReadFile("/proc/thread-self/mountinfo")
		must(t, err)
		var lines []string
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, dir) {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	must(t, netns.MountDir(dir))
	first := mounts()
	if strings.Count(first, "\n") != 1 {
		t.Fatalf("after MountDir: %q, want one mount", first)
	}
	root, err := os.ReadFile("/proc/thread-self/mountinfo")
	must(t, err)
	if group := regexp.MustCompile(`shared:\d+`).FindString(first); group == "" || strings.Count(string(root), group+" ") != 1 {
		t.Fatalf("after MountDir: %q, want a group of its own", first)
	}
	must(t, netns.MountDir(dir))
	if got := mounts(); got != first {
		t.Errorf("MountDir again: %q, want no change", got)
	}
	ns, err := netns.New(filepath.Join(dir, "pod"))
	must(t, err, ns.Close())
	if got := mounts(); strings.Count(got, "\n") != 2 {
		t.Errorf("with a pin: %q, want two mounts", got)
	}
	// A mount namespace that is made now loses the pin with this one.
	here, err := netns.Current()
	must(t, err)
	defer here.Close()
	must(t, here.Do(func() error {
		if err := netns.Overlay(map[string]string{"/etc/hosts": os.Args[0], "/nosuch/file": os.Args[0]}); err != nil {
			return err
		}
		before := mounts()
		unpinned := make(chan error)
		go func() { unpinned <- netns.Unpin(filepath.Join(dir, "pod")) }() // outside
		if err := <-unpinned; err != nil {
			return err
		}
		if got := mounts(); strings.Count(before, "\n") != strings.Count(got, "\n")+1 {
			t.Errorf("in a new mount namespace: %q, after unpinning %q, want one mount less", before, got)
		}
		return nil
	}))
	must(t, netns.Unpin(filepath.Join(dir, "pod")), netns.UnmountDir(dir), netns.UnmountDir(dir))
	if got := mounts(); got != "" {
		t.Errorf("after UnmountDir: %q, want none", got)
	}
	must(t, netns.UnmountDir(filepath.Join(dir, "missing")))
}

func TestPrivilegedDo(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := currentID(t)

	var inside string
	want := errors.New("from inside")
	err := ns.Do(func() error {
		c, err := netns.Current()
		if err != nil {
			return err
		}
		inside = c.ID()
		return errors.Join(want, c.Close())
	})
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if inside != ns.ID() {
		t.Errorf("inside %s, want %s", inside, ns.ID())
	}
	if after := currentID(t); after != before {
		t.Errorf("the caller's thread went from %s to %s", before, after)
	}
	if err := ns.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a function that never returned: no error")
	}
	must(t, ns.Close())
	if err := ns.Do(func() error { return nil }); !errors.Is(err, netns.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// TestPrivilegedDoManyThreads asks from many goroutines at once and checks that
// none of the threads that stay behind is in a strange namespace.
func TestPrivilegedDoManyThreads(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	home := currentID(t)
	errs := make(chan error)
	const n = 64
	for range n {
		go func() {
			errs <- ns.Do(func() error {
				c, err := netns.Current()
				if err != nil {
					return err
				}
				defer c.Close()
				if c.ID() != ns.ID() {
					return errors.New("in " + c.ID())
				}
				return nil
			})
		}()
	}
	for range n {
		must(t, <-errs)
	}
	for range n {
		go func() {
			c, err := netns.Current()
			if err == nil && c.ID() != home {
				err = errors.New("goroutine outside runs in " + c.ID())
			}
			errs <- errors.Join(err, c.Close())
		}()
	}
	for range n {
		must(t, <-errs)
	}
}

func TestPrivilegedStart(t *testing.T) {
	t.Parallel()
	ns := testkit.NetNS(t)
	tap, err := ns.OpenTAP(netns.Link{Name: "eth0", Up: true}, netns.TAPOptions{})
	must(t, err)
	defer tap.Close()
	packet, err := ns.OpenPacket("eth0", netns.PacketOptions{})
	must(t, err)
	defer packet.Close()

	var out bytes.Buffer
	cmd := exec.Command("sh", "-c", "readlink /proc/self/ns/net; ls -l /proc/self/fd; cat /proc/net/dev")
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, ns.Run(cmd))
	id, _, _ := strings.Cut(out.String(), "\n")
	inode := strings.TrimSuffix(strings.TrimPrefix(id, "net:["), "]")
	if !strings.HasSuffix(ns.ID(), ":"+inode+")") {
		t.Errorf("child in %s, want %s", id, ns.ID())
	}
	if !strings.Contains(out.String(), "eth0:") {
		t.Errorf("the child does not see eth0:\n%s", &out)
	}
	for _, leak := range []string{"/dev/net/tun", "socket:", "net:[", "eventpoll"} {
		if _, fds, _ := strings.Cut(out.String(), "\n"); strings.Contains(fds, leak) {
			t.Errorf("the child inherited %s:\n%s", leak, fds)
		}
	}

	cmd = exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := ns.Start(cmd); err == nil {
		t.Error("with a parent death signal: no error")
	}
	if err := ns.Run(exec.Command("/does/not/exist")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: %v, want not exist", err)
	}
}

func testBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	must(t, err)
	return path
}
