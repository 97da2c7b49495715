package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/netns/lab"
	"github.com/hooklab/hooklab/netns/live"
)

// liveReport is what the tests read of compare --live -o json.
type liveReport struct {
	Programs, Fields int
	Frames           map[string]int
	Same             bool
	Differences      []live.Difference
	Unrepeated       []live.Difference
	NotCompared      []live.Gap
}

// compareLive runs a comparison and wants an exit code.
func compareLive(t *testing.T, s *session, code int, args ...string) *liveReport {
	t.Helper()
	cmd := s.command(append([]string{"compare", "--live", "-o", "json"}, args...)...)
	var text, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &errs
	_ = cmd.Run() // its exit code is looked at
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("exit code %d, want %d\n%s\n%s", got, code, &errs, &text)
	}
	r := &liveReport{}
	if err := json.Unmarshal([]byte(text.String()), r); err != nil {
		t.Fatalf("%v\n%s", err, &text)
	}
	s.nothingLeft()
	return r
}

// nothingLeft wants no lab.
func (s *session) nothingLeft() {
	s.tb.Helper()
	names, err := lab.RunDir(s.path("run")).Remains()
	if err != nil || len(names) > 0 {
		s.tb.Errorf("left: %v, %v", names, err)
	}
}

// TestPrivilegedCompareLive: in the article's cluster real programs see the same from the
// emulation and from programs in the kernel.
func TestPrivilegedCompareLive(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	article, err := filepath.Abs("../../examples/01-article/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := compareLive(t, s, exitOK, "-f", article)
	if !r.Same || len(r.Differences) > 0 || r.Programs < 50 || r.Fields < 2000 || r.Frames["left"] < 500 || r.Frames["right"] < 500 {
		t.Errorf("%+v", r)
	}
	for _, g := range r.NotCompared {
		if strings.Contains(g.Why, "not installed") {
			t.Errorf("not compared: %s: %s", g.What, g.Why)
		}
	}
	t.Logf("%d programs, %d fields, %v frames, not seen again: %v", r.Programs, r.Fields, r.Frames, r.Unrepeated)
}

// liveFaults changes one of two labs, each time in another way, and looks at it. The
// statements between are the same on both sides.
const liveFaults = `
pod1-1 > node/cilium-worker ping count=1            # 2: alike
right node/cilium-worker sh echo 77 >/proc/sys/net/ipv4/ip_default_ttl
pod1-1 > node/cilium-worker ping count=1            # 4: the answer's TTL
left pod2-1 run ip route del default
pod1-1 > pod2-1:8080 udp timeout=1s                 # 6: no answer
pod1-1 > pod1-2:9 tcp closed                        # 7: alike
pod1-1 run sh missing                               # 8: alike, and fails
right wire/underlay run ip route add prohibit 192.0.2.0/24
pod1-1 > 192.0.2.1 ping count=1 timeout=1s          # 10: another ICMP error
`

// TestPrivilegedCompareLiveFaults: what differs is found, with its place, and what does
// not is not.
func TestPrivilegedCompareLiveFaults(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	article, err := os.ReadFile("../../examples/01-article/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Nobody runs anything: the comparison's own servers answer.
	s.write("cluster.yaml", strings.ReplaceAll(string(article), `, run: [nc, -lk, "80"]`, ""))
	s.write("faults.live", liveFaults)
	r := compareLive(t, s, exitFailed, "--engines", "emulated,bytecode", "--script", "faults.live")
	row := func(line int, class, place, what string, want live.Row) {
		t.Helper()
		for _, d := range r.Differences {
			if d.Line == line && d.Class == class && d.Place == place && strings.Contains(d.What, what) && slices.Contains(d.Fields, want) {
				return
			}
		}
		t.Errorf("line %d: no %s at %q, %q, %+v", line, class, place, what, want)
	}
	row(4, "headers", "pod1-1 eth0", "in 172.18.0.3 > 10.0.1.178 ICMP echo reply", live.Row{Field: "ttl", Left: "63", Right: "76"})
	row(6, "result", "", "udp", live.Row{Field: "result", Left: "no answer", Right: "answered"})
	row(6, "lost", "pod2-1 eth0", "out 10.0.2.158:8080 > 10.0.1.178:* UDP", live.Row{Field: "packets", Left: "none", Right: "1"})
	row(6, "lost", "node/cilium-worker eth0 (underlay)", "in VXLAN 172.18.0.5 > 172.18.0.3", live.Row{Field: "packets", Left: "none", Right: "1"})
	row(10, "lost", "pod1-1 eth0", "in 172.18.0.1 > 10.0.1.178 ICMP network unreachable", live.Row{Field: "packets", Left: "1", Right: "none"})
	row(10, "lost", "pod1-1 eth0", "in 172.18.0.1 > 10.0.1.178 ICMP type 3 code 13", live.Row{Field: "packets", Left: "none", Right: "1"})
	for _, d := range r.Differences {
		if !slices.Contains([]int{4, 6, 10}, d.Line) {
			t.Errorf("unexpected: %+v", d)
		}
	}
	if t.Failed() {
		t.Logf("%+v", r)
	}
}

// TestPrivilegedCompareLiveInterrupted: ^C takes both labs down.
func TestPrivilegedCompareLiveInterrupted(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.write("cluster.yaml", strings.Replace(killCluster, "NAME", "interrupted", 1))
	s.write("long.live", "client run sleep 1000\n")
	b := s.start(`capturing`, "compare", "--live", "--engines", "emulated,emulated", "--script", "long.live", "--log-level", "debug")
	text := b.stop()
	if code := b.cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(text, "hooklab: interrupted; both labs are down\n") {
		t.Errorf("exit code %d\n%s", code, text)
	}
	s.nothingLeft()

	// A lab of that name that is up is left alone.
	s.run("up", "--name", "interrupted-left", "--detach")
	out, code := s.try("compare", "--live", "--engines", "emulated,emulated", "--script", "long.live")
	if code != exitCannot || !strings.Contains(out, "hooklab: engine emulated: lab interrupted-left: the lab is running already; 'hooklab down' takes it down\n") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	s.run("status", "--lab", "interrupted-left")
}
