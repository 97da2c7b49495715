package tunnel_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit/check"
	"github.com/hooklab/hooklab/tunnel"
)

// undone returns the frame with its transport checksum left to the hardware.
func undone(frame []byte) []byte {
	b := bytes.Clone(frame)
	at := map[byte]int{6: 34 + 16, 17: 34 + 6}[b[23]]
	var sum uint32
	for i := 26; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum += uint32(b[23]) + uint32(binary.BigEndian.Uint16(b[16:])) - 20
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[at:], uint16(sum))
	return b
}

func TestCompleteChecksum(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte{0xfe, 1, 0xff}, 20000)
	udp, tcp := udpFrame(t, 0, 80, []byte("hello")), tcpFrame(t, []byte("odd"))
	change := func(b []byte, offset int, v byte) []byte {
		b = bytes.Clone(b)
		b[offset] ^= v
		return b
	}
	noSum := bytes.Clone(udp)
	noSum[40], noSum[41] = 0, 0
	tests := []struct {
		name string
		b    []byte
		want []byte // nil: as it was
	}{
		{"UDP undone", undone(udp), udp},
		{"TCP undone", undone(tcp), tcp},
		{"TCP of 60000 bytes undone", undone(tcpFrame(t, long)), tcpFrame(t, long)},
		{"padded", append(undone(udp), 0xaa, 0xbb), append(bytes.Clone(udp), 0xaa, 0xbb)},
		{"UDP done", udp, nil},
		{"TCP done", tcp, nil},
		{"UDP wrong", change(udp, 45, 1), nil},
		{"TCP wrong", change(tcp, 51, 1), nil},
		{"UDP without", noSum, nil},
		{"first fragment", change(undone(udp), 20, 0x20), nil},
		{"later fragment", change(undone(udp), 21, 1), nil},
		{"longer than the frame", undone(udp)[:45], nil},
		{"ARP", arpFrame(t), nil},
		{"IPv6", ipv6Frame(t, 0), nil},
		{"empty", nil, nil},
	}
	for _, tt := range tests {
		got := bytes.Clone(tt.b)
		changed := tunnel.CompleteChecksum(got)
		want := tt.want
		if want == nil {
			want = tt.b
		}
		if changed != (tt.want != nil) || !bytes.Equal(got, want) {
			t.Errorf("%s: changed %t, frame right %t", tt.name, changed, bytes.Equal(got, want))
		}
		if tt.want != nil {
			check.IPv4(t, got[:len(tt.want)])
		}
	}
}

// TestCompleteChecksumZero meets the UDP datagram whose sum is 0, which is sent
// as 0xffff.
func TestCompleteChecksumZero(t *testing.T) {
	t.Parallel()
	for i := range 1 << 16 {
		b := udpFrame(t, 0, 80, []byte{byte(i >> 8), byte(i)})
		if binary.BigEndian.Uint16(b[40:]) != 0 {
			continue // gopacket writes 0 as it is
		}
		b[40], b[41] = 0xff, 0xff
		got := undone(b)
		if !tunnel.CompleteChecksum(got) || !bytes.Equal(got, b) {
			t.Errorf("got % x, want % x", got, b)
		}
		return
	}
	t.Fatal("no payload with sum 0 found")
}
