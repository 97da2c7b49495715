package netns

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Packet types of Meta, as in linux/if_packet.h.
const (
	PacketHost      uint8 = 0 // to the device's own address
	PacketBroadcast uint8 = 1
	PacketMulticast uint8 = 2
	PacketOtherHost uint8 = 3 // to somebody else's address
	PacketOutgoing  uint8 = 4 // sent, not received
)

// Port is where frames of one device enter and leave user space: the back of a
// TAP device (OpenTAP) or an AF_PACKET socket on any device (OpenPacket). It
// never blocks and belongs to one goroutine at a time.
type Port struct {
	fd   int
	link Link
	tap  bool
	vnet int  // length of the virtio header in front of each frame; 0: none
	uso  bool // TAP: takes aggregates of UDP
	mark bool // socket: marks are received and sent

	// What the system calls point to. It is part of the port so that a frame
	// costs no allocation.
	msg  unix.Msghdr
	iov  [3]unix.Iovec
	hdr  [vnetHdrTunnel]byte
	from unix.RawSockaddrLinklayer
	ctl  markMessage
}

// Meta is what is known about a frame beside its bytes.
type Meta struct {
	Mark    uint32  // skb->mark; sockets with marks only
	PktType uint8   // how the device classified the frame; sockets only, when reading
	Ifindex int     // device that the frame was read from
	VNet    VNetHdr // unfinished checksum and segmentation; ports with virtio header only
}

// Frame is a buffer with room for one frame, for ReadBatch and WriteBatch. The
// buffer stays the caller's.
type Frame struct {
	Buf  []byte // when reading its length is the room, when writing the frame is Buf[:N]
	N    int    // length of the frame
	Meta Meta
}

// markMessage is the control message SOL_SOCKET, SO_MARK with its padding.
type markMessage struct {
	hdr  unix.Cmsghdr
	mark uint32
	_    uint32
}

// FD returns the descriptor to wait for, for Poller.Add. It is -1 after Close.
func (p *Port) FD() int { return p.fd }

// Link returns the device as it was when the port was opened.
func (p *Port) Link() Link { return p.link }

// VNetHdr tells whether frames come with and need Meta.VNet.
func (p *Port) VNetHdr() bool { return p.vnet > 0 }

// USO tells whether Write is known to take aggregates of UDP datagrams over IPv4.
func (p *Port) USO() bool { return p.uso }

// Close closes the port. A TAP device disappears with it. Closing twice is not
// an error.
func (p *Port) Close() error {
	if p.fd < 0 {
		return nil
	}
	fd := p.fd
	p.fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close port %s: %w", p.link.Name, err)
	}
	return nil
}

// Read reads the next frame into b and its properties into m, and returns its
// length. If no frame waits, it returns 0 and no error. b must have room for the
// longest frame: for a TAP device without virtio header MTU+18 bytes, otherwise
// up to 64 KiB and the tunnel headers; a socket reports a longer frame as ErrTruncated, a TAP device
// cuts it.
func (p *Port) Read(b []byte, m *Meta) (int, error) {
	if p.fd < 0 || len(b) == 0 {
		return 0, p.badCall("read")
	}
	*m = Meta{Ifindex: p.link.Index}
	if p.tap {
		return p.readTAP(b, m)
	}
	return p.readPacket(b, m)
}

// Write sends one frame, Ethernet header included. m.Mark counts on sockets with
// marks, m.VNet on ports with virtio header; the rest of m does not count, and m may be nil. A
// frame that the device cannot take now is an error, and lost.
func (p *Port) Write(frame []byte, m *Meta) error { return p.WriteParts(nil, frame, m) }

// WriteParts sends one frame that lies in two pieces, the first of which may be empty.
func (p *Port) WriteParts(head, tail []byte, m *Meta) error {
	if p.fd < 0 || len(tail) == 0 {
		return p.badCall("write")
	}
	if p.vnet > 0 {
		if m != nil {
			m.VNet.put(p.hdr[:p.vnet])
		} else {
			clear(p.hdr[:])
		}
	}
	parts := p.vector(p.hdr[:p.vnet], head, tail)
	var errno unix.Errno
	if p.tap {
		_, errno = p.vectorCall(unix.SYS_WRITEV, parts)
	} else {
		errno = p.writePacket(parts, m)
	}
	if errno != 0 {
		return p.fault("write", errno)
	}
	return nil
}

// ReadBatch fills frames in their order and returns how many it filled: fewer
// than len(frames) if no more were waiting or with an error. Frames read before
// an error are valid.
func (p *Port) ReadBatch(frames []Frame) (int, error) {
	for i := range frames {
		f := &frames[i]
		n, err := p.Read(f.Buf, &f.Meta)
		if n == 0 || err != nil {
			return i, err
		}
		f.N = n
	}
	return len(frames), nil
}

