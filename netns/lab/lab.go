package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
)

// Lab is a cluster that is up. Not calling Close is an error.
type Lab struct {
	home      home
	lock      *os.File
	log       *slog.Logger
	step      func(i int, what string)
	steps     int
	cluster   *cluster.Cluster
	engines   map[string]Engine
	attachers map[string]Attacher
	underlay  string // see Options
	own       RunDir // the user's default run directory
	state     State
	began     time.Time

	spaces map[string]*netns.NS // by pin

	changing  sync.Mutex // held by changes, and for state, spaces and cluster beside them
	mu        sync.Mutex // held shortly, for what follows
	workers   []*worker
	loops     []*loop             // none before the nodes start
	commands  map[string]*command // by reference
	followers []*follower
	sources   []string // as state.Sources

	running sync.WaitGroup // commands
	server  *server
	report  *os.File // to the caller of Detach, see Ready

	done     chan struct{} // closed when somebody wants the lab down
	doneOnce sync.Once
	failure  error // why, if it is an error; set before done is closed

	closeOnce sync.Once
	closeErr  error
}

// ask wants the lab down, because of err if that is not nil.
func (l *Lab) ask(err error) {
	l.doneOnce.Do(func() {
		l.failure = err
		close(l.done)
	})
}

// Done is closed when the lab should be closed: somebody has asked for it over the
// control socket, or a node has failed, which Err tells.
func (l *Lab) Done() <-chan struct{} { return l.done }

// Err is why Done is closed, nil if somebody has asked for it or Done is open.
func (l *Lab) Err() error {
	select {
	case <-l.done:
		return l.failure
	default:
		return nil
	}
}

// Name is the lab's name.
func (l *Lab) Name() string { return l.state.Name }

// Do runs f on a node's goroutine with the node and its maps, and waits for it.
func (l *Lab) Do(ctx context.Context, name string, f func(*node.Node, *maps.Set)) error {
	w, err := l.worker(name)
	if err != nil {
		return err
	}
	return w.node.Do(ctx, func() { f(w.node, w.set) })
}

// nodes are the nodes' workers at this moment.
func (l *Lab) nodes() []*worker {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.workers)
}

func (l *Lab) worker(name string) (*worker, error) {
	for _, w := range l.nodes() {
		if w.name == name {
			return w, nil
		}
	}
	_, err := l.cluster.Node(name)
	if err == nil {
		err = fmt.Errorf("node %s is not up", name)
	}
	return nil, err
}

// Close takes the lab down: it ends the processes inside, closes every port and
// removes all that Up has made. Closing twice is not an error.
func (l *Lab) Close() error {
	l.closeOnce.Do(func() { l.closeErr = l.down() })
	return l.closeErr
}

func (l *Lab) down() error {
	l.ask(nil)
	var errs []error
	if l.server != nil {
		errs = append(errs, l.server.close())
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	l.stopCommands()
	errs = append(errs, l.home.endProcesses(l.state.Spaces))
	l.killCommands()
	for _, w := range l.nodes() {
		if w.loop == nil {
			errs = append(errs, w.close())
		}
	}
	for _, x := range l.loops {
		x.stop()
	}
	l.running.Wait()
	for _, ns := range l.spaces {
		errs = append(errs, ns.Close())
	}
	errs = append(errs, l.home.clean(&l.state, l.own), unlock(l.lock))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take lab %s down: %w", l.state.Name, err)
	}
	return nil
}

// Cluster is the cluster that is up.
func (l *Lab) Cluster() *cluster.Cluster { return l.cluster }
