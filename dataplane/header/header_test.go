package header_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/header"
)

// frame builds a UDP packet with gopacket, which knows nothing of our views.
func frame(t *testing.T, payload []byte) []byte {
	t.Helper()
	eth := &layers.Ethernet{
		SrcMAC: []byte{0x66, 0xfe, 0xf8, 0x92, 0xbf, 0xaf}, DstMAC: []byte{0x5a, 3, 0xc6, 0xe1, 0x49, 0xd2},
		EthernetType: layers.EthernetTypeIPv4,
	}
	ip := &layers.IPv4{
		Version: 4, IHL: 5, TOS: 0xb9, Id: 0x1d2e, TTL: 64, Protocol: layers.IPProtocolUDP,
		SrcIP: []byte{10, 0, 1, 178}, DstIP: []byte{10, 0, 1, 79},
	}
	udp := &layers.UDP{SrcPort: 40000, DstPort: 53}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	opt := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opt, eth, ip, udp, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestViews(t *testing.T) {
	f := frame(t, []byte("abc"))
	eth, ip := header.Ethernet(f), header.IPv4(f[header.EthernetSize:])
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"eth dst", eth.Dst(), [6]byte{0x5a, 3, 0xc6, 0xe1, 0x49, 0xd2}},
		{"eth src", eth.Src(), [6]byte{0x66, 0xfe, 0xf8, 0x92, 0xbf, 0xaf}},
		{"eth type", eth.Type(), header.EtherTypeIPv4},
		{"header length", ip.HeaderLen(), 20},
		{"version", ip.Version(), uint8(4)},
		{"tos", ip.TOS(), uint8(0xb9)},
		{"total length", ip.TotalLen(), uint16(31)},
		{"id", ip.ID(), [2]byte{0x1d, 0x2e}},
		{"ttl", ip.TTL(), uint8(64)},
		{"protocol", ip.Protocol(), header.ProtoUDP},
		{"src", ip.Src(), [4]byte{10, 0, 1, 178}},
		{"dst", ip.Dst(), [4]byte{10, 0, 1, 79}},
		{"fragment", ip.IsFragment(), false},
		{"l4 header", ip.HasL4Header(), true},
		{"checksum", header.IPv4HeaderChecksum(ip[:20]), ip.Checksum()},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func TestFragmentBits(t *testing.T) {
	for _, tt := range []struct {
		name            string
		field           uint16
		isFragment, hl4 bool
	}{
		{"whole", 0x0000, false, true},
		{"don't fragment", 0x4000, false, true},
		{"reserved bit", 0x8000, false, true},
		{"first", 0x2000, true, true},
		{"middle", 0x2001, true, false},
		{"last", 0x1fff, true, false},
	} {
		h := make(header.IPv4, header.IPv4MinSize)
		binary.BigEndian.PutUint16(h[6:], tt.field)
		if got := h.IsFragment(); got != tt.isFragment {
			t.Errorf("%s: IsFragment got %v", tt.name, got)
		}
		if got := h.HasL4Header(); got != tt.hl4 {
			t.Errorf("%s: HasL4Header got %v", tt.name, got)
		}
	}
}

func TestSetters(t *testing.T) {
	f := make([]byte, header.EthernetSize+header.ARPSize)
	mac, ip := [6]byte{1, 2, 3, 4, 5, 6}, [4]byte{10, 0, 0, 1}
	eth, arp := header.Ethernet(f), header.ARP(f[header.EthernetSize:])
	eth.SetDst(header.BroadcastMAC())
	eth.SetSrc(mac)
	eth.SetType(header.EtherTypeARP)
	arp.SetOp(header.ARPReply)
	arp.SetSender(mac, ip)
	arp.SetTarget([6]byte{9}, [4]byte{9})
	copy(arp, []byte{0, 1, 8, 0, 6, 4})
	p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
	l, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok {
		t.Fatal("gopacket sees no ARP")
	}
	if l.Operation != layers.ARPReply || !bytes.Equal(l.SourceHwAddress, mac[:]) || !bytes.Equal(l.SourceProtAddress, ip[:]) ||
		l.DstHwAddress[0] != 9 || l.DstProtAddress[0] != 9 {
		t.Errorf("gopacket reads %+v", l)
	}
}

// An incremental correction must give what a whole recomputation gives.
func TestIncrementalChecksums(t *testing.T) {
	f := frame(t, []byte("payload"))
	ip := header.IPv4(f[header.EthernetSize:][:20])
	udp := f[header.EthernetSize+20 : header.EthernetSize+int(ip.TotalLen())] // gopacket pads short frames
	oldDst, newDst := ip.Dst(), [4]byte{172, 18, 255, 3}
	diff := header.Sum(0).Diff4(oldDst, newDst)

	ip.SetDst(newDst)
	ip.SetChecksum(header.ReplaceByDiff(ip.Checksum(), diff))
	if want := header.IPv4HeaderChecksum(ip); ip.Checksum() != want {
		t.Errorf("address: got %#x, want %#x", ip.Checksum(), want)
	}
	ttl := ip.TTL()
	ip.SetChecksum(header.Replace2(ip.Checksum(), uint16(ttl)<<8, uint16(ttl-1)<<8))
	ip.SetTTL(ttl - 1)
	if want := header.IPv4HeaderChecksum(ip); ip.Checksum() != want {
		t.Errorf("ttl: got %#x, want %#x", ip.Checksum(), want)
	}

	check := header.ReplaceByDiff(binary.BigEndian.Uint16(udp[header.UDPChecksum:]), diff)
	binary.BigEndian.PutUint16(udp[header.UDPChecksum:], check)
	if got := header.PseudoSum(ip.Src(), ip.Dst(), header.ProtoUDP, len(udp)).Partial(udp).Fold(); got != 0 {
		t.Errorf("udp: sum over the segment folds to %#x, want 0", got)
	}
}

func TestVXLAN(t *testing.T) {
	v := make(header.VXLAN, header.VXLANSize)
	v.Encode(13789)
	if want := []byte{8, 0, 0, 0, 0, 0x35, 0xdd, 0}; !bytes.Equal(v, want) {
		t.Errorf("got % x, want % x", []byte(v), want)
	}
	if v.VNI() != 13789 || v.Flags() != header.VXLANFlagI {
		t.Errorf("got VNI %d flags %#x", v.VNI(), v.Flags())
	}
}

func FuzzChecksum(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{4})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a)%2 == 1 {
			a = append(a, 0) // only the last part of a sum may have an odd length
		}
		whole := header.Sum(0).Partial(append(append([]byte{}, a...), b...)).Fold()
		if parts := header.Sum(0).Partial(a).Partial(b).Fold(); parts != whole {
			t.Errorf("in parts %#x, as a whole %#x", parts, whole)
		}
	})
}
