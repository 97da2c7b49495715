package lab_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// childEnv makes the test binary a child of a test. It holds a childJob.
const childEnv = "HOOKLAB_LAB_TEST_CHILD"

// childJob is what a child does.
type childJob struct {
	RunDir lab.RunDir
	Text   string   // of the cluster to bring up
	KillAt int      // step after which it kills itself; -1: never
	Deaf   bool     // it hears no request to stop
	Nobody bool     // it gives its privileges up first
	Shared bool     // its mounts propagate, and it takes the lab down when it is up
	Detach bool     // another child does the job in the background
	Exec   []string // instead: a reference and a command for RunDir.Exec
}

// runChild does the job in the environment and returns the exit code.
func runChild(job string) int {
	var j childJob
	if err := json.Unmarshal([]byte(job), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = os.Unsetenv(childEnv)
	err := j.do()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	switch {
	case errors.Is(err, netns.ErrPermission):
		return 2
	case err != nil:
		return 1
	}
	return 0
}

func (j *childJob) do() error {
	if len(j.Exec) > 0 {
		p, _, err := j.RunDir.Program("", j.Exec[0], j.Exec[1:], os.Environ())
		if err != nil {
			return err
		}
		return j.RunDir.Exec("", p)
	}
	if j.Nobody {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	if j.Detach {
		return j.detach()
	}
	if j.Shared {
		if err := syscall.Mount("", "/", "", syscall.MS_SHARED|syscall.MS_REC, ""); err != nil {
			return err
		}
	}
	c, err := cluster.Load(cluster.Source{Name: "child", Data: []byte(j.Text)})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	o := lab.Options{Cluster: c, RunDir: j.RunDir, Engines: engines()}
	lab.SetStep(&o, func(i int, _ string) {
		if i == j.KillAt {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	l, err := lab.Up(ctx, o)
	if err != nil {
		return err
	}
	if j.Shared {
		return errors.Join(l.Close(), noMounts(j.RunDir))
	}
	fmt.Fprintln(os.Stdout, "ready")
	if err := l.Ready(); err != nil {
		return errors.Join(err, l.Close())
	}
	if j.Deaf {
		select {}
	}
	select {
	case <-ctx.Done():
	case <-l.Done():
	}
	return errors.Join(l.Err(), l.Close())
}

// detach does the job in the background.
func (j *childJob) detach() error {
	next := *j
	next.Detach = false
	job, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := os.Setenv(childEnv, string(job)); err != nil {
		return err
	}
	return lab.Detach(context.Background(), nil, nil, os.Stdout)
}

// noMounts is an error if there is a mount below dir.
func noMounts(dir lab.RunDir) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && strings.Contains(string(mounts), string(dir)) {
		err = fmt.Errorf("mounts below %s:\n%s", dir, mounts)
	}
	return err
}

// start starts the job in a process of its own.
func (j childJob) start(tb testing.TB) (cmd *exec.Cmd, out io.Reader) {
	tb.Helper()
	job, err := json.Marshal(j)
	must(tb, err)
	self, err := os.Executable()
	must(tb, err)
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(job))
	cmd.Stderr = tb.Output()
	if j.Shared {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
	out, err = cmd.StdoutPipe()
	must(tb, err, cmd.Start())
	tb.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd, out
}

// ready waits until the child's lab is up.
func ready(tb testing.TB, out io.Reader) {
	tb.Helper()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		tb.Fatalf("child said %q, %v", line, err)
	}
}
