package main

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestPrivilegedCaptureKernel asks for frames that only the kernel sees.
func TestPrivilegedCaptureKernel(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.write("cluster.yaml", `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: inkernel}
spec:
  nodes: [{name: a}]
`)
	s.run("up", "--detach", "--engine", "kernel")
	const want = `^hooklab: lab inkernel: capture on node a: not supported with engine kernel, .* hooklab exec node/a -- tcpdump`
	s.write("old.pcapng", "an older capture")
	if out, code := s.try("capture", "-w", "old.pcapng"); code != exitCannot || !matches(want, out) {
		t.Errorf("exit code %d, want %d; want %q in\n%s", code, exitCannot, want, out)
	}
	if old, err := os.ReadFile(s.path("old.pcapng")); string(old) != "an older capture" {
		t.Errorf("a refused capture leaves %q, %v; want the file as it was", old, err)
	}
	if out, code := s.try("capture", "-w", "none.pcapng"); code != exitCannot || !matches(want, out) {
		t.Errorf("exit code %d, want %d; want %q in\n%s", code, exitCannot, want, out)
	}
	if _, err := os.Stat(s.path("none.pcapng")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused capture leaves a file: %v", err)
	}
	s.run("down")
}
