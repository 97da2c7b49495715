package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hooklab": main, "whoami": whoami})
}

// TestScript runs the scripts of testdata/script: the command line as a user meets
// it. HOOKLAB_UPDATE=1 rewrites the expected output in them.
func TestScript(t *testing.T) {
	t.Parallel()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Condition: func(name string) (bool, error) {
			if name == "privileged" {
				return privileged()
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		UpdateScripts:       os.Getenv("HOOKLAB_UPDATE") == "1",
		Setup: func(env *testscript.Env) error {
			env.Setenv("REPO", repo)
			env.Setenv("GORACE", "atexit_sleep_ms=0")            // a second for each command of a script
			run := lab.RunDir(filepath.Join(env.WorkDir, "run")) // nobody else's labs
			env.Setenv(lab.EnvRunDir, string(run))
			env.Defer(func() { downAll(t, run) })
			return nil
		},
	})
}

// exits is the script command "exits CODE PROGRAM [ARG]...": the program must end
// with that exit code and no other.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG]...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s exited with %d, want %d", args[1], got, want)
	}
}

// privileged says whether this process may make network namespaces.
func privileged() (bool, error) {
	ns, err := netns.New("")
	if errors.Is(err, netns.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, ns.Close()
}

// downAll takes down the labs that a script which failed has left.
func downAll(tb testing.TB, run lab.RunDir) {
	tb.Helper()
	names, err := run.Labs()
	if err != nil {
		tb.Error(err)
	}
	for _, name := range names {
		if err := lab.Down(context.Background(), run, name, nil); err != nil {
			tb.Error(err)
		}
	}
}
