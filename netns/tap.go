package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// TAPOffload is a set of the TUN_F_* flags of linux/if_tun.h: work on frames
// that user space accepts to find undone.
type TAPOffload uint32

// The offloads of a TAP device with virtio header. Segmentation needs
// TAPOffloadCsum too.
const (
	TAPOffloadCsum TAPOffload = 0x01
	TAPOffloadTSO4 TAPOffload = 0x02
	TAPOffloadTSO6 TAPOffload = 0x04
	TAPOffloadECN  TAPOffload = 0x08
	TAPOffloadUSO4 TAPOffload = 0x20
	TAPOffloadUSO6 TAPOffload = 0x40

	// TAPOffloadTunnel lets aggregates be inside a UDP tunnel, with and without outer
	// checksum (Linux 6.17). It needs the others.
	TAPOffloadTunnel TAPOffload = 0x80 | 0x100

	// TAPOffloadTCP is everything but UDP segmentation, which needs Linux 6.2.
	TAPOffloadTCP = TAPOffloadCsum | TAPOffloadTSO4 | TAPOffloadTSO6 | TAPOffloadECN
	// TAPOffloadAll is everything outside of tunnels.
	TAPOffloadAll = TAPOffloadTCP | TAPOffloadUSO4 | TAPOffloadUSO6
)

// TAPOptions chooses between the two kinds of TAP device. The zero value is a
// plain one: every frame is complete.
type TAPOptions struct {
	VNetHdr bool       // frames come with and need Meta.VNet
	Offload TAPOffload // needs VNetHdr
}

// headerLen is the length of the virtio header.
func (o TAPOptions) headerLen() int {
	switch {
	case !o.VNetHdr:
		return 0
	case o.Offload&TAPOffloadTunnel != 0:
		return vnetHdrTunnel
	}
	return vnetHdrTAP
}

const (
	tunDevice = "/dev/net/tun"

	// linux/if_tun.h; x/sys has no TUNSETVNETHDRSZ for all architectures.
	tunSetIfindex   = 0x400454da
	tunSetVNetHdrSz = 0x400454d8
	tunSetOffload   = 0x400454d0
)

var errOffloadHdr = errors.New("offloads need a virtio header")

// OpenTAP makes the TAP device l inside the namespace and returns its back. The
// device disappears when the port is closed and no child is between fork and
// exec, which holds copies of all descriptors. What the namespace sends on the device is
// read from the port, what is written to the port the namespace receives.
func (n *NS) OpenTAP(l Link, o TAPOptions) (*Port, error) {
	if err := checkLinkName(l.Name); err != nil {
		return nil, fmt.Errorf("open tap: %w", err)
	}
	if o.Offload != 0 && !o.VNetHdr {
		return nil, fmt.Errorf("open tap %s: %w", l.Name, errOffloadHdr)
	}
	p := &Port{fd: -1, tap: true, vnet: o.headerLen(), uso: o.Offload&TAPOffloadUSO4 != 0}
	err := n.Do(func() (err error) {
		if o.VNetHdr || l.Index != 0 {
			p.fd, err = openTAP(l, o)
		} else {
			p.fd, err = openWater(l.Name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open tap %s: %w", l.Name, explainTAP(err))
	}
	if err := n.configure(l); err != nil {
		return nil, closeAfter(err, p)
	}
	if p.link, err = n.Link(l.Name); err != nil {
		return nil, closeAfter(err, p)
	}
	return p, nil
}

// openWater makes a plain TAP device with water. water opens the descriptor
// without close-on-exec and leaves it open if it fails, so until that is put
// right no child may start and no other device may be made: both is what the
// lock is for.
func openWater(name string) (int, error) {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	cfg := water.Config{DeviceType: water.TAP}
	cfg.Name = name
	w, err := water.New(cfg)
	if err != nil {
		return -1, errors.Join(err, closeUnattached())
	}
	defer w.Close() //nolint:errcheck // the copy keeps the device
	conn, err := w.ReadWriteCloser.(*os.File).SyscallConn()
	if err != nil {
		return -1, err
	}
	// A copy, as the original is in the hands of Go's own poller.
	fd := -1
	var dupErr error
	err = conn.Control(func(s uintptr) { fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 3) })
	if err := errors.Join(err, dupErr); err != nil {
		return -1, err
	}
	return fd, nil
}

// closeUnattached closes the descriptors of the TAP driver that have no device
// and would be inherited: what water leaves behind when it fails.
func closeUnattached() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if path, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || path != tunDevice {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		req, err := unix.NewIfreq("")
		if err == nil && errors.Is(unix.IoctlIfreq(fd, unix.TUNGETIFF, req), unix.EBADFD) {
			return unix.Close(fd) // one failure, one descriptor
		}
	}
	return nil
}

// openTAP makes a TAP device with what water cannot: a virtio header, offloads
// and a chosen index.
func openTAP(l Link, o TAPOptions) (fd int, err error) {
	fd, err = unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: tunDevice, Err: err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unix.Close(fd))
			fd = -1
		}
	}()
	if l.Index != 0 {
		index := uint32(l.Index)
		if err := ioctl(fd, tunSetIfindex, unsafe.Pointer(&index)); err != nil {
			return fd, fmt.Errorf("set index %d: %w", l.Index, err)
		}
	}
	req, err := unix.NewIfreq(l.Name)
	if err != nil {
		return fd, err
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if o.VNetHdr {
		flags |= unix.IFF_VNET_HDR
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return fd, err
	}
	if !o.VNetHdr {
		return fd, nil
	}
	if err := unix.IoctlSetPointerInt(fd, tunSetVNetHdrSz, o.headerLen()); err != nil {
		return fd, fmt.Errorf("set virtio header size: %w", err)
	}
	err = unix.IoctlSetInt(fd, tunSetOffload, int(o.Offload)) // by value, not by pointer
	if errors.Is(err, unix.EINVAL) {
		return fd, fmt.Errorf("set offloads %#x: %w: %w", uint32(o.Offload), ErrNotSupported, err)
	}
	return fd, err
}

// configure gives an existing device the address, MTU and state of l.
func (n *NS) configure(l Link) error {
	h, dev, err := n.link(l.Name)
	if err != nil {
		return err
	}
	if l.MAC != (MAC{}) {
		err = errors.Join(err, h.LinkSetHardwareAddr(dev, net.HardwareAddr(l.MAC[:])))
	}
	if l.MTU != 0 {
		err = errors.Join(err, h.LinkSetMTU(dev, l.MTU))
	}
	if l.NoARP {
		err = errors.Join(err, h.LinkSetARPOff(dev))
	}
	if l.Up {
		err = errors.Join(err, h.LinkSetUp(dev))
	}
	if err != nil {
		return fmt.Errorf("configure %s (%s, mtu %d): %w", l.Name, l.MAC, l.MTU, explain(err, needNetAdmin))
	}
	return nil
}

// explainTAP tells a machine without TAP devices from a process that may not
// use them.
func explainTAP(err error) error {
	for _, missing := range []error{unix.ENOENT, unix.ENODEV, unix.ENXIO} {
		if errors.Is(err, missing) {
			return fmt.Errorf("%w: %w", ErrNotSupported, err)
		}
	}
	if errors.Is(err, unix.EACCES) {
		return explain(err, "access to "+tunDevice)
	}
	return explain(err, needNetAdmin)
}
