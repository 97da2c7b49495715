package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/netns/lab"
)

// Exit codes of exec if the command does not even start, as shells have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// newExec makes the command exec.
func newExec(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec POD|node/NAME [--] COMMAND [ARG]...",
		Short: "Run a command in a pod or on a node of a lab",
		Long: `Run a command in the network namespace of a pod (POD or NAMESPACE/POD), of a node
(node/NAME), of a node's health endpoint (health/NODE), of a host outside the cluster
(external/NAME) or of the network between the nodes (wire/underlay). Only the network and
/etc/hosts, which knows the lab's pods and services, are the pod's: other files, users
and processes are those of this machine.

A lab of an ordinary user is in a user namespace. There the lab's process starts the command,
with the streams, directory and environment of this one; signals and the size of the terminal
are passed on. The command sees the lab's processes only.

The exit code is the command's, 127 if there is no such command and 126 if it cannot be
executed.`,
		Example: `  # The routes of a pod
  hooklab exec pod1-1 -- ip route

  # A shell on a node
  hooklab exec node/worker -- bash

  # What goes over the wire
  hooklab exec wire/underlay -- tcpdump -ni br0 udp port 8472`,
		Args: func(cmd *cobra.Command, args []string) error {
			return wants("POD", "COMMAND")(cmd, args[:min(len(args), 2)])
		},
	}
	var name string
	labFlag(cmd, &name)
	// What follows the pod is the command's, flags too.
	cmd.Flags().SetInterspersed(false)
	cmd.ValidArgsFunction = completeSpaces(&name)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		argv := args[1:]
		if argv[0] == "--" {
			argv = argv[1:]
		}
		return a.execIn(cmd, name, args[0], argv)
	}
	return cmd
}

// execIn runs a command in a namespace of a lab: in the place of this process, or inside
// by the lab's process if only that can enter.
func (a *app) execIn(cmd *cobra.Command, name, ref string, argv []string) error {
	run := lab.FindRunDir("")
	p, inside, err := run.Program(name, ref, argv, os.Environ())
	switch {
	case err != nil:
	case inside:
		var c *lab.Client
		if c, err = run.Client(name); err != nil {
			return err
		}
		var code int
		if code, err = startIn(cmd.Context(), c, p); err == nil && code != 0 {
			return exitWith(code, nil)
		}
	default:
		err = run.Exec(name, p)
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return exitWith(exitNotFound, err)
	case errors.Is(err, lab.ErrStart), errors.Is(err, fs.ErrPermission) && exitCode(err) == exitFailed:
		return exitWith(exitNotExecutable, err)
	}
	return err
}

// completeSpaces completes the first argument as a pod or another namespace.
func completeSpaces(name *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		refs, _ := lab.FindRunDir("").Refs(*name) // no names without
		return refs, cobra.ShellCompDirectiveNoFileComp
	}
}
