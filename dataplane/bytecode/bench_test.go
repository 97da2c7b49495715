package bytecode_test

import (
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/maps"
)

// prepare brings an engine to the path's step.
func prepare(tb testing.TB, pa *conformance.Path, v *conformance.Vectors, e dataplane.Runner) *conformance.Flight {
	tb.Helper()
	f, err := pa.Prepare(v, e)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func run(tb testing.TB, f *conformance.Flight) { //nolint:thelper // it is what is measured
	if err := f.Run(); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkRun measures a packet through a hook in this engine and in the emulated one.
func BenchmarkRun(b *testing.B) {
	v, err := conformance.Load("../../testdata/vectors")
	if err != nil {
		b.Fatal(err)
	}
	objects := twin(b)
	for _, pa := range conformance.Paths() {
		for _, e := range []dataplane.Runner{bytecode.New(maps.NewSet(maps.Sizes{}), objects), emu.New(maps.NewSet(maps.Sizes{}))} {
			f := prepare(b, &pa, v, e)
			b.Run(pa.Name+"/"+e.Name(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					run(b, f)
				}
			})
		}
	}
}

func TestNoAllocations(t *testing.T) {
	v, err := conformance.Load("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	objects := twin(t)
	for _, pa := range conformance.Paths() {
		f := prepare(t, &pa, v, bytecode.New(maps.NewSet(maps.Sizes{}), objects))
		if n := testing.AllocsPerRun(100, func() { run(t, f) }); n != 0 {
			t.Errorf("%s: %v allocations per packet", pa.Name, n)
		}
	}
}
