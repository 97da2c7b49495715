package lab_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns/lab"
)

// written is a run directory with the states of labs that are not there.
func written(tb testing.TB, states map[string]string) lab.RunDir {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range states {
		must(tb, os.Mkdir(filepath.Join(dir, name), 0o755))
		must(tb, os.WriteFile(filepath.Join(dir, name, "state.json"), []byte(text), 0o644))
	}
	return lab.RunDir(dir)
}

const stateText = `{"format": 1, "name": "one", "hosts": {"kube-system/proxy": "a", "other/web": "a"}, "spaces": [
	{"kind": "wire", "name": "underlay", "pin": "ns/wire-underlay"},
	{"kind": "node", "name": "a", "pin": "ns/node-a"},
	{"kind": "health", "name": "a", "pin": "ns/health-a"},
	{"kind": "pod", "namespace": "default", "name": "web", "pin": "ns/pod-default_web"},
	{"kind": "pod", "namespace": "default", "name": "a", "pin": "ns/pod-default_a"},
	{"kind": "pod", "namespace": "x", "name": "web", "pin": "ns/pod-x_web"},
	{"kind": "pod", "namespace": "x", "name": "db", "pin": "ns/pod-x_db"},
	{"kind": "pod", "namespace": "y", "name": "db", "pin": "ns/pod-y_db"},
	{"kind": "pod", "namespace": "y", "name": "evil", "pin": "ns/../../etc"},
	{"kind": "pod", "namespace": "y", "name": "absolute", "pin": "/etc/passwd"},
	{"kind": "pod", "namespace": "y", "name": "alone", "pin": "ns/pod-y_alone"}]}`

func TestPin(t *testing.T) {
	t.Parallel()
	dir := written(t, map[string]string{"one": stateText})
	for _, tt := range []struct{ ref, want string }{
		{"wire/underlay", "wire-underlay"},
		{"node/a", "node-a"},
		{"health/a", "health-a"},
		{"web", "pod-default_web"},
		{"x/web", "pod-x_web"},
		{"default/a", "pod-default_a"},
		{"alone", "pod-y_alone"},
		{"y/alone", "pod-y_alone"},
		{"kube-system/proxy", "node-a"},
		{"proxy", "node-a"},
		{"other/web", "node-a"},
		{"db", ""}, // in two namespaces
		{"y/evil", ""},
		{"y/absolute", ""},
		{"pod/web", ""},
		{"node/b", ""},
		{"", ""},
	} {
		got, err := dir.Pin("", tt.ref)
		want := ""
		if tt.want != "" {
			want = filepath.Join(string(dir), "one", "ns", tt.want)
		}
		if got != want || (err == nil) != (tt.want != "") {
			t.Errorf("Pin(%q) = %q, %v, want %q", tt.ref, got, err, want)
		}
	}
	refs, err := dir.Refs("one")
	must(t, err)
	if want := "wire/underlay node/a health/a default/web"; !strings.HasPrefix(strings.Join(refs, " "), want) {
		t.Errorf("Refs = %q, want %q first", refs, want)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	none := lab.RunDir(filepath.Join(t.TempDir(), "nowhere"))
	one := written(t, map[string]string{"one": stateText})
	two := written(t, map[string]string{"one": stateText, "two": stateText})
	must(t, os.Mkdir(filepath.Join(string(one), "empty"), 0o755), os.WriteFile(filepath.Join(string(one), "file"), nil, 0o644))
	for _, tt := range []struct {
		name, lab string
		dir       lab.RunDir
		want      string
		wantErr   error
	}{
		{"none", "", none, "", lab.ErrNoLab},
		{"the only one", "", one, "one", nil},
		{"several", "", two, "", cluster.ErrInput},
		{"by name", "two", two, "two", nil},
	} {
		got, err := tt.dir.Resolve(tt.lab)
		if got != tt.want || !errors.Is(err, tt.wantErr) {
			t.Errorf("%s: Resolve = %q, %v, want %q, %v", tt.name, got, err, tt.want, tt.wantErr)
		}
	}
	labs, err := two.Labs()
	must(t, err)
	if diff := cmp.Diff([]string{"one", "two"}, labs); diff != "" {
		t.Errorf("Labs (-want +got):\n%s", diff)
	}
}

// TestClientOfDeadLab: a socket that nobody listens on is that of a dead process.
func TestClientOfDeadLab(t *testing.T) {
	t.Parallel()
	dir := written(t, map[string]string{"one": stateText})
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(string(dir), "one", "sock")})
	must(t, err)
	ln.SetUnlinkOnClose(false)
	must(t, ln.Close())
	c, err := dir.Client("")
	must(t, err)
	_, err = c.Info(t.Context())
	const want = "lab one: lab does not answer: its process is gone; 'hooklab down --lab one' removes what it has left"
	if !errors.Is(err, lab.ErrNotReady) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestState(t *testing.T) {
	t.Parallel()
	dir := written(t, map[string]string{"good": stateText, "torn": `{"format": 1, "na`, "newer": `{"format": 2, "version": "9"}`})
	for _, tt := range []struct {
		name    string
		wantErr string
	}{
		{"good", ""},
		{"torn", "unexpected end"},
		{"newer", "format 2 of hooklab 9"},
		{"nosuch", lab.ErrNoLab.Error()},
		{"../etc", "lab name"},
		{"", "lab name"},
		{"Upper", "lab name"},
		{strings.Repeat("x", 64), "lab name"},
	} {
		s, err := dir.State(tt.name)
		switch {
		case tt.wantErr == "" && (err != nil || len(s.Spaces) != 11):
			t.Errorf("%s: %v, %v", tt.name, s, err)
		case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.wantErr)
		}
	}
	for _, name := range []string{"torn", "newer"} {
		if err := lab.Down(t.Context(), dir, name, nil); err == nil {
			t.Errorf("Down of %s: no error, though nobody knows what it has made", name)
		}
	}
}

func TestFindRunDir(t *testing.T) {
	t.Setenv(lab.EnvRunDir, "")
	if got := lab.FindRunDir(""); got != lab.DefaultRunDir {
		t.Errorf("FindRunDir = %q, want %q", got, lab.DefaultRunDir)
	}
	t.Setenv(lab.EnvRunDir, "/env")
	if got := lab.FindRunDir(""); got != "/env" {
		t.Errorf("FindRunDir = %q, want /env", got)
	}
	if got := lab.FindRunDir("/given"); got != "/given" {
		t.Errorf("FindRunDir = %q, want /given", got)
	}
}

// TestUpErrors are descriptions and options that Up refuses before it needs any
// privilege.
func TestUpErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*lab.Options)
	}{
		{"bad name", func(o *lab.Options) { o.Name = "a/b" }},
		{"unknown engine", func(o *lab.Options) { o.Engine = "steam" }},
	} {
		o := options(t, small)
		tt.change(&o)
		if _, err := lab.Up(t.Context(), o); !errors.Is(err, cluster.ErrInput) {
			t.Errorf("%s: %v, want %v", tt.name, err, cluster.ErrInput)
		}
	}
}
