package lab_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/netns"
)

// ping sends count echo requests from a namespace, one after the other, and returns
// the TTLs of the answers and how long each took.
func ping(ns *netns.NS, to string, count int) (ttls []uint8, times []time.Duration, err error) {
	fd := -1
	if err := ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		return err
	}); err != nil {
		return nil, nil, err
	}
	defer unix.Close(fd)
	timeout := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, nil, err
	}
	dst := &unix.SockaddrInet4{Addr: netip.MustParseAddr(to).As4()}
	id := uint16(fd)<<8 ^ uint16(time.Now().UnixNano())
	for seq := range uint16(count) {
		msg := make([]byte, 64)
		msg[0] = 8
		binary.BigEndian.PutUint16(msg[4:], id)
		binary.BigEndian.PutUint16(msg[6:], seq)
		binary.BigEndian.PutUint16(msg[2:], checksum(msg))
		start := time.Now()
		if err := unix.Sendto(fd, msg, 0, dst); err != nil {
			return ttls, times, fmt.Errorf("send %d: %w", seq, err)
		}
		ttl, err := pong(fd, id, seq)
		if err != nil {
			return ttls, times, fmt.Errorf("answer %d of %s: %w", seq, to, err)
		}
		ttls, times = append(ttls, ttl), append(times, time.Since(start))
	}
	return ttls, times, nil
}

// pong reads until the answer comes.
func pong(fd int, id, seq uint16) (ttl uint8, err error) {
	buf := make([]byte, 1500)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		ip := header.IPv4(buf[:n])
		if msg := buf[20:n]; n >= 28 && msg[0] == 0 && binary.BigEndian.Uint16(msg[4:]) == id && binary.BigEndian.Uint16(msg[6:]) == seq {
			return ip.TTL(), nil
		}
	}
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// TestPrivilegedPing pings on every path of the article. A program or the stack takes
// one from the TTL wherever it forwards (SPEC 20.2).
func TestPrivilegedPing(t *testing.T) {
	t.Parallel()
	w := up(t, article)
	for _, tt := range []struct {
		name, from, to string
		wantTTL        uint8
	}{
		{"same node", "default/pod1-1", "10.0.1.79", 63},
		{"other node", "default/pod1-1", "10.0.2.158", 63},
		{"node to its pod", "node/worker2", "10.0.1.178", 63},
		{"node to a remote pod", "node/worker2", "10.0.2.158", 63},
		{"pod to its node", "default/pod1-1", "172.18.0.3", 63},
		{"pod to its router", "default/pod1-1", "10.0.1.197", 63},
		{"pod to another node's router", "default/pod1-1", "10.0.2.17", 63},
		{"pod to another node", "default/pod1-1", "172.18.0.5", 62},
		{"pod to the world", "default/pod1-1", "172.18.0.1", 62},
		{"node to its health endpoint", "node/worker", w.health("worker"), 63},
		{"node to another node", "node/worker", "172.18.0.3", 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const count = 5
			ttls, times, err := ping(w.space(tt.from), tt.to, count)
			if err != nil {
				t.Fatalf("ping %s -> %s: %v", tt.from, tt.to, err)
			}
			for _, got := range ttls {
				if got != tt.wantTTL {
					t.Errorf("TTL %d, want %d", got, tt.wantTTL)
				}
			}
			t.Log(times)
		})
	}
}

// sendMarked sends one UDP datagram with a mark, to a port where nobody listens.
func sendMarked(ns *netns.NS, to string, mark uint32) error {
	return ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
			return err
		}
		return unix.Sendto(fd, []byte("marked"), 0, &unix.SockaddrInet4{Addr: netip.MustParseAddr(to).As4(), Port: 9})
	})
}
