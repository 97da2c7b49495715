package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// nobody is an ordinary user's id, and group's.
const nobody = 65534

// newUserSession is a session of an ordinary user: of nobody if the test runs as root.
func newUserSession(tb testing.TB) *session {
	tb.Helper()
	if why := netns.Probe()[0]; os.Geteuid() != 0 && why.Err != nil {
		tb.Skipf("%s: %v", why.Name, why.Err)
	}
	dir, err := os.MkdirTemp("", "hooklab-user") //nolint:usetesting // An ordinary user cannot reach what TempDir makes.
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	s := &session{tb: tb, dir: dir}
	if os.Geteuid() == 0 {
		s.as = &syscall.Credential{Uid: nobody, Gid: nobody}
		s.install()
	}
	tb.Cleanup(func() {
		s.tb = tb
		if out, code := s.try("down", "--all"); code != 0 {
			tb.Errorf("down --all: exit code %d\n%s", code, out)
		}
	})
	return s
}

// install gives the directory to the user, with the programs, which are root's alone where
// the tests have them.
func (s *session) install() {
	s.tb.Helper()
	for _, err := range []error{
		os.Chmod(s.dir, 0o755), os.Chown(s.dir, nobody, nobody), os.Mkdir(s.path("bin"), 0o755), os.Symlink("hooklab", s.path("bin/whoami")),
	} {
		if err != nil {
			s.tb.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		s.tb.Fatal(err)
	}
	in, err := os.Open(self)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(s.path("bin/hooklab"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err == nil {
		_, err = io.Copy(out, in)
	}
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := out.Close(); err != nil {
		s.tb.Fatal(err)
	}
}

// asUser makes a command the user's.
func (s *session) asUser(cmd *exec.Cmd) {
	if s.as == nil {
		return
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	cmd.Path, cmd.Err = s.path("bin/hooklab"), nil
	cmd.Env = append(cmd.Env, "PATH="+s.path("bin")+":"+os.Getenv("PATH"), "HOME="+s.dir)
}

const userCluster = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: mine}
spec:
  nodes: [{name: a}, {name: b}]
  pods:
  - {name: client, node: a}
  - {name: web, node: b, run: [whoami]}
  services: [{name: web, selector: {run: web}, ports: [80]}]
`

// TestPrivilegedUser goes through what an ordinary user does with a lab.
func TestPrivilegedUser(t *testing.T) {
	t.Parallel()
	s := newUserSession(t)
	s.write("cluster.yaml", userCluster)
	s.run("up", "--detach")
	s.until("default/web", "exec", "client", "--", "curl", "-s", "-m", "30", "web")
	for _, c := range []struct {
		want string
		args string
	}{
		{`(?m)^User: +in a user namespace`, "status"},
		{`"rootless": true`, "status -o json"},
		{`(?m)^default +web `, "get pods"},
		{`(?m)^TCP OUT .*:80 .*service `, "map get cilium_ct4_global --node a"},
		{`VERDICT DELIVERED`, "trace --lab mine --from client --to svc/web --tcp 80 --detail summary"},
		{`(?m)^table ip `, "exec node/a -- nft list tables"},
		{`^1\n$`, "exec node/a -- cat /proc/sys/net/ipv4/ip_forward"},
		{`(?m)^default via .* mtu 1450`, "exec client -- ip route"},
	} {
		if out := s.run(strings.Fields(c.args)...); !matches(c.want, out) {
			t.Errorf("%s: want %q in\n%s", c.args, c.want, out)
		}
	}
	s.follow()

	// A second up with a changed file.
	s.write("cluster.yaml", strings.Replace(userCluster, "  services:", "  - {name: more, node: a, run: [whoami]}\n  services:", 1))
	if out := s.run("up"); !strings.Contains(out, "default/more") {
		t.Errorf("second up: %s", out)
	}
	s.until("default/more", "exec", "client", "--", "curl", "-s", "-m", "30", "more.default.pod")

	t.Run("exec", s.testExec)
	t.Run("terminal", s.testTerminal)
	s.tb = t

	// A killed lab leaves files only, and takes its processes with it.
	pid := s.labPID()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until(`process is gone|no such lab`, "status")
	s.run("down", "--all")
	if left, err := os.ReadDir(s.path("run")); err != nil || len(left) > 0 {
		t.Errorf("left in the run directory: %v, %v", left, err)
	}

	// In the foreground, in the directory that users have by default.
	up := s.command("up")
	up.Env = append(up.Env, lab.EnvRunDir+"=", "XDG_RUNTIME_DIR="+s.path("run"))
	out := newSyncBuffer()
	up.Stdout, up.Stderr = out, out
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	b := &background{tb: t, cmd: up, out: out}
	t.Cleanup(func() { b.stop() })
	b.await(`lab mine is up: .*\^C takes it down`)
	if _, err := os.Stat(s.path("run/hooklab/mine/sock")); err != nil {
		t.Error(err)
	}
	if err := up.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := up.Wait(); err != nil {
		text, _ := out.read()
		t.Errorf("up after ^C: %v\n%s", err, text)
	}
	if _, err := os.Stat(s.path("run/hooklab")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after ^C: %v, want no run directory", err)
	}
}

// follow looks at a ping with monitor and capture.
func (s *session) follow() {
	s.tb.Helper()
	monitor := s.start("Press Ctrl-C to quit", "monitor", "--node", "a")
	capture := s.start("press Ctrl-C", "capture", "client", "-w", "client.pcapng", "-c", "4")
	s.run("exec", "client", "--", "ping", "-c", "2", "-i", "0.2", "web.default.pod")
	monitor.await("-> overlay flow .*EchoRequest")
	capture.await("4 frames captured")
	monitor.stop()
}

// labPID is the lab's process, as this process knows it.
func (s *session) labPID() int {
	s.tb.Helper()
	state, err := lab.RunDir(s.path("run")).State("mine")
	if err != nil {
		s.tb.Fatal(err)
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(state.Process.PID) + "/cmdline")
	if err != nil || !strings.Contains(string(text), "hooklab\x00up") {
		s.tb.Fatalf("process %d of the lab: %q, %v", state.Process.PID, text, err)
	}
	return state.Process.PID
}

// testExec is what a program that the lab's process starts has in common with one that
// this one started: streams, exit code, signals.
func (s *session) testExec(t *testing.T) {
	s.tb = t
	cmd := s.command("exec", "client", "--", "sh", "-c", "cat; pwd; echo $HOOKLAB_WORD >&2; exit 42")
	cmd.Stdin, cmd.Env = strings.NewReader("in\n"), append(cmd.Env, "HOOKLAB_WORD=err")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, _ := cmd.Output()
	if want := "in\n" + s.dir + "\n"; string(out) != want || stderr.String() != "err\n" || cmd.ProcessState.ExitCode() != 42 {
		t.Errorf("out %q, want %q; err %q, want err; exit code %d, want 42", out, want, stderr.String(), cmd.ProcessState.ExitCode())
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{128 + 9, []string{"client", "--", "sh", "-c", "kill -9 $$"}},
		{exitNotFound, []string{"client", "--", "nosuch"}},
		{exitNotExecutable, []string{"client", "--", "./cluster.yaml"}},
		{exitUsage, []string{"nosuch", "--", "true"}},
	} {
		if out, code := s.try(append([]string{"exec"}, c.args...)...); code != c.code {
			t.Errorf("%v: exit code %d, want %d\n%s", c.args, code, c.code, out)
		}
	}
	b := s.start("ready", "exec", "client", "--", "sh", "-c", `trap "echo usr1; exit 7" USR1; echo ready; while :; do sleep 0.05; done`)
	if err := b.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	b.await("usr1")
	_ = b.cmd.Wait()
	if code := b.cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("after SIGUSR1: exit code %d, want 7", code)
	}
	// A program whose user has gone is ended.
	b = s.start("ready", "exec", "client", "--", "sh", "-c", "echo ready; exec sleep 98765")
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = b.cmd.Wait()
	s.until(`\A((?s).*CMD\n)((?:.*\n)*)\z`, "exec", "client", "--", "sh", "-c", "ps -eo cmd | grep -v grep | grep 98765 && exit; echo CMD")
}

// testTerminal runs a program on a terminal of 33 lines, which then grows.
func (s *session) testTerminal(t *testing.T) {
	s.tb = t
	cmd := s.command("exec", "client", "--", "sh", "-c",
		`trap "stty size" WINCH; tty; stty size; ps -o tpgid= -p $$; while :; do sleep 0.05; done`)
	p := newPTY(t, 33, 77)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.program, p.program, p.program
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := newSyncBuffer()
	go func() { _, _ = io.Copy(out, p.user) }() // ends with the terminal
	b := &background{tb: t, cmd: cmd, out: out}
	t.Cleanup(func() { b.stop() })
	b.await(`(?m)^/dev/pts/\d+\r\n33 77\r\n +\d+\r\n`)
	size := unix.Winsize{Row: 40, Col: 100}
	if err := control(p.user, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &size) }); err != nil {
		t.Fatal(err)
	}
	b.await(`(?m)^40 100\r\n`)
	if _, err := p.user.Write([]byte{3}); err != nil { // ^C
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGINT) {
		t.Errorf("after ^C: exit code %d, want 130", code)
	}
	if attr, err := unix.IoctlGetTermios(int(p.program.Fd()), unix.TCGETS); err != nil || attr.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal was not put back: %v", err)
	}
}

// newPTY makes a terminal of a size.
func newPTY(t *testing.T, rows, columns uint16) *pty {
	t.Helper()
	p, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.close() })
	size := unix.Winsize{Row: rows, Col: columns}
	if err := control(p.user, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &size) }); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPrivilegedUserTAP gives an ordinary user the device that many systems give to all.
func TestPrivilegedUserTAP(t *testing.T) {
	t.Parallel()
	s := newUserSession(t)
	s.write("cluster.yaml", userCluster)
	up := s.command("up", "--detach", "--wire", "tap")
	if f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		t.Skip(err) // of an ordinary user
	} else if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		tun := s.path("tun")
		if err := unix.Mknod(tun, unix.S_IFCHR, int(unix.Mkdev(10, 200))); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(tun, 0o666); err != nil {
			t.Fatal(err)
		}
		// In a mount namespace of the command's own.
		script := `mount --bind "$0" /dev/net/tun && exec setpriv --reuid ` + strconv.Itoa(nobody) + ` --regid ` + strconv.Itoa(nobody) + ` --clear-groups "$@"`
		args := append([]string{"unshare", "-m", "sh", "-c", script, tun, up.Path}, up.Args[1:]...)
		env := up.Env
		up = exec.Command(args[0], args[1:]...)
		up.Dir, up.Env = s.dir, env
	}
	if out, err := up.CombinedOutput(); err != nil {
		t.Fatalf("up: %v\n%s", err, out)
	}
	s.until("default/web", "exec", "client", "--", "curl", "-s", "-m", "30", "web")
	if out := s.run("status"); !matches(`(?m)^Wire: +tap; lxc devices`, out) {
		t.Errorf("status:\n%s", out)
	}
	s.run("exec", "client", "--", "ping", "-c", "2", "-i", "0.2", "-W", "30", "web.default.pod")
	s.run("down")
}

// TestPrivilegedNoUserNamespaces forbids them, as some systems do.
func TestPrivilegedNoUserNamespaces(t *testing.T) {
	t.Parallel()
	s := newUserSession(t)
	s.write("cluster.yaml", userCluster)
	for _, args := range [][]string{{"up"}, {"up", "--detach"}} {
		cmd := s.command(args...)
		// The limit of a user namespace, which does not own the mounts around it.
		cmd.Args = append([]string{"unshare", "-r", "sh", "-c", `echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"`, "-", cmd.Path}, args...)
		path, err := exec.LookPath("unshare")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path = path
		out, _ := cmd.CombinedOutput()
		const want = `\Ahooklab: cannot run a lab here: missing privilege: needs root or a user namespace: no space left on device: ` +
			`sysctl user.max_user_namespaces is 0; root can allow it: sysctl -w user.max_user_namespaces=\d+\n\z`
		if code := cmd.ProcessState.ExitCode(); code != exitCannot || !matches(want, string(out)) {
			t.Errorf("%v: exit code %d, want %d; want %q, got\n%s", args, code, exitCannot, want, out)
		}
	}
	if left, err := filepath.Glob(s.path("run/*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
