package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/netns/lab"
)

// upFlags are the flags of up.
type upFlags struct {
	files  []string
	name   string
	engine string
	object objects
	wire   string
	under  string
	pin    bool
	detach bool
	dryRun bool
	links  bool
}

// newUp makes the command up.
func newUp(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring a cluster up as network namespaces with real traffic",
		Long: `Bring a cluster up: a network namespace for each pod and each node, connected by
hooklab's datapath and, between the nodes, by VXLAN over UDP.

Nothing changes in the namespace that hooklab is started in. The lab stays up until ^C,
SIGTERM or 'hooklab down'; with --detach in the background. What a killed lab of the
same name has left is removed first.

If the lab is up already it becomes what the files say now: pods, services, backends and
nodes are added, removed and moved, and everything that stays is left alone, connections
too. The differences are printed, one to a line; --dry-run only prints them.

A lab keeps its namespaces, its control socket and the output of the pods' commands in
a directory below /run/hooklab, or below $HOOKLAB_RUN_DIR. For users other than root it is
$XDG_RUNTIME_DIR/hooklab, else /tmp/hooklab-UID.

With --netns-links 'ip netns' sees the namespaces too: 'ip netns exec LAB-POD', 'ip -n LAB-NODE
route', and LAB-NAMESPACE-POD, LAB-health-NODE, LAB-underlay. They go with the lab. A name that
somebody else has is an error.

A pod's eth0 is a TAP device with --wire tap; what 'get devices' calls lxc... then exists in
the datapath alone. With --wire veth it is a real device of the node's namespace, so that
'hooklab exec node/worker -- tcpdump -i lxc...' shows a pod's traffic; the node's own
stack never sees it.

The engine bytecode runs BPF objects, hooklab's own or those of --object, without any
right to load them into the kernel. The engine kernel attaches them to devices in the kernel,
as an agent does, by tcx or (before Linux 6.6) clsact: every wire is a veth pair then and
cilium_vxlan a device, and the maps are the kernel's. A node of the description that names an
engine of its own (engine: kernel) runs on that; --engine is for the others.

Root is not needed, but for --engine kernel: other users' labs live in a user namespace,
if the system allows that. Only the lab's process can enter it; exec and shell ask it to.
The pods' programs run as the user that they belong to, with all capabilities inside.
/dev/net/tun, which --wire tap needs, is root's alone on some systems; the pods are then
connected by veth pairs. 'hooklab check' tells.`,
		Example: `  # The cluster of ./cluster.yaml, until ^C
  hooklab up

  # In the background, and down again
  hooklab up -f cluster.yaml --detach
  hooklab exec pod1-1 -- ping -c 3 10.0.1.79
  hooklab down

  # What an edited file would change, and the change
  hooklab up -f cluster.yaml --dry-run
  hooklab up -f cluster.yaml

  # A real cluster's pods and services on this machine
  kubectl get nodes,ciliumnodes,pods,services,endpointslices -A -o yaml | hooklab up -f -`,
		Args:              wants(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	var f upFlags
	f.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.runUp(cmd, &f) }
	return cmd
}

// runUp changes the lab if it is up already, else brings it up.
func (a *app) runUp(cmd *cobra.Command, f *upFlags) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var input bytes.Buffer // what was read from standard input, for the process in the background
	cmd.SetIn(io.TeeReader(cmd.InOrStdin(), &input))
	sources, c, err := describedSources(cmd, f.files)
	if err != nil {
		return err
	}
	engines := nodeEngines(c, f.engine)
	if err := f.object.check(cmd, engines...); err != nil {
		return err
	}
	if err := f.object.adopt(c); err != nil {
		return err
	}
	if (f.pin || f.object.clsact) && !slices.Contains(engines, engineKernel) {
		return usageError(cmd, fmt.Errorf("--pin and --clsact are for nodes with engine %s, and there is none", engineKernel))
	}
	if f.name == "" {
		f.name = c.Settings().Name
	}
	if done, err := f.change(ctx, cmd, sources); done || err != nil {
		return err
	}
	if f.dryRun {
		fmt.Fprintf(cmd.OutOrStdout(), "lab %s is not up; it would have %s\n", f.name, contents(c))
		return nil
	}
	if f.links && lab.Rootless() {
		return lab.NoLinks()
	}
	if f.detach && !lab.Detached() {
		return a.upDetached(ctx, cmd, c, f, &input)
	}
	if lab.Rootless() {
		return a.upInside(ctx, cmd, f, &input, stop)
	}
	return a.up(ctx, cmd, c, f, stop)
}

// nodeEngines are the engines of a cluster's nodes; of those that name none it is other.
func nodeEngines(c *cluster.Cluster, other string) []string {
	var all []string
	for _, n := range c.Nodes() {
		all = append(all, cmp.Or(n.Engine, other))
	}
	return all
}

// change changes the lab if it is up already, and says whether it is.
func (f *upFlags) change(ctx context.Context, cmd *cobra.Command, sources []cluster.Source) (bool, error) {
	if lab.Detached() {
		return false, nil // the process in the foreground has looked
	}
	running, err := lab.FindRunDir("").Client(f.name)
	if errors.Is(err, lab.ErrNoLab) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	info, err := running.Info(ctx)
	if errors.Is(err, lab.ErrNotReady) {
		return false, nil // what is left of a dead one is removed
	}
	if err != nil {
		return false, err
	}
	if info.Engine != f.engine && cmd.Flags().Changed("engine") {
		return true, usagef("lab %s runs engine %s, which cannot change; 'hooklab down' first", f.name, info.Engine)
	}
	if f.links != info.NetnsLinks && cmd.Flags().Changed("netns-links") {
		return true, usagef("lab %s was brought up with --netns-links=%t, which cannot change; 'hooklab down' first", f.name, info.NetnsLinks)
	}
	lines, err := running.Change(ctx, sources, sourceNames(f.files), f.dryRun)
	if err != nil {
		return true, err
	}
	for _, line := range lines {
		fmt.Fprintln(cmd.OutOrStdout(), line)
	}
	switch {
	case len(lines) == 0:
		fmt.Fprintf(cmd.OutOrStdout(), "lab %s is up and as described\n", f.name)
	case f.dryRun:
		fmt.Fprintf(cmd.OutOrStdout(), "lab %s: %s, not made\n", f.name, count(len(lines), "change"))
	default:
		fmt.Fprintf(cmd.OutOrStdout(), "lab %s: %s\n", f.name, count(len(lines), "change"))
	}
	return true, nil
}

