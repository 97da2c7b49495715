package tunnel

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendState is what the system call for sending points to. It is part of the
// underlay so that a frame costs no allocation.
type sendState struct {
	msg  unix.Msghdr
	iov  [2]unix.Iovec
	to   unix.RawSockaddrInet4
	hdr  [udpLen + HeaderLen]byte
	ctl  tosMessage
	port uint16
}

// tosMessage is the control message IPPROTO_IP, IP_TOS with its padding.
type tosMessage struct {
	hdr unix.Cmsghdr
	tos int32
	_   int32
}

// Send sends an inner frame to the node remote, with the low 24 bits of vni. The
// outer packet is that of SPEC 8; hash chooses its UDP source port. A frame that
// the kernel refuses is counted, lost and an error.
func (u *Underlay) Send(vni uint32, remote [4]byte, frame []byte, hash uint32) error {
	if len(frame) < ethLen || len(frame) > MaxDatagram-1-ipv4Len-udpLen-HeaderLen {
		u.receiver.Stats.TxErrors++
		return fmt.Errorf("send %d bytes to %v: %w", len(frame), remote, unix.EMSGSIZE)
	}
	o := &u.out
	binary.BigEndian.PutUint16(o.hdr[0:], SourcePort(hash))
	binary.BigEndian.PutUint16(o.hdr[2:], o.port)
	binary.BigEndian.PutUint16(o.hdr[4:], uint16(udpLen+HeaderLen+len(frame)))
	Encap(o.hdr[udpLen:], vni) // the checksum before it stays 0
	o.to = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: remote}
	o.iov[0].Base, o.iov[1].Base = &o.hdr[0], &frame[0]
	o.iov[0].SetLen(len(o.hdr))
	o.iov[1].SetLen(len(frame))
	o.msg = unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&o.to)), Namelen: unix.SizeofSockaddrInet4,
		Iov: &o.iov[0], Iovlen: 2,
	}
	if tos := EncapTOS(frame); tos != 0 {
		o.ctl.hdr = unix.Cmsghdr{Level: unix.IPPROTO_IP, Type: unix.IP_TOS}
		o.ctl.hdr.SetLen(unix.CmsgLen(4))
		o.ctl.tos = int32(tos)
		o.msg.Control = (*byte)(unsafe.Pointer(&o.ctl))
		o.msg.SetControllen(int(unsafe.Sizeof(o.ctl)))
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(u.tx), uintptr(unsafe.Pointer(&o.msg)), 0)
	o.iov[1].Base = nil
	if errno != 0 {
		u.receiver.Stats.TxErrors++
		return fmt.Errorf("send %d bytes to %v: %w", len(frame), remote, errno)
	}
	u.receiver.Stats.TxPackets++
	u.receiver.Stats.TxBytes += uint64(len(frame))
	return nil
}
