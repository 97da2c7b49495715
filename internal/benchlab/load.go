package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/netns"
)

// roleEnv makes the program one of its own helpers.
const roleEnv = "BENCHLAB_ROLE"

// Ports of the helpers and of iperf3.
const (
	echoPort  = 7
	blastPort = 9
	connPort  = 8
	iperfPort = 5201
)

const smallPacket = 18 // bytes of payload: the shortest Ethernet frame

// role is a command that runs this program as a helper.
func (b *bench) role(_ *netns.NS, role string, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	if role != "naive" && role != "mixed" {
		// Nothing is to interrupt what transfer waits for.
		cmd.Env = append(cmd.Env, "GODEBUG=asyncpreemptoff=1", "GOGC=off")
	}
	return cmd, nil
}

// startWithSpaces hands namespaces to a helper as descriptors 3, 4, ….
func startWithSpaces(b *bench, cmd *exec.Cmd, spaces ...*netns.NS) error {
	for _, ns := range spaces {
		fd, err := unix.Dup(ns.FD())
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "netns")
		defer f.Close() //nolint:errcheck // a copy
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return b.start(nil, cmd)
}

// answer is what a helper prints.
type answer struct {
	Rate     float64 `json:"rate"` // a second
	P50, P99 float64 // µs
}

func runRole(role string, args []string) error {
	switch role {
	case "naive":
		return naiveRole(args)
	case "server":
		return serve()
	case "mixed":
		return mixedRole(args[0])
	}
	d, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	duration := time.Duration(d)
	var a answer
	switch role {
	case "blast":
		err = blast(args[0], duration)
	case "pingpong":
		a, err = pingpong(args[0], duration)
	case "connect":
		a, err = connect(args[0], duration)
	default:
		return fmt.Errorf("role %q", role)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(a)
}

// udpSocket is a blocking socket without Go's poller.
func udpSocket(bind, connect *unix.SockaddrInet4) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20); err != nil {
		return -1, err
	}
	if bind != nil {
		err = unix.Bind(fd, bind)
	}
	if err == nil && connect != nil {
		err = unix.Connect(fd, connect)
	}
	return fd, err
}

func to(addr string, port int) *unix.SockaddrInet4 {
	a := &unix.SockaddrInet4{Port: port}
	copy(a.Addr[:], net.ParseIP(addr).To4())
	return a
}

// serve is the server's process: it echoes UDP, counts what is blasted at it, prints the
// count for each line on standard input, and accepts connections.
func serve() error {
	runtime.GOMAXPROCS(8)
	echo, err := udpSocket(&unix.SockaddrInet4{Port: echoPort}, nil)
	if err != nil {
		return err
	}
	go func() {
		var buf [64]byte
		var from unix.RawSockaddrInet4
		for {
			size := uint32(unix.SizeofSockaddrInet4)
			n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(echo), uintptr(unsafe.Pointer(&buf)), uintptr(len(buf)), 0,
				uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
			if errno == 0 {
				_, _, _ = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(echo), uintptr(unsafe.Pointer(&buf)), n, 0,
					uintptr(unsafe.Pointer(&from)), uintptr(size))
			}
		}
	}()
	sink, err := udpSocket(&unix.SockaddrInet4{Port: blastPort}, nil)
	if err != nil {
		return err
	}
	count := make(chan uint64)
	go countPackets(sink, count)
	l, err := net.Listen("tcp4", fmt.Sprintf(":%d", connPort))
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	fmt.Fprintln(os.Stdout, "ready")
	line := make([]byte, 1)
	for {
		if n, err := os.Stdin.Read(line); n == 0 || err != nil {
			return nil //nolint:nilerr // the bench is over
		}
		fmt.Fprintln(os.Stdout, <-count)
	}
}

// countPackets counts, and tells the sum so far to whom it asks.
func countPackets(fd int, ask chan<- uint64) {
	var n uint64
	buf := make([]byte, 64)
	// A short timeout, so that an idle socket answers too.
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000})
	for {
		if errno := transfer(unix.SYS_READ, fd, buf); errno == 0 {
			n++
		}
		select {
		case ask <- n:
		default:
		}
	}
}

// transfer reads or writes without Go's scheduler knowing: what it does when a call takes
// longer than some 20 µs would be measured with those subjects that take longer. The
// server's goroutines have a processor each for that.
func transfer(trap uintptr, fd int, b []byte) unix.Errno {
	_, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return errno
}

// blast sends as fast as it can.
func blast(addr string, d time.Duration) error {
	fd, err := udpSocket(nil, to(addr, blastPort))
	if err != nil {
		return err
	}
	var buf [smallPacket]byte
	for start := time.Now(); time.Since(start) < d; {
		for range 64 {
			_ = transfer(unix.SYS_WRITE, fd, buf[:]) // a full queue loses
		}
	}
	return nil
}

// pingpong measures round trips.
func pingpong(addr string, d time.Duration) (a answer, err error) {
	fd, err := udpSocket(nil, to(addr, echoPort))
	if err != nil {
		return a, err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200000}); err != nil {
		return a, err
	}
	var buf [smallPacket]byte
	var took []time.Duration
	for start, n := time.Now(), uint64(1); time.Since(start) < d; n++ {
		binary.NativeEndian.PutUint64(buf[:], n)
		before := time.Now()
		if errno := transfer(unix.SYS_WRITE, fd, buf[:]); errno != 0 {
			return a, errno
		}
		for {
			if errno := transfer(unix.SYS_READ, fd, buf[:]); errno != 0 {
				break // lost
			}
			if binary.NativeEndian.Uint64(buf[:]) == n { // else it is a late one
				took = append(took, time.Since(before))
				break
			}
		}
	}
	if len(took) == 0 {
		return a, fmt.Errorf("no answer from %s", addr)
	}
	slices.Sort(took)
	us := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Nanoseconds()) / 1e3 }
	return answer{Rate: float64(len(took)) / d.Seconds(), P50: us(.5), P99: us(.99)}, nil
}

// connect opens and closes connections, one after the other.
func connect(addr string, d time.Duration) (a answer, err error) {
	n := 0
	start := time.Now()
	for ; time.Since(start) < d; n++ {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return a, err
		}
		err = unix.Connect(fd, to(addr, connPort))
		if err != nil {
			return a, err
		}
		// Closing with a reset keeps the ports free.
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		if err := unix.Close(fd); err != nil {
			return a, err
		}
	}
	return answer{Rate: float64(n) / time.Since(start).Seconds()}, nil
}
