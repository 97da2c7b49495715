package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/maps"
)

// newMap makes the command map.
func newMap(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "map",
		Short: "Show the BPF maps of a node",
		Long: `Show the BPF maps of a node under Cilium's names and in Cilium's text.

For a running lab they are the maps that its packets use. With -f FILE they are what
the agent of the node writes for that cluster, so connections, fragments and counters
are empty and the programs' own maps (cilium_calls_*) are not there.`,
	}, newMapList(a), newMapGet(a), newMapDump(a))
}

// nodeFlag adds --node, with the names of the target's nodes for completion.
func nodeFlag(cmd *cobra.Command, t *target) *string {
	node := cmd.Flags().String("node", "", "`NODE` whose maps are shown (default the first worker)")
	completeFunc(cmd, "node", func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nodeNames(cmd, t), cobra.ShellCompDirectiveNoFileComp
	})
	return node
}

// pickNode finds a node by name, or without one the first that is no control plane,
// as the article's examples are of a worker.
func pickNode(c *cluster.Cluster, name string) (string, error) {
	if name != "" {
		n, err := c.Node(name)
		return n.Name, err
	}
	nodes := c.Nodes()
	worker := slices.IndexFunc(nodes, func(n cluster.Node) bool { return !n.ControlPlane })
	return nodes[max(worker, 0)].Name, nil
}

// computed is the maps of a node as its agent writes them, without any packet.
func computed(c *cluster.Cluster, node string) (*maps.Set, error) {
	set := maps.NewSet(maps.Sizes{})
	agent, err := cluster.NewAgent(c, node, set)
	if err != nil {
		return nil, err
	}
	return set, agent.Sync()
}

// unknownMap is the error for a map that is not there.
func unknownMap(name, node string, names []string) error {
	if near := nearest(name, names); near != "" {
		return usagef("no map %q on node %s; did you mean %s?", name, node, near)
	}
	return usagef("no map %q on node %s; there are %s", name, node, strings.Join(names, ", "))
}

// nearest is the name that somebody may have meant: one that contains the word, or
// the one with the fewest letters to change. It is empty if none is near.
func nearest(word string, names []string) string {
	if word == "" {
		return ""
	}
	best, least := "", len(word)/2+1
	for _, name := range names {
		if strings.Contains(name, word) {
			return name
		}
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace between two words
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// isUnknownMap says that a map was looked for in vain.
func isUnknownMap(err error) bool { return errors.Is(err, maps.ErrNotSupported) }
