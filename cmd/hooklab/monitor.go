package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/netns/lab"
)

// Values of --type and --verdict.
const (
	typeDrop    = "drop"
	typeTrace   = "trace"
	typeVerdict = "policy-verdict"

	verdictForwarded  = "forwarded"
	verdictDropped    = "dropped"
	verdictRedirected = "redirected"
	verdictAudit      = "audit"
)

// errEnough ends a stream when the wanted number has come.
var errEnough = errors.New("enough")

// monitorFlags are the flags of monitor.
type monitorFlags struct {
	lab      string
	nodes    []string
	pods     []string
	types    []string
	verdicts []string
	numeric  bool
	count    int
}

// newMonitor makes the command monitor.
func newMonitor(*app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Show what a running lab's datapath reports, as cilium monitor does",
		Long: `Follow the notifications of a running lab's programs, one to a line in the format of
'cilium monitor': what was dropped and why, where frames went, what policies decided.

Monitor aggregation is Cilium's default, medium: of an established connection only what
changes is reported, and something every 5 seconds. Lines of several nodes begin with the
node's name; --node NAME leaves it out. If more is reported than can be shown, it says
how many notifications were lost.`,
		Example: `  # What one pod sends and gets
  hooklab monitor --pod pod1-1

  # Only drops, as JSON
  hooklab monitor --type drop -o json`,
		Args:              wants(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := &monitorFlags{}
	labFlag(cmd, &f.lab)
	cmd.Flags().StringSliceVar(&f.nodes, "node", nil, "only `NODE`; may be repeated")
	cmd.Flags().StringSliceVar(&f.pods, "pod", nil, "only what is sent by or to `POD`; may be repeated")
	cmd.Flags().StringSliceVarP(&f.types, "type", "t", nil, "only this `TYPE`: "+strings.Join(monitorTypes(), ", "))
	cmd.Flags().StringSliceVar(&f.verdicts, "verdict", nil, "only with this `VERDICT`: "+strings.Join(monitorVerdicts(), ", "))
	cmd.Flags().BoolVarP(&f.numeric, "numeric", "n", false, "reserved identities as numbers")
	cmd.Flags().IntVarP(&f.count, "count", "c", 0, "end after `N` notifications")
	complete(cmd, "type", monitorTypes()...)
	complete(cmd, "verdict", monitorVerdicts()...)
	out := outputFlag(cmd, formatText, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd, out) }
	return cmd
}

func monitorTypes() []string { return []string{typeDrop, typeTrace, typeVerdict} }
func monitorVerdicts() []string {
	return []string{verdictForwarded, verdictDropped, verdictRedirected, verdictAudit}
}

