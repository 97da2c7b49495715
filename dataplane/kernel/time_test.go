package kernel_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/internal/conformance"
)

// TestPrivilegedTime measures a packet, which must not change what the engine does with it.
func TestPrivilegedTime(t *testing.T) {
	t.Parallel()
	v, err := conformance.Load("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	e := newTwin(t, kernel.Options{RealClock: true})
	f, err := conformance.Paths()[0].Prepare(v, e)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Run(); err != nil {
		t.Fatal(err)
	}
	want, frame := f.Verdict, bytes.Clone(f.Packet.Data)

	if run, harness, err := e.Time(f.Hook, &f.Fresh, &f.Env, 100); err != nil || run <= 0 || harness <= 0 {
		t.Errorf("Time: %v, %v, %v", run, harness, err)
	}
	if call, err := e.TimeCalls(f.Hook, &f.Fresh, &f.Env, 100); err != nil || call <= 0 {
		t.Errorf("TimeCalls: %v, %v", call, err)
	}
	if err := f.Run(); err != nil || f.Verdict != want || !bytes.Equal(f.Packet.Data, frame) {
		t.Errorf("afterwards %v %x, %v; want %v %x", f.Verdict, f.Packet.Data, err, want, frame)
	}

	for _, c := range []struct {
		hook dataplane.Hook
		data []byte
		want string
	}{
		{dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: 4711}, f.Fresh.Data, "not loaded"},
		{f.Hook, f.Fresh.Data[:20], "a frame of 20 bytes: want 34 to 256"},
	} {
		p := f.Fresh
		p.Data = c.data
		_, _, err1 := e.Time(c.hook, &p, &f.Env, 1)
		_, err2 := e.TimeCalls(c.hook, &p, &f.Env, 1)
		for _, err := range []error{err1, err2} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		}
	}
}
