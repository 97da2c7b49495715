package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/compare/generate"
	"github.com/hooklab/hooklab/internal/conformance"
)

// Output formats of compare that no other command has.
const (
	formatMarkdown = "markdown"
	formatJUnit    = "junit"
)

// compareFlags are the flags of compare.
type compareFlags struct {
	files     []string
	engines   []string
	objects   string
	defines   map[string]string
	scenarios []string
	captures  []string
	hook      string
	node      string
	profile   string
	packets   int
	seed      uint64
	workers   int
	shrink    int
	distinct  int
	save      string
	coverage  bool
	live      bool
	script    string
}

// newCompare makes the command compare.
func newCompare(a *app) *cobra.Command {
	f := &compareFlags{}
	cmd := &cobra.Command{
		Use:   "compare --engines LEFT,RIGHT",
		Short: "Run the same packets through two engines and show where they part",
		Long: `Run the same packets, in the same order and against the same maps, through two engines
and compare after each of them: return code, verdict with its target, drop reason, every
byte of the frame, mark, tunnel key and packet type, every map entry that changed, every
notification. Time and random numbers are the same on both sides. What an engine cannot
observe is counted and listed as not compared.

` + engineHelp + `

Packets come from scenarios (--scenario, text files whose statements are listed in
docs/COMPARE.md), from captures (--pcap) or are generated (--packets): by chance, but the
same for the same --seed, steered to where the datapath has not been yet. Without -f they
are generated over clusters that are generated too, with every profile and setting.

Each distinct difference is listed once: what differs, field by field, the C function of
the datapath that made it, and the smallest scenario that still shows it, which is
written to a file below --save.

` + liveHelp + `

The exit code is 0 if nothing differs, 1 if something does or an expectation of a
scenario fails, 2 if an engine cannot run here, 4 for bad input.`,
		Example: `  # The emulation against what was recorded through the real programs
  hooklab compare --engines emulated,recorded:testdata/vectors

  # Packets of one's own
  hooklab compare -f cluster.yaml --engines emulated,bytecode --scenario web.txtar
  hooklab compare -f cluster.yaml --engines emulated,kernel --pcap dump.pcap --hook from-container@pod1-1

  # A million generated packets, as JSON
  hooklab compare --engines emulated,bytecode --packets 1000000 --seed 7 -o json

  # The cluster brought up twice, the same programs run in both
  sudo hooklab compare --live -f cluster.yaml

  # What a difference's file showed, again
  hooklab compare --engines emulated,bytecode --scenario hooklab-differences/1-bytes-lb4_xlate.txtar`,
		Args: wants(),
	}
	f.register(cmd)
	out := outputFlag(cmd, formatText, formatJSON, formatMarkdown, formatJUnit)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.live {
			return f.runLive(cmd, a, out.format)
		}
		r, err := f.run(cmd)
		if err != nil {
			return err
		}
		if err := f.saveAll(r); err != nil {
			return err
		}
		if err := f.write(cmd.OutOrStdout(), out.format, r); err != nil {
			return err
		}
		if !r.Same() {
			return exitWith(exitFailed, nil)
		}
		return nil
	}
	return cmd
}

// Defaults of compare.
const (
	defaultPackets = 10000
	defaultShrink  = 400
	defaultSave    = "hooklab-differences"
)

