package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// killCluster has something of everything that a lab makes.
const killCluster = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: NAME}
spec:
  nodes: [{name: a}, {name: b}]
  external: [{name: world, ip: 8.8.8.8}]
  pods:
  - {name: client, node: a, run: [sh, -c, 'while :; do ping -c 10 -i 0.01 8.8.8.8; done']}
  - {name: server, node: b, labels: {app: web}, run: [whoami]}
  services:
  - {name: web, selector: {app: web}, ports: [80]}
`

// TestPrivilegedKilled kills a lab's process at random moments of up, under load and in
// down, every second lab being one that `ip netns` sees. Each time `down --all` leaves the
// machine as it was, with what others have made under similar names, and a lab in another
// directory goes on. HOOKLAB_KILLS is how many times (5), HOOKLAB_SEED the seed (1).
func TestPrivilegedKilled(t *testing.T) {
	t.Parallel()
	s, other := newSession(t), newSession(t)
	other.write("cluster.yaml", strings.Replace(killCluster, "NAME", "other", 1))
	other.run("up", "--detach")
	other.until("default/server", "exec", "client", "--", "curl", "-s", "-m", "30", "web")
	neighbour := other.start("icmp_seq=1 ", "exec", "client", "--", "ping", "-i", "0.05", "8.8.8.8")

	newMachine(s).kills(t, func(i int) kill {
		k := kill{generation: 0}
		if i%2 == 1 {
			k.flags = []string{"--netns-links"}
		}
		return k
	})
	if text := neighbour.stop(); !strings.Contains(text, " 0% packet loss") {
		t.Errorf("the lab beside was disturbed:\n%s", text[max(0, len(text)-2000):])
	}
}

// TestPrivilegedKilledUser does the same with an ordinary user's labs: it kills the user's
// command, process 1 of the lab, or the lab's process.
func TestPrivilegedKilledUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a machine of its own")
	}
	newMachine(newUserSession(t)).kills(t, func(i int) kill { return kill{generation: (i + i/3) % 3} })
}

// kill is one of the times that a lab is killed.
type kill struct {
	moment     string // up, load or down
	after      time.Duration
	generation int // 0 is the command `up`, 1 its child, 2 that one's child
	flags      []string
}

// kills kills labs as often as is wanted, as plan says for each, and compares the machine
// with what it was.
func (m *machine) kills(t *testing.T, plan func(i int) kill) {
	t.Helper()
	kills, seed := number(t, "HOOKLAB_KILLS", 5), number(t, "HOOKLAB_SEED", 1)
	m.write("cluster.yaml", strings.Replace(killCluster, "NAME", m.lab, 1))
	before := m.listing(t)

	// How long up takes here, so that moments are spread over it.
	began := time.Now()
	if out, err := m.command("up", "--detach").CombinedOutput(); err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	took := time.Since(began)
	if out, err := m.command("down", "--all").CombinedOutput(); err != nil {
		t.Fatalf("down: %v\n%s", err, out)
	}
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	for i := range kills {
		k := plan(i)
		k.moment, k.after = []string{"up", "load", "down"}[i%3], time.Duration(r.Int64N(int64(took)))
		m.kill(t, &k)
		if out, err := m.command("down", "--all").CombinedOutput(); err != nil {
			t.Fatalf("kill %d (seed %d), %+v: down --all: %v\n%s", i, seed, k, err, out)
		}
		if after := m.listing(t); after != before {
			t.Fatalf("kill %d (seed %d), %+v: before\n%s\nafter\n%s", i, seed, k, before, after)
		}
	}
}

// kill kills a lab some time after up has begun, after it is up and busy, or after down has
// begun, and waits until the command `up` has ended, and with an ordinary user's lab all else.
func (m *machine) kill(t *testing.T, k *kill) {
	t.Helper()
	up := m.command(append([]string{"up"}, k.flags...)...)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	var down *exec.Cmd
	if k.moment != "up" {
		m.until(`(?m)^default/client`, "status")
	}
	if k.moment == "down" {
		down = m.command("down")
		if err := down.Start(); err != nil {
			t.Fatal(err)
		}
		k.after /= 4
	}
	<-time.After(k.after) // the moment, not a wait for something
	// Those that are not killed end because of it. The command may have no children yet.
	family := []int{up.Process.Pid}
	for range k.generation {
		if child := labChild(family[len(family)-1]); child != 0 {
			family = append(family, child)
		}
	}
	t.Logf("%s after %v, %v: kill the last of %v", k.moment, k.after, k.flags, family)
	if p, err := os.FindProcess(family[len(family)-1]); err == nil {
		_ = p.Kill() // it may have ended
	}
	ended := time.AfterFunc(patience, func() {
		t.Errorf("%+v: up does not end when %v is killed", *k, family)
		_ = up.Process.Kill()
	})
	_ = up.Wait()
	ended.Stop()
	if down != nil {
		_ = down.Wait() // it cleans up itself, or fails as nobody answers
	}
	if m.as != nil {
		m.awaitEnd(t)
	}
}

// awaitEnd waits until all processes of an ordinary user's lab have ended by themselves.
func (m *machine) awaitEnd(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); m.processes(t) != ""; {
		if time.Now().After(end) {
			t.Fatalf("left of a lab that was killed:\n%s", m.processes(t))
		}
	}
}

// labChild is the child of a process that runs `hooklab up`, too; 0 if there is none.
func labChild(parent int) int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, file := range tasks {
		children, _ := os.ReadFile(file) // a thread may have ended
		for pid := range strings.FieldsSeq(string(children)) {
			args, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			if n, err := strconv.Atoi(pid); err == nil && strings.Contains(string(args), "hooklab\x00up\x00") {
				return n
			}
		}
	}
	return 0
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", name, err))
	}
	return n
}
