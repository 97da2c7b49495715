package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/netns"
)

// makeDirs makes what belongs into a lab's directory before its namespaces.
func (h home) makeDirs(s *State) error {
	if s.PinMaps {
		if err := os.MkdirAll(h.path(bpfDir), 0o700); err != nil {
			return err
		}
		if err := netns.MountBPF(h.path(bpfDir)); err != nil {
			return err
		}
	}
	for _, dir := range []string{pinDir, logDir, etcDir} {
		if err := os.MkdirAll(h.path(dir), 0o755); err != nil {
			return err
		}
	}
	return netns.MountDir(h.path(pinDir))
}

// dismantle ends and removes what a lab's state lists. It goes on after errors. The
// caller holds the lock.
func (h home) dismantle(s *State) error {
	err := h.endProcesses(s.Spaces)
	for i := range s.Spaces {
		err = errors.Join(err, h.removeSpace(&s.Spaces[i]))
	}
	err = errors.Join(err, netns.UnmountBPF(h.path(bpfDir)))
	if err == nil {
		err = netns.UnmountDir(h.path(pinDir))
	}
	if err != nil {
		return fmt.Errorf("clean %s: %w", h, err)
	}
	return nil
}

// removeSpace removes a namespace, from the eyes of others first.
func (h home) removeSpace(s *Space) error {
	path, err := h.pin(s)
	if err != nil {
		return err
	}
	if err := h.removeLink(s); err != nil {
		return err
	}
	return netns.Unpin(path)
}

// clean removes everything of a lab. It keeps the state if something is left, so
// that it can be called again. own is as for remove.
func (h home) clean(s *State, own RunDir) error {
	if err := h.dismantle(s); err != nil {
		return err
	}
	return errors.Join(h.removeContents(), h.remove(own))
}

// pin is the path of a space's pin. A state that somebody has edited must not lead
// out of the lab's directory.
func (h home) pin(s *Space) (string, error) {
	if !filepath.IsLocal(s.Pin) || filepath.Dir(s.Pin) != pinDir {
		return "", fmt.Errorf("state names a pin outside of %s: %q", pinDir, s.Pin)
	}
	return h.path(s.Pin), nil
}

// removeContents removes the files that hooklab has put into a lab's directory, but
// not the lock. The state goes last: as long as it is there, the lab can be cleaned.
func (h home) removeContents() error {
	var files []string
	for dir, ours := range map[string]func(string) bool{
		logDir: func(name string) bool { return strings.HasSuffix(name, logSuffix) },
		etcDir: func(name string) bool { return strings.HasPrefix(name, hostsPrefix) },
	} {
		entries, err := os.ReadDir(h.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clean %s: %w", h, err)
		}
		for _, e := range entries {
			if ours(e.Name()) {
				files = append(files, h.path(dir, e.Name()))
			}
		}
	}
	for _, name := range []string{logDir, etcDir, pinDir, bpfDir, socketFile, stateFile + ".new", stateFile} {
		files = append(files, h.path(name))
	}
	return removeAll(files)
}

// remove removes the lock and, unless somebody has put something there, the
// directory. own is the user's default run directory.
func (h home) remove(own RunDir) error {
	err := removeAll([]string{h.path(lockFile), string(h)})
	for _, r := range []RunDir{DefaultRunDir, own} {
		if r.holds(h) {
			// Ours alone. It stays as long as another lab is in it.
			_ = os.Remove(string(r))
		}
	}
	return err
}

// removeAll removes files and empty directories; others stay.
func removeAll(paths []string) error {
	var errs []error
	for _, path := range paths {
		err := os.Remove(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// holds says that the lab lies in the run directory.
func (r RunDir) holds(h home) bool { return filepath.Dir(string(h)) == string(r) }

// logSuffix ends the names of the files in logDir.
const logSuffix = ".log"
