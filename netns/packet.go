package netns

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// PacketOptions chooses what an AF_PACKET port does beside moving frames.
type PacketOptions struct {
	VNetHdr  bool // frames come with and need Meta.VNet: partial checksums, aggregates of up to 64 KiB
	Marks    bool // receive skb->mark in Meta.Mark and send with it; needs Linux 5.19
	Outgoing bool // also read what others send on the device, with PktType PacketOutgoing
	RcvBuf   int  // bytes of receive buffer; 0 is 4 MiB
}

const (
	soRcvMark           = 75 // asm-generic/socket.h
	packetVNetHdr       = 15 // linux/if_packet.h
	packetIgnoreOut     = 23
	defaultPacketBuffer = 4 << 20
)

// OpenPacket opens a port on an existing device of the namespace: it reads what
// the device receives, before the kernel's stack does and without keeping it
// from the stack (see Firewall.DropIngress), and writes what the device then
// sends.
func (n *NS) OpenPacket(dev string, o PacketOptions) (*Port, error) {
	l, err := n.Link(dev)
	if err != nil {
		return nil, fmt.Errorf("open packet port: %w", err)
	}
	p := &Port{fd: -1, link: l, mark: o.Marks}
	err = n.Do(func() (err error) {
		// Protocol 0 receives nothing until bind says otherwise, so that no
		// frame comes before the options are set.
		p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if o.VNetHdr {
		p.vnet = vnetHdrPacket
	}
	if err == nil {
		err = setPacketOptions(p.fd, o)
	}
	if err == nil {
		err = unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: l.Index})
	}
	if err != nil {
		return nil, fmt.Errorf("open packet port on %s: %w", dev, closeAfter(explain(err, needNetRaw), p))
	}
	return p, nil
}

func setPacketOptions(fd int, o PacketOptions) error {
	if !o.Outgoing {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, packetIgnoreOut, 1); err != nil {
			return notSupported("ignore outgoing frames", err)
		}
	}
	if o.VNetHdr {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, packetVNetHdr, 1); err != nil {
			return notSupported("virtio header", err)
		}
	}
	if o.Marks {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, soRcvMark, 1); err != nil {
			return notSupported("receive marks", err)
		}
	}
	size := o.RcvBuf
	if size == 0 {
		size = defaultPacketBuffer
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size)
	if errors.Is(err, unix.EPERM) {
		// Not privileged outside of a user namespace: as much as everybody gets.
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	}
	if err != nil {
		return fmt.Errorf("receive buffer of %d bytes: %w", size, err)
	}
	return nil
}

// notSupported adds ErrNotSupported if the kernel does not know a socket option.
func notSupported(what string, err error) error {
	if errors.Is(err, unix.ENOPROTOOPT) {
		return fmt.Errorf("%s: %w: %w", what, ErrNotSupported, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// htons returns the number whose bytes in memory are v in network byte order.
func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
