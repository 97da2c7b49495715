package lab

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"github.com/hooklab/hooklab/netns"
)

// Pin returns the path of the pinned namespace that ref names in a lab, or in the
// only one if lab is "": "POD", "NAMESPACE/POD", "node/NAME", "health/NODE",
// "external/NAME" or "wire/underlay". A pod that lives in its node's network is the node's namespace.
// The error wraps ErrNoLab or cluster.ErrInput.
func (r RunDir) Pin(lab, ref string) (string, error) {
	h, at, err := r.find(lab, ref)
	if err != nil {
		return "", err
	}
	return h.pin(at)
}

// find finds a lab's directory and the space that ref names in it.
func (r RunDir) find(lab, ref string) (home, *Space, error) {
	lab, err := r.Resolve(lab)
	if err != nil {
		return "", nil, err
	}
	h, err := r.home(lab)
	if err != nil {
		return "", nil, err
	}
	s, err := r.State(lab)
	if err != nil {
		return "", nil, err
	}
	at := s.find(ref)
	if at == nil {
		return "", nil, inputErrorf("lab %s has no %q; there are %s", lab, ref, some(s.refs()))
	}
	return h, at, nil
}

// Refs lists what Pin understands in a lab, or in the only one if lab is "".
func (r RunDir) Refs(lab string) ([]string, error) {
	lab, err := r.Resolve(lab)
	if err != nil {
		return nil, err
	}
	s, err := r.State(lab)
	if err != nil {
		return nil, err
	}
	return s.refs(), nil
}

// Exec replaces the calling process by a command in a namespace of a lab, which ref
// names as for Pin. So terminal, signals and exit code are the command's own. It
// needs the namespace's pin only, not the lab's process. It returns only if it
// fails: with exec.ErrNotFound if there is no such command, and as Pin does.
func (r RunDir) Exec(lab, ref string, argv, env []string) error {
	h, at, err := r.find(lab, ref)
	if err != nil {
		return err
	}
	path, err := h.pin(at)
	if err != nil {
		return err
	}
	if len(argv) == 0 {
		return inputErrorf("exec in %s: no command", ref)
	}
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("exec in %s: %w", ref, err)
	}
	ns, err := netns.Open(path)
	if err != nil {
		return fmt.Errorf("exec in %s: %w", ref, err)
	}
	// The thread that does it becomes the process, with its namespace.
	err = ns.Do(func() error {
		if err := netns.Overlay(h.files(at)); err != nil {
			return err
		}
		return syscall.Exec(program, argv, env)
	})
	return fmt.Errorf("exec %s in %s: %w", program, ref, errors.Join(err, ns.Close()))
}
