package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// MountBPF mounts a BPF file system of its own on dir, which must exist. Only root may look
// into it. Calling it again changes nothing.
func MountBPF(dir string) error {
	if is, err := isBPF(dir); err != nil || is {
		return err
	}
	if err := unix.Mount("bpf", dir, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF file system on %s: %w", dir, explain(err, needSysAdmin))
	}
	return nil
}

// UnmountBPF undoes MountBPF, and with it every pin below dir goes. It is not an error if
// nothing is mounted on dir or dir does not exist; dir itself stays.
func UnmountBPF(dir string) error {
	is, err := isBPF(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !is {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, explain(err, needSysAdmin))
	}
	return nil
}

// isBPF says whether a BPF file system is mounted on dir itself.
func isBPF(dir string) (bool, error) {
	is, err := isMount(dir)
	if err != nil || !is {
		return false, err
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return false, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return s.Type == unix.BPF_FS_MAGIC, nil
}
