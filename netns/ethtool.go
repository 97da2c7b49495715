package netns

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offload is something that a device may do for the stack. Its value is the
// ethtool command that reads it; the next number sets it.
type Offload uint32

// The offloads, see linux/ethtool.h. Switching OffloadTxChecksum off switches
// segmentation off too, as the kernel keeps features consistent.
const (
	OffloadRxChecksum Offload = 0x14
	OffloadTxChecksum Offload = 0x16
	OffloadSG         Offload = 0x18
	OffloadTSO        Offload = 0x1e
	OffloadGSO        Offload = 0x23
	OffloadGRO        Offload = 0x2b
)

// String returns the word that the ethtool command uses.
func (o Offload) String() string {
	switch o {
	case OffloadRxChecksum:
		return "rx-checksumming"
	case OffloadTxChecksum:
		return "tx-checksumming"
	case OffloadSG:
		return "scatter-gather"
	case OffloadTSO:
		return "tcp-segmentation-offload"
	case OffloadGSO:
		return "generic-segmentation-offload"
	case OffloadGRO:
		return "generic-receive-offload"
	}
	return fmt.Sprintf("offload(%#x)", uint32(o))
}

// SetOffloads switches offloads of a device on or off, in the given order.
// Without tx-checksumming and segmentation each frame leaves the stack complete
// and not longer than the MTU.
func (n *NS) SetOffloads(dev string, on bool, offloads ...Offload) error {
	var value uint32
	if on {
		value = 1
	}
	for _, o := range offloads {
		if _, err := n.ethtool(dev, uint32(o)+1, value); err != nil {
			return fmt.Errorf("set %s of %s to %t: %w", o, dev, on, err)
		}
	}
	return nil
}

// Offload reports whether an offload of a device is on.
func (n *NS) Offload(dev string, o Offload) (bool, error) {
	v, err := n.ethtool(dev, uint32(o), 0)
	if err != nil {
		return false, fmt.Errorf("read %s of %s: %w", o, dev, err)
	}
	return v != 0, nil
}

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct{ cmd, data uint32 }

// ethtoolRequest is struct ifreq with its ifr_data.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data *ethtoolValue
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

func (n *NS) ethtool(dev string, cmd, data uint32) (uint32, error) {
	if err := checkLinkName(dev); err != nil {
		return 0, err
	}
	value := &ethtoolValue{cmd: cmd, data: data}
	err := n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd) //nolint:errcheck // nothing was written to it
		req := ethtoolRequest{data: value}
		copy(req.name[:], dev)
		err = ioctl(fd, unix.SIOCETHTOOL, unsafe.Pointer(&req))
		runtime.KeepAlive(value)
		return err
	})
	return value.data, explain(err, needNetAdmin)
}

// ioctl calls ioctl(2) with a pointer to a structure that the kernel reads or
// writes.
func ioctl(fd int, req uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}
