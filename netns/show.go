package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Show shows the namespace at a second path too, for programs that look there, such as
// `ip netns` in /run/netns. The file below the mount says who owner is, and appears with
// that in it, so that Unshow can tell it from a file of somebody else whatever happens in
// between. The error wraps fs.ErrExist if there is something at path.
func (n *NS) Show(path, owner string) error {
	if err := writeNew(path, owner); err != nil {
		return fmt.Errorf("show network namespace as %s: %w", path, explain(err, "write access"))
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", n.FD()), path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show network namespace as %s: %w", path, errors.Join(explain(err, needSysAdmin), os.Remove(path)))
	}
	return nil
}

// Unshow undoes Show of the namespace that is pinned at pin. What is at path and not of
// owner or not that namespace stays, and so does everything if pin is gone and path is a
// namespace.
func Unshow(path, pin, owner string) error {
	var st unix.Statfs_t
	err := unix.Statfs(path, &st)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hide %s: %w", path, err)
	}
	if st.Type == unix.NSFS_MAGIC {
		var shown, pinned unix.Stat_t
		if unix.Stat(path, &shown) != nil || unix.Stat(pin, &pinned) != nil || shown.Ino != pinned.Ino || shown.Dev != pinned.Dev {
			return nil
		}
		if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", path, explain(err, needSysAdmin))
		}
	}
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() || fi.Size() != int64(len(owner)) {
		return nil //nolint:nilerr // gone, or not ours
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != owner {
		return nil //nolint:nilerr // gone, or not ours
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hide %s: %w", path, err)
	}
	return nil
}

// writeNew makes a file that has its contents from the beginning.
func writeNew(path, text string) error {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd) //nolint:errcheck // written or useless
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.PathError{Op: "create", Path: path, Err: err}
	}
	return nil
}
