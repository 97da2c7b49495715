package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
)

// resource is a kind of object that `hooklab get` lists.
type resource struct {
	name   string
	short  string // as kubectl abbreviates it
	about  string
	narrow int // columns without -o wide; 0: all
}

func resources() []resource {
	return []resource{
		{"nodes", "no", "the machines with their addresses and pod networks", 5},
		{"pods", "po", "the pods with their addresses, endpoint ids and identities", 7},
		{"services", "svc", "the services with their ports, ids and backends", 0},
		{"devices", "", "the network devices of the nodes", 0},
		{"ciliumnodes", "cn", "the nodes as Cilium's agents publish them", 0},
	}
}

// newGet makes the command get.
func newGet(*app) *cobra.Command {
	var about strings.Builder
	var kinds []string
	for _, r := range resources() {
		name := r.name
		if r.short != "" {
			name += ", " + r.short
		}
		fmt.Fprintf(&about, "  %-17s %s\n", name, r.about)
		kinds = append(kinds, r.name)
	}
	cmd := &cobra.Command{
		Use:   "get KIND [NAME]...",
		Short: "List the objects of a cluster with everything that was allocated",
		Long: "List the objects of a cluster with everything that was allocated to them.\n\nThe kinds are\n\n" + about.String() + `
The table with -o wide has more columns. YAML and JSON are manifests: a List, or one
object that was asked for by name.`,
		Example: `  # All pods with their endpoint ids and identities
  hooklab get pods

  # What the agent of a node publishes, as 'kubectl get ciliumnodes' shows it
  hooklab get ciliumnodes cilium-worker -o yaml

  # The devices of a node, as computed for a file
  hooklab get devices cilium-worker -f cluster.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("KIND is missing; kinds: %s", strings.Join(kinds, ", "))
			}
			_, err := findResource(args[0])
			return err
		},
	}
	t := targetFlags(cmd)
	out := outputFlag(cmd, formatTable, formatWide, formatYAML, formatJSON)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return kinds, cobra.ShellCompDirectiveNoFileComp
		}
		return objectNames(cmd, t, args), cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := t.cluster(cmd)
		if err != nil {
			return err
		}
		r, err := findResource(args[0])
		if err != nil {
			return err
		}
		v, err := c.View(r.name, args[1:]...)
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		switch out.format {
		case formatYAML:
			return v.WriteYAML(w)
		case formatJSON:
			return v.WriteJSON(w)
		case formatWide:
			err = v.WriteTable(w)
		default:
			err = r.cut(v).WriteTable(w)
		}
		if err == nil && r.name == "devices" {
			err = t.sayWire(cmd)
		}
		return err
	}
	return cmd
}

// sayWire says on standard error which of the devices a running lab has in the kernel.
func (t *target) sayWire(cmd *cobra.Command) error {
	running, err := t.client()
	if err != nil || running == nil {
		return err
	}
	s, err := running.Status(cmd.Context())
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "wire of the pods: %s\n", wireText(s))
	return nil
}

// findResource finds a kind by its name, its singular or its short name.
func findResource(word string) (resource, error) {
	var names []string
	for _, r := range resources() {
		if word == r.name || word == strings.TrimSuffix(r.name, "s") || word != "" && word == r.short {
			return r, nil
		}
		names = append(names, r.name)
	}
	if near := nearest(word, names); near != "" {
		return resource{}, usagef("unknown kind %q; did you mean %s?", word, near)
	}
	return resource{}, usagef("unknown kind %q; kinds: %s", word, strings.Join(names, ", "))
}

// cut leaves out what only -o wide shows.
func (r resource) cut(v cluster.View) cluster.View {
	if r.narrow == 0 {
		return v
	}
	v.Columns, v.Rows = v.Columns[:r.narrow], slices.Clone(v.Rows)
	for i, row := range v.Rows {
		v.Rows[i] = row[:r.narrow]
	}
	return v
}

// objectNames completes the names of a kind's objects, without those given already.
func objectNames(cmd *cobra.Command, t *target, args []string) []string {
	c, err := t.cluster(cmd)
	if err != nil {
		return nil
	}
	r, err := findResource(args[0])
	if err != nil {
		return nil
	}
	var names []string
	switch r.name {
	case "pods":
		for _, p := range c.Pods() {
			names = append(names, p.Ref())
		}
	case "services":
		for _, s := range c.Services() {
			names = append(names, s.Ref())
		}
	default:
		for _, n := range c.Nodes() {
			names = append(names, n.Name)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args[1:], name) })
}
