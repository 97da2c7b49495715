package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster/graph"
)

// Output formats of graph, beside Mermaid.
const (
	formatDOT = "dot"
	formatSVG = "svg"
)

// newGraph makes the command graph.
func newGraph(*app) *cobra.Command {
	var nodes []string
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Draw the cluster",
		Long: `Draw the cluster: its nodes with their devices, pods and addresses, the services with
the pods behind them, the underlay and what is outside. Mermaid is what GitHub and many
editors show, dot is for Graphviz, svg is a picture that a browser opens.`,
		Example: `  # Into a README
  hooklab graph -f cluster.yaml

  # A picture
  hooklab graph -f cluster.yaml -w cluster.svg

  # With Graphviz, of one node of a running lab
  hooklab graph --node cilium-worker -o dot | dot -Tpng > node.png`,
		Args: wants(),
	}
	t := targetFlags(cmd)
	out := fileOutputFlags(cmd, map[string]string{".mmd": formatMermaid, ".mermaid": formatMermaid, ".dot": formatDOT, ".gv": formatDOT, ".svg": formatSVG},
		formatMermaid, formatDOT, formatSVG)
	cmd.Flags().StringSliceVar(&nodes, "node", nil, "draw this `NODE` only; may be repeated")
	completeFunc(cmd, "node", func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nodeNames(cmd, t), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := t.cluster(cmd)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if _, err := c.Node(n); err != nil {
				return err
			}
		}
		g := graph.New(c, graph.Options{Nodes: nodes})
		return out.to(cmd, func(w io.Writer) error {
			switch out.format {
			case formatDOT:
				return g.WriteDOT(w)
			case formatSVG:
				return g.WriteSVG(w)
			}
			return g.WriteMermaid(w)
		})
	}
	return cmd
}
