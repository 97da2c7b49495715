package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/netns/lab"
)

// newDown makes the command down.
func newDown(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Take a lab down",
		Long: `Take a running lab down and return when nothing of it is left. If its process was
killed, remove what it has left. Only what that lab has made is ever removed; processes
that run in its namespaces are ended.`,
		Example: `  # The only lab
  sudo hooklab down

  # One of several
  sudo hooklab down --lab article`,
		Args:              wants(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	var name string
	labFlag(cmd, &name)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		run := lab.FindRunDir("")
		which, err := run.Resolve(name)
		if err != nil {
			return err
		}
		if err := lab.Down(ctx, run, which, a.log); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "lab %s is down\n", which)
		return nil
	}
	return cmd
}
