package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/netns/lab"
)

// startIn lets the lab's process run a program with this process's standard streams and
// returns its exit code. On a terminal the program gets one of its own, as it cannot have
// this one: a terminal belongs to one session.
func startIn(ctx context.Context, c *lab.Client, p *lab.Program) (code int, err error) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	streams := [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	if !isTerminal(os.Stdin) || !isTerminal(os.Stdout) {
		return c.Start(ctx, p, streams, signals)
	}
	t, err := openPTY()
	if err == nil {
		err = t.resize(os.Stdin)
	}
	if err != nil {
		return 0, fmt.Errorf("terminal for the program: %w", err)
	}
	p.Terminal = true
	for i, s := range streams {
		if isTerminal(s) {
			streams[i] = t.program
		}
	}
	restore, err := t.carry(os.Stdin, os.Stdout)
	if err != nil {
		return 0, errors.Join(err, t.close())
	}
	code, err = c.Start(ctx, p, streams, signals)
	return code, errors.Join(err, restore())
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// pty is a pair of terminals: what is written to one is read from the other.
type pty struct {
	user    *os.File // this process's side
	program *os.File
	done    chan struct{} // closed when all that the program has written is out
}

// openPTY makes a pair.
func openPTY() (*pty, error) {
	// Without blocking, so that a read ends with the file.
	user, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	p := &pty{user: os.NewFile(uintptr(user), "/dev/ptmx"), done: make(chan struct{})}
	if err := unix.IoctlSetPointerInt(user, unix.TIOCSPTLCK, 0); err != nil {
		return nil, errors.Join(err, p.user.Close())
	}
	number, err := unix.IoctlGetInt(user, unix.TIOCGPTN)
	if err != nil {
		return nil, errors.Join(err, p.user.Close())
	}
	if p.program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, errors.Join(err, p.user.Close())
	}
	return p, nil
}

// resize gives the pair the size of a terminal; the program is told by the kernel.
func (p *pty) resize(like *os.File) error {
	size, err := unix.IoctlGetWinsize(int(like.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return err
	}
	return control(p.user, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
}

// control calls f with the descriptor, which stays without blocking.
func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	err = conn.Control(func(fd uintptr) { doErr = do(int(fd)) })
	return errors.Join(err, doErr)
}

func (p *pty) close() error { return errors.Join(p.user.Close(), p.program.Close()) }

// carry connects the user's terminal, which it makes raw, with the pair until restore is
// called.
func (p *pty) carry(in, out *os.File) (restore func() error, err error) {
	before, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return nil, err
	}
	raw := *before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &raw); err != nil {
		return nil, err
	}
	sizes := make(chan os.Signal, 1)
	signal.Notify(sizes, syscall.SIGWINCH)
	go func() {
		for range sizes {
			_ = p.resize(in) // the old size stays
		}
	}()
	go func() { _, _ = io.Copy(p.user, in) }() // ends with the process
	go func() {
		defer close(p.done)
		_, _ = io.Copy(out, p.user) // ends by an error when nobody has the other side any more
	}()
	return func() error {
		signal.Stop(sizes)
		close(sizes)
		// Others may still have the program's side.
		const patience = time.Second
		err := errors.Join(p.program.Close(), p.user.SetReadDeadline(time.Now().Add(patience)))
		<-p.done
		return errors.Join(err, p.user.Close(), unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, before))
	}, nil
}
