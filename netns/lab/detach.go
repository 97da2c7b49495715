package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// readyEnv tells a process that it is a detached one: the number of the descriptor
// to report on.
const readyEnv = "HOOKLAB_READY_FD"

// processLog is the file for the output of a detached lab's process.
const processLog = "hooklab" + logSuffix

// ExitError says that a detached process has ended before its lab was ready. It has
// written why to Detach's output.
type ExitError struct{ Code int }

// Error tells the exit code.
func (e *ExitError) Error() string { return fmt.Sprintf("the lab's process exited with %d", e.Code) }

// Detach runs the calling program again with args, in a session of its own, without root
// in a user namespace, and returns when the new process has called Ready. What that writes to stdout and
// stderr before is copied to output. stdin is its standard input, nil for none.
// When ctx ends before, the new process is asked to end, and waited for. The error
// is an *ExitError if it ended before Ready, and wraps netns.ErrPermission if there are no
// user namespaces for this user.
func Detach(ctx context.Context, args []string, stdin io.Reader, output io.Writer) (err error) {
	cmd, err := newChild(args)
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	// A file and not a pipe, as it must take what comes when nobody reads any more.
	out, err := unix.MemfdCreate("hooklab-output", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("detach: output: %w", err)
	}
	early := os.NewFile(uintptr(out), "output")
	defer early.Close() //nolint:errcheck // nothing is lost with it
	ready, report, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	defer ready.Close() //nolint:errcheck // only read from
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, early, early
	cmd.ExtraFiles = []*os.File{report}
	cmd.Env = append(cmd.Env, readyEnv+"="+strconv.Itoa(firstExtra))
	err = startChild(cmd)
	if err = errors.Join(err, report.Close()); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) }) // fails if it has ended
	defer stop()
	_, readErr := ready.Read(make([]byte, 1))
	if _, err := early.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("detach: output: %w", err)
	}
	if _, err := io.Copy(output, early); err != nil {
		return fmt.Errorf("detach: output: %w", err)
	}
	if readErr == nil {
		return cmd.Process.Release()
	}
	if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
		return fmt.Errorf("detach: %w", err)
	}
	return &ExitError{Code: cmd.ProcessState.ExitCode()}
}

// Detached says whether Detach has started the calling process. It does no longer
// when Up has been called.
func Detached() bool { return os.Getenv(readyEnv) != "" }

// takeReport takes the descriptor for Ready out of the environment, so that the pods'
// commands inherit neither. It returns nil in a process that Detach has not started.
func takeReport() (*os.File, error) {
	text := os.Getenv(readyEnv)
	if text == "" {
		return nil, nil //nolint:nilnil // nothing to report to is no error
	}
	fd, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("%s=%q: %w", readyEnv, text, err)
	}
	unix.CloseOnExec(fd)
	if err := os.Unsetenv(readyEnv); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "report"), nil
}

// Ready tells the caller of Detach that the lab is up. From then on the process
// writes its output to a file in the lab's directory. In a process that Detach has
// not started it does nothing.
func (l *Lab) Ready() error {
	if l.report == nil {
		return nil
	}
	file, err := os.OpenFile(l.home.path(logDir, processLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("log of lab %s: %w", l.state.Name, err)
	}
	defer file.Close() //nolint:errcheck // the copies stay
	for _, std := range []int{syscall.Stdout, syscall.Stderr} {
		if err := unix.Dup3(int(file.Fd()), std, 0); err != nil {
			return fmt.Errorf("log of lab %s: %w", l.state.Name, err)
		}
	}
	_, err = l.report.Write([]byte{1})
	if err = errors.Join(err, l.report.Close()); err != nil {
		return fmt.Errorf("report that lab %s is up: %w", l.state.Name, err)
	}
	l.report = nil
	return nil
}
