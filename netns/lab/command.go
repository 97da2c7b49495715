package lab

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/hooklab/hooklab/cluster"
)

// command is what runs in a pod.
type command struct {
	ref  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// startCommands starts what the pods run, each in its pod's namespace, with its
// output in a file of the lab's log directory. A command that ends is not started
// again; one that cannot be started is an error.
func (l *Lab) startCommands() error {
	pods := l.cluster.Pods()
	for i := range pods {
		if p := &pods[i]; len(p.Run) > 0 {
			if err := l.startCommand(p); err != nil {
				return fmt.Errorf("pod %s: run %q: %w", p.Ref(), p.Run, err)
			}
		}
	}
	return nil
}

func (l *Lab) startCommand(p *cluster.Pod) (err error) {
	at := newSpace(KindPod, p.Namespace, p.Name)
	file := l.home.path(logDir, at.file()+logSuffix)
	if p.HostNetwork {
		at = newSpace(KindNode, "", p.Node)
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // the command has a copy
	cmd := exec.Command(p.Run[0], p.Run[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "HOOKLAB_POD="+p.Ref(), "HOOKLAB_POD_IP="+p.IP.String(), "HOOKLAB_NODE="+p.Node)
	// A ^C in the terminal is for the lab, which then ends its commands in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := l.spaces[at.Pin].Start(cmd); err != nil {
		return err
	}
	c := &command{ref: p.Ref(), cmd: cmd, done: make(chan struct{})}
	l.commands = append(l.commands, c)
	l.running.Go(func() {
		defer close(c.done)
		err := cmd.Wait()
		l.log.Info("command has ended", "pod", c.ref, "pid", cmd.Process.Pid, "state", cmd.ProcessState.String(), "err", err)
	})
	return nil
}

// killCommands kills the commands that still run, which have left their namespaces.
func (l *Lab) killCommands() {
	for _, c := range l.commands {
		select {
		case <-c.done:
		default:
			_ = c.cmd.Process.Kill() // fails only if it has ended just now
		}
	}
}
