// Command prove compares the emulation with our twin on millions of generated packets, in
// the virtual machine and, as root, in the kernel, and writes what was compared, how fast,
// and which code was reached. It works in chunks of packets, each with a seed of its own,
// whose results it keeps: started again with the same directory it goes on where it was.
//
//	go run ./internal/prove -packets 5000000 -work /var/tmp/prove -o docs/PROVE.md
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// options are the flags.
type options struct {
	packets, kernel, size, workers int
	seed                           uint64
	work, out                      string
	summary                        bool
}

// engines are what the emulation is compared with.
func engines() []string { return []string{"bytecode", "kernel"} }

func main() {
	o := options{}
	flag.IntVar(&o.packets, "packets", 5000000, "how many packets to compare with each engine")
	flag.IntVar(&o.kernel, "kernel-packets", 0, "how many with the kernel; 0: as many")
	flag.IntVar(&o.size, "chunk", 250000, "packets of a chunk")
	flag.IntVar(&o.workers, "workers", 2*runtime.NumCPU(), "clusters compared at the same time: more than CPUs, because the kernel waits when it frees programs")
	flag.Uint64Var(&o.seed, "seed", 1, "what the packets are made of")
	flag.StringVar(&o.work, "work", "", "`DIR` for the chunks' results; those that are there are not made again")
	flag.StringVar(&o.out, "o", "docs/PROVE.md", "`FILE` for the summary")
	flag.BoolVar(&o.summary, "summary", false, "compare nothing: write the summary of the results that are there")
	flag.Parse()
	if o.kernel == 0 {
		o.kernel = o.packets
	}
	same, err := o.run()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(2)
	case !same:
		os.Exit(1)
	}
}

func (o *options) run() (same bool, err error) {
	if o.work == "" || o.packets < 1 || o.kernel < 1 || o.size < 1 {
		return false, fmt.Errorf("want -work DIR, and numbers of packets above 0")
	}
	p, err := o.prepare()
	if err != nil {
		return false, err
	}
	for _, e := range engines() {
		if e == "kernel" && os.Getuid() != 0 {
			p.skipped = append(p.skipped, e)
			continue
		}
		if err := p.compare(e, o.wanted(e)); err != nil && !errors.Is(err, errNotMade) {
			return false, err
		}
	}
	text, err := p.page()
	if err != nil {
		return false, err
	}
	fmt.Fprintln(os.Stderr, "prove: wrote", o.out)
	return p.same(), os.WriteFile(o.out, text, 0o644)
}

// wanted is how many packets to compare with an engine.
func (o *options) wanted(engine string) int {
	if engine == "kernel" {
		return o.kernel
	}
	return o.packets
}

// prepare builds the binary whose code is counted, and notes what it was built from.
// Results of another commit are refused.
func (o *options) prepare() (*proof, error) {
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		return nil, err
	}
	name := filepath.Join(o.work, "commit")
	p := &proof{options: o, binary: filepath.Join(o.work, "hooklab"), chunks: map[string][]*chunk{}}
	if o.summary {
		was, err := os.ReadFile(name)
		p.commit = string(was)
		return p, err
	}
	commit, err := output("git", "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return nil, err
	}
	if dirty, err := output("git", "status", "--porcelain", "--", "*.go", "*.o"); err != nil || dirty != "" {
		commit += " with changes"
	}
	was, err := os.ReadFile(name)
	switch {
	case os.IsNotExist(err):
	case err != nil:
		return nil, err
	case string(was) != commit:
		return nil, fmt.Errorf("%s has results of %s, and this is %s: name another directory, or remove it", o.work, was, commit)
	}
	p.commit = commit
	if _, err := output("go", "build", "-trimpath", "-cover", "-coverpkg=./dataplane/emu,./cmd/hooklab", "-o", p.binary, "./cmd/hooklab"); err != nil {
		return nil, err
	}
	return p, os.WriteFile(name, []byte(commit), 0o644)
}

// output runs a command and gives what it printed.
func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
