package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/netns/lab"
)

// captureFlags are the flags of capture.
type captureFlags struct {
	lab     string
	hooks   []string
	file    string
	snapLen int
	count   int
}

// newCapture makes the command capture.
func newCapture(*app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "capture [POD|node/NAME]...",
		Short: "Write the frames at a running lab's hooks as pcapng",
		Long: `Write the frames at the hooks of pods and nodes, before and after the programs there, as
pcapng for Wireshark and tshark: of the pods and nodes that are named, else of all.

There is an interface for each hook and side, "NODE/DEVICE:PROGRAM@entry" and "…@exit" as
xdpdump calls them, "NODE/DEVICE:to-pod" for what enters a pod, and "NODE/DEVICE:lost" for
what Linux would lose. Packet comments tell the program's verdict, the reason of a drop,
identities, mark and VNI. A frame that is still to be cut into segments is one packet.

Any number of captures may run at once. They cost the lab's speed while they run; if it
is faster than they are, it says how many frames are missing.`,
		Example: `  # Everything that pod1-1's hooks see, live
  hooklab capture pod1-1 | wireshark -k -i -

  # What the tunnel's programs of one node do, into a file until ^C
  hooklab capture node/worker --hook from-overlay,to-overlay -w overlay.pcapng
  tshark -r overlay.pcapng -T fields -e frame.interface_name -e frame.comment`,
	}
	f := &captureFlags{}
	labFlag(cmd, &f.lab)
	cmd.ValidArgsFunction = completeSpaces(&f.lab)
	cmd.Flags().StringSliceVar(&f.hooks, "hook", nil, "only at this `PROGRAM`'s hooks; may be repeated")
	cmd.Flags().StringVarP(&f.file, "write", "w", "-", "`FILE` to write to, - for standard output")
	cmd.Flags().IntVarP(&f.snapLen, "snapshot-length", "s", 0, "keep at most `BYTES` of each frame")
	cmd.Flags().IntVarP(&f.count, "count", "c", 0, "end after `N` frames")
	complete(cmd, "hook", "from-container", "to-container", "from-host", "to-host", "from-overlay", "to-overlay")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) }
	return cmd
}

