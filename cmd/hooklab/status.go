package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/netns/lab"
)

// newStatus makes the command status.
func newStatus(*app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a lab is",
		Long: `Show a running lab: since when it is up, what its nodes have done with frames so far,
and what runs in its pods. Without --lab and with several labs, all of them.

The JSON form (-o json) is described in docs/status-json.md and only grows.`,
		Example: `  hooklab status
  hooklab status -o json | jq '.nodes[].stats.lost'`,
		Args:              wants(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	var name string
	labFlag(cmd, &name)
	out := outputFlag(cmd, formatTable, formatJSON, formatYAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		names := []string{name}
		if all, err := lab.FindRunDir("").Labs(); err == nil && name == "" && len(all) > 1 {
			names = all
		}
		var found []*lab.Status
		var errs []error
		for _, name := range names {
			s, err := statusOf(cmd, name)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			found = append(found, s)
		}
		if err := writeStatus(cmd.OutOrStdout(), out, found); err != nil {
			return err
		}
		return errors.Join(errs...)
	}
	return cmd
}

func statusOf(cmd *cobra.Command, name string) (*lab.Status, error) {
	c, err := runningLab(name)
	if err != nil {
		return nil, err
	}
	return c.Status(cmd.Context())
}

// writeStatus writes one lab as an object, several as a list.
func writeStatus(w io.Writer, out *output, found []*lab.Status) error {
	var v any = found
	if len(found) == 1 {
		v = found[0]
	}
	if len(found) == 0 {
		return nil
	}
	if done, err := out.encode(w, v); done {
		return err
	}
	for i, s := range found {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := writeStatusTable(w, s); err != nil {
			return err
		}
	}
	return nil
}

func writeStatusTable(w io.Writer, s *lab.Status) error {
	fmt.Fprintf(w, "Lab:      %s, up for %s, process %d\n", s.Name, time.Since(s.Started).Round(time.Second), s.PID)
	fmt.Fprintf(w, "Engine:   %s, profile %s, hooklab %s\n", s.Engine, s.Profile, s.Version)
	fmt.Fprintf(w, "Wire:     %s\n", wireText(s))
	if s.Rootless {
		fmt.Fprintln(w, "User:     in a user namespace; 'hooklab exec' enters it")
	}
	fmt.Fprintf(w, "From:     %s\n", strings.Join(s.Sources, ", "))
	fmt.Fprintf(w, "Services: %d\n\n", s.Services)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NODE\tENGINE\tIP\tPOD-CIDR\tRECEIVED\tTO-POD\tTO-STACK\tTO-TUNNEL\tDROPPED\tLOST")
	for _, n := range s.Nodes {
		st := &n.Stats
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n",
			n.Name, n.Engine, n.IP, n.PodCIDR, st.Received, st.ToPod, st.ToStack, st.ToUnderlay, st.Events.Drop, lostText(st))
	}
	writePrograms(t, s)
	fmt.Fprintln(t, "\nPOD\tNODE\tIP\tPHASE\tCOMMAND\tRESTARTS")
	for _, p := range s.Pods {
		fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\t%s\n", p.Namespace, p.Name, p.Node, p.IP, p.Phase, commandText(p.Command))
	}
	for _, e := range s.External {
		fmt.Fprintf(t, "external/%s\t\t%s\t\t%s\n", e.Name, e.IP, commandText(e.Command))
	}
	return t.Flush()
}

// wireText says what connects the pods, and why.
func wireText(s *lab.Status) string {
	text := s.Wire
	if s.WireWhy != "" {
		text += ", since " + s.WireWhy
	}
	if s.Wire == "tap" {
		text += "; lxc devices are in 'hooklab get devices' only"
	}
	return text
}

// writePrograms lists the programs of nodes in the kernel, and where their maps are.
func writePrograms(w io.Writer, s *lab.Status) {
	var pinned []string
	head := "\nPROGRAM\tNODE\tDEVICE\tSIDE\tBY\tID\n"
	for _, n := range s.Nodes {
		for _, p := range n.Programs {
			fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\t%d\n", head, p.Program, n.Name, p.Device, p.Side, p.By, p.ID)
			head = ""
		}
		if n.Maps != "" {
			pinned = append(pinned, n.Maps)
		}
	}
	if pinned != nil {
		fmt.Fprintf(w, "\nMAPS\n%s\n", strings.Join(pinned, "\n"))
	}
}

// lostText says what was lost outside of a program, "0" if nothing.
func lostText(s *lab.NodeStats) string {
	var all []string
	for why, n := range s.Lost {
		if why != lab.LostByProgram {
			all = append(all, fmt.Sprintf("%d %s", n, why))
		}
	}
	for port, n := range s.PortErrors {
		all = append(all, fmt.Sprintf("%d errors of %s", n, port))
	}
	if len(all) == 0 {
		return "0"
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// commandText is the two columns of a command.
func commandText(c *lab.CommandStatus) string {
	if c == nil {
		return "\t"
	}
	state := strings.Join(c.Run, " ")
	if c.PID == 0 {
		state += " (ended: " + c.LastExit + ")"
	}
	return state + "\t" + strconv.Itoa(c.Restarts)
}
