package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// nobody is an ordinary user's id, and group's.
const nobody = 65534

// newUserSession is a session of an ordinary user: of nobody if the test runs as root.
func newUserSession(tb testing.TB) *session {
	tb.Helper()
	if os.Geteuid() != 0 {
		dir, err := os.MkdirTemp("", "hooklab-user") // short: it has sockets in it
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = os.RemoveAll(dir) })
		return userSession(tb, dir, nil)
	}
	dir, err := os.MkdirTemp("", "hooklab-user")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	for _, err := range []error{os.Chmod(dir, 0o755), os.Chown(dir, nobody, nobody), os.Mkdir(filepath.Join(dir, "bin"), 0o755)} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	// The tests' own directory of programs is root's alone.
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	copyFile(tb, self, filepath.Join(dir, "bin", "hooklab"))
	if err := os.Symlink("hooklab", filepath.Join(dir, "bin", "whoami")); err != nil {
		tb.Fatal(err)
	}
	return userSession(tb, dir, &syscall.Credential{Uid: nobody, Gid: nobody})
}

func userSession(tb testing.TB, dir string, as *syscall.Credential) *session {
	s := &session{tb: tb, dir: dir, as: as}
	tb.Cleanup(func() {
		s.tb = tb
		if out, code := s.try("down", "--all"); code != 0 {
			tb.Errorf("down --all: exit code %d\n%s", code, out)
		}
	})
	return s
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	in, err := os.Open(from)
	if err != nil {
		tb.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err == nil {
		_, err = io.Copy(out, in)
	}
	if err != nil {
		tb.Fatal(err)
	}
	if err := out.Close(); err != nil {
		tb.Fatal(err)
	}
}

// asUser makes a command the user's.
func (s *session) asUser(cmd *exec.Cmd) {
	if s.as == nil {
		return
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	cmd.Path = s.path("bin/hooklab")
	cmd.Env = append(cmd.Env, "PATH="+s.path("bin")+":"+os.Getenv("PATH"), "HOME="+s.dir, "XDG_RUNTIME_DIR=")
	cmd.Err = nil
}
