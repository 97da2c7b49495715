package tunnel_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/hooklab/hooklab/tunnel"
)

func TestEncapDecap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		vni  uint32
		want string
	}{
		{"zero", 0, "0800000000000000"},
		{"host", 6, "0800000000000600"},
		{"identity", 0x35dd, "080000000035dd00"},
		{"largest", 0xffffff, "08000000ffffff00"},
		{"only 24 bits", 0xab123456, "0800000012345600"},
	}
	frame := udpFrame(t, 0, 80, []byte("x"))
	for _, tt := range tests {
		b := bytes.Repeat([]byte{0xff}, tunnel.HeaderLen)
		tunnel.Encap(b, tt.vni)
		if got := fmt.Sprintf("%x", b); got != tt.want {
			t.Errorf("%s: header %s, want %s", tt.name, got, tt.want)
		}
		vni, got, err := tunnel.Decap(append(b, frame...))
		if err != nil || vni != tt.vni&0xffffff || !bytes.Equal(got, frame) {
			t.Errorf("%s: Decap = %#x, % x, %v", tt.name, vni, got, err)
		}
	}
}

// datagram returns a VXLAN datagram with VNI 5. Change is a list of offsets and
// the bits to flip there.
func datagram(frame []byte, change ...byte) []byte {
	b := make([]byte, tunnel.HeaderLen, tunnel.HeaderLen+len(frame))
	tunnel.Encap(b, 5)
	for i := 0; i+1 < len(change); i += 2 {
		b[change[i]] ^= change[i+1]
	}
	return append(b, frame...)
}

// decapTests are also run against the kernel's device, see interop_test.go.
func decapTests(tb testing.TB) []decapTest {
	tb.Helper()
	udp, v6 := udpFrame(tb, 0, 80, []byte("decap")), ipv6Frame(tb, 0)
	return []decapTest{
		{"valid", datagram(udp), nil},
		{"empty", nil, tunnel.ErrShort},
		{"header cut", datagram(nil)[:7], tunnel.ErrShort},
		{"no frame", datagram(nil), tunnel.ErrShort},
		{"frame of 13 bytes", datagram(udp[:13]), tunnel.ErrShort},
		{"I flag clear", datagram(udp, 0, 0x08), tunnel.ErrNoVNI},
		{"I flag clear, others set", datagram(udp, 0, 0xff), tunnel.ErrNoVNI},
		{"flag 0x80", datagram(udp, 0, 0x80), tunnel.ErrReserved},
		{"flag 0x01", datagram(udp, 0, 0x01), tunnel.ErrReserved},
		{"byte 1", datagram(udp, 1, 0x01), tunnel.ErrReserved},
		{"byte 2", datagram(udp, 2, 0x80), tunnel.ErrReserved},
		{"byte 3", datagram(udp, 3, 0xff), tunnel.ErrReserved},
		{"last byte", datagram(udp, 7, 0x01), tunnel.ErrReserved},
		{"reserved before length", datagram(udp[:20], 7, 0x01), tunnel.ErrReserved},
		{"IPv4 of 19 bytes", datagram(udp[:33]), tunnel.ErrLength},
		{"IPv4 of 20 bytes", datagram(udp[:34]), nil},
		{"IPv4 of 0 bytes", datagram(udp[:14]), tunnel.ErrLength},
		{"IPv6 of 39 bytes", datagram(v6[:53]), tunnel.ErrLength},
		{"IPv6 of 40 bytes", datagram(v6[:54]), nil},
		{"unknown type without payload", datagram([]byte{2, 0, 0, 0, 0, 0xa, 2, 0, 0, 0, 0, 0xb, 0x88, 0xb5}), nil},
		{"short ARP", datagram(arpFrame(tb)[:20]), nil},
	}
}

type decapTest struct {
	name string
	b    []byte
	want error
}

