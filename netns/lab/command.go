package lab

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// command is what runs in a pod or in a host outside the cluster.
type command struct {
	ref  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// startCommands starts what the pods and the hosts outside run, each in its namespace,
// with its output in a file of the lab's log directory. A command that ends is not
// started again; one that cannot be started is an error.
func (l *Lab) startCommands() error {
	pods := l.cluster.Pods()
	for i := range pods {
		p := &pods[i]
		at, in := newSpace(KindPod, p.Namespace, p.Name), newSpace(KindPod, p.Namespace, p.Name)
		if p.HostNetwork {
			in = newSpace(KindNode, "", p.Node)
		}
		env := []string{"HOOKLAB_POD=" + p.Ref(), "HOOKLAB_POD_IP=" + p.IP.String(), "HOOKLAB_NODE=" + p.Node}
		if err := l.startCommand(&at, &in, p.Run, env); err != nil {
			return fmt.Errorf("pod %s: run %q: %w", p.Ref(), p.Run, err)
		}
	}
	for _, e := range l.cluster.Settings().External {
		at := newSpace(KindExternal, "", e.Name)
		if err := l.startCommand(&at, &at, e.Run, nil); err != nil {
			return fmt.Errorf("external host %s: run %q: %w", e.Name, e.Run, err)
		}
	}
	return nil
}

// startCommand starts a command, if there is one, for a space in the namespace of a
// space.
func (l *Lab) startCommand(at, in *Space, run, env []string) error {
	if len(run) == 0 {
		return nil
	}
	out, err := os.OpenFile(l.home.path(logDir, at.file()+logSuffix), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // the command has a copy
	cmd := exec.Command(run[0], run[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), env...)
	// A ^C in the terminal is for the lab, which then ends its commands in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := l.spaces[in.Pin].Start(cmd); err != nil {
		return err
	}
	c := &command{ref: at.Ref(), cmd: cmd, done: make(chan struct{})}
	l.commands = append(l.commands, c)
	l.running.Go(func() {
		defer close(c.done)
		err := cmd.Wait()
		l.log.Info("command has ended", "in", c.ref, "pid", cmd.Process.Pid, "state", cmd.ProcessState.String(), "err", err)
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
