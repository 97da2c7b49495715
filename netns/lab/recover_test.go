package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/netns/lab"
)

// small is the least that has everything.
const small = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: small}
spec:
  nodes: [{name: a}]
  pods:
  - {name: p, node: a, run: [sh, -c, 'echo $HOOKLAB_POD; exec sleep 3600']}
`

// stubborn has a command that does not end when it is asked to.
const stubborn = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: small}
spec:
  nodes: [{name: a}]
  pods:
  - {name: p, node: a, run: [sh, -c, 'trap "" TERM; sleep 3600; sleep 3600']}
`

// nothingLeft checks that a run directory has no lab, no mount and that no process
// runs in one of the namespaces.
func nothingLeft(tb testing.TB, dir lab.RunDir, namespaces map[string]bool) {
	tb.Helper()
	entries, err := os.ReadDir(string(dir))
	must(tb, err)
	for _, e := range entries {
		tb.Errorf("left in the run directory: %s", e.Name())
	}
	if err := noMounts(dir); err != nil {
		tb.Error(err)
	}
	for pid, ns := range processNamespaces(tb) {
		if namespaces[ns] {
			// A namespace's number is given again once it is gone, to a lab of another test perhaps: what runs there writes
			// to that lab's directory.
			out, err := os.Readlink("/proc/" + pid + "/fd/1")
			if err == nil && strings.HasPrefix(out, os.TempDir()) && !strings.HasPrefix(out, string(dir)) {
				continue
			}
			cmdline, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			tb.Errorf("process %s is left in %s: %q", pid, ns, cmdline)
		}
	}
}

// processNamespaces maps the processes of the machine to their network namespaces.
func processNamespaces(tb testing.TB) map[string]string {
	tb.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	must(tb, err)
	found := make(map[string]string)
	for _, link := range links {
		if ns, err := os.Readlink(link); err == nil {
			found[strings.Split(link, "/")[2]] = ns
		}
	}
	return found
}

// labNamespaces lists the namespaces that the lab has pinned so far.
func labNamespaces(tb testing.TB, dir lab.RunDir) map[string]bool {
	tb.Helper()
	pins, err := filepath.Glob(string(dir) + "/*/ns/*")
	must(tb, err)
	found := make(map[string]bool)
	for _, pin := range pins {
		var st syscall.Stat_t
		must(tb, syscall.Stat(pin, &st))
		found[fmt.Sprintf("net:[%d]", st.Ino)] = true
	}
	return found
}

// TestPrivilegedKill kills a running lab's process and lets Down clean up.
func TestPrivilegedKill(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	dir := lab.RunDir(t.TempDir())
	cmd, out := childJob{RunDir: dir, Text: stubborn, KillAt: -1}.start(t)
	ready(t, out)
	namespaces := labNamespaces(t, dir)
	if len(namespaces) != 4 {
		t.Errorf("namespaces: %v, want 4", namespaces)
	}
	must(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	left := 0
	for _, ns := range processNamespaces(t) {
		if namespaces[ns] {
			left++
		}
	}
	if left == 0 {
		t.Error("the pod's command died with the lab: nothing to clean up")
	}
	must(t, lab.Down(t.Context(), dir, "small", nil))
	nothingLeft(t, dir, namespaces)
	if err := lab.Down(t.Context(), dir, "small", nil); !errors.Is(err, lab.ErrNoLab) {
		t.Errorf("second Down: %v, want %v", err, lab.ErrNoLab)
	}
}

// steps counts the steps of Up.
func steps(tb testing.TB) int {
	tb.Helper()
	n := 0
	o := options(tb, small)
	lab.SetStep(&o, func(int, string) { n++ })
	l, err := lab.Up(tb.Context(), o)
	must(tb, err)
	must(tb, l.Close())
	return n
}

// TestPrivilegedCrash lets the process die after each step of Up, then removes what
// it has left with Down, or with the next Up.
func TestPrivilegedCrash(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	for step := range steps(t) {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			t.Parallel()
			o := options(t, small)
			cmd, _ := childJob{RunDir: o.RunDir, Text: small, KillAt: step}.start(t)
			if err := cmd.Wait(); err == nil || cmd.ProcessState.String() != "signal: killed" {
				t.Fatalf("child: %v, want killed", err)
			}
			namespaces := labNamespaces(t, o.RunDir)
			if step%2 == 0 {
				must(t, lab.Down(t.Context(), o.RunDir, "small", nil))
				nothingLeft(t, o.RunDir, namespaces)
				return
			}
			l, err := lab.Up(t.Context(), o)
			must(t, err)
			must(t, l.Close())
			nothingLeft(t, o.RunDir, namespaces)
		})
	}
}

// TestPrivilegedCancel ends Up after each step and wants nothing left.
func TestPrivilegedCancel(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	last := steps(t) - 1
	for step := range last {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			t.Parallel()
			o := options(t, small)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var namespaces map[string]bool
			lab.SetStep(&o, func(i int, _ string) {
				if i == step {
					namespaces = labNamespaces(t, o.RunDir)
					cancel()
				}
			})
			if l, err := lab.Up(ctx, o); !errors.Is(err, context.Canceled) {
				t.Errorf("Up = %v, %v, want %v", l, err, context.Canceled)
			}
			nothingLeft(t, o.RunDir, namespaces)
		})
	}
}

