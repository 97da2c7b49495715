package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns"
)

var (
	// ErrRunning is wrapped when a lab of that name is running already.
	ErrRunning = errors.New("the lab is running already")
	// ErrNoLab is wrapped when there is no lab of that name, or none at all.
	ErrNoLab = errors.New("no such lab")
)

// inputError is what the user has got wrong. It satisfies
// errors.Is(err, cluster.ErrInput).
type inputError string

func inputErrorf(format string, args ...any) error {
	return inputError(fmt.Sprintf(format, args...))
}

func (e inputError) Error() string { return string(e) }

// Is makes errors.Is(err, cluster.ErrInput) true.
func (e inputError) Is(target error) bool { return target == cluster.ErrInput }

const (
	// EnvRunDir is the environment variable that overrides DefaultRunDir.
	EnvRunDir = "HOOKLAB_RUN_DIR"
	// DefaultRunDir holds a directory for each of root's labs.
	DefaultRunDir RunDir = "/run/hooklab"
)

// RunDir is the directory that holds a directory for each lab.
type RunDir string

// FindRunDir is path, else what EnvRunDir says, else DefaultRunDir for root. For other
// users it is hooklab in $XDG_RUNTIME_DIR, else /tmp/hooklab-UID.
func FindRunDir(path string) RunDir {
	if path == "" {
		path = os.Getenv(EnvRunDir)
	}
	switch {
	case path != "":
		return RunDir(path)
	case os.Geteuid() != 0:
		return userRunDir()
	}
	return DefaultRunDir
}

// home is the directory of one lab.
type home string

// What is in a lab's directory.
const (
	lockFile   = "lock"       // held with flock(2) by whoever makes, runs or removes the lab
	stateFile  = "state.json" // State
	socketFile = "sock"       // control API
	pinDir     = "ns"         // pinned namespaces
	bpfDir     = "bpf"        // BPF file system with the maps of nodes in the kernel, if they are pinned
	logDir     = "log"        // output of the lab's process and of the pods' commands
)

// path joins elements to the directory.
func (h home) path(elem ...string) string {
	return filepath.Join(append([]string{string(h)}, elem...)...)
}

// mapPins is where a node's maps are pinned: laid out as an agent does below /sys/fs/bpf. A
// BPF file system takes no dots in names.
func (h home) mapPins(node string) string {
	return h.path(bpfDir, strings.ReplaceAll(node, ".", "_"), "tc", "globals")
}

// home is the directory of the lab of that name. The error is cluster.ErrInput.
func (r RunDir) home(name string) (home, error) {
	bad := strings.IndexFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.'
	}) >= 0
	if bad || name == "" || len(name) > 63 || name[0] == '-' || name[0] == '.' {
		return "", inputErrorf("lab name %q: want up to 63 lower case letters, digits, - and .", name)
	}
	if err := r.trusted(); err != nil {
		return "", err
	}
	return home(filepath.Join(string(r), name)), nil
}

// Labs returns the names of the labs that have a state, running or not, sorted.
func (r RunDir) Labs() ([]string, error) {
	names, _, err := r.list()
	return names, err
}

// Remains returns the names of all labs of which there is anything, sorted: also of one
// that died before it had a state.
func (r RunDir) Remains() ([]string, error) {
	entries, err := os.ReadDir(string(r))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	var names []string
	for _, e := range entries {
		h, err := r.home(e.Name())
		if err != nil || !e.IsDir() {
			continue
		}
		if ours, err := h.ours(); err == nil && ours {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// ours says whether a directory is a lab's: it has a state or a lock, or it is empty
// because its maker died just then.
func (h home) ours() (bool, error) {
	entries, err := os.ReadDir(string(h))
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if e.Name() == lockFile || e.Name() == stateFile {
			return true, nil
		}
	}
	return len(entries) == 0, nil
}

// list returns the names of the labs, and of the directories that may be those of
// other users' labs.
func (r RunDir) list() (names, foreign []string, err error) {
	entries, err := os.ReadDir(string(r))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("list labs: %w", err)
	}
	for _, e := range entries {
		_, err := os.Stat(filepath.Join(string(r), e.Name(), stateFile))
		switch {
		case err == nil:
			names = append(names, e.Name())
		case errors.Is(err, fs.ErrPermission):
			foreign = append(foreign, e.Name())
		}
	}
	return names, foreign, nil
}

// foreign says that an error is due to the lab being another user's, if it is. It
// then wraps netns.ErrPermission too.
func (h home) foreign(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("lab %s is another user's: %w: %w", filepath.Base(string(h)), netns.ErrPermission, err)
	}
	return err
}

