// Command benchengines measures how long one packet takes in each engine, path by path: in
// the emulation, in hooklab's own BPF objects in the virtual machine, and in the same
// objects in the kernel by BPF_PROG_TEST_RUN. The engines take turns, round after round, so
// that the ratios hold whatever else the machine does. It needs root and writes a page.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/internal/conformance"
	"github.com/hooklab/hooklab/maps"
)

// options are the program's flags.
type options struct {
	out     string
	vectors string
	rounds  int
	packets int
}

func main() {
	var o options
	flag.StringVar(&o.out, "o", "docs/ENGINES.md", "page to write; - is standard output")
	flag.StringVar(&o.vectors, "vectors", "testdata/vectors", "recorded packets")
	flag.IntVar(&o.rounds, "n", 21, "rounds")
	flag.IntVar(&o.packets, "packets", 20000, "packets of one measurement")
	flag.Parse()
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "benchengines:", err)
		os.Exit(1)
	}
}

func run(o *options) (err error) {
	runtime.LockOSThread()
	v, err := conformance.Load(o.vectors)
	if err != nil {
		return err
	}
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	if err != nil {
		return err
	}
	var all []*result
	for _, pa := range conformance.Paths() {
		fmt.Fprintf(os.Stderr, "%s\n", pa.Name)
		r, err := measure(o, v, b, &pa)
		if err != nil {
			return fmt.Errorf("%s: %w", pa.Name, err)
		}
		all = append(all, r)
	}
	var w io.Writer = os.Stdout
	if o.out != "-" {
		f, err := os.Create(o.out)
		if err != nil {
			return err
		}
		defer func() {
			if closeErr := f.Close(); err == nil {
				err = closeErr
			}
		}()
		w = f
	}
	return write(w, o, all)
}

// result is what a path took: nanoseconds of a packet, one figure for each round.
type result struct {
	path                        conformance.Path
	emulated, bytecode, kernel  []float64
	harness                     []float64 // of the kernel's figure, subtracted there
	calls                       []float64 // of the kernel, a system call for each packet
	allocsEmulated, allocsBytes float64
	events                      int // notifications of one packet
}

// measure lets the engines run a path's packet in turns.
func measure(o *options, v *conformance.Vectors, b *object.Bundle, pa *conformance.Path) (r *result, err error) {
	k, err := kernel.New(b, kernel.Options{RealClock: true})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := k.Close(); err == nil {
			err = closeErr
		}
	}()
	var flights [3]*conformance.Flight
	for i, e := range []dataplane.Runner{emu.New(maps.NewSet(maps.Sizes{})), bytecode.New(maps.NewSet(maps.Sizes{}), b), k} {
		if flights[i], err = pa.Prepare(v, e); err != nil {
			return nil, err
		}
	}
	r = &result{path: *pa}
	if err := agree(flights[:]); err != nil {
		return nil, err
	}
	for flights[0].Fresh.Events.Len() > 0 {
		flights[0].Fresh.Events.Next()
	}
	if err := flights[0].Run(); err != nil {
		return nil, err
	}
	r.events = flights[0].Fresh.Events.Len()
	for range o.rounds {
		for i, into := range []*[]float64{&r.emulated, &r.bytecode} {
			ns, allocs, err := fly(flights[i], o.packets)
			if err != nil {
				return nil, err
			}
			*into = append(*into, ns)
			*[]*float64{&r.allocsEmulated, &r.allocsBytes}[i] += allocs / float64(o.rounds)
		}
		f := flights[2]
		took, harness, err := k.Time(f.Hook, &f.Fresh, &f.Env, 10*o.packets)
		if err != nil {
			return nil, err
		}
		call, err := k.TimeCalls(f.Hook, &f.Fresh, &f.Env, o.packets)
		if err != nil {
			return nil, err
		}
		r.calls = append(r.calls, float64(call))
		r.kernel = append(r.kernel, float64(took-harness))
		r.harness = append(r.harness, float64(harness))
	}
	return r, agree(flights[:])
}

// agree runs the packet in all engines: they must come to the same end, or the figures say
// nothing.
func agree(flights []*conformance.Flight) error {
	for _, f := range flights {
		if err := f.Run(); err != nil {
			return err
		}
		if first := flights[0]; f.Verdict != first.Verdict || !bytes.Equal(f.Packet.Data, first.Packet.Data) {
			return fmt.Errorf("%s: %v %x, %s: %v %x", first.Engine.Name(), first.Verdict, first.Packet.Data, f.Engine.Name(), f.Verdict, f.Packet.Data)
		}
	}
	return nil
}

// fly runs a packet n times and returns nanoseconds and allocations of one. It counts the
// thread's own time, as what the kernel tells of its runs is without interruptions, too.
func fly(f *conformance.Flight, n int) (ns, allocs float64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := threadTime()
	for range n {
		if err := f.Run(); err != nil {
			return 0, 0, err
		}
	}
	took := threadTime() - start
	runtime.ReadMemStats(&after)
	return float64(took.Nanoseconds()) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n), nil
}

// threadTime is the time that the calling thread has had a CPU.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // every Linux has it
	}
	return time.Duration(t.Nano())
}
