package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
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
// down. Each time `down --all` leaves the machine as it was, with what others have made
// under similar names, and a lab in another directory goes on. HOOKLAB_KILLS is how many
// times (5), HOOKLAB_SEED the seed (1).
func TestPrivilegedKilled(t *testing.T) {
	t.Parallel()
	kills, seed := number(t, "HOOKLAB_KILLS", 5), number(t, "HOOKLAB_SEED", 1)
	s, other := newSession(t), newSession(t)
	other.write("cluster.yaml", strings.Replace(killCluster, "NAME", "other", 1))
	other.run("up", "--detach")
	other.until("default/server", "exec", "client", "--", "curl", "-s", "-m", "30", "web")
	neighbour := other.start("icmp_seq=1 ", "exec", "client", "--", "ping", "-i", "0.05", "8.8.8.8")

	m := newMachine(s)
	s.write("cluster.yaml", strings.Replace(killCluster, "NAME", m.lab, 1))
	in := m.command
	before := m.listing(t)

	// How long up takes here, so that moments are spread over it.
	began := time.Now()
	if out, err := in("up", "--detach").CombinedOutput(); err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	took := time.Since(began)
	if out, err := in("down", "--all").CombinedOutput(); err != nil {
		t.Fatalf("down: %v\n%s", err, out)
	}
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	for i := range kills {
		at := time.Duration(r.Int64N(int64(took)))
		moment := []string{"up", "load", "down"}[i%3]
		killAt(t, s, in, moment, at)
		if out, err := in("down", "--all").CombinedOutput(); err != nil {
			t.Fatalf("kill %d (seed %d) %s after %v: down --all: %v\n%s", i, seed, moment, at, err, out)
		}
		if after := m.listing(t); after != before {
			t.Fatalf("kill %d (seed %d) in %s after %v: before\n%s\nafter\n%s", i, seed, moment, at, before, after)
		}
	}
	if text := neighbour.stop(); !strings.Contains(text, " 0% packet loss") {
		t.Errorf("the lab beside was disturbed:\n%s", text[max(0, len(text)-2000):])
	}
}

// killAt kills the lab's process some time after up has begun, after it is up and busy,
// or after down has begun.
func killAt(t *testing.T, s *session, in func(...string) *exec.Cmd, moment string, after time.Duration) {
	t.Helper()
	up := in("up")
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	var down *exec.Cmd
	if moment != "up" {
		s.until(`(?m)^default/client`, "status")
	}
	if moment == "down" {
		down = in("down")
		if err := down.Start(); err != nil {
			t.Fatal(err)
		}
		after /= 4
	}
	<-time.After(after) // the moment, not a wait for something
	_ = up.Process.Kill()
	_ = up.Wait()
	if down != nil {
		_ = down.Wait() // it cleans up itself, or fails as nobody answers
	}
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
