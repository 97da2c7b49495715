package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/dataplane/kernel"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// checked is one line of `hooklab check`.
type checked struct {
	Feature string   `json:"feature"`
	OK      bool     `json:"ok"`
	Reason  string   `json:"reason,omitempty"` // why not
	For     []string `json:"for"`              // commands that need it
}

// newCheck makes the command check.
func newCheck(*app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Show what this machine and this user can do",
		Long: `Show what this kernel lets this user do, the reason for what it does not, and which
commands of hooklab need it. Each feature is tried, in a network namespace that goes away;
nothing is left behind. For a user who is not root it is tried in a user namespace, as that
is where this user's labs are. What needs none of this is not listed: trace, map, get,
graph, validate, and compare with the engines emulated and bytecode run everywhere.`,
		Example:           "  hooklab check\n  hooklab check -o json",
		Args:              wants(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	out := outputFlag(cmd, formatTable, formatYAML, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if lab.Rootless() {
			// What a lab of this user could do, it could do in a user namespace.
			err := lab.InUserNS(cmd.Context(), os.Args[1:], nil, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if !errors.Is(err, netns.ErrPermission) {
				return said(err)
			}
		}
		w, found := cmd.OutOrStdout(), check()
		if done, err := out.encode(w, found); done {
			return err
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "FEATURE\tOK\tFOR\tREASON\n")
		for _, c := range found {
			ok := "no"
			if c.OK {
				ok = "yes"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.Feature, ok, strings.Join(c.For, ", "), c.Reason)
		}
		return t.Flush()
	}
	return cmd
}

// check tries all features.
func check() []checked {
	const (
		up         = "up"
		tap        = "up --wire tap"
		attached   = "up --engine kernel"
		kernelSide = "compare --engines …,kernel"
	)
	needs := map[string][]string{
		"user namespaces": {"up (not root)"}, "veth pairs": {up}, "AF_PACKET": {up}, "TAP": {tap}, "vnet_hdr": {tap},
		"tunnel offloads": {"up --underlay tap"}, "nftables": {up},
		"vxlan external": {attached}, "clsact": {attached + " --clsact", attached + " (before Linux 6.6)"}, "tcx": {attached},
		"bpffs": {attached + " --pin"}, "bpf syscall": {attached, kernelSide}, "memlock": {attached, kernelSide},
		"BTF": {kernelSide}, "SCHED_CLS": {attached, kernelSide}, "BPF_PROG_TEST_RUN": {kernelSide},
		"redirect_peer":  {attached + " and " + kernelSide + " with profile article or host-routing"},
		"redirect_neigh": {"none: the datapath here does not call it"},
	}
	var found []checked
	for _, f := range append(netns.Probe(), kernel.Probe()...) {
		c := checked{Feature: f.Name, OK: f.Err == nil, For: needs[f.Name]}
		if f.Err != nil {
			c.Reason = strings.Join(strings.Fields(f.Err.Error()), " ")
		}
		found = append(found, c)
	}
	return found
}
