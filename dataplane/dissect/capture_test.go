package dissect_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

// pcap is a classic capture of two packets, written by gopacket.
func pcap(tb testing.TB, nanos bool) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := pcapgo.NewWriter(&buf)
	if nanos {
		w = pcapgo.NewWriterNanos(&buf)
	}
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		tb.Fatal(err)
	}
	for i, data := range [][]byte{{1, 2, 3}, {4, 5, 6, 7}} {
		ci := gopacket.CaptureInfo{Timestamp: start.Add(time.Duration(i)), CaptureLength: len(data), Length: 100}
		if err := w.WritePacket(ci, data); err != nil {
			tb.Fatal(err)
		}
	}
	return buf.Bytes()
}

// swapped is a little-endian pcap file as a big-endian machine writes it.
func swapped(file []byte) []byte {
	out := append([]byte{}, file...)
	swap := func(at, n int) {
		for i := range n / 2 {
			out[at+i], out[at+n-1-i] = out[at+n-1-i], out[at+i]
		}
	}
	for _, f := range [][2]int{{0, 4}, {4, 2}, {6, 2}, {8, 4}, {12, 4}, {16, 4}, {20, 4}} {
		swap(f[0], f[1])
	}
	for at := 24; at < len(file); at += 16 + int(binary.LittleEndian.Uint32(file[at+8:])) {
		for i := range 4 {
			swap(at+4*i, 4)
		}
	}
	return out
}

func gzipped(tb testing.TB, b []byte) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func TestReadPcap(t *testing.T) {
	t.Parallel()
	micros := start.Truncate(time.Microsecond)
	for _, tt := range []struct {
		name          string
		file          []byte
		first, second time.Time
		link          uint16
	}{
		{"microseconds", pcap(t, false), micros, micros, dissect.LinkEthernet},
		{"nanoseconds", pcap(t, true), start, start.Add(1), dissect.LinkEthernet},
		{"big endian", swapped(pcap(t, false)), micros, micros, dissect.LinkEthernet},
		{"big endian nanoseconds", swapped(pcap(t, true)), start, start.Add(1), dissect.LinkEthernet},
		{"gzipped", gzipped(t, pcap(t, true)), start, start.Add(1), dissect.LinkEthernet},
		{"link type of nine bits", with(with(pcap(t, true), 20, 0x14), 21, 1), start, start.Add(1), dissect.LinkSLL2},
		{"snap length 0", with(with(pcap(t, true), 16, 0), 17, 0), start, start.Add(1), dissect.LinkEthernet},
	} {
		ifaces, got, err := dissect.ReadAll(iotest.OneByteReader(bytes.NewReader(tt.file)))
		want := []dissect.Record{
			{Time: tt.first, Data: []byte{1, 2, 3}, OrigLen: 100},
			{Time: tt.second, Data: []byte{4, 5, 6, 7}, OrigLen: 100},
		}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", tt.name, err, d)
		}
		if len(ifaces) != 1 || ifaces[0].LinkType != tt.link {
			t.Errorf("%s: interfaces %+v, want link type %d", tt.name, ifaces, tt.link)
		}
	}
}

// Wherever a capture ends, what came before is read and the error says that it ends.
func TestTruncated(t *testing.T) {
	t.Parallel()
	ng, _, _ := written(t)
	for _, tt := range []struct {
		name    string
		file    []byte
		packets map[int]int // complete packets at the ends that are none too early
	}{
		{"pcap", pcap(t, false), map[int]int{24: 0, 43: 1, 63: 2}},
		{"pcapng", ng, boundaries(ng)},
	} {
		most := 0
		for n := range len(tt.file) + 1 {
			_, recs, err := dissect.ReadAll(bytes.NewReader(tt.file[:n]))
			want, whole := tt.packets[n]
			if whole {
				most = want
			}
			if whole != (err == nil) || len(recs) != most {
				t.Errorf("%s of %d bytes: %d packets, want %d; error %v, want one: %v", tt.name, n, len(recs), most, err, !whole)
			}
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s of %d bytes: got error %v, want an unexpected EOF", tt.name, n, err)
			}
		}
	}
}

