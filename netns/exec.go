package netns

import (
	"errors"
	"fmt"
	"os/exec"
)

var errDeathSignal = errors.New("a parent death signal would fire at once, as the thread that starts the child ends")

// Start starts cmd inside the namespace, as cmd.Start would outside. Only the
// network namespace differs: the child sees the caller's files, so /etc/hosts
// and /etc/resolv.conf are the machine's, and /sys shows the caller's devices.
func (n *NS) Start(cmd *exec.Cmd) error { return n.StartWith(cmd, nil) }

// StartWith is Start with other contents in some files; see Overlay.
func (n *NS) StartWith(cmd *exec.Cmd, files map[string]string) error {
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Pdeathsig != 0 {
		return fmt.Errorf("start %s: %w", cmd.Path, errDeathSignal)
	}
	return n.Do(func() error {
		if len(files) > 0 {
			if err := Overlay(files); err != nil {
				return fmt.Errorf("start %s: %w", cmd.Path, err)
			}
		}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start %s in network namespace: %w", cmd.Path, err)
		}
		return nil
	})
}

// Run starts cmd inside the namespace and waits for it, as cmd.Run would
// outside.
func (n *NS) Run(cmd *exec.Cmd) error {
	if err := n.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}
