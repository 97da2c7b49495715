package netns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

var errNotPinned = errors.New("no network namespace is pinned there")

// closeAfter closes c because of err and returns both errors.
func closeAfter(err error, c io.Closer) error { return errors.Join(err, c.Close()) }

// pin keeps the namespace of descriptor fd alive by a bind mount on a new file.
func pin(fd int, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), path, "", unix.MS_BIND, ""); err != nil {
		return errors.Join(fmt.Errorf("bind mount: %w", err), os.Remove(path))
	}
	return nil
}

// Unpin removes the pin at path: the mount if there is one, then the file. It is
// not an error if there is no such file or only the empty file of a pin that was
// never finished. A file with contents is left alone and reported.
func Unpin(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) {
			break // not, or no longer, a mount point
		}
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if errors.Is(err, unix.EPERM) && isEmptyFile(path) {
			break // without privilege an empty leftover can still go
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", path, explain(err, needSysAdmin))
		}
	}
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("unpin %s: %w", path, err)
	}
	if !st.Mode().IsRegular() || st.Size() != 0 {
		return fmt.Errorf("unpin %s: %w", path, errNotPinned)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unpin %s: %w", path, err)
	}
	return nil
}

// isEmptyFile reports whether path is an empty regular file and no namespace.
func isEmptyFile(path string) bool {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil || st.Type == unix.NSFS_MAGIC {
		return false
	}
	fi, err := os.Lstat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Size() == 0
}

// MountDir makes dir a mount point of its own, so that pins below it appear in no
// mount namespace that exists already, while those that are made later lose a pin when
// it is removed here: a process in one of them must not keep a namespace alive. dir
// must exist. Calling it again changes nothing.
func MountDir(dir string) error {
	if is, err := isMount(dir); err != nil || is {
		return err
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s on itself: %w", dir, explain(err, needSysAdmin))
	}
	// First out of the group of where dir lies, then into one of its own.
	for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", dir, "", propagation, ""); err != nil {
			return fmt.Errorf("propagation of %s: %w", dir, explain(err, needSysAdmin))
		}
	}
	return nil
}

// UnmountDir undoes MountDir. It is not an error if dir is no mount point or
// does not exist; dir itself stays. Pins below dir must be gone before.
func UnmountDir(dir string) error {
	is, err := isMount(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !is {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, explain(err, needSysAdmin))
	}
	return nil
}

// isMount says whether dir is a mount point.
func isMount(dir string) (bool, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return false, fmt.Errorf("mount at %s: %w", dir, err)
	}
	f, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // only read from
	for s := bufio.NewScanner(f); ; {
		if !s.Scan() {
			return false, s.Err()
		}
		if mountPoint(s.Text()) == abs {
			return true, nil
		}
	}
}

// mountPoint reads the mount point of one line of /proc/<pid>/mountinfo, see
// proc_pid_mountinfo(5).
func mountPoint(line string) string {
	const point = 4
	fields := strings.Fields(line)
	if len(fields) <= point {
		return ""
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[point])
}
