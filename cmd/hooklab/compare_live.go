package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/netns/lab"
	"github.com/hooklab/hooklab/netns/live"
)

// liveHelp is what compare's help says about --live.
const liveHelp = `With --live the cluster is brought up twice, as 'hooklab up' does: by default with engine
emulated and, beside it, with engine kernel. The same programs run in both at the same
time: ping, traceroute, TCP and UDP between pods, nodes, services and hosts outside, as a
list made from the cluster or as --script says, whose statements docs/COMPARE.md lists.
At every pod's and node's eth0 the conversations are captured and compared: who talks to
whom, TTL and other headers, tunnels, ICMP errors, how many packets and bytes came, how the program
ended. What legitimately varies is left out and listed. Both labs are taken down
at the end, after ^C too. It needs root.`

// runLive is compare --live.
func (f *compareFlags) runLive(cmd *cobra.Command, a *app, format string) error {
	if err := f.checkLive(cmd); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	go func() { // a second ^C ends the process at once; 'hooklab down' then removes the labs
		<-ctx.Done()
		stop()
	}()
	o, err := f.liveOptions(cmd, a)
	if err != nil {
		return err
	}
	shown := newProgress(cmd.ErrOrStderr())
	o.Progress = shown.step
	r, err := live.Run(ctx, *o)
	shown.end()
	switch {
	case errors.Is(err, lab.ErrRunning):
		return exitWith(exitCannot, fmt.Errorf("%w; 'hooklab down' takes it down", err))
	case errors.Is(err, context.Canceled):
		return exitWith(exitFailed, errors.New("interrupted; both labs are down"))
	case err != nil:
		return err
	}
	if err := writeLive(cmd.OutOrStdout(), format, r); err != nil {
		return err
	}
	if !r.Same() {
		return exitWith(exitFailed, nil)
	}
	return nil
}

// checkLive refuses flags that are not for --live.
func (f *compareFlags) checkLive(cmd *cobra.Command) error {
	for _, name := range []string{
		"scenario", "pcap", "hook", "node", "packets", "seed", "workers", "shrink", "stop-after", "save", "coverage",
	} {
		if cmd.Flags().Changed(name) {
			return usageError(cmd, fmt.Errorf("--%s is not for --live", name))
		}
	}
	if len(f.engines) == 0 {
		f.engines = []string{engineEmulated, engineKernel}
	}
	if len(f.engines) != 2 {
		return usageError(cmd, fmt.Errorf("--engines %s: want two, LEFT,RIGHT", strings.Join(f.engines, ",")))
	}
	for _, e := range f.engines {
		if !slices.Contains(engineNames(), e) {
			return usagef("engine %q: allowed with --live: %s", e, strings.Join(engineNames(), ", "))
		}
	}
	if f.profile != "" && len(f.files) == 0 {
		return usageError(cmd, errors.New("--profile needs the cluster: -f FILE"))
	}
	return nil
}

// liveOptions reads cluster and script.
func (f *compareFlags) liveOptions(cmd *cobra.Command, a *app) (*live.Options, error) {
	files := sourceNames(f.files)
	_, c, err := describedSources(cmd, f.files)
	if err == nil && f.profile != "" {
		var sources []cluster.Source
		if sources, err = f.profiled(c); err == nil {
			c, err = cluster.Load(sources...)
		}
	}
	if err != nil {
		return nil, err
	}
	objs := objects{dir: f.objects, defines: f.defines}
	o := &live.Options{
		Cluster: c, Sources: files, Version: buildVersion().Version, Log: a.log,
		Engines: func() (map[string]lab.Engine, map[string]lab.Attacher) { return objs.runners(), objs.attachers() },
	}
	for i, side := range []*live.Side{&o.Left, &o.Right} {
		side.Engine, side.Source = f.engines[i], "hooklab's Go datapath"
		if side.Engine == bytecode.Name || side.Engine == engineKernel {
			if _, side.Source, err = bundle(f.objects, f.defines); err != nil {
				return nil, err
			}
		}
	}
	if f.script == "" {
		name := "the default list for " + strings.Join(files, ", ")
		o.Generated = true
		o.Script, err = live.Parse(name, live.Default(c), c)
		return o, err
	}
	var text []byte
	if f.script == "-" {
		text, err = io.ReadAll(cmd.InOrStdin())
	} else {
		text, err = os.ReadFile(f.script)
	}
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	o.Script, err = live.Parse(f.script, string(text), c)
	return o, err
}

func writeLive(w io.Writer, format string, r *live.Report) error {
	switch format {
	case formatJSON:
		return r.WriteJSON(w)
	case formatMarkdown:
		return r.WriteMarkdown(w)
	case formatJUnit:
		return r.WriteJUnit(w)
	}
	return r.WriteText(w)
}
