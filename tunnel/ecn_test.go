package tunnel_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/hooklab/hooklab/internal/testkit/check"
	"github.com/hooklab/hooklab/tunnel"
)

func TestEncapTOS(t *testing.T) {
	t.Parallel()
	for inner := range 256 {
		want := map[uint8]uint8{0: 0, 1: 1, 2: 2, 3: 2}[uint8(inner)&3]
		if got := tunnel.EncapTOS(udpFrame(t, uint8(inner), 80, nil)); got != want {
			t.Errorf("IPv4 with TOS %#x: %d, want %d", inner, got, want)
		}
		if got := tunnel.EncapTOS(ipv6Frame(t, uint8(inner))); got != want {
			t.Errorf("IPv6 with class %#x: %d, want %d", inner, got, want)
		}
	}
	for _, b := range [][]byte{nil, arpFrame(t), udpFrame(t, 3, 80, nil)[:33], ipv6Frame(t, 0xff)[:53]} {
		if got := tunnel.EncapTOS(b); got != 0 {
			t.Errorf("frame % x: %d, want 0", b, got)
		}
	}
}

// drop marks the pairs that DecapTOS refuses.
const drop = 255

// decapECN is the table of SPEC 20.4: outer, inner, result.
var decapECN = [4][4]uint8{
	0: {0, 1, 2, 3},
	1: {0, 1, 1, 3},
	2: {0, 1, 2, 3},
	3: {drop, 3, 3, 3},
}

func TestDecapTOS(t *testing.T) {
	t.Parallel()
	for outer := range uint8(4) {
		for inner := range uint8(4) {
			want := decapECN[outer][inner]
			const dscp = 0xb8
			for name, frame := range map[string][]byte{
				"IPv4": udpFrame(t, dscp|inner, 80, []byte("x")),
				"IPv6": ipv6Frame(t, dscp|inner),
			} {
				before := bytes.Clone(frame)
				err := tunnel.DecapTOS(frame, 0xfc|outer)
				if errors.Is(err, tunnel.ErrECN) != (want == drop) {
					t.Errorf("%s outer %d inner %d: %v, want drop %t", name, outer, inner, err, want == drop)
				}
				if want == drop || want == inner {
					if !bytes.Equal(frame, before) {
						t.Errorf("%s outer %d inner %d: frame changed", name, outer, inner)
					}
					continue
				}
				if name == "IPv4" { // IPv4 also checks the header checksum
					check.IPv4(t, frame, check.TOS(dscp|want), check.UDP(), check.Payload([]byte("x")))
				} else if got := frame[14]<<4 | frame[15]>>4; got != dscp|want {
					t.Errorf("IPv6 outer %d inner %d: class %#x, want %#x", outer, inner, got, dscp|want)
				}
			}
		}
	}
	arp := arpFrame(t)
	if err := tunnel.DecapTOS(arp, 3); err != nil || !bytes.Equal(arp, arpFrame(t)) {
		t.Errorf("ARP with outer CE: %v, want untouched", err)
	}
}

// TestDecapTOSChecksum tries every value of the word that changes, as sums near
// 0 and 0xffff are where updates go wrong.
func TestDecapTOSChecksum(t *testing.T) {
	t.Parallel()
	for id := range 1 << 16 {
		frame := udpFrameWithID(t, uint16(id))
		if err := tunnel.DecapTOS(frame, 3); err != nil {
			t.Fatal(err)
		}
		var sum uint32
		for i := 14; i < 34; i += 2 {
			sum += uint32(frame[i])<<8 | uint32(frame[i+1])
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		if sum != 0xffff {
			t.Fatalf("id %#x: header sums up to %#x, want 0xffff", id, sum)
		}
	}
}

// udpFrameWithID returns an ECT0 frame with the identification and the right
// checksum.
func udpFrameWithID(tb testing.TB, id uint16) []byte {
	tb.Helper()
	b := make([]byte, 34)
	b[12], b[13] = 8, 0
	copy(b[14:], []byte{0x45, 2, 0, 20, byte(id >> 8), byte(id), 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	var sum uint32
	for i := 14; i < 34; i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	b[24], b[25] = ^byte(sum>>8), ^byte(sum)
	return b
}
