package main

import (
	"os"

	"github.com/spf13/cobra"
)

// newShell makes the command shell.
func newShell(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shell POD|node/NAME",
		Short: "Open a shell in a pod or on a node of a lab",
		Long: `Open a shell in the network namespace of a pod or of anything else that
'hooklab exec' knows: $SHELL, or sh. It is 'hooklab exec POD -- $SHELL'.`,
		Example: `  # Look around in a pod
  hooklab shell pod1-1`,
		Args: wants("POD"),
	}
	var name string
	labFlag(cmd, &name)
	cmd.ValidArgsFunction = completeSpaces(&name)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		shell := os.Getenv("SHELL")
		if shell == "" {
			shell = "sh"
		}
		return a.execIn(cmd, name, args[0], []string{shell})
	}
	return cmd
}
