package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns/lab"
)

// TestPrivilegedKernelArticle brings the article's cluster up on programs in the kernel,
// attached by tcx and by clsact, and sends on every path of the article. Its process is
// ended by `down`, and killed; both ways nothing is left.
func TestPrivilegedKernelArticle(t *testing.T) {
	t.Parallel()
	file, err := filepath.Abs("../../examples/01-article/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, flags := range map[string][]string{"tcx": {"--pin"}, "clsact": {"--pin", "--clsact"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, in, host := startedIn(t, "ctk"+name)
			if err := os.Mkdir(s.path("run"), 0o755); err != nil {
				t.Fatal(err)
			}
			before := listing(t, s, host)
			up := in(append([]string{"up", "-f", file, "--engine", "kernel", "--detach"}, flags...)...)
			if out, err := up.CombinedOutput(); err != nil {
				t.Fatalf("up: %v\n%s", err, out)
			}
			articleTraffic(t, s)
			pid := articleStatus(t, s, name)
			if name == "tcx" {
				s.run("down")
			} else {
				mustRun(t, "kill", "-9", strconv.Itoa(pid))
				s.run("down")
			}
			if after := listing(t, s, host); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

// startedIn is a session whose labs are started in a network namespace of their own, and
// the namespace's name.
func startedIn(t *testing.T, name string) (s *session, in func(args ...string) *exec.Cmd, host string) {
	t.Helper()
	s = newSession(t)
	host = name + strconv.Itoa(os.Getpid())
	mustRun(t, "ip", "netns", "add", host)
	t.Cleanup(func() { mustRun(t, "ip", "netns", "del", host) })
	return s, func(args ...string) *exec.Cmd {
		cmd := s.command()
		// Not ip netns exec, which would give it mounts of its own.
		cmd.Args = append([]string{"nsenter", "--net=/run/netns/" + host, "hooklab"}, args...)
		cmd.Path, _ = exec.LookPath("nsenter")
		return cmd
	}, host
}

// articleTraffic pings, downloads and asks the service on the article's paths.
func articleTraffic(t *testing.T, s *session) {
	t.Helper()
	const bytes = "2000000"
	for _, server := range []string{"pod1-2", "pod2-1"} {
		s.start("serving", "exec", server, "--", "sh", "-c",
			"echo serving; while :; do head -c "+bytes+" /dev/zero | nc -lN 81; done")
	}
	for _, p := range []struct{ name, from, to, ttl string }{
		{"same node", "pod1-1", "10.0.1.79", "63"},
		{"other node", "pod1-1", "10.0.2.158", "63"},
		{"node to its pod", "node/cilium-worker", "10.0.1.79", "63"},
		{"node to a remote pod", "node/cilium-worker", "10.0.2.158", "63"},
		{"pod to its node", "pod1-1", "172.18.0.3", "63"},
		{"pod to its router", "pod1-1", "10.0.1.197", "63"},
		{"pod to another node", "pod1-1", "172.18.0.5", "62"},
		{"pod to the world", "pod1-1", "172.18.0.1", "62"},
	} {
		out := s.run("exec", p.from, "--", "ping", "-c", "2", "-i", "0.2", "-W", "30", p.to)
		if !strings.Contains(out, "ttl="+p.ttl+" ") || !strings.Contains(out, " 0% packet loss") {
			t.Errorf("%s: %s", p.name, out)
		}
		if strings.HasPrefix(p.to, "10.0.") && p.to != "10.0.1.197" {
			s.until("^"+bytes+"\n$", "exec", p.from, "--", "sh", "-c", "nc -w 30 "+p.to+" 81 </dev/null | wc -c")
		}
	}
	// pod1-2 serves the service and writes what it gets to its log.
	for _, from := range []string{"pod1-1", "pod2-1", "node/cilium-worker", "node/cilium-worker2"} {
		text := "from " + from + " to the service"
		s.run("exec", from, "--", "sh", "-c", "echo "+text+" | nc -N -w 30 10.96.52.248 80")
		s.until(text, "exec", "node/cilium-worker", "--", "cat", filepath.Join(s.path("run"), "article", "log", "pod-default_pod1-2.log"))
	}
}

// articleStatus checks where the programs are, as the kernel and its tools say, and what is
// pinned. It returns the lab's process.
func articleStatus(t *testing.T, s *session, by string) int {
	t.Helper()
	testkit.Tool(t, "bpftool")
	var status lab.Status
	if err := json.Unmarshal([]byte(s.run("status", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	for _, n := range status.Nodes {
		if n.Name != "cilium-worker" {
			continue
		}
		got := map[string]int{}
		for _, p := range n.Programs {
			if p.By != by || p.ID == 0 {
				t.Errorf("%+v, want it attached by %s", p, by)
			}
			device := p.Device
			if strings.HasPrefix(device, "lxc") {
				device = "lxc"
			}
			got[device+" "+p.Side+" "+p.Program]++
		}
		want := map[string]int{
			"cilium_net ingress to-host": 1, "cilium_host ingress to-host": 1, "cilium_host egress from-host": 1,
			"cilium_vxlan ingress from-overlay": 1, "cilium_vxlan egress to-overlay": 1, "lxc ingress from-container": 5,
		}
		for what, n := range want {
			if got[what] != n {
				t.Errorf("%d programs %s, want %d (SPEC 1)", got[what], what, n)
			}
		}
		if len(got) != len(want) {
			t.Errorf("programs %v", got)
		}
		dump := s.run("exec", "node/cilium-worker", "--", "bpftool", "map", "dump", "pinned", filepath.Join(n.Maps, "cilium_lxc"))
		if !strings.Contains(dump, "key") {
			t.Errorf("bpftool map dump: %s", dump)
		}
	}
	if by == "clsact" {
		net := s.run("exec", "node/cilium-worker", "--", "bpftool", "net")
		tc := s.run("exec", "node/cilium-worker", "--", "tc", "filter", "show", "dev", "cilium_vxlan", "egress")
		if !strings.Contains(net, "cilium_vxlan(5) clsact/ingress from-overlay") || !strings.Contains(tc, "to-overlay direct-action") {
			t.Errorf("bpftool net: %s\ntc filter: %s", net, tc)
		}
	}
	return status.PID
}
