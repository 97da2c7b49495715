package compare_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/compare/generate"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/maps"
)

func emulated() compare.Engine {
	return compare.Engine{Name: "emulated", New: func() (dataplane.Runner, error) { return emu.New(maps.NewSet(maps.Sizes{})), nil }}
}

func TestGeneratedSame(t *testing.T) {
	t.Parallel()
	r, err := compare.Run(context.Background(), &compare.Options{Left: emulated(), Right: emulated(), Workers: 2},
		generate.Feed(&generate.Options{Seed: 1, Packets: 5000}))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_ = r.WriteText(&b)
	t.Log(b.String())
	if !r.Same() {
		t.Error("two emulators differ")
	}
	for _, c := range r.Coverage() {
		if !c.Reached || len(c.Unseen) > 0 {
			t.Log(c.Func, c.File, c.Reached, strings.Join(c.Unseen, ", "))
		}
	}
}

func TestRecordedSame(t *testing.T) {
	t.Parallel()
	v, err := conformance.Load("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	r, err := compare.RunRecorded(context.Background(), emulated(), v, "testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_ = r.WriteText(&b)
	t.Log(b.String())
	if !r.Same() || r.Packets != 533 {
		t.Errorf("%d packets, %d differ", r.Packets, r.Differing)
	}
}
