package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/netns"
)

// The lab of a user who is not root lives in a user namespace, with namespaces for
// mounts and processes too:
//
//	hooklab up ──▶ process 1 inside (RunInit) ──▶ the lab's process ──▶ pods' commands
//
// Process 1 mounts /proc, starts the lab's process, buries orphans and ends with it; the
// kernel then ends all that is inside, and with the last process the pins go. So a killed
// lab leaves nothing but files. Nobody outside can enter: a Go program has threads, which
// setns(2) does not let into a user namespace. What is to run inside the lab's process starts
// (Client.Exec).

// Environment of the processes inside. Each takes its own out.
const (
	initEnv = "HOOKLAB_USERNS_INIT" // this is process 1: the run directory of userEnv
	// userEnv tells the lab's process that it is in a user namespace: the descriptor of
	// the /proc outside and the run directory that goes with its last lab.
	userEnv = "HOOKLAB_USERNS"
)

// firstExtra is the first descriptor that a child gets beside its standard ones.
const firstExtra = 3

// Rootless says whether a lab of the calling process would need a user namespace that
// it is not in yet.
func Rootless() bool { return !inUserNS() && !netns.Privileged() }

// inUserNS says whether the calling process is that of a lab in a user namespace. It
// does no longer when Up has been called.
func inUserNS() bool { return os.Getenv(userEnv) != "" }

// IsInit says whether the calling process is to call RunInit and to exit with what that
// returns.
func IsInit() bool { return os.Getenv(initEnv) != "" }

// InUserNS runs the calling program again with args, as root of a user namespace, in a
// session of its own, and waits for it. When ctx ends the program is asked to end. It
// ends too if the calling process is killed. The error is an *ExitError if the exit code
// is not 0, and wraps netns.ErrPermission if there are no user namespaces for this user.
func InUserNS(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	cmd, err := newChild(args)
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	// As long as this process lives the child can read nothing here.
	lifeline, held, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	cmd.ExtraFiles = []*os.File{lifeline}
	err = startChild(cmd)
	if err = errors.Join(err, lifeline.Close()); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) }) // fails if it has ended
	defer stop()
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		return err
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return &ExitError{Code: code}
	}
	return nil
}

// newChild is the calling program with other arguments, in a session of its own, and in
// a user namespace if it needs one.
func newChild(args []string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !Rootless() {
		return cmd, nil
	}
	run, err := filepath.Abs(string(FindRunDir("")))
	if err != nil {
		return nil, err
	}
	netns.UserNS(cmd.SysProcAttr)
	cmd.Env = append(cmd.Env, initEnv+"="+string(userRunDir()), EnvRunDir+"="+run)
	return cmd, nil
}

// startChild starts what newChild has made.
func startChild(cmd *exec.Cmd) error {
	err := cmd.Start()
	if err == nil || cmd.SysProcAttr.Cloneflags == 0 {
		return err
	}
	return fmt.Errorf("cannot run a lab here: %w", netns.ExplainUserNS(err))
}

// RunInit is process 1 of a lab in a user namespace. It runs the program again with the
// same arguments, passes signals on and returns the exit code. All other processes inside
// end with the calling one.
func RunInit() (code int, err error) {
	run := os.Getenv(initEnv)
	err = os.Unsetenv(initEnv)
	outside, openErr := os.OpenFile("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err = errors.Join(err, openErr); err != nil {
		return 0, err
	}
	if err := netns.MountProc(); err != nil {
		return 0, fmt.Errorf("cannot run a lab here: %w", netns.ExplainUserNS(err))
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	given := os.NewFile(firstExtra, "given")
	files, at := []*os.File{os.Stdin, os.Stdout, os.Stderr, outside}, firstExtra
	if Detached() {
		files, at = append(files[:3:3], given, outside), firstExtra+1
	} else {
		// Whoever waits for this lab has gone when the pipe ends.
		unix.CloseOnExec(firstExtra)
		go func() {
			_, _ = given.Read(make([]byte, 1))
			signals <- syscall.SIGTERM
		}()
	}
	lab, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Files: files, Env: append(os.Environ(), fmt.Sprintf("%s=%d:%s", userEnv, at, run)),
	})
	if err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			_ = lab.Signal(s) // fails if it has ended
		}
	}()
	return bury(lab.Pid)
}

// bury waits for all children, which orphans become, until the one with that id has
// ended, and returns its exit code as a shell has it.
func bury(pid int) (int, error) {
	for {
		var status unix.WaitStatus
		ended, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for process %d: %w", pid, err)
		case ended == pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case ended == pid:
			return status.ExitStatus(), nil
		}
	}
}

// userNS is what the lab's process in a user namespace knows of outside.
type userNS struct {
	pid int    // its own id there
	run RunDir // the default run directory there
}

// takeUserNS takes what RunInit has said out of the environment. It returns nil in any
// other process.
func takeUserNS() (*userNS, error) {
	text := os.Getenv(userEnv)
	if text == "" {
		return nil, nil //nolint:nilnil // to be root is no error
	}
	number, run, _ := strings.Cut(text, ":")
	fd, err := strconv.Atoi(number)
	if err != nil {
		return nil, fmt.Errorf("%s=%q: %w", userEnv, text, err)
	}
	outside := os.NewFile(uintptr(fd), "/proc outside")
	defer outside.Close() //nolint:errcheck // only read from
	if err := os.Unsetenv(userEnv); err != nil {
		return nil, err
	}
	// /proc/self there is this process as those outside know it.
	buf := make([]byte, 32)
	n, err := unix.Readlinkat(fd, "self", buf)
	if err != nil {
		return nil, fmt.Errorf("process id outside of the user namespace: %w", err)
	}
	pid, err := strconv.Atoi(string(buf[:n]))
	if err != nil {
		return nil, fmt.Errorf("process id outside of the user namespace: %w", err)
	}
	return &userNS{pid: pid, run: RunDir(run)}, nil
}

// userRunDir is the run directory of users other than root: in $XDG_RUNTIME_DIR, else a
// directory in /tmp that must be the user's own.
func userRunDir() RunDir {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return RunDir(filepath.Join(dir, "hooklab"))
	}
	return sharedRunDir()
}

// sharedRunDir is the user's run directory in a place where everybody may make it.
func sharedRunDir() RunDir { return RunDir(fmt.Sprintf("/tmp/hooklab-%d", os.Geteuid())) }

// trusted refuses a run directory that somebody else has made under a name that everybody
// can choose.
func (r RunDir) trusted() error {
	if r != sharedRunDir() {
		return nil
	}
	var st unix.Stat_t
	err := unix.Lstat(string(r), &st)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("run directory %s: %w", r, err)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0:
		return fmt.Errorf("run directory %s: %w: want a directory of your own that nobody else may enter (mode 0700); set %s to another one",
			r, netns.ErrPermission, EnvRunDir)
	}
	return nil
}