// WriteBatch sends frames in their order and returns how many were sent before
// the first error.
func (p *Port) WriteBatch(frames []Frame) (int, error) {
	for i := range frames {
		f := &frames[i]
		if err := p.Write(f.Buf[:f.N], &f.Meta); err != nil {
			return i, err
		}
	}
	return len(frames), nil
}

// The calls below never block, so they need not tell Go's scheduler, which would cost
// as much as the smaller ones themselves.

func (p *Port) readTAP(b []byte, m *Meta) (int, error) {
	n, errno := p.vectorCall(unix.SYS_READV, p.vector(p.hdr[:p.vnet], nil, b))
	if errno != 0 {
		return 0, p.fault("read", errno)
	}
	if p.vnet > 0 {
		m.VNet = parseVNetHdr(p.hdr[:p.vnet])
	}
	return max(int(n)-p.vnet, 0), nil
}

// readPacket reads from the socket. The kernel hands over the device's view in
// the address and the mark as a control message.
func (p *Port) readPacket(b []byte, m *Meta) (int, error) {
	p.msg = unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&p.from)), Namelen: unix.SizeofSockaddrLinklayer,
		Iov: &p.iov[0],
	}
	p.msg.SetIovlen(p.vector(p.hdr[:p.vnet], nil, b))
	if p.mark {
		p.ctl = markMessage{}
		p.setControl()
	}
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&p.msg)), unix.MSG_TRUNC)
	p.iov = [3]unix.Iovec{}
	if errno != 0 {
		return 0, p.fault("read", errno)
	}
	length := max(int(n)-p.vnet, 0)
	if length > len(b) {
		return 0, fmt.Errorf("read port %s: %w: %d > %d bytes", p.link.Name, ErrTruncated, length, len(b))
	}
	if p.vnet > 0 {
		m.VNet = parseVNetHdr(p.hdr[:p.vnet])
	}
	m.PktType = p.from.Pkttype
	m.Ifindex = int(p.from.Ifindex)
	if p.msg.Controllen > 0 && p.ctl.hdr.Level == unix.SOL_SOCKET && p.ctl.hdr.Type == unix.SO_MARK {
		m.Mark = p.ctl.mark
	}
	return length, nil
}

// writePacket sends the first parts of the vector.
func (p *Port) writePacket(parts int, m *Meta) unix.Errno {
	p.msg = unix.Msghdr{Iov: &p.iov[0]}
	p.msg.SetIovlen(parts)
	if p.mark && m != nil && m.Mark != 0 {
		p.ctl = markMessage{mark: m.Mark}
		p.ctl.hdr = unix.Cmsghdr{Level: unix.SOL_SOCKET, Type: unix.SO_MARK}
		p.ctl.hdr.SetLen(unix.CmsgLen(4))
		p.setControl()
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&p.msg)), 0)
	p.iov = [3]unix.Iovec{}
	return errno
}

func (p *Port) setControl() {
	p.msg.Control = (*byte)(unsafe.Pointer(&p.ctl))
	p.msg.SetControllen(int(unsafe.Sizeof(p.ctl)))
}

// vector makes the parts that are not empty those of the next call, and counts them: the
// kernel looks at each.
func (p *Port) vector(hdr, head, tail []byte) (parts int) {
	for _, b := range [...][]byte{hdr, head, tail} {
		if len(b) > 0 {
			p.iov[parts].Base = unsafe.SliceData(b)
			p.iov[parts].SetLen(len(b))
			parts++
		}
	}
	return parts
}

func (p *Port) vectorCall(trap uintptr, parts int) (uintptr, unix.Errno) {
	n, _, errno := unix.RawSyscall(trap, uintptr(p.fd), uintptr(unsafe.Pointer(&p.iov[0])), uintptr(parts))
	p.iov = [3]unix.Iovec{}
	return n, errno
}

// fault turns a system error into an error of ours. Nothing to read is none, and
// neither is a device that was down, which a packet socket reports once.
func (p *Port) fault(op string, errno unix.Errno) error {
	switch {
	case op == "read" && (errno == unix.EAGAIN || errno == unix.EINTR || errno == unix.ENETDOWN):
		return nil
	case errno == unix.EBADFD || errno == unix.ENXIO:
		return fmt.Errorf("%s port %s: device is gone: %w: %w", op, p.link.Name, ErrClosed, errno)
	}
	return fmt.Errorf("%s port %s: %w", op, p.link.Name, explain(errno, needNetRaw))
}

func (p *Port) badCall(op string) error {
	if p.fd < 0 {
		return fmt.Errorf("%s port %s: %w", op, p.link.Name, ErrClosed)
	}
	return fmt.Errorf("%s port %s: %w", op, p.link.Name, errNoBuffer)
}

var errNoBuffer = errors.New("empty buffer")
