package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// commands are the subcommands. Each is made in the file of its name.
func commands() []func(*app) *cobra.Command {
	return []func(*app) *cobra.Command{
		newCheck,
		newCompare,
		newUp,
		newDown,
		newStatus,
		newExec,
		newShell,
		newMonitor,
		newCapture,
		newGet,
		newGraph,
		newMap,
		newTrace,
		newValidate,
		newVersion,
	}
}

// newRoot makes the command hooklab with everything below it.
func newRoot(a *app) *cobra.Command {
	level := defaultLogLevel
	root := group(&cobra.Command{
		Use:   "hooklab",
		Short: "Cilium's TC datapath in user space",
		Long: `hooklab runs the TC datapath of Cilium 1.12.8 in user space.

It reads a cluster from Kubernetes manifests or from a short file of its own, computes
what the agent writes into the BPF maps of every node, and brings the cluster up in
network namespaces, with real traffic.

The cluster is the one of -f FILE, else the only running lab, else ./cluster.yaml.

Exit codes: 0 ok, 1 difference or failure, 2 cannot run here, 3 not enough
information to decide, 4 bad input or usage.`,
		Example: `  # The maps of a cluster, without any privilege
  hooklab map get cilium_ipcache -f cluster.yaml

  # The cluster itself
  hooklab up -f cluster.yaml --detach
  hooklab exec pod1-1 -- ping -c 3 10.0.1.79
  hooklab map get cilium_ct_any4_global
  hooklab down`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.log = newLogger(cmd.ErrOrStderr(), level)
			return nil
		},
	})
	// A group of commands is runnable to report unknown ones, but not of use alone.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(),
		"{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.PersistentFlags().Var(&level, "log-level", "least important messages to log to stderr: "+strings.Join(logLevels(), ", "))
	complete(root, "log-level", logLevels()...)
	for _, newCommand := range commands() {
		root.AddCommand(newCommand(a))
	}
	root.SetHelpCommand(newHelp())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		group(c)
	}
	a.begin(root)
	return root
}

// newHelp makes the command help. Unlike cobra's own it fails on unknown commands.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]...",
		Short: "Help about any command",
		Args: func(cmd *cobra.Command, args []string) error {
			_, err := helpFor(cmd.Root(), args)
			return err
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if c, err := helpFor(cmd.Root(), args); err == nil {
				for _, sub := range c.Commands() {
					if sub.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := helpFor(cmd.Root(), args)
			if err != nil {
				return err
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// helpFor finds the command of a path of words.
func helpFor(root *cobra.Command, words []string) (*cobra.Command, error) {
	c, rest, err := root.Find(words)
	if err != nil || len(rest) > 0 && c.HasSubCommands() {
		return nil, unknownCommand(c, words[len(words)-max(len(rest), 1)])
	}
	return c, nil
}