func TestDecap(t *testing.T) {
	t.Parallel()
	for _, tt := range decapTests(t) {
		if _, _, err := tunnel.Decap(tt.b); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		} else if err != nil && !errors.Is(err, tunnel.ErrDrop) {
			t.Errorf("%s: %v does not wrap ErrDrop", tt.name, err)
		}
	}
}

func TestSourcePort(t *testing.T) {
	t.Parallel()
	tests := []struct {
		hash uint32
		want uint16
	}{
		{0, 32768},
		{1, 32768},
		{0x8000_0000, 32768 + 28231/2},
		{0xffff_0000, 32768 + 28230},
	}
	for _, tt := range tests {
		if got := tunnel.SourcePort(tt.hash); got != tt.want {
			t.Errorf("SourcePort(%#x) = %d, want %d", tt.hash, got, tt.want)
		}
	}
	low, high := uint16(65535), uint16(0)
	for h := range uint32(1 << 20) {
		p := tunnel.SourcePort(h * 4096)
		low, high = min(low, p), max(high, p)
	}
	if low != 32768 || high != 60998 {
		t.Errorf("ports from %d to %d, want 32768 to 60998", low, high)
	}
}

func TestFlowHash(t *testing.T) {
	t.Parallel()
	base := udpFrame(t, 0, 80, []byte("one"))
	with := func(offset int, v byte) []byte {
		b := bytes.Clone(base)
		b[offset] ^= v
		return b
	}
	tests := []struct {
		name string
		b    []byte
		same bool
	}{
		{"other payload", udpFrame(t, 0, 80, []byte("two")), true},
		{"other TOS and TTL", with(15, 3), true},
		{"other MAC", with(5, 1), true},
		{"other source", with(29, 1), false},
		{"other destination", with(33, 1), false},
		{"other source port", with(35, 1), false},
		{"other destination port", with(37, 1), false},
		{"other protocol", with(23, 1), false},
	}
	for _, tt := range tests {
		if same := tunnel.FlowHash(tt.b) == tunnel.FlowHash(base); same != tt.same {
			t.Errorf("%s: same hash %t, want %t", tt.name, same, tt.same)
		}
	}
	first := with(20, 0x20) // more fragments
	if last := func() []byte { b := with(20, 0); b[21], b[37] = 1, 9; return b }(); tunnel.FlowHash(first) != tunnel.FlowHash(last) {
		t.Error("fragments of one packet have different hashes")
	}
	ports := map[uint16]bool{}
	for i := range 1000 {
		b := bytes.Clone(base)
		b[34], b[35] = byte(i>>8), byte(i)
		ports[tunnel.SourcePort(tunnel.FlowHash(b))] = true
	}
	if len(ports) < 900 {
		t.Errorf("1000 flows use %d source ports, want nearly as many", len(ports))
	}
}

func FuzzDecap(f *testing.F) {
	for _, tt := range decapTests(f) {
		f.Add(tt.b, uint8(1))
	}
	f.Add(datagram(udpFrame(f, 2, 80, []byte("ecn"))), uint8(3))
	f.Add(datagram(ipv6Frame(f, 2)), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, tos uint8) {
		whole := bytes.Clone(b)
		_, frame, err := tunnel.Decap(b)
		if !bytes.Equal(b, whole) {
			t.Fatal("Decap changed the datagram")
		}
		if err != nil {
			if frame != nil || !errors.Is(err, tunnel.ErrDrop) {
				t.Fatalf("frame %d bytes with error %v", len(frame), err)
			}
			return
		}
		if len(frame) != len(b)-tunnel.HeaderLen {
			t.Fatalf("frame of %d bytes from a datagram of %d", len(frame), len(b))
		}
		if got := tunnel.EncapTOS(frame); got > 2 {
			t.Fatalf("outer TOS %d, want at most 2", got)
		}
		if tunnel.FlowHash(frame) == 0 {
			t.Fatal("flow hash 0")
		}
		if err := tunnel.DecapTOS(frame, tos); err != nil && !bytes.Equal(b, whole) {
			t.Fatal("a dropped frame was changed")
		}
	})
}
