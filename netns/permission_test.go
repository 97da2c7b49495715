package netns_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns"
)

const unprivilegedEnv = "HOOKLAB_UNPRIVILEGED"

// TestPrivilegedWithout runs TestWithoutPrivilege in a user namespace without
// mappings: the child owns the same files but has no capability at all.
func TestPrivilegedWithout(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	dir := t.TempDir()
	pin := filepath.Join(dir, "pin")
	ns, err := netns.New(pin)
	must(t, err)
	defer func() { must(t, ns.Close(), netns.Unpin(pin)) }()

	cmd := exec.Command(testBinary(t), "-test.run", "^TestWithoutPrivilege$", "-test.v")
	cmd.Env = append(os.Environ(), unprivilegedEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("child: %v\n%s", err, out)
	}
}

// TestWithoutPrivilege is the child of TestPrivilegedWithout.
func TestWithoutPrivilege(t *testing.T) {
	dir := os.Getenv(unprivilegedEnv)
	if dir == "" {
		return // runs as a child of TestPrivilegedWithout only
	}
	pinned, err := netns.Open(filepath.Join(dir, "pin"))
	must(t, err)
	defer pinned.Close()
	_, errNew := netns.New("")
	_, errPin := netns.New(filepath.Join(dir, "second"))
	tests := []struct {
		name, need string
		err        error
	}{
		{"New", "CAP_SYS_ADMIN", errNew},
		{"New with a pin", "CAP_SYS_ADMIN", errPin},
		{"Do", "CAP_SYS_ADMIN", pinned.Do(func() error { return nil })},
		{"Link", "CAP_SYS_ADMIN", func() error { _, err := pinned.Link("lo"); return err }()},
		{"Unpin", "CAP_SYS_ADMIN", netns.Unpin(filepath.Join(dir, "pin"))},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, netns.ErrPermission) || !strings.Contains(tt.err.Error(), tt.need) {
			t.Errorf("%s: %v, want ErrPermission and %s", tt.name, tt.err, tt.need)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "second")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed New leaves its file: %v", err)
	}
	leftover := filepath.Join(dir, "leftover")
	must(t, os.WriteFile(leftover, nil, 0o444), netns.Unpin(leftover))
}
