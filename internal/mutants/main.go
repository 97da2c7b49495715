// Command mutants checks that a comparison finds what it should: it makes faults from the
// syntax tree of dataplane/emu by chance, builds them all into one binary of which each
// run turns one on, and lets `hooklab compare` look for it. Faults that are not found are
// listed with their place.
//
//	go run ./internal/mutants -n 200 -seed 1 -packets 20000 -o docs/MUTANTS.md
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/hooklab/hooklab/dataplane/trace"
)

// target is the package that faults are made in.
const target = "dataplane/emu"

func main() {
	n := flag.Int("n", 200, "how many faults")
	seed := flag.Uint64("seed", 1, "which ones")
	packets := flag.Int("packets", 20000, "packets to look for one")
	workers := flag.Int("workers", 2, "faults looked for at the same time")
	match := flag.String("match", "", "look only for faults whose key this regular expression matches, of those that -n and -seed choose")
	out := flag.String("o", "", "file for the report (default standard output)")
	flag.Parse()
	if err := run(*n, *seed, *packets, *workers, *match, *out); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(n int, seed uint64, packets, workers int, match, out string) error {
	wanted, err := regexp.Compile(match)
	if err != nil {
		return err
	}
	p, err := load(target)
	if err != nil {
		return err
	}
	faults := p.choose(n, rand.New(rand.NewPCG(seed, 0)))
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // A temporary directory.
	binary, err := p.build(dir, faults)
	if err != nil {
		return err
	}
	faults = slices.DeleteFunc(faults, func(f fault) bool { return !wanted.MatchString(f.key) })
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				faults[i].look(binary, packets)
				fmt.Fprintf(os.Stderr, "%d %s\n", i+1, &faults[i])
			}
		})
	}
	for i := range faults {
		next <- i
	}
	close(next)
	wg.Wait()
	for i := range faults {
		if f := &faults[i]; f.result != survived && equivalents()[f.key] != "" {
			return fmt.Errorf("%s is said to be no fault, but was found: %s", f.key, f)
		}
	}
	text := report(faults, p.sites, seed, packets)
	if out == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	return os.WriteFile(out, text, 0o644)
}

// limit is how many seconds of processor time one search may take; an endless loop counts
// as found. However busy the machine is, a search that is merely slow does not.
const limit = 180

// oracles look for a fault one after the other, until one finds it: generated packets
// through the emulation and our twin in the virtual machine, the packets that were recorded
// through the real programs, and scenarios.
func oracles(packets int) []oracle {
	return []oracle{
		{"generated", []string{"--engines", "emulated,bytecode", "--packets", strconv.Itoa(packets), "--stop-after", "1", "--workers", "1"}},
		{"recorded", []string{"--engines", "emulated,recorded:testdata/vectors"}},
		{"scenario", []string{"--engines", "emulated,bytecode", "--scenario", "examples/02-compare/web.txtar"}},
	}
}

type oracle struct {
	name string
	args []string
}

// look lets the oracles look for the fault.
func (f *fault) look(binary string, packets int) {
	for _, o := range oracles(packets) {
		f.oracle = o.name
		if f.ask(binary, o.args); f.result != survived {
			return
		}
	}
	f.oracle = ""
}

// ask runs one comparison with the fault turned on.
func (f *fault) ask(binary string, args []string) {
	const limited = `ulimit -t "$1"; shift; exec "$@"`
	cmd := exec.CommandContext(context.Background(), "sh", append([]string{
		"-c", limited, "sh", strconv.Itoa(limit), binary, "compare", "--save", "", "-o", "json",
	}, args...)...)
	cmd.Env = append(os.Environ(), "HOOKLAB_MUTANT="+strconv.Itoa(f.id))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var r struct {
		Same        bool
		Differences []struct {
			Class string
			Stage struct {
				Func    string
				Between []string
			}
			ScenarioPackets int
			Shrunk          bool
		}
	}
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && (status.Signal() == syscall.SIGXCPU || status.Signal() == syscall.SIGKILL):
		f.result = "found: it did not end"
	case json.Unmarshal(stdout.Bytes(), &r) != nil:
		f.result = "found: " + firstLine(stderr.String(), err)
	case r.Same:
		f.result = survived
	default:
		// The run ends with a block of worlds, in which one fault may show in several ways.
		d := r.Differences[0]
		f.result, f.class, f.stage, f.size = "found", d.Class, d.Stage.Func, d.ScenarioPackets
		for _, x := range r.Differences {
			f.stages = append(f.stages, x.Stage.Func)
			f.between = append(f.between, x.Stage.Between...)
		}
	}
}

