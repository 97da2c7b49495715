package main

import "testing"

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
	if out, code := s.try("capture", "-w", "none.pcapng"); code != exitCannot || !matches(want, out) {
		t.Errorf("exit code %d, want %d; want %q in\n%s", code, exitCannot, want, out)
	}
	s.run("down")
}