func (f *monitorFlags) run(cmd *cobra.Command, out *output) error {
	for _, list := range []struct {
		flag        string
		got, values []string
	}{{"type", f.types, monitorTypes()}, {"verdict", f.verdicts, monitorVerdicts()}} {
		for _, v := range list.got {
			if !slices.Contains(list.values, v) {
				return usagef("--%s %s: allowed: %s", list.flag, v, strings.Join(list.values, ", "))
			}
		}
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
	info, err := client.Info(ctx)
	if err != nil {
		return err
	}
	m := &monitor{flags: f, names: names, out: out, w: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
	if m.pods, err = f.endpoints(cmd, client); err != nil {
		return err
	}
	listened := f.nodes
	if len(listened) == 0 {
		listened = info.Nodes
	}
	m.prefix = len(listened) > 1
	err = client.Events(ctx, f.nodes, func() error {
		_, err := fmt.Fprintf(m.err, "Listening for events on %s\nPress Ctrl-C to quit\n", count(len(listened), "node"))
		return err
	}, m.event)
	if errors.Is(err, errEnough) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// endpoint is a pod as notifications name it.
type endpoint struct {
	node string
	id   uint16
	ip   [4]byte
}

// endpoints are the pods of --pod.
func (f *monitorFlags) endpoints(cmd *cobra.Command, client *lab.Client) ([]endpoint, error) {
	if len(f.pods) == 0 {
		return nil, nil
	}
	c, err := client.Cluster(cmd.Context())
	if err != nil {
		return nil, err
	}
	var list []endpoint
	for _, ref := range f.pods {
		p, err := c.Pod(ref)
		if err != nil {
			return nil, err
		}
		list = append(list, endpoint{p.Node, p.ID, p.IP.As4()})
	}
	return list, nil
}

// monitor shows notifications.
type monitor struct {
	flags  *monitorFlags
	names  *labNames
	out    *output
	pods   []endpoint
	prefix bool // lines begin with the node's name
	w, err io.Writer
	seen   int
}

// event shows a notification, if it is chosen.
func (m *monitor) event(e *lab.Event) error {
	if e.Lost > 0 {
		return m.lost(e)
	}
	n, frame, err := trace.DecodeNotification(e.Record)
	if err != nil {
		return fmt.Errorf("notification of node %s: %w", e.Node, err)
	}
	if !m.wants(e.Node, n, frame) {
		return nil
	}
	names := trace.Names{Numeric: m.flags.numeric, Device: func(ifindex uint32) string {
		d, _ := m.names.device(e.Node, ifindex)
		return d.Name
	}}
	if m.out.format == formatJSON {
		err = json.NewEncoder(m.w).Encode(newMonitorEvent(e, n, frame, names))
	} else {
		_, err = fmt.Fprintf(m.w, "%s%s\n", m.nodePrefix(e.Node), names.Line(n, dissect.Connection(frame)))
	}
	if m.seen++; err == nil && m.seen == m.flags.count {
		return errEnough
	}
	return err
}

func (m *monitor) nodePrefix(node string) string {
	if !m.prefix {
		return ""
	}
	return node + ": "
}

// lost tells that notifications are missing.
func (m *monitor) lost(e *lab.Event) error {
	if m.out.format == formatJSON {
		return json.NewEncoder(m.w).Encode(monitorEvent{Type: "lost", Node: e.Node, Time: e.Time, Lost: e.Lost})
	}
	fmt.Fprintf(m.err, "%sLost %d events\n", m.nodePrefix(e.Node), e.Lost)
	return nil
}

// wants applies the filters.
func (m *monitor) wants(node string, n any, frame []byte) bool {
	kind, verdict := kindOf(n)
	if len(m.flags.types) > 0 && !slices.Contains(m.flags.types, kind) ||
		len(m.flags.verdicts) > 0 && !slices.Contains(m.flags.verdicts, verdict) {
		return false
	}
	return len(m.pods) == 0 || slices.ContainsFunc(m.pods, func(e endpoint) bool { return e.isIn(node, n, frame) })
}

func kindOf(n any) (kind, verdict string) {
	switch n := n.(type) {
	case trace.Drop:
		return typeDrop, verdictDropped
	case trace.Verdict:
		switch n.Action() {
		case "deny":
			return typeVerdict, verdictDropped
		case "redirect":
			return typeVerdict, verdictRedirected
		case "audit":
			return typeVerdict, verdictAudit
		}
		return typeVerdict, verdictForwarded
	case trace.Trace:
		if n.Point() == code.TraceToProxy {
			return typeTrace, verdictRedirected
		}
	}
	return typeTrace, verdictForwarded
}

// isIn says whether a notification is about the endpoint: it speaks, it is addressed,
// or the frame has its address.
func (e endpoint) isIn(node string, n any, frame []byte) bool {
	if node == e.node {
		switch n := n.(type) {
		case trace.Drop:
			if n.Source == e.id || n.DstID == uint32(e.id) {
				return true
			}
		case trace.Trace:
			if n.Source == e.id || n.DstID == e.id && n.Point() == code.TraceToLXC {
				return true
			}
		case trace.Verdict:
			if n.Source == e.id {
				return true
			}
		}
	}
	const srcAt, dstAt = 26, 30
	return len(frame) >= dstAt+4 && frame[12] == 8 && frame[13] == 0 && ([4]byte(frame[srcAt:]) == e.ip || [4]byte(frame[dstAt:]) == e.ip)
}

// monitorEvent is a notification as JSON. Names are those of `cilium monitor -j` where
// it has the same thing.
type monitorEvent struct {
	Type     string    `json:"type"` // drop, trace, policy-verdict or lost
	Node     string    `json:"node"`
	Time     time.Time `json:"time"`
	Verdict  string    `json:"verdict,omitempty"` // forwarded, dropped, redirected or audit
	Source   uint16    `json:"source"`            // endpoint whose program speaks, 0 for the overlay's
	Mark     string    `json:"mark,omitempty"`    // the frame's hash
	Bytes    uint32    `json:"bytes,omitempty"`
	SrcLabel uint32    `json:"srcLabel"` // identities
	DstLabel uint32    `json:"dstLabel"`
	DstID    uint32    `json:"dstID"`

	ObservationPoint string `json:"observationPoint,omitempty"` // of a trace: to-endpoint
	TraceSummary     string `json:"traceSummary,omitempty"`     // -> endpoint 51
	State            string `json:"state,omitempty"`            // of conntrack: new
	Device           string `json:"ifindex,omitempty"`
	OrigIP           string `json:"origIP,omitempty"`

	Reason string `json:"reason,omitempty"` // of a drop
	File   string `json:"file,omitempty"`
	Line   uint16 `json:"line,omitempty"`

	Direction string `json:"direction,omitempty"` // of a policy verdict: ingress
	Action    string `json:"action,omitempty"`
	Match     string `json:"match,omitempty"`

	Summary string `json:"summary,omitempty"` // the connection
	Lost    uint64 `json:"lost,omitempty"`    // so many are missing here
}

func newMonitorEvent(e *lab.Event, n any, frame []byte, names trace.Names) monitorEvent {
	m := monitorEvent{Node: e.Node, Time: e.Time, Summary: dissect.Connection(frame)}
	m.Type, m.Verdict = kindOf(n)
	common := func(c trace.Common) {
		m.Source, m.Mark, m.Bytes = c.Source, fmt.Sprintf("%#x", c.Hash), c.Len
	}
	switch n := n.(type) {
	case trace.Drop:
		common(n.Common)
		m.SrcLabel, m.DstLabel, m.DstID = n.SrcLabel, n.DstLabel, n.DstID
		m.Reason, m.File, m.Line = n.ReasonText(), code.FileName(n.File), n.Line
	case trace.Trace:
		common(n.Common)
		m.SrcLabel, m.DstLabel, m.DstID = n.SrcLabel, n.DstLabel, uint32(n.DstID)
		m.ObservationPoint, m.TraceSummary, m.State = n.Point().String(), n.Summary(), n.Reason.String()
		m.OrigIP = n.OriginalIP().String()
		if n.Ifindex != 0 {
			m.Device = names.Device(n.Ifindex)
		}
	case trace.Verdict:
		common(n.Common)
		m.SrcLabel, m.Direction, m.Action, m.Match = n.RemoteLabel, n.Direction(), n.Action(), n.Match.String()
	}
	return m
}
