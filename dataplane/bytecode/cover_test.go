package bytecode

import (
	"testing"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// TestLines counts the lines of a program before and after a frame that reaches some of them.
func TestLines(t *testing.T) {
	t.Parallel()
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	if err != nil {
		t.Fatal(err)
	}
	hook := dataplane.Hook{Prog: dataplane.ToOverlay, Ifindex: 5}
	count := func(cover bool) (lines, before, after int) {
		e := New(maps.NewSet(maps.Sizes{}), b)
		if cover {
			e.Cover()
		}
		if err := e.Load(hook, dataplane.Config{}); err != nil {
			t.Fatal(err)
		}
		of := func() (reached int) {
			lines = 0
			e.Lines(func(l *trace.Source, is bool) {
				if l.File == "" || l.Line == 0 {
					t.Errorf("a line without a place: %+v", l)
				}
				lines++
				if is {
					reached++
				}
			})
			return reached
		}
		before = of()
		p := dataplane.Packet{Data: make([]byte, 60), Ifindex: 5}
		if _, err := e.Run(hook, &p, &dataplane.Env{}); err != nil {
			t.Fatal(err)
		}
		return lines, before, of()
	}
	if lines, before, after := count(true); lines == 0 || before != 0 || after == 0 || after >= lines {
		t.Errorf("%d lines, %d reached before and %d after a frame: want some, 0, and some but not all", lines, before, after)
	}
	if lines, _, _ := count(false); lines != 0 {
		t.Errorf("%d lines without Cover, want none", lines)
	}
}
