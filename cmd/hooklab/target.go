package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/maps"
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
	sources, err := readSources(cmd, files)
	if err != nil {
		return nil, err
	}
	return cluster.Load(sources...)
}

// readSources reads files, of which - is standard input. A file named twice counts
// once: cobra parses the flags of a command twice before it completes arguments.
func readSources(cmd *cobra.Command, files []string) ([]cluster.Source, error) {
	var sources []cluster.Source
	for i, file := range files {
		if slices.Contains(files[:i], file) {
			continue
		}
		read := cluster.ReadFile
		if file == "-" {
			read = func(string) (cluster.Source, error) { return cluster.ReadSource("stdin", cmd.InOrStdin()) }
		}
		src, err := read(file)
		if err != nil {
			return nil, err
		}
		sources = append(sources, src)
	}
	return sources, nil
}

// nodeView is a node of the target with its maps.
type nodeView struct {
	cluster *cluster.Cluster
	node    string
	maps    mapSource
}

// mapSource is the maps of a node.
type mapSource interface {
	// Names returns the names of all maps, sorted.
	Names() []string
	// Lookup finds a map by name. The error for an unknown one is a
	// maps.ErrNotSupported.
	Lookup(name string) (maps.Store, error)
}

// cluster is the target's description with everything allocated.
func (t *target) cluster(cmd *cobra.Command) (*cluster.Cluster, error) {
	return described(cmd, t.files)
}

// open finds a node of the target, the first worker without a name, and its maps.
func (t *target) open(cmd *cobra.Command, node string) (*nodeView, error) {
	c, err := t.cluster(cmd)
	if err != nil {
		return nil, err
	}
	if node, err = pickNode(c, node); err != nil {
		return nil, err
	}
	set, err := computed(c, node)
	if err != nil {
		return nil, err
	}
	return &nodeView{cluster: c, node: node, maps: set}, nil
}

// nodeNames lists the target's nodes for completion, none if it cannot be read.
func nodeNames(cmd *cobra.Command, t *target) []string {
	c, err := t.cluster(cmd)
	if err != nil {
		return nil
	}
	var names []string
	for _, n := range c.Nodes() {
		names = append(names, n.Name)
	}
	return names
}
