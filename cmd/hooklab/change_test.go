package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/netns/lab"
)

const changeBefore = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: change}
spec:
  nodes: [{name: a}, {name: b}]
  pods:
  - {name: client, node: a}
  - {name: server, node: b, labels: {app: web}, run: [whoami]}
  - {name: moves, node: b, ip: 10.0.1.77}
  - {name: goes, node: a}
  services:
  - {name: web, selector: {app: web}, ports: [80]}
`

const changeAfter = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: change}
spec:
  nodes: [{name: a}, {name: b}, {name: c}]
  pods:
  - {name: client, node: a, labels: {app: client}}
  - {name: server, node: b, labels: {app: web}, run: [whoami]}
  - {name: moves, node: c}
  - {name: second, node: a, labels: {app: web}, run: [whoami]}
  services:
  - {name: web, selector: {app: web}, ports: [80]}
  - {name: extra, selector: {app: web}, ports: [{port: 8080, targetPort: 80}]}
`

// TestPrivilegedChange changes a running lab by its file, there and back, while a flow
// between two pods that stay must not lose a packet.
func TestPrivilegedChange(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{"tap", "veth"} {
		t.Run(wire, func(t *testing.T) {
			t.Parallel()
			testChange(t, newSession(t), wire)
		})
	}
}

func testChange(t *testing.T, s *session, wire string) {
	t.Helper()
	s.write("cluster.yaml", changeBefore)
	s.run("up", "--detach", "--wire", wire)
	s.until("default/server", "exec", "client", "--", "curl", "-s", "-m", "30", "web")
	ping := s.start("icmp_seq=5 ", "exec", "client", "--", "ping", "-i", "0.02", newPaths(s).ip["server"])
	match := func(what, got, want string) {
		t.Helper()
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: want %q, got\n%s", what, want, got)
		}
	}
	match("the same file", s.run("up"), `^lab change is up and as described\n$`)

	s.write("cluster.yaml", changeAfter)
	const difference = `(?m)\A\+ node c, 172.18.0.4, pods 10.0.2.0/24
(- pod default/(moves on b, 10.0.1.77|goes on a, 10.0.0.\d+)
){2}(\+ pod default/(moves on c, 10.0.2.\d+|second on a, 10.0.0.\d+)
){2}~ pod default/client: identity \d+ instead of \d+, labels
\+ service default/extra, 10.96.\d+.\d+
~ service default/web: port 80/TCP: \+10.0.0.\d+:80
lab change: 8 changes`
	match("dry run", s.run("up", "--dry-run"), difference+`, not made\n\z`)
	match("dry run again", s.run("up", "--dry-run"), difference+`, not made\n\z`)
	match("change", s.run("up"), difference+`\n\z`)
	s.until("(?s)default/server.*default/second|default/second.*default/server", "exec", "client", "--",
		"sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do curl -s -m 30 extra:8080; done")
	s.until("default/second", "exec", "node/c", "--", "curl", "-s", "-m", "30", "web")
	match("a moved pod", s.run("exec", "client", "--", "ping", "-c", "1", "-W", "30", "moves"), "ttl=63")
	match("status", s.run("status"), `(?m)^default/moves +c +10.0.2.\d+ +Running`)
	if out, code := s.try("exec", "goes", "--", "true"); code != exitUsage {
		t.Errorf("a removed pod: exit code %d\n%s", code, out)
	}

	// What cannot change, and what nobody can read, changes nothing.
	s.write("cluster.yaml", strings.Replace(changeAfter, "spec:", "spec:\n  mtu: 1400", 1))
	out, code := s.try("up")
	match("another MTU", out, `^hooklab: lab change: these settings cannot change while the lab runs: MTU; 'hooklab down' first\n$`)
	if code != exitUsage {
		t.Errorf("another MTU: exit code %d, want %d", code, exitUsage)
	}
	s.write("cluster.yaml", "kind: Lab")
	if _, code := s.try("up"); code != exitUsage {
		t.Errorf("a bad file: exit code %d, want %d", code, exitUsage)
	}

	cmd := s.command("up", "-f", "-")
	cmd.Stdin = strings.NewReader(changeBefore)
	back, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("up -f -: %v\n%s", err, back)
	}
	match("back", string(back), `(?m)^- node c$`)
	match("the moved pod again", s.run("exec", "client", "--", "ping", "-c", "1", "-W", "30", "moves"), "10.0.1.77.*ttl=63")
	match("the flow", ping.stop(), ` 0% packet loss`)
	for _, node := range []string{"a", "b"} {
		match("routes of "+node, s.run("exec", "node/"+node, "--", "ip", "route"), `10.0.0.0/24`)
		if routes := s.run("exec", "node/"+node, "--", "ip", "route"); strings.Contains(routes, "10.0.2.0/24") {
			t.Errorf("node %s still knows the way to node c:\n%s", node, routes)
		}
	}
	pins, err := os.ReadDir(s.path("run/change/ns"))
	if err != nil || len(pins) != 9 {
		t.Errorf("namespaces %v, %v; want 9", pins, err)
	}
	s.run("down")
}

