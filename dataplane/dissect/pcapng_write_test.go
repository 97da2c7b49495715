package dissect_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/hooklab/hooklab/dataplane/dissect"
)

// start is a time with all nine digits of its nanoseconds.
var start = time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC)

// written is a capture with everything that the writer knows, and what it must hold.
func written(tb testing.TB) ([]byte, []dissect.Interface, []dissect.Record) {
	tb.Helper()
	ifaces := []dissect.Interface{
		{Name: "from-container@lxc1", Description: "pod1-1 on worker", LinkType: dissect.LinkEthernet, SnapLen: 50},
		{Name: "eth0", LinkType: dissect.LinkEthernet},
	}
	long := bytes.Repeat([]byte{1}, 60)
	recs := []dissect.Record{
		{Time: start, Data: []byte{1, 2, 3}, OrigLen: 3, Direction: dissect.Inbound, ID: 77, Comments: []string{"handle_xgress", "VERDICT DELIVERED — because"}},
		{Interface: 1, Time: start.Add(1), Data: long, OrigLen: 1500, Direction: dissect.Outbound},
		{Time: time.Unix(0, 5).UTC(), Data: long[:50], OrigLen: 60, Comments: []string{"five ns"}},
		{Interface: 1, Time: start, Data: []byte{}},
	}
	var buf bytes.Buffer
	w, err := dissect.NewWriter(&buf, dissect.Section{Application: "hooklab 1.2", OS: "Linux", Comment: "a test"})
	if err != nil {
		tb.Fatal(err)
	}
	for i, iface := range ifaces {
		iface.LinkType = 0 // Ethernet unless said otherwise
		if got, err := w.AddInterface(iface); err != nil || got != i {
			tb.Fatalf("interface %d: got %d, %v", i, got, err)
		}
	}
	for i, r := range recs {
		if i == 2 {
			r.Data = long // the interface's limit cuts it
		}
		if err := w.Write(r); err != nil {
			tb.Fatal(err)
		}
	}
	return buf.Bytes(), ifaces, recs
}

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	file, ifaces, want := written(t)
	gotIfaces, got, err := dissect.ReadAll(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(ifaces, gotIfaces); d != "" {
		t.Errorf("interfaces (-want +got)\n%s", d)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("packets (-want +got)\n%s", d)
	}
}

// gopacket's reader, which knows nothing of our writer, must agree with it.
func TestWriterAgainstGopacket(t *testing.T) {
	t.Parallel()
	file, ifaces, want := written(t)
	r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.SectionInfo(); got.Application != "hooklab 1.2" || got.OS != "Linux" || got.Comment != "a test" {
		t.Errorf("section: got %+v", got)
	}
	for i, w := range want {
		data, ci, err := r.ReadPacketData()
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if !bytes.Equal(data, w.Data) || !ci.Timestamp.Equal(w.Time) || ci.Length != w.OrigLen || ci.InterfaceIndex != w.Interface {
			t.Errorf("packet %d: got %+v %x, want %+v", i, ci, data, w)
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last packet: got %v, want EOF", err)
	}
	for i, w := range ifaces {
		got, err := r.Interface(i)
		if err != nil || got.Name != w.Name || got.Description != w.Description || got.SnapLength != w.SnapLen || got.LinkType != layers.LinkTypeEthernet {
			t.Errorf("interface %d: got %+v, %v", i, got, err)
		}
	}
}

// tshark, where it is installed, must show names, comments and directions.
func TestWriterAgainstTshark(t *testing.T) {
	t.Parallel()
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Log("tshark is not installed; TestWriterAgainstGopacket has compared all but comments and directions")
		return
	}
	file, _, _ := written(t)
	name := filepath.Join(t.TempDir(), "capture.pcapng")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tshark, "-r", name, "-T", "fields", "-E", "separator=|", "-e", "frame.interface_name", "-e", "frame.comment",
		"-e", "frame.packet_flags_direction", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(out), "0x0000000", "") // some versions print the direction in hex
	got := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, want := range [][]string{
		{"from-container@lxc1|", "|1|", "handle_xgress", "VERDICT DELIVERED — because", "1772600767.123456789|3|3"},
		{"eth0||2|", "1772600767.123456790|1500|60"},
		{"from-container@lxc1|five ns|", "0.000000005|60|50"},
		{"eth0||", "|0|0"},
	} {
		for _, w := range want {
			if i >= len(got) || !strings.Contains(got[i], w) {
				t.Errorf("packet %d: no %q in\n%s", i, w, out)
			}
		}
	}
}

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	w, err := dissect.NewWriter(io.Discard, dissect.Section{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(dissect.Interface{Name: "lxc1"}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		rec  dissect.Record
		want string
	}{
		{"interface", dissect.Record{Interface: 1, Time: start}, "write packet: interface 1 of 1"},
		{"negative interface", dissect.Record{Interface: -1, Time: start}, "write packet: interface -1 of 1"},
		{"before 1970", dissect.Record{Time: time.Unix(-1, 0)}, "is not between 1970 and 2262"},
		{"no time", dissect.Record{}, "is not between 1970 and 2262"},
		{"after 2262", dissect.Record{Time: start.AddDate(300, 0, 0)}, "is not between 1970 and 2262"},
		{"size", dissect.Record{Time: start, Data: make([]byte, 1<<18+1)}, "write packet: 262145 bytes, at most 262144 can be captured"},
	} {
		if err := w.Write(tt.rec); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	if err := w.Write(dissect.Record{Time: start, Data: make([]byte, 1<<18)}); err != nil {
		t.Errorf("after refused packets: %v", err)
	}
}

var errFull = errors.New("disk full")

// limited accepts n writes.
type limited struct{ n int }

func (l *limited) Write(b []byte) (int, error) {
	if l.n--; l.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriterFailsForGood(t *testing.T) {
	t.Parallel()
	if _, err := dissect.NewWriter(&limited{}, dissect.Section{}); !errors.Is(err, errFull) {
		t.Errorf("section: got %v", err)
	}
	out := &limited{n: 2}
	w, err := dissect.NewWriter(out, dissect.Section{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(dissect.Interface{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Write(dissect.Record{Time: start}); !errors.Is(err, errFull) {
			t.Errorf("packet: got %v", err)
		}
		out.n = 1
	}
}

// Text that does not fit the format is made to fit.
func TestComments(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 1<<15) // 64 KiB, one more than fits
	for _, tt := range []struct{ name, comment, want string }{
		{"umlaut", "größer", "größer"},
		{"not UTF-8", "a\xffb", "a\uFFFDb"},
		{"longest", long[:1<<16-2] + "x", long[:1<<16-2] + "x"},
		{"too long", long, long[:1<<16-4] + "…"},
	} {
		var buf bytes.Buffer
		w, err := dissect.NewWriter(&buf, dissect.Section{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.AddInterface(dissect.Interface{}); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(dissect.Record{Time: start, Comments: []string{tt.comment, "", "second"}}); err != nil {
			t.Fatal(err)
		}
		_, recs, err := dissect.ReadAll(&buf)
		if err != nil || len(recs) != 1 {
			t.Fatalf("%s: %d packets, %v", tt.name, len(recs), err)
		}
		if got := recs[0].Comments; len(got) != 2 || got[0] != tt.want || got[1] != "second" {
			t.Errorf("%s: got %d comments, the first of %d bytes, want %d bytes", tt.name, len(got), len(got[0]), len(tt.want))
		}
	}
}
