package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How long a lab's process may take to go, after it was asked over the socket, and
// after SIGTERM, before it is killed.
const (
	stopPatience = 10 * time.Second
	exitPatience = 5 * time.Second
	lookInterval = 20 * time.Millisecond
)

// Down takes a lab down, or the only one if name is "", and returns when nothing of
// it is left. A running lab is asked to do it itself; a process that does not is
// ended. What a dead process has left is removed. log may be nil.
//
// The error wraps ErrNoLab if there is no such lab.
func Down(ctx context.Context, r RunDir, name string, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	name, err := r.Resolve(name)
	if err != nil {
		return err
	}
	h, err := r.home(name)
	if err != nil {
		return err
	}
	d := &downer{run: r, name: name, home: h, log: log, start: time.Now()}
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		lock, err := h.lock(false)
		switch {
		case err == nil:
			return d.clean(lock)
		case errors.Is(err, ErrNoLab) && d.asked:
			return nil
		case !errors.Is(err, ErrRunning):
			return err
		}
		if err := d.press(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("take lab %s down: %w", name, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// downer takes one lab down.
type downer struct {
	run   RunDir
	name  string
	home  home
	log   *slog.Logger
	start time.Time

	asked, stopped, termed, killed bool
}

// clean removes what a process has left; the lock says that there is none any more.
func (d *downer) clean(lock *os.File) error {
	s, err := d.home.state()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Nothing has been made yet, or all is gone but the directory.
		err = errors.Join(d.home.removeContents(), d.home.remove(userRunDir()))
	case err == nil:
		err = d.home.clean(s, userRunDir())
	}
	return errors.Join(err, unlock(lock))
}

// press makes the lab's process go: with each call by what its patience allows.
func (d *downer) press(ctx context.Context) error {
	d.asked = true
	waited := time.Since(d.start)
	if !d.stopped {
		if c, err := d.run.Client(d.name); err == nil && c.Stop(ctx) == nil {
			d.stopped = true
			return nil
		}
	}
	switch {
	case waited > stopPatience && !d.termed:
		d.termed = true
		return d.signal(unix.SIGTERM)
	case waited > stopPatience+exitPatience && !d.killed:
		d.killed = true
		return d.signal(unix.SIGKILL)
	case waited > stopPatience+2*exitPatience:
		return fmt.Errorf("take lab %s down: %w: somebody holds %s", d.name, ErrRunning, d.home.path(lockFile))
	}
	return nil
}

// signal signals the lab's process, if that still is the one in the state.
func (d *downer) signal(sig unix.Signal) (err error) {
	s, err := d.home.state()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.Process.PID == os.Getpid() {
		return nil // a lab of our own; its owner will close it
	}
	fd, err := unix.PidfdOpen(s.Process.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", s.Process.PID, err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	// Checked after it was opened, so that the signal cannot reach another one.
	if !s.Process.alive() {
		return nil
	}
	d.log.Warn("the lab's process does not end", "lab", d.name, "pid", s.Process.PID, "signal", sig.String())
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", s.Process.PID, err)
	}
	return nil
}
