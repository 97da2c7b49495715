package netns

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Overlay gives the calling thread a mount namespace of its own, in which the files
// that are keys have the contents of their values, as `ip netns exec` does with
// /etc/netns. Files that do not exist are left out. Mounts that are removed outside
// later disappear inside too. It is for use within Do, whose thread nobody has
// afterwards but the processes that it starts.
func Overlay(files map[string]string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("new mount namespace: %w", explain(err, needSysAdmin))
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("new mount namespace: %w", explain(err, needSysAdmin))
	}
	for at, what := range files {
		err := unix.Mount(what, at, "", unix.MS_BIND, "")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("show %s as %s: %w", what, at, explain(err, needSysAdmin))
		}
	}
	return nil
}
