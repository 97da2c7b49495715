package dissect_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

func TestEthernetFrame(t *testing.T) {
	t.Parallel()
	packet := build(t, ip4(layers.IPProtocolUDP), udp(53), gopacket.Payload("ab"))
	packet6 := build(t, ip6(layers.IPProtocolUDP), udp(53), gopacket.Payload("ab"))
	sll := append([]byte{0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0}, packet...)
	sll2 := append([]byte{0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0, 1, 4, 6, 1, 2, 3, 4, 5, 6, 0, 0}, packet6...)
	if l, ok := gopacket.NewPacket(sll, layers.LayerTypeLinuxSLL, gopacket.Default).Layer(layers.LayerTypeUDP).(*layers.UDP); !ok || l.DstPort != 53 {
		t.Fatalf("gopacket reads %v of the test's own cooked packet", l)
	}
	for _, tt := range []struct {
		name    string
		link    uint16
		data    []byte
		src     string
		summary string
	}{
		{"ethernet", dissect.LinkEthernet, build(t, eth(layers.EthernetTypeIPv4), gopacket.Payload(packet)), "66:fe:f8:92:bf:af", "IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 2"},
		{"raw", dissect.LinkRaw, packet, "00:00:00:00:00:00", "IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 2"},
		{"raw ipv6", dissect.LinkRaw, packet6, "00:00:00:00:00:00", "IP6 fe80::1.40000 > ff02::2.53: UDP, length 2"},
		{"cooked", dissect.LinkSLL, sll, "01:02:03:04:05:06", "IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 2"},
		{"cooked without a MAC", dissect.LinkSLL, with(sll, 5, 0), "00:00:00:00:00:00", "IP 10.0.1.178.40000 > 10.0.1.79.53: UDP, length 2"},
		{"cooked 2", dissect.LinkSLL2, sll2, "01:02:03:04:05:06", "IP6 fe80::1.40000 > ff02::2.53: UDP, length 2"},
		{"cooked 2 without a MAC", dissect.LinkSLL2, with(sll2, 11, 8), "00:00:00:00:00:00", "IP6 fe80::1.40000 > ff02::2.53: UDP, length 2"},
	} {
		frame, err := dissect.EthernetFrame(tt.link, tt.data)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		src, _ := dissect.FieldAt(frame, 6)
		if got := dissect.Summary(frame); got != tt.summary || src.Value != tt.src {
			t.Errorf("%s: got %s from %s, want %s from %s", tt.name, got, src.Value, tt.summary, tt.src)
		}
	}
}

func TestEthernetFrameErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		link uint16
		data []byte
		kind error
		want string
	}{
		{"raw", dissect.LinkRaw, nil, dissect.ErrFormat, "empty IP packet"},
		{"cooked", dissect.LinkSLL, make([]byte, 15), dissect.ErrFormat, "Linux cooked header of 15 bytes, want 16"},
		{"cooked 2", dissect.LinkSLL2, make([]byte, 19), dissect.ErrFormat, "Linux cooked header of 19 bytes, want 20"},
		{"wireless", 127, make([]byte, 60), errors.ErrUnsupported, "link type 127 (1 is Ethernet)"},
	} {
		_, err := dissect.EthernetFrame(tt.link, tt.data)
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func FuzzEthernetFrame(f *testing.F) {
	for _, link := range []uint16{dissect.LinkEthernet, dissect.LinkRaw, dissect.LinkSLL, dissect.LinkSLL2, 0} {
		f.Add(binary.BigEndian.AppendUint16(nil, link), link)
		f.Add(make([]byte, 20), link)
	}
	f.Fuzz(func(t *testing.T, data []byte, link uint16) {
		frame, err := dissect.EthernetFrame(link, data)
		if err == nil && link != dissect.LinkEthernet && len(frame) < 14 {
			t.Errorf("frame of %d bytes", len(frame))
		}
	})
}
