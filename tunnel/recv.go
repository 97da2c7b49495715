package tunnel

import (
	"encoding/binary"
	"errors"
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
	ctl  [8]uint64 // control messages, aligned
}

// Recv reads the next datagram into b and returns the length of its inner frame,
// which is b[HeaderLen:HeaderLen+n], with its ECN bits as after decapsulation.
// It returns 0 and no error if no datagram waits. Datagrams that the kernel's
// device would drop are counted and skipped. b should be MaxDatagram long.
func (u *Underlay) Recv(b []byte, m *Meta) (n int, err error) {
	if len(b) < HeaderLen+ethLen {
		return 0, fmt.Errorf("receive into %d bytes: %w", len(b), unix.EMSGSIZE)
	}
	for range recvBurst {
		n, errno := u.recvmsg(b)
		if errno == unix.EAGAIN || errno == unix.EINTR {
			return 0, nil
		}
		if errno != 0 {
			return 0, fmt.Errorf("receive: %w", errno)
		}
		if n > len(b) {
			u.stats.RxDropped++
			continue
		}
		n, err := u.accept(b[:n], m)
		if err != nil {
			u.stats.count(err)
			continue
		}
		u.stats.RxPackets++
		u.stats.RxBytes += uint64(n)
		return n, nil
	}
	return 0, nil
}

// recvmsg reads one datagram and leaves sender and control messages in u.in. The
// length is the datagram's, also if b is shorter.
func (u *Underlay) recvmsg(b []byte) (int, unix.Errno) {
	r := &u.in
	r.iov.Base = &b[0]
	r.iov.SetLen(len(b))
	r.msg = unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&r.from)), Namelen: unix.SizeofSockaddrInet4,
		Iov: &r.iov, Iovlen: 1,
		Control: (*byte)(unsafe.Pointer(&r.ctl)),
	}
	r.msg.SetControllen(int(unsafe.Sizeof(r.ctl)))
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(u.rx), uintptr(unsafe.Pointer(&r.msg)), unix.MSG_TRUNC)
	r.iov.Base = nil
	return int(n), errno
}

// accept does what vxlan_rcv does with a datagram.
func (u *Underlay) accept(b []byte, m *Meta) (int, error) {
	vni, frame, err := Decap(b)
	if err != nil {
		return 0, err
	}
	if u.mac != [6]byte{} && [6]byte(frame[6:12]) == u.mac {
		return 0, ErrOwnMAC
	}
	r := &u.in
	*m = Meta{Remote: r.from.Addr, SrcPort: ntohs(r.from.Port), VNI: vni}
	m.TOS, m.TTL = r.control()
	if err := DecapTOS(frame, m.TOS); err != nil {
		return 0, err
	}
	return len(frame), nil
}

// control reads TOS and TTL out of the control messages. The first is one byte,
// the second an int.
func (r *recvState) control() (tos, ttl uint8) {
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
		}
		off += unix.CmsgSpace(size)
	}
	return tos, ttl
}

// ntohs returns the number whose bytes in memory are in network byte order.
func ntohs(v uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], v)
	return binary.BigEndian.Uint16(b[:])
}

func (s *Stats) count(reason error) {
	switch {
	case errors.Is(reason, ErrReserved), errors.Is(reason, ErrECN):
		s.RxErrors++
		s.RxFrameErrors++
	case errors.Is(reason, ErrLength):
		s.RxErrors++
		s.RxLengthErrors++
	default:
		s.RxDropped++
	}
}
