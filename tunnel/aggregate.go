package tunnel

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/gso"
	"github.com/hooklab/hooklab/dataplane/header"
)

const (
	flowBits = 4 // 16 sockets

	// What the kernel cuts at once: UDP_MAX_SEGMENTS was 64 before Linux 6.9, and the
	// whole must be a UDP datagram.
	maxSegments = 64
	maxTrain    = 65000
)

// flows are the sockets that send aggregates: one for each of a few source ports, as
// UDP_SEGMENT needs a UDP socket.
type flows struct {
	fd  [1 << flowBits]int // -1: there is none, its aggregates are cut here
	msg unix.Msghdr
	iov [2 * maxSegments]unix.Iovec
	to  unix.RawSockaddrInet4
	ctl struct {
		size segmentMessage
		tos  tosMessage
	}
	hdr   [maxSegments][HeaderLen + gso.MaxHeaders]byte
	plain [HeaderLen + 1<<16]byte // a segment that is sent alone
}

// segmentMessage is the control message IPPROTO_UDP, UDP_SEGMENT with its padding.
type segmentMessage struct {
	hdr  unix.Cmsghdr
	size uint16
	_    [6]byte
}

func (f *flows) reset() {
	for i := range f.fd {
		f.fd[i] = -1
	}
}

// open opens the sockets. A port that somebody has stays without.
func (f *flows) open(c Config) error {
	for i := range f.fd {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
		if err != nil {
			return fmt.Errorf("udp socket: %w", err)
		}
		f.fd[i] = fd
		if err := setSender(fd, c); err != nil {
			return fmt.Errorf("udp socket: %w", err)
		}
		port := int(SourcePort(uint32(i) << (32 - flowBits)))
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: port})
		if errors.Is(err, unix.EADDRINUSE) {
			err, f.fd[i] = unix.Close(fd), -1
		}
		if err != nil {
			return fmt.Errorf("bind to port %d: %w", port, err)
		}
	}
	return nil
}

func (f *flows) close() (err error) {
	for i, fd := range f.fd {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
			f.fd[i] = -1
		}
	}
	return err
}

// flowOf is the socket of a flow hash: what SourcePort makes of it, cut to a few bits.
func flowOf(hash uint32) int { return int((hash ^ hash<<16) >> (32 - flowBits)) }

// SendPacket sends a frame with the tunnel key that a program has set, and does what
// is left to be done: a partial checksum is completed, an aggregate cut.
func (u *Underlay) SendPacket(p *dataplane.Packet) error {
	hash, k := FlowHash(p.Data), &p.TunnelOut
	if p.GSO.Size != 0 {
		return u.sendAggregate(k, p.Data, p.GSO, hash)
	}
	if p.Csum.Partial && !gso.Complete(p.Data, p.Csum) {
		u.receiver.Stats.TxErrors++
		return fmt.Errorf("send to %v: %w", k.Remote, ErrChecksum)
	}
	if l4, proto, ok := transport(p.Data); ok && proto == protoTCP && len(l4) > 0 {
		// All of a flow has one source port, also what is no aggregate.
		hash = uint32(flowOf(hash)) << (32 - flowBits)
	}
	return u.Send(k.ID, k.Remote, p.Data, hash)
}

// MaxAggregate is the payload in bytes of the longest aggregate of TCP whose segments leave
// in one call.
func (u *Underlay) MaxAggregate() int {
	segments := min(maxSegments, maxTrain/(HeaderLen+header.EthernetSize+u.receiver.MTU))
	return segments * (u.receiver.MTU - header.IPv4MinSize - header.TCPMinSize)
}

func (u *Underlay) sendAggregate(k *dataplane.TunnelKey, frame []byte, g dataplane.GSO, hash uint32) error {
	cut, ok := gso.Cut(frame, g)
	if !ok {
		u.receiver.Stats.TxErrors++
		return fmt.Errorf("send %d bytes to %v: %w", len(frame), k.Remote, ErrAggregate)
	}
	flow := flowOf(hash)
	fd := &u.flows.fd[flow]
	for {
		n, size := u.flows.fill(&cut, k.ID)
		if n == 0 {
			break
		}
		errno := unix.EIO
		if *fd >= 0 && n > 1 {
			errno = u.flows.send(*fd, u.out.port, k.Remote, EncapTOS(frame), n, size)
		}
		switch errno {
		case 0:
			u.receiver.Stats.TxPackets += uint64(n)
		case unix.EIO, unix.EINVAL, unix.ENOPROTOOPT:
			// The device cannot sum, or the kernel cannot cut: before Linux 6.11.
			if err := u.sendEach(k, n, uint32(flow)<<(32-flowBits)); err != nil {
				return err
			}
			continue
		default:
			u.receiver.Stats.TxErrors++
			return fmt.Errorf("send %d bytes to %v: %w", len(frame), k.Remote, errno)
		}
	}
	u.receiver.Stats.TxBytes += uint64(len(frame))
	return nil
}

// fill makes the vector of the next segments: headers of ours and payload of the
// aggregate in turns. size is the length of each datagram but the last.
func (f *flows) fill(cut *gso.Cutter, vni uint32) (n, size int) {
	total := 0
	for ; n < maxSegments && total+size <= maxTrain; n++ {
		hdr := f.hdr[n][:]
		h, payload := cut.Next(hdr[HeaderLen:])
		if payload == nil {
			break
		}
		Encap(hdr, vni)
		f.iov[2*n].Base, f.iov[2*n+1].Base = &hdr[0], &payload[0]
		f.iov[2*n].SetLen(HeaderLen + h)
		f.iov[2*n+1].SetLen(len(payload))
		if n == 0 {
			size = HeaderLen + h + len(payload)
		}
		total += HeaderLen + h + len(payload)
	}
	return n, size
}

func (f *flows) send(fd int, port uint16, to [4]byte, tos uint8, n, size int) unix.Errno {
	f.to = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to, Port: ntohs(port)}
	f.ctl.size.hdr = unix.Cmsghdr{Level: unix.IPPROTO_UDP, Type: unix.UDP_SEGMENT}
	f.ctl.size.hdr.SetLen(unix.CmsgLen(2))
	f.ctl.size.size = uint16(size)
	f.ctl.tos.hdr = unix.Cmsghdr{Level: unix.IPPROTO_IP, Type: unix.IP_TOS}
	f.ctl.tos.hdr.SetLen(unix.CmsgLen(4))
	f.ctl.tos.tos = int32(tos)
	f.msg = unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(&f.to)), Namelen: unix.SizeofSockaddrInet4,
		Iov: &f.iov[0], Control: (*byte)(unsafe.Pointer(&f.ctl)),
	}
	f.msg.SetIovlen(2 * n)
	f.msg.SetControllen(int(unsafe.Sizeof(f.ctl)))
	_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&f.msg)), 0)
	return errno
}

// sendEach sends the segments of the vector one by one.
func (u *Underlay) sendEach(k *dataplane.TunnelKey, n int, hash uint32) error {
	f := &u.flows
	for i := range n {
		h, pay := &f.iov[2*i], &f.iov[2*i+1]
		b := append(f.plain[:0], unsafe.Slice(h.Base, h.Len)[HeaderLen:]...)
		b = append(b, unsafe.Slice(pay.Base, pay.Len)...)
		if err := u.Send(k.ID, k.Remote, b, hash); err != nil {
			return err
		}
	}
	return nil
}
