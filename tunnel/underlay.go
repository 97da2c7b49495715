package tunnel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane"
)

// Config of an underlay. The zero value listens on Port.
type Config struct {
	// Port is the UDP port to listen on and to send to; 0 is Port.
	Port uint16

	// MAC is the address of the tunnel device. Frames with this source address
	// are dropped when they come back; zero drops none.
	MAC [6]byte

	// MTU is that of the inner packets; 0 is DefaultMTU. It matters for aggregates of
	// senders that do not say how long the segments are.
	MTU int

	// RcvBuf and SndBuf are socket buffers in bytes; 0 is 4 MiB.
	RcvBuf, SndBuf int
}

// Stats counts as the kernel's device does. A dropped datagram counts only where
// the device counts it.
type Stats struct {
	RxPackets, RxBytes uint64  // inner frames handed over
	RxErrors           uint64  // all that follow
	RxFrameErrors      uint64  // ErrReserved, ErrECN
	RxLengthErrors     uint64  // ErrLength
	RxDropped          uint64  // dropped without a count of the device: ErrShort, ErrNoVNI, ErrOwnMAC, cut datagrams
	RxReasons          Reasons // all that was dropped, by why
	TxPackets, TxBytes uint64  // inner frames sent
	TxErrors           uint64  // frames that the kernel refused
}

// Meta is what the outer headers say about a received frame.
type Meta struct {
	Remote  [4]byte // outer source address
	SrcPort uint16  // outer UDP source port
	VNI     uint32
	TOS     uint8 // of the outer packet
	TTL     uint8

	Csum dataplane.Csum // of the inner frame
	GSO  dataplane.GSO
	More bool // another frame has come with this one and waits
}

const defaultBuffer = 4 << 20

// Underlay sends and receives VXLAN datagrams in the network namespace that it
// was opened in. It never blocks and belongs to one goroutine at a time.
//
// Received datagrams come from an ordinary UDP socket, so that nobody answers
// them with ICMP, several at once if they came so. Sending goes through a raw socket:
// the source port differs from packet to packet. The kernel writes the IP header and
// cuts what is longer than the device's MTU into fragments. TCP aggregates go through
// UDP sockets, a few with fixed source ports, which the kernel cuts into datagrams.
type Underlay struct {
	rx, tx   int // sockets; -1 after Close
	receiver Receiver
	flows    flows

	// What the system calls point to. It is part of the underlay so that a frame
	// costs no allocation.
	out sendState
	in  recvState
}

// Open opens an underlay in the network namespace of the calling thread. It
// needs CAP_NET_RAW; the error wraps fs.ErrPermission without.
func Open(c Config) (*Underlay, error) {
	if c.Port == 0 {
		c.Port = Port
	}
	u := &Underlay{rx: -1, tx: -1, receiver: Receiver{MAC: c.MAC, MTU: c.MTU}}
	u.out.port = c.Port
	u.flows.reset()
	err := u.openReceiver(c)
	if err == nil {
		err = u.openSender(c)
	}
	if err == nil {
		err = u.flows.open(c)
	}
	if err != nil {
		return nil, fmt.Errorf("open underlay on UDP port %d: %w", c.Port, errors.Join(err, u.Close()))
	}
	return u, nil
}

func (u *Underlay) openReceiver(c Config) (err error) {
	u.rx, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return fmt.Errorf("udp socket: %w", err)
	}
	for _, opt := range []int{unix.IP_RECVTOS, unix.IP_RECVTTL} {
		if err := unix.SetsockoptInt(u.rx, unix.IPPROTO_IP, opt, 1); err != nil {
			return fmt.Errorf("udp socket option %d: %w", opt, err)
		}
	}
	// Without it the kernel cuts: that is slower and not wrong.
	_ = unix.SetsockoptInt(u.rx, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	if err := setBuffer(u.rx, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, c.RcvBuf); err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	if err := unix.Bind(u.rx, &unix.SockaddrInet4{Port: int(c.Port)}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

func (u *Underlay) openSender(c Config) (err error) {
	u.tx, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return fmt.Errorf("raw socket (needs CAP_NET_RAW): %w", err)
	}
	if err := setSender(u.tx, c); err != nil {
		return fmt.Errorf("raw socket: %w", err)
	}
	return nil
}

// setSender prepares a socket that only sends.
func setSender(fd int, c Config) error {
	// The raw socket would receive a copy of every UDP packet.
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing}); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	for _, opt := range []struct{ name, value int }{
		{unix.IP_TTL, 64},
		{unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT}, // DF clear, fragments if need be
	} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, opt.name, opt.value); err != nil {
			return fmt.Errorf("option %d: %w", opt.name, err)
		}
	}
	if err := setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, c.SndBuf); err != nil {
		return fmt.Errorf("send buffer: %w", err)
	}
	return nil
}

// setBuffer sets a buffer size, above the machine's limit if we may.
func setBuffer(fd, force, plain, size int) error {
	if size == 0 {
		size = defaultBuffer
	}
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
	}
	return err
}

// FD returns the descriptor to wait for before Recv. It is -1 after Close.
func (u *Underlay) FD() int { return u.rx }

// Stats returns the counters.
func (u *Underlay) Stats() Stats { return u.receiver.Stats }

// Flush sends what waits to be sent with others, which is nothing.
func (u *Underlay) Flush() error { return nil }

// Close closes all sockets. Closing twice is not an error.
func (u *Underlay) Close() error {
	err := u.flows.close()
	for _, fd := range []*int{&u.rx, &u.tx} {
		if *fd >= 0 {
			err = errors.Join(err, unix.Close(*fd))
			*fd = -1
		}
	}
	if err != nil {
		return fmt.Errorf("close underlay: %w", err)
	}
	return nil
}
