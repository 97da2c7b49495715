package main

import (
	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/maps"
)

// mapDump is a map in JSON and YAML.
type mapDump struct {
	Name    string     `json:"name"`
	Node    string     `json:"node"`
	Entries []maps.Row `json:"entries"`
}

// newMapGet makes the command map get.
func newMapGet(*app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Print a map as Cilium does",
		Long: `Print a map of a node as 'cilium map get NAME' of Cilium 1.12 prints it, except that
the entries are sorted.

That command cannot print conntrack, policy, metrics, fragment and calls maps. They
have the form of 'cilium bpf ct list', 'bpf policy get', 'bpf metrics list' and so on,
which --bpf chooses for the other maps too.

YAML and JSON have all entries, with keys and values as text and as bytes; the table
of services has their frontends only, as Cilium's has.`,
		Example: `  # The endpoints of the first worker
  hooklab map get cilium_lxc

  # What another node knows of all addresses, as computed for a file
  hooklab map get cilium_ipcache -f cluster.yaml --node worker2

  # The backends of all services as 'cilium bpf lb list --backends' prints them
  hooklab map get cilium_lb4_backends_v2 --bpf

  # The policy of endpoint 436 with numbers instead of labels
  hooklab map get cilium_policy_00436 -n

  # Keys and values as text and as bytes
  hooklab map get cilium_lb4_services_v2 -o json`,
		Args: wants("NAME"),
	}
	t := targetFlags(cmd)
	node := nodeFlag(cmd, t)
	out := outputFlag(cmd, formatTable, formatYAML, formatJSON)
	bpf := cmd.Flags().Bool("bpf", false, "print the map as the command of 'cilium bpf' for it does")
	numeric := cmd.Flags().BoolP("numeric", "n", false, "print identities as numbers in policy maps")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		v, err := t.open(cmd, *node)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return v.maps.Names(), cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v, err := t.open(cmd, *node)
		if err != nil {
			return err
		}
		m, err := v.maps.Lookup(args[0])
		if isUnknownMap(err) {
			return unknownMap(args[0], v.node, v.maps.Names())
		}
		if err != nil {
			return err
		}
		opt := v.cluster.MapText()
		opt.Numeric = *numeric
		w := cmd.OutOrStdout()
		switch {
		case out.format != formatTable:
			opt.AllSlots = true
			rows, err := maps.Rows(m, opt)
			if err != nil {
				return err
			}
			_, err = out.encode(w, mapDump{Name: args[0], Node: v.node, Entries: rows})
			return err
		case *bpf:
			return maps.WriteBPFList(w, m, opt)
		default:
			return maps.WriteTable(w, m, opt)
		}
	}
	return cmd
}
