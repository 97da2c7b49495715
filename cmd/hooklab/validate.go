package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

// newValidate makes the command validate.
func newValidate(*app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check a cluster's description",
		Long: `Check a cluster's description without doing anything with it.

Everything that is wrong is printed on standard error, one problem a line, with the
file, the line, the object and the field. The exit code is then 4.`,
		Example: `  # Check the file of a lab
  hooklab validate -f cluster.yaml

  # Check what a real cluster looks like to hooklab
  kubectl get nodes,ciliumnodes,pods,services,endpointslices -A -o yaml | hooklab validate -f -`,
		Args:              wants(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	var files []string
	fileFlag(cmd, &files)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := described(cmd, files)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "lab %s is valid: %s, %s, %s\n", c.Settings().Name,
			count(len(c.Nodes()), "node"), count(len(c.Pods()), "pod"), count(len(c.Services()), "service"))
		return nil
	}
	return cmd
}

// count is a number with its noun: "1 node", "2 nodes".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