const survived = "not found"

func firstLine(s string, err error) string {
	line, _, _ := bytes.Cut([]byte(s), []byte("\n"))
	if len(line) == 0 {
		return fmt.Sprint(err)
	}
	return string(line)
}

// String is the fault with what came of it.
func (f *fault) String() string {
	return fmt.Sprintf("%s, %s in %s: %s: %s %s", f.place, f.kind, f.function, f.text, f.result, f.stage)
}

// report is the outcome as a page.
func report(faults []fault, sites int, seed uint64, packets int) []byte {
	var b bytes.Buffer
	found, blamed, near, named := 0, 0, 0, 0
	var sizes []int
	for i := range faults {
		f := &faults[i]
		if f.result == survived {
			continue
		}
		found++
		if f.size > 0 {
			sizes = append(sizes, f.size)
		}
		if f.stage != "" && slices.ContainsFunc(trace.Funcs(), func(t trace.Func) bool { return t.Name() == f.function }) {
			named++
			switch {
			case slices.Contains(f.stages, f.function):
				blamed++
			case slices.Contains(f.between, f.function):
				near++
			}
		}
	}
	slices.Sort(sizes)
	median := 0
	if len(sizes) > 0 {
		median = sizes[len(sizes)/2]
	}
	fmt.Fprintf(&b, "# Faults made on purpose\n\n`make mutants` makes faults in %s by chance (seed %d, from %d places), compares each with our twin in the\n", target, seed, sites)
	fmt.Fprintf(&b, "virtual machine on up to %d generated packets, then with the packets that were recorded through the real programs,\n", packets)
	b.WriteString("then in scenarios, and lists what happened. None is chosen by hand.\n\n")
	fmt.Fprintf(&b, "%d faults: %d found, %d not. Of %d that are in a function which traces tell and that differ in a packet, %d are blamed on\n", len(faults), found, len(faults)-found, named, blamed)
	fmt.Fprintf(&b, "exactly that function, by its C name, and of %d more it is among those that ran between the last step that both sides\ndid alike and the difference, which the report lists too. The smallest scenario that shows one has %d packets in the median (of %d).\n", near, median, len(sizes))
	fmt.Fprintf(&b, "\n## Not found\n\n| place | function | fault | why it is none |\n|---|---|---|---|\n")
	for i := range faults {
		if f := &faults[i]; f.result == survived {
			fmt.Fprintf(&b, "| %s | %s | %s: `%s` | %s |\n", f.place, f.function, f.kind, f.text, equivalents()[f.key])
		}
	}
	fmt.Fprintf(&b, "\n## Found\n\n| place | function | fault | by | class | blamed | packets |\n|---|---|---|---|---|---|---|\n")
	for i := range faults {
		f := &faults[i]
		switch {
		case f.result == survived:
		case f.stage == "":
			fmt.Fprintf(&b, "| %s | %s | %s: `%s` | %s | %s | | |\n", f.place, f.function, f.kind, f.text, f.oracle, f.result)
		default:
			fmt.Fprintf(&b, "| %s | %s | %s: `%s` | %s | %s | %s | %d |\n", f.place, f.function, f.kind, f.text, f.oracle, f.class, f.stage, f.size)
		}
	}
	return b.Bytes()
}

// build writes the package with all faults in it and builds the program with that.
func (p *pkg) build(dir string, faults []fault) (string, error) {
	overlay := map[string]string{}
	for name, src := range p.rewrite(faults) {
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, src, 0o644); err != nil {
			return "", err
		}
		abs, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		overlay[abs] = path
	}
	data, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", err
	}
	list, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "hooklab")
	if err := os.WriteFile(list, data, 0o644); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(context.Background(), "go", "build", "-overlay", list, "-o", binary, "./cmd/hooklab")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build with faults: %w\n%s", err, text)
	}
	return binary, nil
}
