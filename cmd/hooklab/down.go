package main

import (
	"context"
	"errors"
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
  hooklab down

  # One of several
  hooklab down --lab article

  # All of them, and what killed ones have left
  hooklab down --all`,
		Args:              wants(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	var name string
	labFlag(cmd, &name)
	all := cmd.Flags().Bool("all", false, "all labs, running or not; it is no error if there is none")
	cmd.MarkFlagsMutuallyExclusive("all", "lab")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		run := lab.FindRunDir("")
		if *all {
			return a.downAll(ctx, cmd, run)
		}
		which, err := run.Resolve(name)
		if err != nil {
			return err
		}
		return a.down(ctx, cmd, run, which)
	}
	return cmd
}

// down takes one lab down and says so.
func (a *app) down(ctx context.Context, cmd *cobra.Command, run lab.RunDir, name string) error {
	if err := lab.Down(ctx, run, name, a.log); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "lab %s is down\n", name)
	return nil
}

// downAll takes all labs down, and goes on after errors.
func (a *app) downAll(ctx context.Context, cmd *cobra.Command, run lab.RunDir) error {
	names, err := run.Remains()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if err := a.down(ctx, cmd, run, name); err != nil && !errors.Is(err, lab.ErrNoLab) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
