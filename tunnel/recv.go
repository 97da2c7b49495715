package tunnel

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxDatagram is the buffer that Recv needs in order to take every datagram: a
// kernel VXLAN device on a veth pair hands over TCP segments of up to 64 KiB
// that were never cut.
const MaxDatagram = 1 << 16

// recvBurst is how many bad datagrams Recv skips before it lets the caller go
// on.
const recvBurst = 64

// recvState is what the system call for receiving points to. It is part of the
// underlay so that a frame costs no allocation.
type recvState struct {
	msg  unix.Msghdr
	iov  unix.Iovec
	from unix.RawSockaddrInet4
	ctl  [12]uint64 // control messages, aligned
	buf  [MaxDatagram]byte
}

// Recv returns the next inner frame, with its ECN bits as after decapsulation, and
// describes it in m; the frame is borrowed until the next call. It is nil without error
// if no datagram waits. Datagrams that the kernel's device would drop are counted and
// skipped.
func (u *Underlay) Recv(m *Meta) (frame []byte, err error) {
	if u.rx < 0 {
		return nil, fmt.Errorf("receive: %w", unix.EBADF)
	}
	for range recvBurst {
		if frame := u.receiver.Next(m); frame != nil {
			return frame, nil
		}
		n, errno := u.recvmsg()
		if errno == unix.EAGAIN || errno == unix.EINTR {
			return nil, nil
		}
		if errno != 0 {
			return nil, fmt.Errorf("receive: %w", errno)
		}
		r := &u.in
		if n > len(r.buf) {
			u.receiver.Drop(ErrShort)
			continue
		}
		outer := Meta{Remote: r.from.Addr, SrcPort: ntohs(r.from.Port)}
		var stride int
		outer.TOS, outer.TTL, stride = r.control()
		if n == 0 {
			u.receiver.Drop(ErrShort)
			continue
		}
		u.receiver.Put(r.buf[:n], stride, &outer)
	}
	return nil, nil
}

// recvmsg reads into u.in. The length is the datagram's, also if the buffer is shorter.
func (u *Underlay) recvmsg() (int, unix.Errno) {
	r := &u.in
	r.iov.Base = &r.buf[0]
	r.iov.SetLen(len(r.buf))
	r.msg = unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&r.from)), Namelen: unix.SizeofSockaddrInet4,
		Iov: &r.iov, Iovlen: 1,
		Control: (*byte)(unsafe.Pointer(&r.ctl)),
	}
	r.msg.SetControllen(int(unsafe.Sizeof(r.ctl)))
	n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(u.rx), uintptr(unsafe.Pointer(&r.msg)), unix.MSG_TRUNC)
	return int(n), errno
}

// control reads TOS, TTL and the length of each of several datagrams (UDP_GRO, else 0)
// out of the control messages. The first is one byte, the others are ints.
func (r *recvState) control() (tos, ttl uint8, stride int) {
	base := unsafe.Pointer(&r.ctl)
	end := int(r.msg.Controllen)
	for off := 0; off+unix.SizeofCmsghdr <= end; {
		hdr := (*unix.Cmsghdr)(unsafe.Add(base, off))
		size := int(hdr.Len) - unix.CmsgLen(0)
		if size < 1 || off+int(hdr.Len) > end {
			break
		}
		data := unsafe.Add(base, off+unix.CmsgLen(0))
		switch {
		case hdr.Level == unix.IPPROTO_IP && hdr.Type == unix.IP_TOS:
			tos = *(*uint8)(data)
		case hdr.Level == unix.IPPROTO_IP && hdr.Type == unix.IP_TTL && size >= 4:
			ttl = uint8(*(*int32)(data))
		case hdr.Level == unix.IPPROTO_UDP && hdr.Type == unix.UDP_GRO && size >= 4:
			stride = int(*(*int32)(data))
		}
		off += unix.CmsgSpace(size)
	}
	return tos, ttl, stride
}

// ntohs returns the number whose bytes in memory are in network byte order.
func ntohs(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	return binary.BigEndian.Uint16(b[:])
}
