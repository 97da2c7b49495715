package netns

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	// ErrPermission is wrapped by every error whose reason is a missing
	// privilege. The text of the error names the privilege.
	ErrPermission = errors.New("missing privilege")

	// ErrNotSupported is wrapped by every error whose reason is a kernel or a
	// machine without the feature that was asked for.
	ErrNotSupported = errors.New("not supported here")

	// ErrTruncated is wrapped when a frame was longer than the buffer it was
	// read into. The frame is lost.
	ErrTruncated = errors.New("frame longer than the buffer")

	// ErrClosed is wrapped when a port, a poller or a namespace is used after
	// Close, and when the device behind a port is gone.
	ErrClosed = errors.New("closed")

	// ErrName is wrapped when a name cannot be the name of a link or a sysctl.
	ErrName = errors.New("invalid name")

	errExited = errors.New("function ended its goroutine")
)

const (
	needSysAdmin = "CAP_SYS_ADMIN"
	needNetAdmin = "CAP_NET_ADMIN"
	needNetRaw   = "CAP_NET_RAW"
)

// explain adds the sentinel that fits err; need names the privilege whose
// absence makes the kernel answer EPERM or EACCES.
func explain(err error, need string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: needs %s: %w", ErrPermission, need, err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: %w", ErrNotSupported, err)
	}
	return err
}
