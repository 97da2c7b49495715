package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/hooklab/hooklab/bpf"
)

const objectCluster = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: objects}
spec:
  nodes: [{name: a}, {name: b}]
  pods:
  - {name: client, node: a, ip: 10.0.0.10}
  - {name: server, node: b, ip: 10.0.1.10, run: [whoami]}
`

// objectHeader is what an agent may have written of a node whose devices came late.
const objectHeader = `#define ENCAP_IFINDEX 33
#define HOST_IFINDEX 31
#define CILIUM_IFINDEX 32
#define HOST_IFINDEX_MAC { .addr = {0x2,0x0,0x0,0x0,0x0,0x32}}
#define CILIUM_NET_MAC { .addr = {0x2,0x0,0x0,0x0,0x0,0x31}}
#define IPV4_MASK 0xffffff
#define HOST_EP_ID 0x7b
#define CT_SYN_TIMEOUT 7
#define ENABLE_ROUTING 1
#define MONITOR_AGGREGATION 3
`

// objectDir writes hooklab's own objects with headers beside them.
func objectDir(t *testing.T, s *session, header string) string {
	t.Helper()
	dir := s.path("objects" + t.Name()[strings.LastIndexByte(t.Name(), '/')+1:])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"bpf_lxc.o": bpf.LXC(), "bpf_host.o": bpf.Host(), "bpf_overlay.o": bpf.Overlay(), "node_config.h": []byte(header),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPrivilegedObjectConstants: a lab has the constants that are said beside its objects, or
// says what contradicts them.
func TestPrivilegedObjectConstants(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"kernel", "bytecode"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newSession(t)
			s.write("cluster.yaml", objectCluster)
			s.run("up", "--engine", engine, "--object", objectDir(t, s, objectHeader), "--define", "CILIUM_VXLAN_MAC=02:00:00:00:00:33", "--detach")
			s.until("default/server 10.0.0.10:", "exec", "client", "--", "curl", "-s", "-m", "30", "server")
			devices := s.run("get", "devices", "b")
			for _, want := range []string{"31 +cilium_net +02:00:00:00:00:31 ", "32 +cilium_host +02:00:00:00:00:32 ", "33 +cilium_vxlan +02:00:00:00:00:33 "} {
				mustMatch(t, "get devices", devices, want)
			}
			mustMatch(t, "ip link", s.run("exec", "node/b", "--", "ip", "-o", "link"), `32: cilium_host@.*02:00:00:00:00:32 `)
			mustMatch(t, "get nodes", s.run("get", "nodes", "-o", "wide"), `b +.* 123 `)
			s.run("down")
		})
	}
	for _, x := range []struct{ name, old, now, cluster, want string }{
		{"mask", "IPV4_MASK 0xffffff", "IPV4_MASK 0xffff", "", "Node a: the objects' IPV4_MASK: compiled in as [255 255 0 0], but the node's podCIDR is 10.0.0.0/24"},
		{"profile", "", "#define ENABLE_HOST_ROUTING 1\n", "", "not those of profile cilium-1.12"},
		{"pod", "", "", "ifindex: 32, ip: 10.0.0.10", "cilium_host has index 32, and so has pod default/client; give the pod another ifindex"},
		{"endpoint", "", "", "id: 123, ip: 10.0.0.10", "HOST_EP_ID: the host's endpoint id is 123, and so is that of pod default/client"},
		{"uplink", "ENCAP_IFINDEX 33", "ENCAP_IFINDEX 2", "", "ENCAP_IFINDEX: cilium_vxlan cannot have index 2, which is that of eth0"},
		{"identity", "", "#define LOCAL_NODE_ID 7\n", "", "LOCAL_NODE_ID: compiled in as 7, but the node's identity is 6"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := newSession(t)
			cluster := objectCluster
			if x.cluster != "" {
				cluster = strings.Replace(cluster, "ip: 10.0.0.10", x.cluster, 1)
			}
			s.write("cluster.yaml", cluster)
			header := objectHeader + x.now
			if x.old != "" {
				header = strings.Replace(objectHeader, x.old, x.now, 1)
			}
			out, code := s.try("up", "--engine", "bytecode", "--object", objectDir(t, s, header), "--detach")
			if code != exitUsage || !strings.Contains(out, x.want) || strings.Count(out, "\n") != 1 {
				t.Errorf("exit code %d: %s\nwant %d and one line with %q", code, out, exitUsage, x.want)
			}
		})
	}
}

// TestPrivilegedOrdinaryUser: without capabilities engine kernel cannot run and says so, and
// bytecode can.
func TestPrivilegedOrdinaryUser(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.write("cluster.yaml", objectCluster)
	dir := objectDir(t, s, objectHeader)
	as := ordinary(t, s)
	for _, args := range [][]string{
		{"up", "--engine", "kernel"},
		{"compare", "--engines", "emulated,kernel", "--packets", "10"},
	} {
		out, code := as(args...)
		if code != exitCannot || strings.Count(out, "\n") != 1 {
			t.Errorf("%v: exit code %d, want %d and one line:\n%s", args, code, exitCannot, out)
		}
		t.Logf("%v: %s", args, out)
	}
	for _, args := range [][]string{
		{"trace", "--from", "client", "--to", "server", "--tcp", "80", "--engine", "bytecode", "--expect", "delivered"},
		{"trace", "--from", "client", "--to", "server", "--tcp", "80", "--engine", "bytecode", "--object", dir, "--expect", "delivered"},
		{"compare", "--engines", "emulated,bytecode", "--packets", "100"},
	} {
		if out, code := as(args...); code != exitOK {
			t.Errorf("%v: exit code %d:\n%s", args, code, out)
		}
	}
}

// ordinary runs hooklab as a user without any rights.
func ordinary(t *testing.T, s *session) func(args ...string) (string, int) {
	t.Helper()
	const nobody = 65534
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	// The user must reach it, and testing makes directories that only root may enter.
	if err := errors.Join(os.WriteFile(s.path("hooklab"), binary, 0o755), os.Chmod(filepath.Dir(s.dir), 0o755), os.Chmod(s.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "hooklab" {
			return err
		}
		return os.Chmod(path, 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (string, int) {
		t.Helper()
		cmd := s.command(args...)
		cmd.Path = s.path("hooklab")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: false}}
		out, err := cmd.CombinedOutput()
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			return string(out), e.ExitCode()
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(out), exitOK
	}
}

func mustMatch(t *testing.T, what, text, want string) {
	t.Helper()
	if !regexp.MustCompile(want).MatchString(text) {
		t.Errorf("%s: want %q in\n%s", what, want, text)
	}
}
