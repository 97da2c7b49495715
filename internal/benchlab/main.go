// Command benchlab measures a lab's paths beside the kernel's own, Open vSwitch's
// userspace datapath and a naive forwarder: all of them up at the same time, one
// measurement after the other, round after round, so that the ratios hold whatever else
// the machine does. It needs root, iperf3 and Open vSwitch, and writes a page. With
// -startup it measures how long labs take to come and go instead, and needs ping.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are the program's flags.
type options struct {
	hooklab  string
	out      string
	repeats  int
	duration time.Duration
	only     *regexp.Regexp
	figures  string
	startup  bool
	nice     int
}

// autogroup sets how our session fares against other ones.
const autogroup = "/proc/self/autogroup"

func main() {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(report(runRole(role, os.Args[1:])))
	}
	var o options
	flag.StringVar(&o.hooklab, "hooklab", "bin/hooklab", "program to measure")
	flag.StringVar(&o.out, "o", "-", "page to write; - is standard output")
	flag.IntVar(&o.repeats, "n", 5, "rounds")
	flag.DurationVar(&o.duration, "d", time.Second, "length of one measurement")
	only := flag.String("only", "", "measure only subjects whose name this regular expression matches")
	flag.StringVar(&o.figures, "figures", "", "measure only these: "+strings.Join(figureNames(), ",")+"; empty: all")
	flag.BoolVar(&o.startup, "startup", false, "measure how long labs take to come and go, and nothing else")
	flag.IntVar(&o.nice, "nice", -16, "niceness of the session meanwhile")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		os.Exit(report(err))
	}
	if o.figures != "" {
		for name := range strings.SplitSeq(o.figures, ",") {
			if !slices.Contains(figureNames(), name) {
				os.Exit(report(fmt.Errorf("-figures: %q: there are %s", name, strings.Join(figureNames(), ", "))))
			}
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(report(run(ctx, &o)))
}

func report(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "benchlab:", err)
	return 1
}

func run(ctx context.Context, o *options) (err error) {
	dir, err := os.MkdirTemp("", "benchlab")
	if err != nil {
		return err
	}
	b := &bench{options: o, dir: dir, results: map[string]*results{}}
	defer func() { err = errors.Join(err, b.end()) }()
	// Others on this machine shall not decide the figures. Without the privilege, or
	// without automatic groups, the ratios are noisier.
	if was, err := os.ReadFile(autogroup); err == nil && o.nice != 0 {
		if os.WriteFile(autogroup, []byte(strconv.Itoa(o.nice)), 0) == nil {
			_, nice, _ := strings.Cut(strings.TrimSpace(string(was)), " nice ")
			b.later(func() error { return os.WriteFile(autogroup, []byte(nice), 0) })
		}
	}
	if b.options.hooklab, err = filepath.Abs(o.hooklab); err != nil {
		return err
	}
	if o.startup {
		sizes, err := b.measureStartup(ctx)
		if err != nil {
			return err
		}
		return b.write(func(w io.Writer) error { return b.startupPage(w, sizes) })
	}
	if err := b.measurePaths(ctx); err != nil {
		return err
	}
	return b.write(b.page)
}

// measurePaths measures all subjects, round after round.
func (b *bench) measurePaths(ctx context.Context) error {
	if err := b.build(); err != nil {
		return err
	}
	for round := range b.options.repeats {
		for _, s := range b.subjects {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			b.loads = append(b.loads, loadAverage())
			start := time.Now()
			if err := b.measure(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %-40s %v\n", round+1, b.options.repeats, s.name, time.Since(start).Round(time.Millisecond))
		}
	}
	return b.close()
}

// write writes a page to where it belongs.
func (b *bench) write(page func(io.Writer) error) error {
	if b.options.out == "-" {
		return page(os.Stdout)
	}
	var t bytes.Buffer
	if err := page(&t); err != nil {
		return err
	}
	return os.WriteFile(b.options.out, t.Bytes(), 0o644)
}

// end takes everything down. If a lab stays its directory does, too: mounts are in it,
// and what says how to remove them.
func (b *bench) end() error {
	err := b.close()
	left, listErr := b.runDir().Remains()
	if err = errors.Join(err, listErr); len(left) > 0 {
		_, downErr := output(nil, b.env(), b.options.hooklab, "down", "--all")
		err = errors.Join(err, downErr)
	}
	if left, listErr = b.runDir().Remains(); len(left) > 0 || listErr != nil {
		return fmt.Errorf("%w; labs %v are left: run\nHOOKLAB_RUN_DIR=%s %s down --all && rm -r %s",
			errors.Join(err, listErr), left, b.runDir(), b.options.hooklab, b.dir)
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// wanted tells whether a subject is to be measured.
func (b *bench) wanted(name string) bool { return b.options.only.MatchString(name) }