// boundaries are the ends of blocks in a little-endian pcapng file with the number
// of packets up to there.
func boundaries(file []byte) map[int]int {
	ends, packets := map[int]int{}, 0
	for at := 0; at < len(file); {
		if binary.LittleEndian.Uint32(file[at:]) == 6 {
			packets++
		}
		at += int(binary.LittleEndian.Uint32(file[at+4:]))
		ends[at] = packets
	}
	return ends
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	ng, _, _ := written(t)
	packet := 0 // where the first packet's block begins
	for binary.LittleEndian.Uint32(ng[packet:]) != 6 {
		packet += int(binary.LittleEndian.Uint32(ng[packet+4:]))
	}
	section := int(binary.LittleEndian.Uint32(ng[4:]))
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"text", []byte("hello, world"), "not a valid capture: begins with 68656c6c, want the magic number of pcap or pcapng"},
		{"empty", nil, "read capture of 0 bytes, the shortest has 24: unexpected EOF"},
		{"pcap version", with(pcap(t, false), 4, 3), "not a valid capture: pcap header: version 3.4, want 2.4"},
		{"pcap packet too large", with(pcap(t, false), 24+11, 1), "read packet 1 of the capture: not a valid capture: a packet of 16777219 bytes, at most 262144"},
		{"byte order", with(ng, 8, 9), "not a valid capture: byte order magic 093c2b1a"},
		{"pcapng version", with(ng, 12, 2), "not a valid capture: pcapng version 2.0, want 1"},
		{"block length", with(ng, packet+4, 1), "read packet 1 of the capture: not a valid capture: block 0x6 of 1 bytes"},
		{"no such interface", with(ng, packet+8, 2), "read packet 1 of the capture: not a valid capture: interface 2, the section has 2"},
		{"captured length", with(ng, packet+21, 1), "read packet 1 of the capture: not a valid capture: 259 bytes captured in a block with room for 84"},
		{"option length", with(ng, packet+34, 200), "read packet 1 of the capture: not a valid capture: option 1 of 200 bytes where 76 are left"},
		{"obsolete packet block", with(ng, packet, 2), "read packet 1 of the capture: not a valid capture: the obsolete packet block is not supported; convert"},
		{"no interfaces", append(ng[:section:section], 3, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0), "packet in a section without interfaces"},
	} {
		_, _, err := dissect.ReadAll(bytes.NewReader(tt.file))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\n got %v\nwant %s", tt.name, err, tt.want)
		}
		if tt.file != nil && !errors.Is(err, dissect.ErrFormat) {
			t.Errorf("%s: %v is no ErrFormat", tt.name, err)
		}
	}
}

// After an error, Next gives the same again.
func TestErrorIsFinal(t *testing.T) {
	t.Parallel()
	r, err := dissect.NewReader(bytes.NewReader(pcap(t, false)[:50]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	_, first := r.Next()
	if _, second := r.Next(); first == nil || !errors.Is(second, first) {
		t.Errorf("got %v, then %v", first, second)
	}
}

// Reading never panics, and what it reads can be written and read again.
func FuzzReader(f *testing.F) {
	ng, _, _ := written(f)
	for _, file := range [][]byte{ng, pcap(f, false), swapped(pcap(f, true)), gzipped(f, ng), append(section(9, 1), packet(5)...)} {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		ifaces, recs, err := dissect.ReadAll(io.LimitReader(bytes.NewReader(file), 1<<20))
		if err != nil && !errors.Is(err, dissect.ErrFormat) && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "gzip") && !strings.Contains(err.Error(), "flate") {
			t.Errorf("error of no kind: %v", err)
		}
		var buf bytes.Buffer
		w, err := dissect.NewWriter(&buf, dissect.Section{})
		if err != nil {
			t.Fatal(err)
		}
		for range ifaces {
			if _, err := w.AddInterface(dissect.Interface{}); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for _, r := range recs {
			if r.OrigLen < len(r.Data) || w.Write(r) != nil {
				continue // no length on the wire, or a time that cannot be written
			}
			want = append(want, fmt.Sprintf("%d %v %x %d %d", r.Interface, r.Time, r.Data, r.OrigLen, r.ID))
		}
		_, again, err := dissect.ReadAll(&buf)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range again {
			got = append(got, fmt.Sprintf("%d %v %x %d %d", r.Interface, r.Time, r.Data, r.OrigLen, r.ID))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
	})
}
