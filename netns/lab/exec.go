package lab

import (
	"errors"
	"fmt"
	"os"
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

// Program finds the executable of a command that is to run in a namespace of a lab, and
// says whether only the lab's process can start it there (Client.Start), since the lab
// is in a user namespace. The error is exec.ErrNotFound if there is no such command, and
// as Pin's.
func (r RunDir) Program(lab, ref string, argv, env []string) (p *Program, inside bool, err error) {
	_, at, err := r.find(lab, ref)
	if err != nil {
		return nil, false, err
	}
	if lab, err = r.Resolve(lab); err != nil {
		return nil, false, err
	}
	s, err := r.State(lab)
	if err != nil {
		return nil, false, err
	}
	if len(argv) == 0 {
		return nil, false, inputErrorf("exec in %s: no command", ref)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, false, fmt.Errorf("exec in %s: %w", ref, err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, false, fmt.Errorf("exec in %s: %w", ref, err)
	}
	return &Program{Ref: at.Ref(), Path: path, Args: argv, Env: env, Dir: dir}, s.Rootless, nil
}

// Exec replaces the calling process by a program in a namespace of a lab. So terminal,
// signals and exit code are the program's own. It needs the namespace's pin only, not the
// lab's process. It returns only if it fails.
func (r RunDir) Exec(lab string, p *Program) error {
	h, at, err := r.find(lab, p.Ref)
	if err != nil {
		return err
	}
	path, err := h.pin(at)
	if err != nil {
		return err
	}
	ref, program := p.Ref, p.Path
	ns, err := netns.Open(path)
	if err != nil {
		return fmt.Errorf("exec in %s: %w", ref, err)
	}
	// The thread that does it becomes the process, with its namespace.
	err = ns.Do(func() error {
		if err := netns.Overlay(h.files(at)); err != nil {
			return err
		}
		return syscall.Exec(program, p.Args, p.Env)
	})
	return fmt.Errorf("exec %s in %s: %w", program, ref, errors.Join(err, ns.Close()))
}

// Start starts a command in a namespace of a lab, which ref names as for Pin, and does not
// wait for it. The command sees the lab's names as one of Exec does.
func (r RunDir) Start(lab, ref string, cmd *exec.Cmd) error {
	h, at, err := r.find(lab, ref)
	if err != nil {
		return err
	}
	path, err := h.pin(at)
	if err != nil {
		return err
	}
	ns, err := netns.Open(path)
	if err != nil {
		return fmt.Errorf("start %s in %s: %w", cmd.Path, ref, err)
	}
	return errors.Join(ns.StartWith(cmd, h.files(at)), ns.Close())
}
