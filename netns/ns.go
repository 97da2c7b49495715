package netns

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NS is an open network namespace. It keeps the namespace alive until Close,
// also when it is not pinned to a path. Its methods may be called from several
// goroutines, Close only when no other method is running.
type NS struct {
	handle vnetns.NsHandle
	path   string

	mu sync.Mutex
	nl *netlink.Handle // rtnetlink socket inside the namespace, made when first needed
}

// New makes a network namespace whose loopback device is still down. If path is
// not empty, the namespace is pinned there: it outlives the process until Unpin.
// The path's directory must exist and the path itself must not.
func New(path string) (*NS, error) {
	n := &NS{path: path}
	err := onThread(func() error {
		h, err := vnetns.New()
		n.handle = h
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("new network namespace: %w", explain(err, needSysAdmin))
	}
	if path == "" {
		return n, nil
	}
	if err := pin(int(n.handle), path); err != nil {
		return nil, fmt.Errorf("pin network namespace at %s: %w", path, closeAfter(explain(err, needSysAdmin), n))
	}
	return n, nil
}

// Open opens the network namespace pinned at path. It takes any path that leads
// to a network namespace, such as /proc/<pid>/ns/net.
func Open(path string) (*NS, error) {
	h, err := vnetns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, explain(err, "read access"))
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(h), &st); err != nil {
		return nil, fmt.Errorf("statfs network namespace %s: %w", path, closeAfter(err, &h))
	}
	if st.Type != unix.NSFS_MAGIC {
		return nil, fmt.Errorf("open network namespace %s: %w", path, closeAfter(errNotPinned, &h))
	}
	return &NS{handle: h, path: path}, nil
}

// Current opens the network namespace of the calling thread.
func Current() (*NS, error) {
	h, err := vnetns.GetFromPath("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open the current network namespace: %w", err)
	}
	return &NS{handle: h}, nil
}

// Path returns the path that the namespace was pinned at or opened by, or "".
func (n *NS) Path() string { return n.path }

// ID returns a text that is the same for two handles of one namespace and
// different for two namespaces that exist at the same time.
func (n *NS) ID() string { return n.handle.UniqueId() }

// FD returns the file descriptor of the namespace. It is valid until Close and
// closed in child processes.
func (n *NS) FD() int { return int(n.handle) }

// Close releases the handle. A namespace that is not pinned disappears with its
// last handle, process and socket. Closing twice is not an error.
func (n *NS) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nl != nil {
		n.nl.Close()
		n.nl = nil
	}
	if !n.handle.IsOpen() {
		return nil
	}
	if err := n.handle.Close(); err != nil {
		return fmt.Errorf("close network namespace: %w", err)
	}
	return nil
}

// Do runs f on a thread of its own inside the namespace and returns f's error.
// Sockets and files that f opens belong to the namespace for good. Goroutines
// that f starts run outside of the namespace.
func (n *NS) Do(f func() error) error {
	return onThread(func() error {
		if err := n.enter(); err != nil {
			return err
		}
		return f()
	})
}

func (n *NS) enter() error {
	if !n.handle.IsOpen() {
		return fmt.Errorf("enter network namespace: %w", ErrClosed)
	}
	if err := vnetns.Set(n.handle); err != nil {
		return fmt.Errorf("enter network namespace: %w", explain(err, needSysAdmin))
	}
	return nil
}

// route returns the rtnetlink socket of the namespace.
func (n *NS) route() (*netlink.Handle, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nl != nil {
		return n.nl, nil
	}
	err := n.Do(func() (err error) {
		n.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return n.nl, nil
}

// onThread runs f on a thread that nobody uses before and that ends with f: the
// goroutine is locked to it and never unlocked.
func onThread(f func() error) error {
	err := errExited
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The runtime cannot end the main thread. It waits here, unchanged,
			// so that f gets another one.
			defer runtime.UnlockOSThread()
			err = onThread(f)
			return
		}
		err = f()
	}()
	<-done
	return err
}
