package maps

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDumps writes maps in both forms and reads them again.
func TestDumps(t *testing.T) {
	t.Parallel()
	lxc := []Entry{{bytes.Repeat([]byte{1}, 20), bytes.Repeat([]byte{2}, 48)}, {bytes.Repeat([]byte{3}, 20), bytes.Repeat([]byte{0xff}, 48)}}
	metrics := []Entry{{bytes.Repeat([]byte{5}, 8), bytes.Repeat([]byte{6}, 16)}}
	for name, entries := range map[string][]Entry{NameLXC: lxc, NameMetrics: metrics, NameCT4: {}} {
		spec, ok := SpecOf(name)
		if !ok {
			t.Fatal(name)
		}
		var b bytes.Buffer
		if err := WriteDump(&b, spec, entries); err != nil {
			t.Fatal(err)
		}
		got, err := ReadDumps(b.Bytes(), name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string][]Entry{name: entries}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	want := map[string][]Entry{NameLXC: lxc, PolicyName(7): {{make([]byte, 8), make([]byte, 24)}}}
	var b bytes.Buffer
	if err := WriteDumps(&b, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadDumps(b.Bytes(), "anything")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReadDumps reads what tools write, and says what is wrong with the rest.
func TestReadDumps(t *testing.T) {
	t.Parallel()
	one := `{"key":["0x01","0x00","0x00","0x00"],`
	got, err := ReadDumps([]byte(`[`+one+`"values":[{"cpu":0,"value":["1","0","0","0"]}]}]`), NameTailCallBuffer)
	if err == nil {
		t.Errorf("got %v", got)
	}
	for _, tt := range []struct{ name, in, want string }{
		{NameBackends, `[` + one + `"value":["0x0a","0x00","0x01","0x4f","0x00","0x50","0x00","0x00"],"formatted":{"key":1}}]`, ""},
		{"any name", `{"cilium_lb4_backends_v2":[{"k":"01000000","v":"0a00014f00500000"}]}`, ""},
		{NameBackends, `{"map":[{"k":"01000000","v":"0a00014f00500000"}]}`, ""},
		{callsOf7, `[` + one + `"value":{"error":"No such file or directory"}}]`, ""},
		{NameBackends, `[]`, ""},
		{NameBackends, ``, "empty, want a list"},
		{NameBackends, `{"error":"can't get prog"}`, "bpftool has written an error: can't get prog"},
		{NameBackends, `[{]`, "invalid character"},
		{NameBackends, `"x"`, "neither the list that bpftool map dump -j writes nor"},
		{"cilium_foo", `[]`, `unknown map "cilium_foo"`},
		{"cilium_policy_7", `[]`, `unknown map "cilium_policy_7"`},
		{NameLXC, `[` + one + `"value":["0x00"]}]`, "map cilium_lxc, entry 1: key of 4 bytes, want 20"},
		{NameBackends, `[` + one + `"value":["0x00"]}]`, "entry 1: value of 1 bytes, want 8"},
		{NameBackends, `[{"key":["0x100"],"value":[]}]`, "byte 0"},
		{NameBackends, `[{"k":"0g","v":""}]`, "invalid byte"},
		{NameBackends, `[{"k":"01000000"}]`, `neither "key" with "value" nor "k" with "v"`},
		{NameBackends, `[{"k":"01000000","v":"0a00014f00500000","key":["0x01"]}]`, "neither"},
	} {
		_, err := ReadDumps([]byte(tt.in), tt.name)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.in, err)
		case tt.want != "" && (err == nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q in it", tt.in, err, tt.want)
		}
	}
}

// callsOf7 is the calls map of endpoint 7.
const callsOf7 = "cilium_calls_00007"

// TestPerCPU sums what the CPUs have.
func TestPerCPU(t *testing.T) {
	t.Parallel()
	in := `[{"key":["0x00","0x01","0x00","0x00","0x00","0x00","0x00","0x00"],"values":[
		{"cpu":0,"value":["0xff","0x00","0x00","0x00","0x00","0x00","0x00","0x00","0x02","0x00","0x00","0x00","0x00","0x00","0x00","0x00"]},
		{"cpu":1,"value":["0x01","0x00","0x00","0x00","0x00","0x00","0x00","0x00","0x03","0x00","0x00","0x00","0x00","0x00","0x00","0x00"]}]}]`
	got, err := ReadDumps([]byte(in), NameMetrics)
	want := []byte{0, 1, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0}
	if err != nil || len(got[NameMetrics]) != 1 || !bytes.Equal(got[NameMetrics][0].Value, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

// FuzzReadDumps reads anything without panic, and what it reads has the map's sizes.
func FuzzReadDumps(f *testing.F) {
	f.Add([]byte(`[{"key":["0x01","0x00","0x00","0x00"],"value":["0x0a","0x00","0x01","0x4f","0x00","0x50","0x00","0x00"]}]`), NameBackends)
	f.Add([]byte(`{"cilium_lb4_backends_v2":[{"k":"01000000","v":"0a00014f00500000"}],"map":[]}`), NameLXC)
	f.Add([]byte(`[{"key":[],"values":[{"cpu":0,"value":[]}]}]`), NameMetrics)
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		got, err := ReadDumps(data, name)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
			return
		}
		for name, entries := range got {
			spec, ok := SpecOf(name)
			if !ok {
				t.Fatalf("map %q", name)
			}
			for _, e := range entries {
				if len(e.Key) != int(spec.KeySize) || len(e.Value) != int(spec.ValueSize) {
					t.Errorf("%s: %d and %d bytes", name, len(e.Key), len(e.Value))
				}
			}
		}
	})
}