func (f *captureFlags) run(cmd *cobra.Command, args []string) (err error) {
	if _, _, tty := terminal(cmd.OutOrStdout()); tty && f.file == "-" {
		return usagef("pcapng is not for a terminal: give -w FILE, or | wireshark -k -i -")
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := runningLab(f.lab)
	if err != nil {
		return err
	}
	names, err := newLabNames(ctx, client)
	if err != nil {
		return err
	}
	c, err := client.Cluster(ctx)
	if err != nil {
		return err
	}
	filter := lab.FrameFilter{Programs: f.hooks, SnapLen: f.snapLen}
	if filter.Devices, err = captureDevices(c, args); err != nil {
		return err
	}
	out := newCapturing(names, c, f)
	stderr := cmd.ErrOrStderr()
	// The file is touched only when the lab has not refused.
	ready := func() error {
		if err := out.begin(cmd.OutOrStdout()); err != nil {
			return err
		}
		_, err := fmt.Fprintln(stderr, "Capturing; press Ctrl-C to quit")
		return err
	}
	err = client.Frames(ctx, filter, ready, out.frame, func(node string, n uint64) { fmt.Fprintf(stderr, "%s: lost %d frames\n", node, n) })
	err = errors.Join(err, out.end())
	if errors.Is(err, errEnough) || errors.Is(err, syscall.EPIPE) {
		err = nil
	}
	if err == nil {
		fmt.Fprintf(stderr, "%s captured\n", count(out.seen, "frame"))
	}
	return err
}

// captureDevices are the devices of pods and nodes, nil for all.
func captureDevices(c *cluster.Cluster, refs []string) ([]lab.Device, error) {
	var list []lab.Device
	for _, ref := range refs {
		if name, isNode := cutNode(ref); isNode {
			if _, err := c.Node(name); err != nil {
				return nil, err
			}
			for _, d := range c.Devices(name) {
				list = append(list, lab.Device{Node: name, Ifindex: d.Ifindex})
			}
			continue
		}
		p, err := c.Pod(ref)
		if err != nil {
			return nil, err
		}
		if p.HostNetwork {
			return nil, usagef("pod %s lives in its node's network: capture node/%s", p.Ref(), p.Node)
		}
		list = append(list, lab.Device{Node: p.Node, Ifindex: p.Ifindex})
	}
	return list, nil
}

// capturing writes frames as they come.
type capturing struct {
	file  *os.File      // nil: standard output, or not begun
	w     *bufio.Writer // nil: not begun
	out   *dissect.Writer
	names *labNames
	ids   map[string]int // of interfaces
	peers map[[4]byte]string
	flags *captureFlags
	seen  int
}

func newCapturing(names *labNames, c *cluster.Cluster, f *captureFlags) *capturing {
	x := &capturing{names: names, ids: make(map[string]int), peers: make(map[[4]byte]string), flags: f}
	for _, p := range c.Pods() {
		if !p.HostNetwork {
			x.peers[p.IP.As4()] = fmt.Sprintf("%d (%s)", p.Identity, p.Ref())
		}
	}
	return x
}

// begin opens what is written to.
func (x *capturing) begin(w io.Writer) (err error) {
	if x.flags.file != "-" {
		if x.file, err = os.Create(x.flags.file); err != nil {
			return exitWith(exitUsage, fmt.Errorf("write capture: %w", err))
		}
		w = x.file
	}
	x.w = bufio.NewWriterSize(w, 1<<16)
	x.out, err = dissect.NewWriter(x.w, dissect.Section{
		Application: "hooklab " + buildVersion().Version, OS: "Linux", Comment: "lab " + x.names.client.Name(),
	})
	if err != nil {
		return err
	}
	return x.w.Flush()
}

// end writes the rest and closes the file.
func (x *capturing) end() (err error) {
	if x.w != nil {
		err = x.w.Flush()
	}
	if x.file != nil {
		err = errors.Join(err, x.file.Close())
	}
	return err
}

// frame writes a frame. Nothing is kept back when no other is waiting.
func (x *capturing) frame(nodeName string, at time.Time, f *lab.Frame) error {
	d, ok := x.names.device(nodeName, f.Ifindex)
	if !ok {
		d.Name = fmt.Sprintf("if%d", f.Ifindex)
	}
	name, about, dir := nodeName+"/"+d.Name, d.Name+" of "+nodeName, dissect.Outbound
	switch f.Kind {
	case node.EventBefore:
		name, about, dir = name+":"+f.Prog.String()+"@entry", "before "+f.Prog.String()+" at "+about, hookDirection(f.Prog)
	case node.EventAfter:
		name, about, dir = name+":"+f.Prog.String()+"@exit", "after "+f.Prog.String()+" at "+about, hookDirection(f.Prog)
	case node.EventToPod:
		name, about = name+":to-pod", "into the pod behind "+about
	default:
		name, about = name+":lost", "lost at "+about
	}
	id, ok := x.ids[name]
	if !ok {
		var err error
		if id, err = x.out.AddInterface(dissect.Interface{Name: name, Description: about, SnapLen: uint32(x.flags.snapLen)}); err != nil {
			return err
		}
		x.ids[name] = id
	}
	err := x.out.Write(dissect.Record{
		Interface: id, Time: at, Data: f.Data, OrigLen: f.OrigLen, Direction: dir, Comments: x.comments(nodeName, f),
	})
	if err == nil {
		err = x.w.Flush()
	}
	if x.seen++; err == nil && x.seen == x.flags.count {
		return errEnough
	}
	return err
}

func hookDirection(p dataplane.Prog) dissect.Direction {
	if p.Egress() {
		return dissect.Outbound
	}
	return dissect.Inbound
}

// comments tell what is not in the frame.
func (x *capturing) comments(nodeName string, f *lab.Frame) []string {
	var all []string
	switch f.Kind {
	case node.EventAfter:
		all = append(all, "verdict: "+x.verdict(nodeName, f.Verdict))
	case node.EventLost:
		all = append(all, "lost: "+f.Loss.String())
	default:
	}
	const srcAt, dstAt, ipv4End = 26, 30, 34
	if len(f.Data) >= ipv4End && f.Data[12] == 8 && f.Data[13] == 0 {
		if who := x.peers[[4]byte(f.Data[srcAt:])]; who != "" {
			all = append(all, "source identity: "+who)
		}
		if who := x.peers[[4]byte(f.Data[dstAt:])]; who != "" {
			all = append(all, "destination identity: "+who)
		}
	}
	if f.Mark != 0 {
		all = append(all, fmt.Sprintf("mark: %#x", f.Mark))
	}
	if f.VNI != 0 {
		all = append(all, fmt.Sprintf("tunnel key: VNI %d", f.VNI))
	}
	if f.Segment != 0 {
		all = append(all, fmt.Sprintf("aggregate: to be cut into segments of %d bytes", f.Segment))
	}
	if f.Partial {
		all = append(all, "checksum: to be completed")
	}
	return all
}

// verdict is a program's decision in words.
func (x *capturing) verdict(nodeName string, v dataplane.Verdict) string {
	switch v.Kind() {
	case dataplane.Dropped:
		if v.Drop == 0 {
			return "drop"
		}
		return fmt.Sprintf("drop, %s (%d)", code.Reason(uint8(-v.Drop)), -v.Drop)
	case dataplane.Redirected:
		d, ok := x.names.device(nodeName, v.Ifindex)
		if !ok {
			d.Name = fmt.Sprintf("ifindex %d", v.Ifindex)
		}
		how := "redirect to "
		if v.Flags&dataplane.RedirectPeer != 0 {
			how = "redirect to the peer of "
		}
		return how + d.Name
	case dataplane.Unspec:
		return fmt.Sprintf("unspec (%d): goes on as it is", v.Action)
	default:
		return "ok: pass on"
	}
}
