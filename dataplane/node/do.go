package node

import (
	"context"
	"errors"
	"sync"
)

// ErrStopped is what Do returns once the node's goroutine has ended.
var ErrStopped = errors.New("node stopped")

// tasks are functions that others want to run on the node's goroutine.
type tasks struct {
	mu      sync.Mutex
	queue   []task
	wake    func()
	stopped bool
}

type task struct {
	f    func()
	done chan struct{}
}

// SetWake sets what makes the node's goroutine call RunTasks soon, such as a
// write to its event descriptor. It is called from any goroutine.
func (n *Node) SetWake(wake func()) {
	n.tasks.mu.Lock()
	defer n.tasks.mu.Unlock()
	n.tasks.wake = wake
}

// Do runs f on the node's goroutine, between two frames, and waits for it: the
// way to the node's maps for everybody else. It must not be called from there.
// When ctx ends first, f may still run later.
func (n *Node) Do(ctx context.Context, f func()) error {
	t := task{f: f, done: make(chan struct{})}
	n.tasks.mu.Lock()
	if n.tasks.stopped {
		n.tasks.mu.Unlock()
		return ErrStopped
	}
	n.tasks.queue = append(n.tasks.queue, t)
	wake := n.tasks.wake
	n.tasks.mu.Unlock()
	if wake != nil {
		wake()
	}
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RunTasks runs what is queued. The node's goroutine calls it after a wake-up.
func (n *Node) RunTasks() {
	for _, t := range n.take(false) {
		t.f()
		close(t.done)
	}
}

// Stop ends Do: what is queued still runs, later calls get ErrStopped. The
// node's goroutine calls it last.
func (n *Node) Stop() {
	for _, t := range n.take(true) {
		t.f()
		close(t.done)
	}
}

func (n *Node) take(stop bool) []task {
	n.tasks.mu.Lock()
	defer n.tasks.mu.Unlock()
	q := n.tasks.queue
	n.tasks.queue = nil
	n.tasks.stopped = n.tasks.stopped || stop
	return q
}
