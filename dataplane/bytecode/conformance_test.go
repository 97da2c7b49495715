package bytecode_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/maps"
)

// twin is a bundle of our own objects.
func twin(tb testing.TB) *object.Bundle {
	tb.Helper()
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestConformance replays packets that were recorded through the real programs, and
// compares every field. HOOKLAB_VECTORS names another directory of the same format, from here or from the top of the
// repository.
func TestConformance(t *testing.T) {
	t.Parallel()
	const top = "../.."
	dir := os.Getenv("HOOKLAB_VECTORS")
	if dir == "" {
		dir = filepath.Join(top, "testdata/vectors")
	} else if _, err := os.Stat(dir); err != nil && !filepath.IsAbs(dir) {
		dir = filepath.Join(top, dir)
	}
	v, err := conformance.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := twin(t)
	r, err := conformance.Replay(v, func() (dataplane.Runner, error) {
		return bytecode.New(maps.NewSet(maps.Sizes{}), b), nil
	})
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
}
