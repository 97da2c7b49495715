package dissect_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

// What gopacket writes as pcapng, our reader must read: two interfaces, statistics.
func TestReadPcapngOfGopacket(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&buf, pcapgo.NgInterface{Name: "a", LinkType: layers.LinkTypeEthernet, TimestampResolution: 9}, pcapgo.DefaultNgWriterOptions)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(pcapgo.NgInterface{Name: "b", Description: "second", LinkType: layers.LinkTypeLinuxSLL}); err != nil {
		t.Fatal(err)
	}
	want := []dissect.Record{
		{Interface: 1, Time: start, Data: []byte{1, 2, 3, 4, 5}, OrigLen: 9},
		{Interface: 0, Time: start.Add(time.Hour), Data: []byte{6}, OrigLen: 1},
	}
	for _, r := range want {
		ci := gopacket.CaptureInfo{Timestamp: r.Time, CaptureLength: len(r.Data), Length: r.OrigLen, InterfaceIndex: r.Interface}
		if err := w.WritePacket(ci, r.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{LastUpdate: start, PacketsReceived: 2}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	ifaces, got, err := dissect.ReadAll(bytes.NewReader(gzipped(t, buf.Bytes())))
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	if len(ifaces) != 2 || ifaces[0].Name != "a" || ifaces[1].Description != "second" || ifaces[1].LinkType != dissect.LinkSLL {
		t.Errorf("interfaces: got %+v", ifaces)
	}
}

// section begins a big-endian section with one interface that counts time by
// resolution from offset seconds on.
func section(resolution byte, offset uint64) []byte {
	var b []byte
	b = append(b, 0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0)
	b = binary.BigEndian.AppendUint64(b, 1<<64-1)
	b = append(b, 0, 0, 0, 28)
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 44, 0, 101, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, resolution, 0, 0, 0, 0, 14, 0, 8)
	b = binary.BigEndian.AppendUint64(b, offset)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 44)
}

// packet is an enhanced packet block of the first interface, big-endian.
func packet(count uint64) []byte {
	b := append([]byte{}, 0, 0, 0, 6, 0, 0, 0, 36, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, count)
	return append(b, 0, 0, 0, 1, 0, 0, 0, 9, 0x45, 0, 0, 0, 0, 0, 0, 36)
}

// Sections have interfaces and a byte order of their own; each interface has its
// own clock; unknown blocks are passed over.
func TestSectionsAndClocks(t *testing.T) {
	t.Parallel()
	little, _, _ := written(t)
	file := append([]byte{}, little...)
	var want []time.Time
	for _, c := range []struct {
		resolution    byte
		offset, count uint64
		want          time.Time
	}{
		{0, 0, 1, time.Unix(1, 0)},
		{3, 0, 1500, time.Unix(1, 500e6)},
		{12, 100, 1_000_000_001_999, time.Unix(101, 1)},
		{0x80 | 10, 0, 1<<10 + 1<<9, time.Unix(1, 500e6)},
		{0x80 | 63, 0, 1 << 62, time.Unix(0, 500e6)},
		{19, 0, 5e18, time.Unix(0, 500e6)},
	} {
		file = append(file, section(c.resolution, c.offset)...)
		file = append(file, 0, 0, 0xb, 0xad, 0, 0, 0, 12, 0, 0, 0, 12)
		file = append(file, packet(c.count)...)
		want = append(want, c.want.UTC())
	}
	file = append(file, 0, 0, 0, 3, 0, 0, 0, 24, 0, 0, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 24)
	ifaces, recs, err := dissect.ReadAll(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if len(ifaces) != 2+len(want) || ifaces[2].LinkType != dissect.LinkRaw {
		t.Errorf("interfaces: got %+v", ifaces)
	}
	recs = recs[4:]
	for i, w := range want {
		if r := recs[i]; !r.Time.Equal(w) || r.Interface != 2+i || !bytes.Equal(r.Data, []byte{0x45}) || r.OrigLen != 9 {
			t.Errorf("packet %d: got %+v, want time %v", i, r, w)
		}
	}
	last := dissect.Record{Interface: 1 + len(want), Data: []byte{1, 2, 3, 4}, OrigLen: 5}
	if d := cmp.Diff([]dissect.Record{last}, recs[len(want):]); d != "" {
		t.Errorf("simple packet, cut off by the interface's limit (-want +got)\n%s", d)
	}
	for _, resolution := range []byte{20, 0x7f, 0x80 | 64, 0xff} {
		if _, _, err := dissect.ReadAll(bytes.NewReader(section(resolution, 0))); !errors.Is(err, dissect.ErrFormat) {
			t.Errorf("resolution %#x: got %v", resolution, err)
		}
	}
}
