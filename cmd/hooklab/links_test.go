package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/netns/lab"
)

// TestPrivilegedNetnsLinks looks at a lab with `ip netns`, which others use too.
func TestPrivilegedNetnsLinks(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	name := fmt.Sprintf("links%d", os.Getpid())
	text := strings.Replace(userCluster, "mine", name, 1)
	s.write("cluster.yaml", text)
	links := func() (found []string) {
		paths, err := filepath.Glob("/run/netns/" + name + "-*")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			found = append(found, strings.TrimPrefix(filepath.Base(p), name+"-"))
		}
		slices.Sort(found)
		return found
	}
	base := []string{"a", "b", "client", "health-a", "health-b", "underlay", "web"}

	// A name that somebody else has.
	foreign := name + "-web"
	mustRun(t, "ip", "netns", "add", foreign)
	remove := func() { _ = exec.Command("ip", "netns", "del", foreign).Run() } // may be gone
	t.Cleanup(remove)
	out, code := s.try("up", "--detach", "--netns-links")
	if want := "hooklab: look for names that are taken: /run/netns/" + foreign + " for default/web exists"; code != exitUsage || !strings.Contains(out, want) {
		t.Errorf("up with a name that is taken: exit code %d, want %d; want %q in\n%s", code, exitUsage, want, out)
	}
	if got := links(); !slices.Equal(got, []string{"web"}) {
		t.Errorf("after up with a name that is taken: %v, want that alone", got)
	}
	remove()

	s.run("up", "--detach", "--netns-links")
	if got := links(); !slices.Equal(got, base) {
		t.Errorf("links %v, want %v", got, base)
	}
	s.until("default/web", "exec", "client", "--", "curl", "-s", "-m", "30", "web")
	mustRun(t, "ip", "netns", "exec", name+"-client", "ping", "-c", "1", "-W", "30", "172.18.0.1")
	if out, code := s.try("up", "--netns-links=false"); code != exitUsage || !strings.Contains(out, "'hooklab down' first") {
		t.Errorf("up without links: exit code %d\n%s", code, out)
	}

	// They come and go with pods.
	s.write("cluster.yaml", strings.Replace(text, "  services:", "  - {name: more, node: a, namespace: ns}\n  services:", 1))
	s.run("up")
	if got, want := links(), slices.Insert(slices.Clone(base), 5, "ns-more"); !slices.Equal(got, want) {
		t.Errorf("links with another pod: %v, want %v", got, want)
	}
	s.write("cluster.yaml", text)
	s.run("up")
	if got := links(); !slices.Equal(got, base) {
		t.Errorf("links without the other pod: %v, want %v", got, base)
	}

	// Somebody takes a name after the lab's process was killed.
	state, err := lab.RunDir(s.path("run")).State(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(state.Process.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until("process is gone", "status")
	mustRun(t, "ip", "netns", "del", foreign)
	mustRun(t, "ip", "netns", "add", foreign)
	s.run("down", "--all")
	if got := links(); !slices.Equal(got, []string{"web"}) {
		t.Errorf("after down: %v, want what is not the lab's", got)
	}

	// An ordinary user cannot have them.
	u := newUserSession(t)
	u.write("cluster.yaml", text)
	if out, code := u.try("up", "--netns-links"); u.as != nil && (code != exitCannot || !strings.Contains(out, "need root")) {
		t.Errorf("up --netns-links without root: exit code %d, want %d\n%s", code, exitCannot, out)
	}
}