func (f *compareFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fileFlag(cmd, &f.files)
	fl.StringSliceVar(&f.engines, "engines", nil, "the two sides, `LEFT,RIGHT`: "+strings.Join(engineNames(), ", ")+", recorded:DIR on the right")
	fl.StringVar(&f.objects, "object", "", "`DIR` with bpf_lxc.o, bpf_host.o and bpf_overlay.o to run instead of hooklab's own")
	registerDefine(cmd, &f.defines)
	fl.StringArrayVar(&f.scenarios, "scenario", nil, "play a scenario `FILE`; may be repeated")
	fl.StringArrayVar(&f.captures, "pcap", nil, "take the packets of a pcap or pcapng `FILE`; may be repeated")
	fl.StringVar(&f.hook, "hook", "", "with --pcap: let all packets enter at `PROG@DEVICE` instead of where their senders' packets do")
	fl.StringVar(&f.node, "node", "", "`NODE` whose datapath is looked at (default the first worker, or as the scenario says)")
	fl.StringVar(&f.profile, "profile", "", "run the cluster as another `PROFILE` would: "+strings.Join(profileNames(), ", "))
	fl.IntVar(&f.packets, "packets", defaultPackets, "how many packets to generate")
	fl.Uint64Var(&f.seed, "seed", 1, "what the generated packets are made of")
	fl.IntVar(&f.workers, "workers", runtime.GOMAXPROCS(0), "how many clusters are compared at the same time; the result does not depend on it")
	fl.IntVar(&f.shrink, "shrink", defaultShrink, "how many runs making one difference small may take; 0 leaves it as it is")
	fl.IntVar(&f.distinct, "stop-after", 0, "stop soon after so many distinct differences; 0: never")
	fl.StringVar(&f.save, "save", defaultSave, "`DIR` for the scenarios that show the differences; empty: none are written")
	fl.BoolVar(&f.live, "live", false, "bring the cluster up twice and run real programs in both")
	fl.StringVar(&f.script, "script", "", "with --live: the programs, as a `FILE` with a statement a line (default a list made from the cluster)")
	fl.BoolVar(&f.coverage, "coverage", false, "add which decisions of the datapath the compared packets reached, which lines of the programs' source, and which not")
	complete(cmd, "profile", profileNames()...)
	complete(cmd, "engines", engineNames()...)
}

// check refuses flags that do not go together.
func (f *compareFlags) check(cmd *cobra.Command) error {
	changed := cmd.Flags().Changed
	switch {
	case f.script != "":
		return usageError(cmd, errors.New("--script is for --live; --scenario is a list of packets"))
	case len(f.engines) != 2:
		return usageError(cmd, fmt.Errorf("--engines %s: want two, LEFT,RIGHT", strings.Join(f.engines, ",")))
	case f.packets < 1:
		return usageError(cmd, fmt.Errorf("--packets %d: want 1 or more", f.packets))
	case f.workers < 1:
		return usageError(cmd, fmt.Errorf("--workers %d: want 1 or more", f.workers))
	case f.shrink < 0 || f.distinct < 0:
		return usageError(cmd, errors.New("--shrink and --stop-after: want 0 or more"))
	case f.hook != "" && len(f.captures) == 0:
		return usageError(cmd, errors.New("--hook is for --pcap"))
	case f.profile != "" && len(f.files) == 0:
		return usageError(cmd, errors.New("--profile needs the cluster: -f FILE"))
	case (changed("packets") || changed("seed")) && len(f.scenarios)+len(f.captures) > 0:
		return usageError(cmd, errors.New("--packets and --seed are for generated packets, without --scenario and --pcap"))
	}
	return nil
}

func (f *compareFlags) run(cmd *cobra.Command) (*compare.Report, error) {
	if err := f.check(cmd); err != nil {
		return nil, err
	}
	left, err := f.engine(f.engines[0])
	if err != nil {
		return nil, err
	}
	if dir, ok := strings.CutPrefix(f.engines[1], "recorded:"); ok {
		return f.recorded(cmd, left, dir)
	}
	right, err := f.engine(f.engines[1])
	if err != nil {
		return nil, err
	}
	feed, err := f.feed(cmd)
	if err != nil {
		return nil, err
	}
	var explain *compare.Engine
	if right.Name == engineKernel {
		x, err := f.engine(bytecode.Name)
		if err != nil {
			return nil, err
		}
		explain = &x
	}
	shown := newProgress(cmd.ErrOrStderr())
	defer shown.end()
	return compare.Run(cmd.Context(), &compare.Options{
		Explain: explain, Left: left, Right: right, Workers: f.workers, Shrink: f.shrink, Distinct: f.distinct, Progress: shown.show, Lines: f.coverage,
	}, feed)
}