// TestPrivilegedDown takes labs down whose processes live.
func TestPrivilegedDown(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)

	t.Run("over the socket", func(t *testing.T) {
		t.Parallel()
		dir := lab.RunDir(t.TempDir())
		cmd, out := childJob{RunDir: dir, Text: small, KillAt: -1}.start(t)
		ready(t, out)
		o := options(t, small)
		o.RunDir = dir
		if _, err := lab.Up(t.Context(), o); !errors.Is(err, lab.ErrRunning) {
			t.Errorf("a second Up: %v, want %v", err, lab.ErrRunning)
		}
		namespaces := labNamespaces(t, dir)
		must(t, lab.Down(t.Context(), dir, "", nil))
		nothingLeft(t, dir, namespaces)
		must(t, cmd.Wait())
	})
	t.Run("by its own process", func(t *testing.T) {
		t.Parallel()
		o := options(t, small)
		l, err := lab.Up(t.Context(), o)
		must(t, err)
		closed := make(chan error, 1)
		go func() {
			<-l.Done()
			closed <- l.Close()
		}()
		must(t, lab.Down(t.Context(), o.RunDir, "", nil))
		must(t, <-closed, l.Err(), l.Close())
		nothingLeft(t, o.RunDir, nil)
	})
	t.Run("with a deadline", func(t *testing.T) {
		t.Parallel()
		dir := lab.RunDir(t.TempDir())
		cmd, out := childJob{RunDir: dir, Text: small, KillAt: -1, Deaf: true}.start(t)
		ready(t, out)
		ctx, cancel := context.WithCancelCause(t.Context())
		gaveUp := errors.New("gave up")
		cancel(gaveUp)
		if err := lab.Down(ctx, dir, "", nil); !errors.Is(err, gaveUp) {
			t.Errorf("Down = %v, want %v", err, gaveUp)
		}
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		must(t, lab.Down(t.Context(), dir, "", nil))
		nothingLeft(t, dir, nil)
	})
}

// TestPrivilegedSharedMounts brings a lab up where mounts propagate, as on most
// machines.
func TestPrivilegedSharedMounts(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	dir := lab.RunDir(t.TempDir())
	cmd, _ := childJob{RunDir: dir, Text: small, KillAt: -1, Shared: true}.start(t)
	must(t, cmd.Wait())
	nothingLeft(t, dir, nil)
}

// TestPrivilegedDetach brings a lab up in the background.
func TestPrivilegedDetach(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	t.Run("ready", func(t *testing.T) {
		t.Parallel()
		dir := lab.RunDir(t.TempDir())
		cmd, out := childJob{RunDir: dir, Text: small, KillAt: -1, Detach: true}.start(t)
		ready(t, out)
		must(t, cmd.Wait())
		s, err := dir.State("small")
		must(t, err)
		if s.Process.PID == cmd.Process.Pid || !s.Ready {
			t.Errorf("state %+v, want a ready lab in another process than %d", s, cmd.Process.Pid)
		}
		// Nothing of the report may be left for the pods' commands.
		command, err := os.ReadFile(filepath.Join("/proc", commandPID(t, dir), "environ"))
		must(t, err)
		if strings.Contains(string(command), "HOOKLAB_READY_FD") {
			t.Error("the pod's command knows of the report")
		}
		if _, err := os.Stat(filepath.Join("/proc", commandPID(t, dir), "fd/3")); err == nil {
			t.Error("the pod's command has a descriptor 3")
		}
		namespaces := labNamespaces(t, dir)
		must(t, lab.Down(t.Context(), dir, "", nil))
		nothingLeft(t, dir, namespaces)
	})
	t.Run("failed", func(t *testing.T) {
		t.Parallel()
		dir := lab.RunDir(t.TempDir())
		text := strings.Replace(small, "run: [sh,", "run: [hooklab-no-such-command,", 1)
		cmd, out := childJob{RunDir: dir, Text: text, KillAt: -1, Detach: true}.start(t)
		said, err := io.ReadAll(out)
		must(t, err)
		if err := cmd.Wait(); err == nil || !strings.Contains(string(said), "hooklab-no-such-command") {
			t.Errorf("child ended with %v and said %q", err, said)
		}
		nothingLeft(t, dir, nil)
	})
}

// commandPID is the process that runs in the lab's namespaces.
func commandPID(tb testing.TB, dir lab.RunDir) string {
	tb.Helper()
	namespaces := labNamespaces(tb, dir)
	for pid, ns := range processNamespaces(tb) {
		if namespaces[ns] {
			return pid
		}
	}
	tb.Fatal("no process runs in the lab")
	return ""
}

// TestPrivilegedLostPort deletes a pod's eth0 under a running lab: that pod is cut
// off, the others are not.
func TestPrivilegedLostPort(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	must(t, w.space("default/pod1-2").DelLink("eth0"))
	if _, _, err := ping(w.space("default/pod1-1"), "10.0.2.158", 2); err != nil {
		t.Error(err)
	}
	c, err := w.dir.Client("")
	must(t, err)
	until(t, func() bool {
		s, err := c.Stats(t.Context(), "worker2")
		must(t, err)
		return len(s.PortErrors) == 1
	})
}
