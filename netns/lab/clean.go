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
func (h home) makeDirs() error {
	for _, dir := range []string{pinDir, logDir} {
		if err := os.MkdirAll(h.path(dir), 0o755); err != nil {
			return err
		}
	}
	return netns.MountDir(h.path(pinDir))
}

// clean removes everything of a lab: what its state lists, then its directory. The
// caller holds the lock. It goes on after errors, and keeps the state if there were
// any, so that it can be called again.
func (h home) clean(s *State) error {
	err := h.endProcesses(s.Spaces)
	for i := range s.Spaces {
		path, pathErr := h.pin(&s.Spaces[i])
		if pathErr == nil {
			pathErr = netns.Unpin(path)
		}
		err = errors.Join(err, pathErr)
	}
	if err == nil {
		err = netns.UnmountDir(h.path(pinDir))
	}
	if err != nil {
		return fmt.Errorf("clean %s: %w", h, err)
	}
	return h.removeFiles()
}

// pin is the path of a space's pin. A state that somebody has edited must not lead
// out of the lab's directory.
func (h home) pin(s *Space) (string, error) {
	if !filepath.IsLocal(s.Pin) || filepath.Dir(s.Pin) != pinDir {
		return "", fmt.Errorf("state names a pin outside of %s: %q", pinDir, s.Pin)
	}
	return h.path(s.Pin), nil
}

// removeFiles removes the files of a lab and its directory. What hooklab did not put
// there stays. The state goes late: as long as it is there, the lab can be cleaned.
func (h home) removeFiles() error {
	logs, err := os.ReadDir(h.path(logDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clean %s: %w", h, err)
	}
	var errs []error
	remove := func(elem ...string) {
		err := os.Remove(h.path(elem...))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
			errs = append(errs, err)
		}
	}
	for _, e := range logs {
		if strings.HasSuffix(e.Name(), logSuffix) {
			remove(logDir, e.Name())
		}
	}
	for _, name := range []string{logDir, pinDir, socketFile, stateFile + ".new", stateFile, lockFile, ""} {
		remove(name)
	}
	if DefaultRunDir.holds(h) {
		// Ours alone. It stays as long as another lab is in it.
		_ = os.Remove(string(DefaultRunDir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean %s: %w", h, err)
	}
	return nil
}

// holds says that the lab lies in the run directory.
func (r RunDir) holds(h home) bool { return filepath.Dir(string(h)) == string(r) }

// logSuffix ends the names of the files in logDir.
const logSuffix = ".log"
