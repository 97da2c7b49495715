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
	"strings"
	"sync"
	"syscall"
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
	b, err := p.build(dir, faults)
	if err != nil {
		return err
	}
	faults = slices.DeleteFunc(faults, func(f fault) bool { return !wanted.MatchString(f.key) })
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				faults[i].look(b, packets)
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
// through the real programs, and scenarios. What none of them finds the package's own tests
// may find, which look at traces, too.
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
func (f *fault) look(b *built, packets int) {
	for _, o := range oracles(packets) {
		f.oracle = o.name
		if f.ask(b.program, o.args); f.result != survived {
			return
		}
	}
	f.oracle = "tests"
	if failed := b.test(f.id); len(failed) > 0 {
		f.result = "found: " + strings.Join(failed, ", ")
		return
	}
	f.oracle = ""
}

// built is what was built with all faults in it. Some tests fail of that alone, such as those
// that count allocations: they tell nothing.
type built struct {
	program, tests string
	silent         []string
}

var failing = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// test runs the package's tests with one fault turned on, none for 0, and lists those that
// fail.
func (b *built) test(fault int) (failed []string) {
	cmd := exec.CommandContext(context.Background(), b.tests, "-test.skip", "^("+strings.Join(b.silent, "|")+")$")
	cmd.Dir, cmd.Env = target, append(os.Environ(), "HOOKLAB_MUTANT="+strconv.Itoa(fault))
	text, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	for _, m := range failing.FindAllSubmatch(text, -1) {
		failed = append(failed, string(m[1]))
	}
	if failed == nil {
		failed = []string{firstLine(string(text), err)}
	}
	return failed
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
	text := fmt.Sprintf("%s, %s in %s: %s: %s", f.place, f.kind, f.function, f.text, f.result)
	if f.stage == "" {
		return text
	}
	return fmt.Sprintf("%s by %s, %s in %s, %s (of %s), listed %s", text, f.oracle, f.class, f.stage, f.verdict(), strings.Join(f.owners, ", "), strings.Join(f.between, ", "))
}

// counts are the figures of a report.
type counts struct {
	found, proven        int
	named, blamed, among int   // differences, and how they are blamed
	sizes                []int // packets of the scenarios, sorted
}

func count(faults []fault) (c counts) {
	for i := range faults {
		f := &faults[i]
		if f.result == survived {
			if equivalents()[f.key] != "" {
				c.proven++
			}
			continue
		}
		c.found++
		if f.size > 0 {
			c.sizes = append(c.sizes, f.size)
		}
		switch f.verdict() {
		case blamedExactly:
			c.blamed++
		case blamedAmong:
			c.among++
		case "":
			continue
		}
		c.named++
	}
	slices.Sort(c.sizes)
	return c
}

// median is that of the scenarios' sizes.
func (c *counts) median() int {
	if len(c.sizes) == 0 {
		return 0
	}
	return c.sizes[len(c.sizes)/2]
}

// wrong is how many are blamed on a function that they are not in.
func (c *counts) wrong() int { return c.named - c.blamed - c.among }

// report is the outcome as a page.
func report(faults []fault, sites int, seed uint64, packets int) []byte {
	var b bytes.Buffer
	c := count(faults)
	fmt.Fprintf(&b, `# Faults made on purpose

%[1]cmake mutants%[1]c makes faults in %[2]s by chance (seed %[3]d, from %[4]d places), compares each with our twin in the virtual
machine on up to %[5]d generated packets, then with the packets that were recorded through the real programs, then in a scenario,
runs the package's own tests if nothing of that found it, and lists what happened. None is chosen by hand.

| | |
|---|---|
| faults | %[6]d |
| found | %[7]d |
| not found, and shown to be none | %[8]d |
| not found, and not explained | %[9]d |
| packets of the smallest scenario that shows one, in the median | %[10]d (of %[11]d) |
`, '`', target, seed, sites, packets, len(faults), c.found, c.proven, len(faults)-c.found-c.proven, c.median(), len(c.sizes))
	fmt.Fprintf(&b, `
## Who is blamed

%d of those that were found ended the program or failed a test, which names the place itself. The other %d are differences, of which the
report blames one function and lists those that ran since both sides last did the same. Right is the function that the
fault is in; one that traces do not tell is part of those that call it.

| blamed | faults | |
|---|---|---|
| exactly that function, in the first difference | %d | %.1f %% |
| another one, but it is among those listed | %d | %.1f %% |
| wrong | %d | %.1f %% |
`, c.found-c.named, c.named, c.blamed, percent(c.blamed, c.named), c.among, percent(c.among, c.named), c.wrong(), percent(c.wrong(), c.named))
	if c.wrong() > 0 {
		b.WriteString("\nThe wrong ones:\n\n| place | function | fault | blamed | listed |\n|---|---|---|---|---|\n")
	}
	for i := range faults {
		if f := &faults[i]; f.verdict() == blamedWrong {
			listed := slices.Clone(f.between)
			slices.Sort(listed)
			fmt.Fprintf(&b, "| %s | %s | %s: `%s` | %s | %s |\n", f.place, f.where(), f.kind, f.text, f.stage, strings.Join(slices.Compact(listed), ", "))
		}
	}
	fmt.Fprintf(&b, "\n## Not found\n\n| place | function | fault | why it is none |\n|---|---|---|---|\n")
	for i := range faults {
		if f := &faults[i]; f.result == survived {
			fmt.Fprintf(&b, "| %s | %s | %s: `%s` | %s |\n", f.place, f.where(), f.kind, f.text, equivalents()[f.key])
		}
	}
	fmt.Fprintf(&b, "\n## Found\n\n| place | function | fault | by | class | blamed | is it | packets |\n|---|---|---|---|---|---|---|---|\n")
	for i := range faults {
		f := &faults[i]
		switch {
		case f.result == survived:
		case f.stage == "":
			fmt.Fprintf(&b, "| %s | %s | %s: `%s` | %s | %s | | | |\n", f.place, f.where(), f.kind, f.text, f.oracle, f.result)
		default:
			fmt.Fprintf(&b, "| %s | %s | %s: `%s` | %s | %s | %s | %s | %d |\n", f.place, f.where(), f.kind, f.text, f.oracle, f.class, f.stage, f.verdict(), f.size)
		}
	}
	return b.Bytes()
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(1, of)) }

// build writes the package with all faults in it and builds the program and the package's
// tests with that.
func (p *pkg) build(dir string, faults []fault) (*built, error) {
	overlay := map[string]string{}
	for name, src := range p.rewrite(faults) {
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, src, 0o644); err != nil {
			return nil, err
		}
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		overlay[abs] = path
	}
	data, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return nil, err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, data, 0o644); err != nil {
		return nil, err
	}
	b := &built{program: filepath.Join(dir, "hooklab"), tests: filepath.Join(dir, "emu.test")}
	for _, args := range [][]string{{"build", "-overlay", list, "-o", b.program, "./cmd/hooklab"}, {"test", "-c", "-overlay", list, "-o", b.tests, "./" + target}} {
		if text, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build with faults: %w\n%s", err, text)
		}
	}
	b.silent = b.test(0)
	return b, nil
}