// register adds the flags.
func (f *upFlags) register(cmd *cobra.Command) {
	fileFlag(cmd, &f.files)
	cmd.Flags().StringVar(&f.name, "name", "", "`NAME` of the lab (default the one in the description)")
	cmd.Flags().StringVar(&f.engine, "engine", lab.DefaultEngine, "`ENGINE` that runs the datapath: emulated (in Go), bytecode (BPF objects in a virtual machine), kernel (BPF objects in the kernel)")
	f.object.register(cmd)
	cmd.Flags().BoolVar(&f.object.clsact, "clsact", false, "with engine kernel, attach programs by clsact as before Linux 6.6, so that 'tc filter' and older bpftools list them")
	cmd.Flags().BoolVar(&f.pin, "pin", false, "with engine kernel, pin the maps in a BPF file system in the lab's directory, for bpftool; 'hooklab status -o json' says where")
	cmd.Flags().StringVar(&f.wire, "wire", "", "`WIRE` to each pod: tap (fast), veth (with an lxc device on the node to look at) (default tap if allowed)")
	cmd.Flags().StringVar(&f.under, "underlay", "", "`KIND` of the way between nodes: tap, socket (default tap if the kernel can)")
	cmd.Flags().BoolVar(&f.links, "netns-links", false, "show the namespaces to 'ip netns' as LAB-NODE and LAB-POD (root)")
	cmd.Flags().BoolVarP(&f.detach, "detach", "d", false, "go to the background when the lab is up")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print what would be made or changed, and do nothing")
	complete(cmd, "name")
	complete(cmd, "engine", engineEmulated, bytecode.Name, engineKernel)
	complete(cmd, "wire", "tap", "veth")
	complete(cmd, "underlay", "tap", "socket")
}

// up runs a lab until somebody wants it down. A second signal ends the process at
// once: restore gives signals back their usual effect.
func (a *app) up(ctx context.Context, cmd *cobra.Command, c *cluster.Cluster, f *upFlags, restore func()) error {
	detached := lab.Detached()
	l, err := lab.Up(ctx, lab.Options{
		Cluster: c, Sources: sourceNames(f.files), Name: f.name,
		Engine: f.engine, Engines: f.object.runners(), Attachers: f.object.attachers(), Wire: f.wire, Underlay: f.under, PinMaps: f.pin, NetnsLinks: f.links, Version: buildVersion().Version, Log: a.log,
	})
	switch {
	case errors.Is(err, lab.ErrRunning):
		return exitWith(exitCannot, fmt.Errorf("%w; 'hooklab down' takes it down, --name makes another beside it", err))
	case err != nil:
		return err
	}
	if !detached {
		fmt.Fprintf(cmd.OutOrStdout(), "%s; ^C takes it down\n", summary(l.Name(), c))
	}
	if err := l.Ready(); err != nil {
		return errors.Join(err, l.Close())
	}
	select {
	case <-ctx.Done():
	case <-l.Done():
	}
	restore()
	return errors.Join(l.Err(), l.Close())
}

// upDetached runs a lab in another process and returns when it is up.
func (a *app) upDetached(ctx context.Context, cmd *cobra.Command, c *cluster.Cluster, f *upFlags, input *bytes.Buffer) error {
	err := lab.Detach(ctx, os.Args[1:], f.stdin(input), cmd.ErrOrStderr())
	if err := said(err); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s; 'hooklab down --lab %s' takes it down\n", summary(f.name, c), f.name)
	return nil
}

// upInside runs a lab in a user namespace, as a user who is not root can, until somebody
// wants it down. A second signal ends it at once.
func (a *app) upInside(ctx context.Context, cmd *cobra.Command, f *upFlags, input *bytes.Buffer, restore func()) error {
	defer context.AfterFunc(ctx, restore)()
	return said(lab.InUserNS(ctx, os.Args[1:], f.stdin(input), cmd.OutOrStdout(), cmd.ErrOrStderr()))
}

// stdin is the standard input of a process that runs up again: nil if this one has not
// read it, as a nil *bytes.Buffer would be one.
func (f *upFlags) stdin(input *bytes.Buffer) io.Reader {
	if slices.Contains(f.files, "-") {
		return input
	}
	return nil
}

// said is an error of another process of this program, which has said why.
func said(err error) error {
	if e, ok := errors.AsType[*lab.ExitError](err); ok {
		return exitWith(e.Code, nil)
	}
	return err
}

// sourceNames are the files that described reads.
func sourceNames(files []string) []string {
	if len(files) == 0 {
		return []string{defaultFile}
	}
	return files
}

// summary is what a user reads when a lab is up.
func summary(name string, c *cluster.Cluster) string {
	return fmt.Sprintf("lab %s is up: %s", name, contents(c))
}

// contents counts what a cluster has.
func contents(c *cluster.Cluster) string {
	return fmt.Sprintf("%s, %s, %s", count(len(c.Nodes()), "node"), count(len(c.Pods()), "pod"), count(len(c.Services()), "service"))
}
