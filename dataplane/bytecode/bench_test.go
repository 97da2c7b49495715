package bytecode_test

import (
	"math"
	"testing"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/maps"
)

// path is a packet of a flow that is under way, taken from the recordings.
type path struct {
	name, group, scenario string
	step                  int
}

func paths() []path {
	return []path{
		{"arp", "arp", "gateway-broadcast", 0},
		{"local", "pod-to-pod-local", "tcp-connection", 2},
		{"encap", "encap", "tcp-connection", 2},
		{"dnat", "service", "local-backend-port-change", 2},
		{"reverse-nat", "service-reply", "udp-local", 1},
		{"to-stack", "external", "world-udp", 0},
		{"overlay", "from-overlay", "tcp-to-pod", 2},
		{"from-host", "node", "to-local-pod-tcp", 2},
	}
}

// flight is an engine with a packet that it may run again and again.
type flight struct {
	e     dataplane.Runner
	hook  dataplane.Hook
	env   dataplane.Env
	p     dataplane.Packet
	fresh dataplane.Packet
	frame [512]byte
}

// prepare brings an engine to the path's step: aggregation medium, notifications taken.
func (pa *path) prepare(tb testing.TB, v *conformance.Vectors, e dataplane.Runner) *flight {
	tb.Helper()
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	w := &v.World
	check(w.Load(e, "medium"))
	add := func(entries []conformance.Entry) {
		for _, en := range entries {
			m, err := e.Map(w.MapName(en.Map))
			check(err)
			check(m.Update(en.Key, en.Value, maps.Any))
		}
	}
	add(w.Maps)
	for _, g := range v.Groups {
		for _, s := range g.Scenarios {
			if g.Name != pa.group || s.Name != pa.scenario {
				continue
			}
			add(s.Add)
			f := &flight{e: e}
			for i := range s.Steps[:pa.step+1] {
				step := &s.Steps[i]
				h, device, err := w.Hook(step)
				check(err)
				f.hook, f.fresh = h, *step.Packet(device)
				f.env = dataplane.Env{KtimeNS: uint64(math.Round(step.Now * 1e9)), Rand: func() uint32 { return step.Rand }}
				f.fresh.Events = trace.NewRing(64)
				f.run(tb)
			}
			return f
		}
	}
	tb.Fatalf("no scenario %s/%s", pa.group, pa.scenario)
	return nil
}

func (f *flight) run(tb testing.TB) { //nolint:thelper // it is what is measured
	f.p = f.fresh
	f.p.Data = f.frame[:copy(f.frame[:], f.fresh.Data)]
	if _, err := f.e.Run(f.hook, &f.p, &f.env); err != nil {
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
	for _, pa := range paths() {
		for _, e := range []dataplane.Runner{bytecode.New(maps.NewSet(maps.Sizes{}), objects), emu.New(maps.NewSet(maps.Sizes{}))} {
			f := pa.prepare(b, v, e)
			b.Run(pa.name+"/"+e.Name(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f.run(b)
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
	for _, pa := range paths() {
		f := pa.prepare(t, v, bytecode.New(maps.NewSet(maps.Sizes{}), objects))
		if n := testing.AllocsPerRun(100, func() { f.run(t) }); n != 0 {
			t.Errorf("%s: %v allocations per packet", pa.name, n)
		}
	}
}
