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
	profile string
}

func main() {
	var o options
	flag.StringVar(&o.out, "o", "docs/ENGINES.md", "page to write; - is standard output")
	flag.StringVar(&o.vectors, "vectors", "testdata/vectors", "recorded packets")
	flag.IntVar(&o.rounds, "n", 21, "rounds")
	flag.IntVar(&o.packets, "packets", 200000, "packets of a round, a tenth of it for bytecode and for one call each")
	flag.StringVar(&o.profile, "profile", "", "measure nothing; profile the Go engines for the compiler and write that to a `file`")
	flag.Parse()
	if o.rounds < 1 || o.packets < 10*turns {
		fmt.Fprintf(os.Stderr, "benchengines: -n %d -packets %d: want at least 1 and %d\n", o.rounds, o.packets, 10*turns)
		os.Exit(1)
	}
	do := run
	if o.profile != "" {
		do = profile
	}
	if err := do(&o); err != nil {
		fmt.Fprintln(os.Stderr, "benchengines:", err)
		os.Exit(1)
	}
}

func run(o *options) (err error) {
	runtime.LockOSThread()
	v, b, err := load(o)
	if err != nil {
		return err
	}
	var all []*result
	for _, pa := range conformance.Paths() {
		all = append(all, &result{path: pa})
	}
	for i := 0; i < o.rounds; i += passRounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, o.rounds)
		for _, r := range all {
			if err := r.measure(min(passRounds, o.rounds-i), o.packets/turns, v, b); err != nil {
				return fmt.Errorf("%s: %w", r.path.Name, err)
			}
		}
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

// load reads the recorded packets, whose paths are measured, and hooklab's own objects.
func load(o *options) (*conformance.Vectors, *object.Bundle, error) {
	v, err := conformance.Load(o.vectors)
	if err != nil {
		return nil, nil, err
	}
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	return v, b, err
}

// result is what a path took: nanoseconds of a packet, one figure for each round.
type result struct {
	path                        conformance.Path
	emulated, bytecode, kernel  []float64
	copies                      []float64 // of that, what puts frame and metadata in place, in emulated and bytecode
	harness                     []float64 // the same in the kernel
	calls                       []float64 // of the kernel, a system call for each packet
	allocsEmulated, allocsBytes float64
	events                      int // notifications of one packet
}

// passRounds is how many rounds a path has before it is the next path's turn: the machine is fast for seconds and slow for
// seconds, and all paths are to see both.
const passRounds = 3

// measure lets the engines run the path's packet for some rounds, n packets at a time.
func (r *result) measure(rounds, n int, v *conformance.Vectors, b *object.Bundle) (err error) {
	k, err := kernel.New(b, kernel.Options{RealClock: true})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := k.Close(); err == nil {
			err = closeErr
		}
	}()
	var flights [3]*conformance.Flight
	for i, e := range []dataplane.Runner{emu.New(maps.NewSet(maps.Sizes{})), bytecode.New(maps.NewSet(maps.Sizes{}), b), k} {
		if flights[i], err = r.path.Prepare(v, e); err != nil {
			return err
		}
	}
	if err := agree(flights[:]); err != nil {
		return err
	}
	for flights[0].Fresh.Events.Len() > 0 {
		flights[0].Fresh.Events.Next()
	}
	if err := flights[0].Run(); err != nil {
		return err
	}
	r.events = flights[0].Fresh.Events.Len()
	for range rounds {
		best, err := turn(k, flights[:], n)
		if err != nil {
			return err
		}
		for range turns - 1 {
			t, err := turn(k, flights[:], n)
			if err != nil {
				return err
			}
			best.improve(&t)
		}
		r.copies, r.harness, r.calls = append(r.copies, best.copies), append(r.harness, best.harness), append(r.calls, best.call)
		r.emulated = append(r.emulated, best.emulated)
		r.bytecode = append(r.bytecode, best.bytecode)
		r.kernel = append(r.kernel, best.kernel)
		r.allocsEmulated = max(r.allocsEmulated, best.allocsEmulated)
		r.allocsBytes = max(r.allocsBytes, best.allocsBytes)
	}
	return agree(flights[:])
}

// turns is how often the engines take turns in a round, whose figures are the fastest of each: whatever else runs on
// the machine, and on the one that it is a part of, only ever adds to a time.
const turns = 5

// times are nanoseconds of a packet.
type times struct {
	copies, emulated, bytecode, kernel, harness, call float64
	allocsEmulated, allocsBytes                       float64
}

// turn lets emulation and kernel run their packet n times, the kernel in one call. The virtual machine, and the kernel by a call
// for each packet, take ten times as long and run a tenth.
func turn(k *kernel.Engine, flights []*conformance.Flight, n int) (t times, err error) {
	nothing := *flights[0]
	nothing.Engine = idle{nothing.Engine}
	if t.copies, _, err = fly(&nothing, n); err != nil {
		return t, err
	}
	if t.emulated, t.allocsEmulated, err = fly(flights[0], n); err != nil {
		return t, err
	}
	if t.bytecode, t.allocsBytes, err = fly(flights[1], n/10); err != nil {
		return t, err
	}
	f := flights[2]
	run, harness, err := k.Time(f.Hook, &f.Fresh, &f.Env, n)
	if err != nil {
		return t, err
	}
	call, err := k.TimeCalls(f.Hook, &f.Fresh, &f.Env, n/10)
	t.kernel, t.harness, t.call = float64(run), float64(harness), float64(call)
	return t, err
}

// improve takes over what took less time, and more allocations.
func (t *times) improve(u *times) {
	t.copies, t.emulated, t.bytecode = min(t.copies, u.copies), min(t.emulated, u.emulated), min(t.bytecode, u.bytecode)
	t.kernel, t.harness, t.call = min(t.kernel, u.kernel), min(t.harness, u.harness), min(t.call, u.call)
	t.allocsEmulated, t.allocsBytes = max(t.allocsEmulated, u.allocsEmulated), max(t.allocsBytes, u.allocsBytes)
}

// idle is an engine that does nothing: what is left of a run is the copy that it begins with.
type idle struct{ dataplane.Engine }

// Run implements [dataplane.Runner].
func (idle) Run(dataplane.Hook, *dataplane.Packet, *dataplane.Env) (dataplane.Verdict, error) {
	return dataplane.Verdict{}, nil
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
