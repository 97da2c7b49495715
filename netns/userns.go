package netns

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Privileged says whether the calling process may make namespaces and pin them to
// paths: whether it has the capabilities in the user namespace that owns its mounts. If
// not, a child with UserNS may, inside.
func Privileged() bool {
	caps := [2]unix.CapUserData{}
	if unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &caps[0]) != nil {
		return false
	}
	for _, c := range []uint{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW} {
		if caps[0].Effective&(1<<c) == 0 {
			return false
		}
	}
	return ownsMounts()
}

// ownsMounts says whether the mount namespace belongs to the user namespace. Both are
// missing where the kernel has no namespaces, which is for others to find out.
func ownsMounts() bool {
	mnt, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return true
	}
	defer mnt.Close() //nolint:errcheck // only read from
	owner, err := unix.IoctlRetInt(int(mnt.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		return !errors.Is(err, unix.EPERM) // that of an ancestor, which nobody may open from here
	}
	defer unix.Close(owner) //nolint:errcheck // only looked at
	var own, its unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/user", &own) != nil || unix.Fstat(owner, &its) != nil {
		return true
	}
	return own.Dev == its.Dev && own.Ino == its.Ino
}

// UserNS gives a child all capabilities in a user namespace, in which only the caller's
// own user and group exist, with mount, network and PID namespaces of its own: it is
// process 1 there, and all processes inside end with it. No privilege is needed if the
// system allows user namespaces; else the error of starting the child is for ExplainUserNS.
//
// The user keeps its id and the capabilities are ambient, so that programs inside have
// them too. As root programs like tcpdump would want to become somebody else, and nobody
// else exists.
func UserNS(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	for c := range lastCap() + 1 {
		attr.AmbientCaps = append(attr.AmbientCaps, c)
	}
}

// lastCap is the greatest number of a capability.
func lastCap() uintptr {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	n, parseErr := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 8)
	if err != nil || parseErr != nil {
		return unix.CAP_SETFCAP // that of the oldest kernels
	}
	return uintptr(n)
}

// ExplainUserNS makes one line of why there is no user namespace, or none that is good
// for anything. The error wraps ErrPermission.
func ExplainUserNS(err error) error {
	why := "the system does not allow it"
	for _, s := range []struct{ sysctl, forbids, allow string }{
		{"user/max_user_namespaces", "0", "user.max_user_namespaces=10000"},
		{"kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"},
		{"kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"},
	} {
		value, readErr := os.ReadFile("/proc/sys/" + s.sysctl)
		if readErr == nil && strings.TrimSpace(string(value)) == s.forbids {
			why = fmt.Sprintf("sysctl %s is %s; root can allow it: sysctl -w %s", strings.ReplaceAll(s.sysctl, "/", "."), s.forbids, s.allow)
			break
		}
	}
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path.Err // without the program that was to start
	}
	return fmt.Errorf("%w: needs root or a user namespace: %w: %s", ErrPermission, cmp.Or(err, error(unix.EPERM)), why)
}

// MountProc shows the calling process's PID namespace in /proc. It needs a mount
// namespace of the process's own.
func MountProc() error {
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}
