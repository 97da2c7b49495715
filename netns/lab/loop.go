package lab

import (
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hooklab/hooklab/netns"
)

const (
	readBudget = 64 // frames from one port before the next one's turn
	patience   = 4  // bursts of one frame before longer ones
)

// How many CPUs there are for each loop.
const (
	// One keeps so many busy, together with who sends, who receives and the kernel's work
	// for both.
	cpusPerLoop = 4
	// One that also cuts, joins and sums what it carries is what its nodes wait for.
	cpusPerCutting = 1
)

// loop is a goroutine that nodes share. It waits for frames and runs each to its end: a
// frame from a pod to one of another node changes hands as often as the kernel's own paths
// have it do, and no more. Its nodes, all of them, belong to it.
type loop struct {
	log     *slog.Logger
	fail    func(error) // takes what a node cannot survive
	poll    *netns.Poller
	events  [16]netns.Event
	sources []*source // by the poller's data; nil: free
	workers []*worker
	due     time.Time // of the first that has something to do without a frame
	buf     []byte    // of the frame that is on its way

	called atomic.Bool // somebody wants something: a task, or what follows
	mu     sync.Mutex
	coming []joiner
	over   bool // no more will be taken
	done   chan struct{}
}

// joiner is a worker that waits for its loop.
type joiner struct {
	w      *worker
	joined chan error
}

var errLoopOver = errors.New("the loop of nodes has ended")

// source is a descriptor that frames come from.
type source struct {
	worker *worker
	name   string
	fd     int
	at     int // index in the loop's sources
	// next reads a frame and runs it to its end; it is false if none waits.
	next   func() (bool, error)
	burst  int // frames to read before others have their turn
	full   int // how often a burst was not the end of what waited
	errors uint64
	gone   bool // no longer watched
}

// newLoops starts as many loops as this machine has use for with these workers.
func newLoops(workers []*worker, log *slog.Logger, fail func(error)) ([]*loop, error) {
	cpus := cpusPerLoop
	if slices.ContainsFunc(workers, func(w *worker) bool { return w.tunnel != nil && w.tunnel.MaxAggregate() != 0 }) {
		cpus = cpusPerCutting
	}
	loops := make([]*loop, max(1, runtime.NumCPU()/cpus))
	for i := range loops {
		poll, err := netns.NewPoller()
		if err != nil {
			return loops[:i], err
		}
		loops[i] = &loop{log: log, fail: fail, poll: poll, buf: make([]byte, frameRoom), done: make(chan struct{})}
		// It sleeps without giving its processor back (netns.Poller.Wait), so it brings one of
		// its own: other goroutines, such as loops of other labs, never wait for it.
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
		go loops[i].run()
	}
	return loops, nil
}

// start gives the loop a worker, and returns when it is at work.
func (l *loop) start(w *worker) error {
	j := joiner{w, make(chan error, 1)}
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return errLoopOver
	}
	l.coming = append(l.coming, j)
	l.mu.Unlock()
	w.loop = l
	w.node.SetWake(l.wake)
	l.wake()
	return <-j.joined
}

// wake makes the loop look what is wanted. It may be called from any goroutine.
func (l *loop) wake() {
	l.called.Store(true)
	_ = l.poll.Wake() // fails only if run has returned
}

// stop ends the loop and its workers, and waits for that.
func (l *loop) stop() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.wake()
	<-l.done
}

// The functions below run on the loop's goroutine, in the order of the loop.

// run is the loop. It ends after stop, or with an error that no node can survive.
func (l *loop) run() {
	defer close(l.done)
	defer func() { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - 1) }()
	for l.serve() {
		n, err := l.poll.Wait(l.events[:], max(time.Until(l.due), 0))
		if err != nil {
			l.fail(err)
			break
		}
		for _, e := range l.events[:n] {
			if s := l.sources[e.Data]; s != nil { // else it was the last one of its port
				s.worker.drain(s)
			}
		}
		if !time.Now().Before(l.due) {
			l.collect()
		}
	}
	l.end()
}

// serve does what others want. It is false if that is to end.
func (l *loop) serve() bool {
	if !l.called.Swap(false) {
		return true
	}
	l.mu.Lock()
	coming, over := l.coming, l.over
	l.coming = nil
	l.mu.Unlock()
	for _, j := range coming {
		err := l.join(j.w)
		j.joined <- err
	}
	for _, w := range slices.Clone(l.workers) {
		w.node.RunTasks()
		if w.stopping.Load() {
			l.leave(w)
		}
	}
	l.collect()
	return !over
}

// join takes a worker.
func (l *loop) join(w *worker) error {
	l.workers = append(l.workers, w)
	w.joined = true
	for _, s := range w.sources {
		if err := l.watch(s); err != nil {
			l.leave(w)
			return err
		}
	}
	return nil
}

// leave ends a worker.
func (l *loop) leave(w *worker) {
	l.workers = slices.DeleteFunc(l.workers, func(v *worker) bool { return v == w })
	var errs []error
	for _, s := range w.sources {
		errs = append(errs, l.unwatch(s))
	}
	if err := errors.Join(append(errs, w.end())...); err != nil {
		l.fail(err)
	}
}

// end ends all workers.
func (l *loop) end() {
	l.mu.Lock()
	l.over = true
	for _, j := range l.coming {
		j.joined <- errors.Join(errLoopOver, j.w.end())
	}
	l.mu.Unlock()
	// Devices take their time to go, so all nodes' go at once.
	var closing sync.WaitGroup
	for _, w := range l.workers {
		closing.Go(func() {
			if err := w.end(); err != nil {
				l.fail(err)
			}
		})
	}
	closing.Wait()
	if err := l.poll.Close(); err != nil {
		l.fail(err)
	}
}

func (l *loop) watch(s *source) error {
	at := slices.Index(l.sources, nil)
	if at < 0 {
		at = len(l.sources)
		l.sources = append(l.sources, nil)
	}
	if err := l.poll.Add(s.fd, uint32(at)); err != nil {
		return err
	}
	l.sources[at], s.at = s, at
	return nil
}

// unwatch is for a source that watch may not have come to.
func (l *loop) unwatch(s *source) (err error) {
	if s.at >= len(l.sources) || l.sources[s.at] != s {
		return nil
	}
	if !s.gone {
		err = l.poll.Remove(s.fd)
	}
	l.sources[s.at] = nil
	return err
}

// collect lets workers do what is due.
func (l *loop) collect() {
	now := time.Now()
	l.due = now.Add(time.Hour)
	for _, w := range l.workers {
		if at := now.Add(w.collect()); at.Before(l.due) {
			l.due = at
		}
	}
}
