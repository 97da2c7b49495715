package lab

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// How long processes may take to end after SIGTERM, and after SIGKILL.
const (
	termPatience = 2 * time.Second
	killPatience = 2 * time.Second
	killRounds   = 5 // against processes that start new ones meanwhile
)

// nsID is the identity of a namespace: where its file lies.
type nsID struct{ dev, ino uint64 }

func idOf(path string) (nsID, bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nsID{}, false
	}
	return nsID{st.Dev, st.Ino}, true
}

// endProcesses ends every process whose network namespace is one of the spaces, but
// not the calling one: first it asks, then it kills. Other processes are never
// touched, and no process that has taken over the id of one that ended.
func (h home) endProcesses(spaces []Space) error {
	ids := make(map[nsID]bool)
	for i := range spaces {
		path, err := h.pin(&spaces[i])
		if err != nil {
			return err
		}
		// An empty file, of a namespace that was never made, is nobody's namespace.
		if id, ok := idOf(path); ok {
			ids[id] = true
		}
	}
	for round := range killRounds {
		procs, err := openProcesses(ids)
		if err != nil || len(procs) == 0 {
			return err
		}
		sig, patience := unix.SIGTERM, termPatience
		if round > 0 {
			sig, patience = unix.SIGKILL, killPatience
		}
		if err := signalAll(procs, sig, patience); err != nil {
			return err
		}
	}
	procs, err := openProcesses(ids)
	if err != nil || len(procs) == 0 {
		return err
	}
	var pids []int
	for _, p := range procs {
		pids = append(pids, p.pid)
	}
	return fmt.Errorf("processes %d in the lab's namespaces do not end: %w", pids, closeAll(procs))
}

// process is a process that cannot be taken for another one.
type process struct{ pid, fd int }

// openProcesses finds the processes in the namespaces.
func openProcesses(ids map[nsID]bool) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var procs []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		path := "/proc/" + e.Name() + "/ns/net"
		if id, ok := idOf(path); !ok || !ids[id] {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open process %d: %w", pid, err), closeAll(procs))
		}
		// The id may have been given to another process before it was opened.
		if id, ok := idOf(path); !ok || !ids[id] {
			err = errors.Join(err, unix.Close(fd))
			if err != nil {
				return nil, errors.Join(fmt.Errorf("close process %d: %w", pid, err), closeAll(procs))
			}
			continue
		}
		procs = append(procs, process{pid, fd})
	}
	return procs, nil
}

func closeAll(procs []process) error {
	var err error
	for _, p := range procs {
		err = errors.Join(err, unix.Close(p.fd))
	}
	return err
}

// signalAll signals processes and waits until they have ended or the patience is
// over. It closes them.
func signalAll(procs []process, sig unix.Signal, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	var errs []error
	for _, p := range procs {
		if err := unix.PidfdSendSignal(p.fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("signal process %d: %w", p.pid, err))
		}
	}
	for _, p := range procs {
		if _, err := awaitExit(p.fd, time.Until(deadline)); err != nil {
			errs = append(errs, fmt.Errorf("wait for process %d: %w", p.pid, err))
		}
	}
	return errors.Join(append(errs, closeAll(procs))...)
}

// awaitExit waits until the process has ended, and says whether it has.
func awaitExit(pidfd int, patience time.Duration) (bool, error) {
	deadline := time.Now().Add(patience)
	for {
		left := max(time.Until(deadline), 0)
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left/time.Millisecond))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n > 0, err
	}
}