// recorded compares an engine with recorded packets.
func (f *compareFlags) recorded(cmd *cobra.Command, left compare.Engine, dir string) (*compare.Report, error) {
	if len(f.scenarios)+len(f.captures)+len(f.files) > 0 {
		return nil, usageError(cmd, errors.New("recorded:DIR brings its own packets and maps: leave out -f, --scenario and --pcap"))
	}
	if _, err := os.Stat(filepath.Join(dir, "base.json")); err != nil {
		return nil, usagef("recorded:%s: no recorded packets there: %w", dir, err)
	}
	v, err := conformance.Load(dir)
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	return compare.RunRecorded(cmd.Context(), left, v, dir)
}

// feed is where the packets come from.
func (f *compareFlags) feed(cmd *cobra.Command) (*compare.Feed, error) {
	sources, err := f.sources(cmd)
	if err != nil {
		return nil, err
	}
	if len(f.scenarios)+len(f.captures) == 0 {
		return generate.Feed(&generate.Options{Seed: f.seed, Packets: f.packets, Cluster: sources, Node: f.node}), nil
	}
	var list []*compare.Scenario
	for _, name := range f.scenarios {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, exitWith(exitUsage, err)
		}
		s, err := compare.Parse(name, data, sources)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	for _, name := range f.captures {
		s, err := f.capture(cmd, name, sources)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return compare.FeedOf(strings.Join(append(f.scenarios, f.captures...), ", "), list...), nil
}

// capture reads a capture. Only here the cluster may also be ./cluster.yaml.
func (f *compareFlags) capture(cmd *cobra.Command, name string, sources []cluster.Source) (*compare.Scenario, error) {
	var at *compare.Place
	if f.hook != "" {
		var err error
		if at, err = compare.ParsePlace(f.hook); err != nil {
			return nil, fmt.Errorf("--hook %w", err)
		}
	}
	if sources == nil {
		var err error
		if _, err := os.Stat(defaultFile); errors.Is(err, fs.ErrNotExist) {
			return nil, usagef("no cluster: give -f FILE, or change to a directory with a %s", defaultFile)
		}
		if sources, err = readSources(cmd, []string{defaultFile}); err != nil {
			return nil, err
		}
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	defer file.Close() //nolint:errcheck // Opened for reading only.
	return compare.FromCapture(name, file, sources, f.node, at)
}

// sources are the files of -f, with another profile if one is asked for; nil without.
func (f *compareFlags) sources(cmd *cobra.Command) ([]cluster.Source, error) {
	if len(f.files) == 0 {
		return nil, nil
	}
	sources, err := readSources(cmd, f.files)
	if err != nil {
		return nil, err
	}
	c, err := cluster.Load(sources...)
	if err != nil || f.profile == "" {
		return sources, err
	}
	return f.profiled(c)
}

// profiled is a cluster with the profile that is asked for.
func (f *compareFlags) profiled(c *cluster.Cluster) ([]cluster.Source, error) {
	src, err := profileSource(c, f.profile)
	if err != nil {
		return nil, err
	}
	if _, err := cluster.Load(src); err != nil {
		return nil, err
	}
	return []cluster.Source{src}, nil
}

// saveAll writes a scenario for each difference.
func (f *compareFlags) saveAll(r *compare.Report) error {
	if f.save == "" {
		return nil
	}
	for i, d := range r.Differences {
		if d.Repro == nil {
			continue
		}
		if err := os.MkdirAll(f.save, 0o755); err != nil {
			return err
		}
		name := filepath.Join(f.save, fmt.Sprintf("%d-%s-%s.txtar", i+1, d.Class, strings.ReplaceAll(d.Stage.Func, " ", "-")))
		file, err := os.Create(name)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Repro.Write(file), file.Close()); err != nil {
			return err
		}
		d.File = name
	}
	return nil
}

func (f *compareFlags) write(w io.Writer, format string, r *compare.Report) error {
	switch format {
	case formatJSON:
		return r.WriteJSON(w, f.coverage)
	case formatMarkdown:
		return r.WriteMarkdown(w)
	case formatJUnit:
		return r.WriteJUnit(w)
	}
	if err := r.WriteText(w); err != nil || !f.coverage {
		return err
	}
	fmt.Fprintln(w)
	return r.WriteCoverage(w)
}
