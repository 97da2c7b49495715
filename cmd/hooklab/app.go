package main

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
)

// stdio is the three streams of a process.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// app is what the subcommands share. A subcommand reads and writes the streams of
// its cobra.Command and logs to log.
type app struct {
	log *slog.Logger
	// running says that the command line was understood and a subcommand has begun.
	// An error before that is one of usage.
	running bool
}

// run is the whole program: it executes args and returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	a := &app{log: slog.New(slog.DiscardHandler)}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.running {
		err = usageError(cmd, err)
	}
	report(std.err, err)
	return exitCode(err)
}

// begin wraps the run functions of a command and of all below it, so that a.running
// is set.
func (a *app) begin(cmd *cobra.Command) {
	if do := cmd.RunE; do != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.running = true
			return do(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.begin(sub)
	}
}

// group makes a command that only has subcommands: alone it prints its help, and
// anything else it does not know is an error. Cobra would print the help and succeed.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(cmd, args[0])
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(subs...)
	return cmd
}

// wants checks the arguments of a command: one for each name, and no others.
func wants(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing", names[len(args)])
		case len(args) > len(names):
			return usagef("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// unknownCommand is the error for a word that is none of cmd's subcommands.
func unknownCommand(cmd *cobra.Command, word string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		return usagef("unknown command %q for %q; did you mean %s?", word, cmd.CommandPath(), strings.Join(near, " or "))
	}
	return usagef("unknown command %q for %q; there are %s", word, cmd.CommandPath(), strings.Join(names, ", "))
}