// Resolve returns name, or the name of the only lab if name is empty. The error
// wraps ErrNoLab, cluster.ErrInput if there are several labs, or netns.ErrPermission
// if there are other users' only.
func (r RunDir) Resolve(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	names, foreign, err := r.list()
	if err == nil {
		err = r.trusted()
	}
	switch {
	case err != nil:
		return "", err
	case len(names) == 0 && len(foreign) > 0:
		return "", home(filepath.Join(string(r), foreign[0])).foreign(fs.ErrPermission)
	case len(names) == 0:
		return "", r.none()
	case len(names) > 1:
		return "", inputErrorf("several labs, say which: %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

// none is the error for no lab at all. Root's labs are another's, but who has started one
// by sudo may have forgotten it the next time.
func (r RunDir) none() error {
	if r != DefaultRunDir && r == userRunDir() {
		if names, foreign, err := DefaultRunDir.list(); err == nil && len(names)+len(foreign) > 0 {
			return fmt.Errorf("%w: none in %s; root has %s: sudo hooklab", ErrNoLab, r, some(append(names, foreign...)))
		}
	}
	return fmt.Errorf("%w: none in %s; 'hooklab up' makes one", ErrNoLab, r)
}

// lock takes the lab for the calling process, until unlock or the process's end. It
// makes the directory if create is set. The error wraps ErrRunning if somebody else
// has it and ErrNoLab if there is no directory.
func (h home) lock(create bool) (*os.File, error) {
	const tries = 100
	for range tries {
		if create {
			if err := h.makeDir(); err != nil {
				return nil, fmt.Errorf("lock lab: %w", err)
			}
		}
		flags := os.O_RDWR
		if _, err := os.Stat(string(h)); err == nil {
			flags |= os.O_CREATE
		}
		f, err := os.OpenFile(h.path(lockFile), flags, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			if create {
				continue // its last owner has just removed it
			}
			return nil, fmt.Errorf("%w: %s", ErrNoLab, h)
		}
		if err != nil {
			return nil, h.foreign(fmt.Errorf("lock lab: %w", err))
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, errors.Join(ErrRunning, f.Close())
			}
			return nil, fmt.Errorf("lock %s: %w", f.Name(), errors.Join(err, f.Close()))
		}
		if h.sameLock(f) {
			return f, nil
		}
		if err := unlock(f); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("lock %s: %w: it comes and goes", h, ErrRunning)
}

// makeDir makes the lab's directory, which is nobody else's business.
func (h home) makeDir() error {
	mode := fs.FileMode(0o755)
	if sharedRunDir().holds(h) {
		mode = 0o700
	}
	if err := os.MkdirAll(filepath.Dir(string(h)), mode); err != nil {
		return err
	}
	if err := os.Mkdir(string(h), 0o700); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sameLock says whether f is still the lock file and not one that its last owner
// has removed meanwhile.
func (h home) sameLock(f *os.File) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(h.path(lockFile))
	return err == nil && os.SameFile(have, now)
}

// unlock gives the lab free, also for copies of the descriptor in children that are
// just being started.
func unlock(f *os.File) error {
	err := errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
	if err != nil {
		return fmt.Errorf("unlock lab: %w", err)
	}
	return nil
}
