package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hooklab/hooklab/netns/lab"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// session is a user at a shell: everything goes through the program's command line.
type session struct {
	tb  testing.TB
	dir string              // with the user's files; labs are in its directory run
	as  *syscall.Credential // of another user than the test's; nil: the same
}

func newSession(tb testing.TB) *session {
	tb.Helper()
	if ok, err := privileged(); err != nil {
		tb.Fatal(err)
	} else if !ok {
		tb.Skip("needs root for network namespaces")
	}
	s := &session{tb: tb, dir: tb.TempDir()}
	tb.Cleanup(func() { downAll(tb, lab.RunDir(s.path("run"))) })
	return s
}

func (s *session) path(name string) string { return filepath.Join(s.dir, name) }

// write writes a file of the user's.
func (s *session) write(name, text string) {
	s.tb.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		s.tb.Fatal(err)
	}
}

// command is `hooklab args...` in the user's directory.
func (s *session) command(args ...string) *exec.Cmd {
	cmd := exec.Command("hooklab", args...) // of the tests' PATH: this test binary
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), lab.EnvRunDir+"="+s.path("run"), "GORACE=atexit_sleep_ms=0")
	s.asUser(cmd)
	return cmd
}

// run runs hooklab and returns its standard output. It must succeed.
func (s *session) run(args ...string) string {
	s.tb.Helper()
	out, code := s.try(args...)
	if code != 0 {
		s.tb.Fatalf("hooklab %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// try runs hooklab and returns all its output and its exit code.
func (s *session) try(args ...string) (string, int) {
	s.tb.Helper()
	cmd := s.command(args...)
	out, err := cmd.CombinedOutput()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), e.ExitCode()
	}
	if err != nil {
		s.tb.Fatalf("hooklab %s: %v", strings.Join(args, " "), err)
	}
	return string(out), 0
}

// until repeats a command until its output matches.
func (s *session) until(want string, args ...string) string {
	s.tb.Helper()
	re := regexp.MustCompile(want)
	var out string
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if out, _ = s.try(args...); re.MatchString(out) {
			return out
		}
	}
	s.tb.Fatalf("hooklab %s: want %q, got at last\n%s", strings.Join(args, " "), want, out)
	return ""
}

// background is a command that runs beside the test until stop.
type background struct {
	tb  testing.TB
	cmd *exec.Cmd
	out *syncBuffer
}

// start starts hooklab in the background and waits until its output matches ready.
func (s *session) start(ready string, args ...string) *background {
	s.tb.Helper()
	b := &background{tb: s.tb, cmd: s.command(args...), out: newSyncBuffer()}
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
	if err := b.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { b.stop() })
	b.await(ready)
	return b
}

// await waits until the output matches.
func (b *background) await(want string) string {
	b.tb.Helper()
	re := regexp.MustCompile(want)
	limit := time.After(patience)
	for {
		text, more := b.out.read()
		if re.MatchString(text) {
			return text
		}
		select {
		case <-more:
		case <-limit:
			b.tb.Fatalf("%v: want %q, wrote\n%s", b.cmd.Args, want, text)
		}
	}
}

// stop interrupts the command as ^C does and returns what it wrote.
func (b *background) stop() string {
	if b.cmd.ProcessState == nil {
		_ = b.cmd.Process.Signal(os.Interrupt)
		_ = b.cmd.Wait() // how an interrupted program ends is its own affair
	}
	text, _ := b.out.read()
	return text
}

// syncBuffer is a buffer that one writes and another waits for.
type syncBuffer struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func newSyncBuffer() *syncBuffer { return &syncBuffer{more: make(chan struct{}, 1)} }

// Write appends b.
func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.buf.Write(b)
}

// read returns all that was written, and what tells of more.
func (s *syncBuffer) read() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String(), s.more
}

// matches says whether a regular expression is in a text.
func matches(want, text string) bool { return regexp.MustCompile(want).MatchString(text) }
