package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
)

// defaultFile is the description that is read when nothing else is said.
const defaultFile = "cluster.yaml"

// target is the cluster that a command is about.
type target struct {
	files []string
}

// targetFlags adds the flags that choose the cluster.
func targetFlags(cmd *cobra.Command) *target {
	t := &target{}
	fileFlag(cmd, &t.files)
	return t
}

// fileFlag adds -f.
func fileFlag(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "`FILE` with the cluster's description, - for standard input; may be repeated")
	completeFunc(cmd, "file", cobra.FixedCompletions([]cobra.Completion{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt))
}

// described loads the cluster of the -f flags, or of ./cluster.yaml without any.
func described(cmd *cobra.Command, files []string) (*cluster.Cluster, error) {
	if len(files) == 0 {
		if _, err := os.Stat(defaultFile); errors.Is(err, fs.ErrNotExist) {
			return nil, usagef("no cluster: give -f FILE, or change to a directory with a %s", defaultFile)
		}
		files = []string{defaultFile}
	}
	sources := make([]cluster.Source, len(files))
	for i, file := range files {
		var err error
		if file == "-" {
			sources[i], err = cluster.ReadSource("stdin", cmd.InOrStdin())
		} else {
			sources[i], err = cluster.ReadFile(file)
		}
		if err != nil {
			return nil, err
		}
	}
	return cluster.Load(sources...)
}
