package lab_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// TestPrivilegedControl asks a lab over its socket and compares with what it has.
func TestPrivilegedControl(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	if _, _, err := ping(w.space("default/pod1-1"), "10.0.2.158", 3); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	c, err := w.dir.Client("")
	must(t, err)

	info, err := c.Info(ctx)
	must(t, err)
	if diff := cmp.Diff(lab.Info{
		Name: "article", Version: "test", Engine: "emulated", Profile: "cilium-1.12", PID: os.Getpid(),
		Nodes: []string{"worker", "worker2"},
	}, info); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}

	remote, err := c.Cluster(ctx)
	must(t, err)
	for _, kind := range []string{"nodes", "pods", "services", "devices"} {
		if diff := cmp.Diff(table(t, w.Cluster(), kind), table(t, remote, kind)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}

	stats, err := c.Stats(ctx, "worker")
	must(t, err)
	if stats.ToPod < 3 || stats.ToUnderlay < 3 || stats.Tunnel.RxPackets < 3 || stats.Events.Trace == 0 || len(stats.PortErrors) != 0 {
		t.Errorf("stats after three pings: %+v", stats)
	}

	m, err := c.Maps(ctx, "worker2")
	must(t, err)
	for _, name := range m.Names() {
		got, err := m.Lookup(name)
		must(t, err)
		var want string
		must(t, w.Do(ctx, "worker2", func(_ *node.Node, set *maps.Set) {
			s, err := set.Lookup(name)
			must(t, err)
			want = text(t, s)
		}))
		if diff := cmp.Diff(want, text(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if len(m.Names()) < 15 {
		t.Errorf("maps: %v", m.Names())
	}
	if _, err := m.Lookup("cilium_nosuch"); !errors.Is(err, maps.ErrNotSupported) {
		t.Errorf("unknown map: %v, want %v", err, maps.ErrNotSupported)
	}
	if _, err := c.Maps(ctx, "nosuch"); !errors.Is(err, cluster.ErrInput) {
		t.Errorf("unknown node: %v, want %v", err, cluster.ErrInput)
	}
	fi, err := os.Stat(filepath.Join(string(w.dir), "article", "sock"))
	must(t, err)
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("socket has mode %v, want 0600", fi.Mode())
	}
}

func table(tb testing.TB, c *cluster.Cluster, kind string) string {
	tb.Helper()
	v, err := c.View(kind)
	must(tb, err)
	var b bytes.Buffer
	must(tb, v.WriteTable(&b))
	return b.String()
}

func text(tb testing.TB, s maps.Store) string {
	tb.Helper()
	var b bytes.Buffer
	must(tb, maps.WriteTable(&b, s, maps.TextOptions{}))
	return b.String()
}

// TestPrivilegedCommand runs commands in pods: those of the description, and by Exec.
func TestPrivilegedCommand(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	w := up(t, `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: commands}
spec:
  nodes: [{name: a}]
  pods:
  - {name: talks, node: a, run: [sh, -c, 'echo $HOOKLAB_POD $HOOKLAB_NODE; readlink /proc/self/ns/net; exec sleep 3600']}
`)
	path, err := w.dir.Pin("", "talks")
	must(t, err)
	want := "default/talks a\n" + pinned(t, path) + "\n"
	log := filepath.Join(string(w.dir), "commands", "log", "pod-default_talks.log")
	got := ""
	until(t, func() bool {
		b, err := os.ReadFile(log)
		must(t, err)
		got = string(b)
		return strings.Count(got, "\n") == 2
	})
	if got != want {
		t.Errorf("the command wrote %q, want %q", got, want)
	}

	for _, tt := range []struct {
		name     string
		exec     []string
		wantCode int
		wantOut  string
	}{
		{"pod", []string{"talks", "readlink", "/proc/self/ns/net"}, 0, pinned(t, path) + "\n"},
		{"exit code", []string{"node/a", "sh", "-c", "exit 7"}, 7, ""},
		{"signal", []string{"default/talks", "sh", "-c", "kill -TERM $$"}, -1, ""},
		{"no such pod", []string{"nosuch", "true"}, 1, ""},
		{"no such command", []string{"talks", "hooklab-no-such-command"}, 1, ""},
	} {
		cmd, out := childJob{RunDir: w.dir, Exec: tt.exec}.start(t)
		var b bytes.Buffer
		_, err := b.ReadFrom(out)
		must(t, err)
		_ = cmd.Wait() // the exit code tells
		if code := cmd.ProcessState.ExitCode(); code != tt.wantCode || b.String() != tt.wantOut {
			t.Errorf("%s: exit code %d, output %q, want %d, %q", tt.name, code, b.String(), tt.wantCode, tt.wantOut)
		}
	}
}

// pinned is the text that links to a pinned namespace have.
func pinned(tb testing.TB, path string) string {
	tb.Helper()
	ns, err := netns.Open(path)
	must(tb, err)
	defer ns.Close()
	var text string
	must(tb, ns.Do(func() (err error) {
		text, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}))
	return text
}

// TestPrivilegedNoPrivilege starts a lab as somebody who may not.
func TestPrivilegedNoPrivilege(t *testing.T) {
	t.Parallel()
	testkit.RequireRoot(t)
	cmd, _ := childJob{RunDir: lab.RunDir(t.TempDir()), Text: small, KillAt: -1, Nobody: true}.start(t)
	_ = cmd.Wait() // the exit code tells
	if code := cmd.ProcessState.ExitCode(); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
}
