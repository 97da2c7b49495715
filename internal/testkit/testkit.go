// Package testkit holds what the tests of several packages share: network
// namespaces that clean up after themselves, privilege checks and golden files.
package testkit

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/netns"
)

// RequireRoot skips the test, with the reason, unless the process may make
// network namespaces and devices in them.
func RequireRoot(tb testing.TB) {
	tb.Helper()
	ns, err := netns.New("")
	if errors.Is(err, netns.ErrPermission) {
		tb.Skipf("run as root or in a user namespace: %v", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	if err := ns.Close(); err != nil {
		tb.Fatal(err)
	}
}

// NetNS returns a network namespace of the test's own with its loopback device
// up. It skips the test if the privilege is missing. The namespace is pinned
// nowhere, so nothing is left of it even if the test binary is killed.
func NetNS(tb testing.TB) *netns.NS {
	tb.Helper()
	RequireRoot(tb)
	ns, err := netns.New("")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := ns.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := ns.SetUp("lo", true); err != nil {
		tb.Fatal(err)
	}
	return ns
}

// updateEnv is the environment variable that makes Golden write.
const updateEnv = "HOOKLAB_UPDATE"

// Rewrite writes a file that no test compares, with HOOKLAB_UPDATE=1 only.
func Rewrite(tb testing.TB, path string, data []byte) {
	tb.Helper()
	if os.Getenv(updateEnv) != "1" {
		return
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		tb.Fatal(err)
	}
}

// Golden compares got with the file testdata/name of the tested package and
// reports the difference. With HOOKLAB_UPDATE=1 it writes the file instead.
func Golden(tb testing.TB, name string, got []byte) {
	tb.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name))
	if os.Getenv(updateEnv) == "1" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			tb.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatalf("golden file: %v (write it with %s=1)", err, updateEnv)
	}
	if !bytes.Equal(got, want) {
		tb.Errorf("%s differs (-want +got, rewrite with %s=1):\n%s", path, updateEnv, cmp.Diff(string(want), string(got)))
	}
}

// Tool is the path of a program that a test needs. Without it the test is skipped;
// for root it fails, since `make deps` installs it.
func Tool(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Geteuid() == 0:
		tb.Fatalf("%v: run make deps", err)
	default:
		tb.Skipf("%v: make deps installs it", err)
	}
	return ""
}

// Mermaid is the file with Mermaid's own code, for a browser. Without it the test is
// skipped, and fails for root.
func Mermaid(tb testing.TB) string {
	tb.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "hooklab", "mermaid-*.min.js"))
	switch {
	case err == nil && len(files) > 0:
		return files[len(files)-1]
	case os.Geteuid() == 0:
		tb.Fatal("no Mermaid: run make deps")
	default:
		tb.Skip("no Mermaid: make deps brings it")
	}
	return ""
}
