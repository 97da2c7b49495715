package kernel

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/maps"
)

// Commands of bpf(2).
const (
	cmdProgTestRun    = 10
	cmdMapLookupBatch = 24
)

// batchAttr is the part of union bpf_attr for batches.
type batchAttr struct {
	in, out      uint64
	keys, values uint64
	count        uint32
	fd           uint32
	elemFlags    uint64
	flags        uint64
}

// lookupBatch reads up to size entries; cursor is where, and where to go on. ErrKeyNotExist says that these were the last.
func lookupBatch(fd int, cursor *uint32, first bool, keys, values []byte, size int) (int, error) {
	a := batchAttr{
		out: pointer(cursor), keys: pointer(unsafe.SliceData(keys)), values: pointer(unsafe.SliceData(values)), count: uint32(size), fd: uint32(fd),
	}
	if !first {
		a.in = pointer(cursor)
	}
	err := bpf(cmdMapLookupBatch, unsafe.Pointer(&a), unsafe.Sizeof(a))
	runtime.KeepAlive(keys)
	runtime.KeepAlive(values)
	runtime.KeepAlive(cursor)
	if errors.Is(err, unix.ENOENT) {
		err = ebpf.ErrKeyNotExist
	}
	return int(a.count), err
}

// testRunAttr is the part of union bpf_attr for BPF_PROG_TEST_RUN.
type testRunAttr struct {
	fd, ret           uint32
	dataIn, dataOut   uint32 // sizes
	in, out           uint64
	repeat, duration  uint32 // nanoseconds of one repetition
	ctxIn, ctxOut     uint32 // sizes
	ctxInAt, ctxOutAt uint64
	flags, cpu        uint32
	batch, _          uint32
}

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		switch errno {
		case 0:
			return nil
		case unix.EINTR, unix.EAGAIN:
		default:
			return errno
		}
	}
}

func pointer[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

func isNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) }

// asMapError is the error of package maps that fits an errno, nil if none does.
func asMapError(err error) error {
	switch {
	case errors.Is(err, unix.E2BIG), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w: %w", maps.ErrFull, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: %w", maps.ErrInvalid, err)
	}
	return nil
}
