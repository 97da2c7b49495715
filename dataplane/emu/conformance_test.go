package emu_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/maps"
)

// TestConformance replays packets that were recorded through the real programs.
// HOOKLAB_VECTORS names another directory of the same format, from here or from
// the top of the repository.
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
	r, err := conformance.Replay(v, func() (dataplane.Runner, error) {
		return emu.New(maps.NewSet(maps.Sizes{})), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range r.Differences {
		t.Error(d)
	}
	t.Log(r)
	if r.Steps == 0 {
		t.Errorf("%s: no steps", dir)
	}
}
