package kernel_test

import (
	"testing"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/internal/testkit"
)

// newTwin makes an engine for our own objects.
func newTwin(tb testing.TB, o kernel.Options) *kernel.Engine {
	tb.Helper()
	testkit.RequireRoot(tb)
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	if err != nil {
		tb.Fatal(err)
	}
	e, err := kernel.New(b, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	return e
}

// kept is an engine that outlives scenarios: closing only empties its maps.
type kept struct{ *kernel.Engine }

func (k kept) Close() error { return k.Reset() }

// TestPrivilegedConformance replays packets that were recorded through the real programs.
func TestPrivilegedConformance(t *testing.T) {
	t.Parallel()
	v, err := conformance.Load("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	e := newTwin(t, kernel.Options{})
	r, err := conformance.Replay(v, func() (dataplane.Runner, error) { return kept{e}, nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.Differences {
		t.Error(d)
	}
	if r.Steps == 0 || len(r.NotCompared) != 0 {
		t.Errorf("%d steps, not compared: %v", r.Steps, r.NotCompared)
	}
	t.Log(r)
	t.Log("replaced or noted helper calls:", e.Replaced())
}