// TestPrivilegedWatch follows a lab with monitor and capture.
func TestPrivilegedWatch(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.write("cluster.yaml", changeBefore)
	s.run("up", "--detach")
	all := s.start("Press Ctrl-C", "monitor")
	one := s.start("Press Ctrl-C", "monitor", "--node", "b", "--type", "trace", "--pod", "moves")
	drops := s.start("Press Ctrl-C", "monitor", "--verdict", "dropped", "-o", "json")
	everything := s.start("Capturing", "capture", "-w", "all.pcapng")
	some := s.start("Capturing", "capture", "client", "--hook", "from-container", "-s", "60", "-w", "some.pcapng")

	s.run("exec", "client", "--", "ping", "-c", "1", "-W", "30", "10.0.1.77")
	_, _ = s.try("exec", "client", "--", "ping", "-c", "1", "-W", "1", "-t", "1", "goes")
	drops.await(`"reason":"Invalid packet"`)
	all.await(`EchoReply`)
	one.await(`EchoReply`)
	for _, w := range []struct {
		name, text, want string
	}{
		{"monitor", all.stop(), `(?m)^a: -> overlay flow 0x[0-9a-f]+ , identity \d+->unknown state new ifindex cilium_vxlan orig-ip 0.0.0.0: 10.0.0.\d+ -> 10.0.1.77 EchoRequest$`},
		{"monitor", all.stop(), `(?m)^a: xx drop \(Invalid packet\) flow 0x[0-9a-f]+ to endpoint 0, file bpf_lxc.c line \d+, , identity \d+->\d+: 10.0.0.\d+ -> 10.0.0.\d+ EchoRequest$`},
		{"monitor of a pod", one.stop(), `(?m)^-> endpoint \d+ flow 0x[0-9a-f]+ , identity \d+->\d+ state new ifindex lxc[0-9a-f]{12} orig-ip 10.0.0.\d+: 10.0.0.\d+ -> 10.0.1.77 EchoRequest$`},
		{"capture", everything.stop(), `(?m)^\d+ frames captured$`},
		{"capture", some.stop(), `(?m)^\d+ frames captured$`},
	} {
		if !regexp.MustCompile(w.want).MatchString(w.text) {
			t.Errorf("%s: want %q, got\n%s", w.name, w.want, w.text)
		}
	}
	if text := one.stop(); strings.Contains(text, "overlay") != strings.Contains(text, "-> overlay") || strings.Contains(text, "xx drop") {
		t.Errorf("monitor of a pod shows more:\n%s", text)
	}
	var event struct{ Type, Node, Verdict, Reason, File string }
	line := regexp.MustCompile(`(?m)^\{.*$`).FindString(drops.stop())
	if err := json.Unmarshal([]byte(line), &event); err != nil || event.Type != "drop" || event.Node != "a" || event.Verdict != "dropped" || event.File != "bpf_lxc.c" {
		t.Errorf("a drop as JSON: %v, %v\n%s", event, err, line)
	}
	for _, c := range []struct{ file, want string }{
		{"all.pcapng", "a/cilium_vxlan:to-overlay@exit\tverdict: ok: pass on,source identity: "},
		{"all.pcapng", "a/lxc"},
		{"all.pcapng", ":from-container@exit\tverdict: drop, Invalid packet (134),"},
		{"all.pcapng", ":to-pod\tsource identity: "},
		{"some.pcapng", ":from-container@entry\tsource identity: "},
	} {
		if got := tshark(t, s.path(c.file)); !strings.Contains(got, c.want) {
			t.Errorf("%s: want %q in\n%s", c.file, c.want, got)
		}
	}
	if got := tshark(t, s.path("some.pcapng")); strings.Contains(got, "overlay") || strings.Contains(got, "b/") {
		t.Errorf("some.pcapng has more than was asked for:\n%s", got)
	}
	if out, code := s.try("capture", "nosuch", "-w", "x"); code != exitUsage {
		t.Errorf("capture of a pod that is not there: exit code %d\n%s", code, out)
	}

	status := &lab.Status{}
	if err := json.Unmarshal([]byte(s.run("status", "-o", "json")), status); err != nil {
		t.Fatal(err)
	}
	if status.Name != "change" || len(status.Nodes) != 2 || status.Nodes[0].Stats.Events.Drop != 1 || len(status.Pods) != 4 ||
		status.Pods[1].Command == nil || status.Pods[1].Command.PID == 0 {
		t.Errorf("status: %+v", status)
	}
}

// tshark lists the interfaces and comments of a capture.
func tshark(tb testing.TB, file string) string {
	tb.Helper()
	cmd := exec.Command("tshark", "-r", file, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("tshark: %v\n%s", err, &stderr)
	}
	return string(out)
}
