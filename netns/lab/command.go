package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
)

// How long a command that has ended waits for its next start: from the first wait on
// twice as long each time, and from the beginning again after it ran for a while.
const (
	firstBackoff = 500 * time.Millisecond
	mostBackoff  = 30 * time.Second
	steadyRun    = 10 * time.Second
)

// command keeps a command of a pod, or of a host outside the cluster, running.
type command struct {
	ref  string
	ns   *netns.NS // of its pod, or of the node that the pod lives in
	run  []string
	env  []string
	dir  home
	at   Space
	quit context.CancelFunc

	mu       sync.Mutex
	pid      int // 0: it waits for its next start
	restarts int
	last     string // how it ended last
}

// CommandStatus is what `status` tells about a pod's command.
type CommandStatus struct {
	Run      []string `json:"run"`
	PID      int      `json:"pid,omitempty"` // 0: it has ended and waits to be started again
	Restarts int      `json:"restarts"`
	LastExit string   `json:"lastExit,omitempty"` // "exit status 1"
}

// commandOf is what a pod runs, nil for nothing.
func (l *Lab) commandOf(p *cluster.Pod) *command {
	at, in := newSpace(KindPod, p.Namespace, p.Name), newSpace(KindPod, p.Namespace, p.Name)
	if p.HostNetwork {
		in = newSpace(KindNode, "", p.Node)
	}
	env := []string{"HOOKLAB_POD=" + p.Ref(), "HOOKLAB_POD_IP=" + p.IP.String(), "HOOKLAB_NODE=" + p.Node}
	return l.newCommand(&at, &in, p.Run, env)
}

func (l *Lab) newCommand(at, in *Space, run, env []string) *command {
	if len(run) == 0 {
		return nil
	}
	return &command{ref: at.Ref(), ns: l.spaces[in.Pin], run: run, env: env, dir: l.home, at: *at}
}

// startCommands starts what the pods and the hosts outside run, each in its namespace,
// with its output in a file of the lab's log directory. One that cannot be started is
// an error.
func (l *Lab) startCommands() error {
	pods := l.cluster.Pods()
	for i := range pods {
		if err := l.start(l.commandOf(&pods[i])); err != nil {
			return fmt.Errorf("pod %s: %w", pods[i].Ref(), err)
		}
	}
	for _, e := range l.cluster.Settings().External {
		at := newSpace(KindExternal, "", e.Name)
		if err := l.start(l.newCommand(&at, &at, e.Run, nil)); err != nil {
			return fmt.Errorf("external host %s: %w", e.Name, err)
		}
	}
	return nil
}

// start starts a command and keeps it running from then on.
func (l *Lab) start(c *command) error {
	if c == nil {
		return nil
	}
	cmd, err := c.begin()
	if err != nil {
		return fmt.Errorf("run %q: %w", c.run, err)
	}
	ctx, quit := context.WithCancel(context.Background())
	c.quit = quit
	l.mu.Lock()
	l.commands[c.ref] = c
	l.mu.Unlock()
	l.running.Go(func() {
		for backoff := firstBackoff; ; {
			began := time.Now()
			err := cmd.Wait()
			if time.Since(began) >= steadyRun {
				backoff = firstBackoff
			}
			state := cmd.ProcessState.String()
			c.ended(state)
			if ctx.Err() != nil {
				return
			}
			l.log.Info("command has ended and will be started again", "in", c.ref, "state", state, "err", err, "after", backoff)
			for cmd = nil; cmd == nil; backoff = min(2*backoff, mostBackoff) {
				select {
				case <-ctx.Done():
					return
				case <-time.After(backoff):
				}
				if cmd, err = c.begin(); err != nil {
					l.log.Warn("command cannot be started", "in", c.ref, "run", c.run, "err", err)
				}
			}
			if ctx.Err() != nil { // too late for those who end the lab's processes
				_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
			}
		}
	})
	return nil
}

// begin starts the command's process.
func (c *command) begin() (*exec.Cmd, error) {
	out, err := os.OpenFile(c.dir.path(logDir, c.at.file()+logSuffix), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // the command has a copy
	cmd := exec.Command(c.run[0], c.run[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), c.env...)
	// A ^C in the terminal is for the lab, which then ends its commands in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.ns.StartWith(cmd, c.dir.files(&c.at)); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.pid = cmd.Process.Pid
	c.mu.Unlock()
	return cmd, nil
}

// ended notes that the command's process has ended.
func (c *command) ended(state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.last = 0, state
	c.restarts++
}

func (c *command) status() CommandStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CommandStatus{Run: c.run, PID: c.pid, Restarts: c.restarts, LastExit: c.last}
}

// stop lets the command not be started again. Its processes end with the namespace's;
// kill ends it if it has left that.
func (c *command) stop() { c.quit() }

func (c *command) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid != 0 {
		_ = unix.Kill(c.pid, unix.SIGKILL) // fails only if it has ended just now
	}
}

// takeCommand removes a command from the lab's list and returns it, nil if there is
// none.
func (l *Lab) takeCommand(ref string) *command {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.commands[ref]
	delete(l.commands, ref)
	return c
}

// stopCommands lets no command be started again.
func (l *Lab) stopCommands() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.commands {
		c.stop()
	}
}

// killCommands kills the commands that still run, which have left their namespaces.
func (l *Lab) killCommands() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.commands {
		c.kill()
	}
}
