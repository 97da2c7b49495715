package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns/lab"
)

// defaultFile is the description that is read when nothing else is said.
const defaultFile = "cluster.yaml"

// target is the cluster that a command is about: that of -f FILE or of --lab NAME,
// else the only running lab, else ./cluster.yaml.
type target struct {
	files []string
	lab   string
}

// targetFlags adds the flags that choose the cluster.
func targetFlags(cmd *cobra.Command) *target {
	t := &target{}
	fileFlag(cmd, &t.files)
	labFlag(cmd, &t.lab)
	return t
}

// fileFlag adds -f.
func fileFlag(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "`FILE` with the cluster's description, - for standard input; may be repeated")
	completeFunc(cmd, "file", cobra.FixedCompletions([]cobra.Completion{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt))
}

// labFlag adds --lab, with the names of the labs for completion.
func labFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "lab", "", "`NAME` of the lab (default the only one)")
	completeFunc(cmd, "lab", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names, err := lab.FindRunDir("").Labs()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// client is the target's running lab, nil if the target is a description.
func (t *target) client() (*lab.Client, error) {
	if len(t.files) > 0 {
		if t.lab != "" {
			return nil, usagef("-f %s and --lab %s: give one of them", t.files[0], t.lab)
		}
		return nil, nil
	}
	c, err := lab.FindRunDir("").Client(t.lab)
	// Somebody else's labs are none for this user.
	if t.lab == "" && (errors.Is(err, lab.ErrNoLab) || errors.Is(err, fs.ErrPermission)) {
		return nil, nil
	}
	return c, err
}

// runningLab is the lab that a command is about; there is no other target for it.
func runningLab(name string) (*lab.Client, error) {
	return lab.FindRunDir("").Client(name)
}

// cluster is the target with everything allocated.
func (t *target) cluster(cmd *cobra.Command) (*cluster.Cluster, error) {
	running, err := t.client()
	if err != nil {
		return nil, err
	}
	if running != nil {
		return running.Cluster(cmd.Context())
	}
	return described(cmd, t.files)
}

// nodeView is a node of the target with its maps.
type nodeView struct {
	node    string
	cluster *cluster.Cluster
	maps    mapSource
}

// mapSource is the maps of a node: a *maps.Set as computed, *lab.NodeMaps of a lab.
type mapSource interface {
	// Names returns the names of all maps, sorted.
	Names() []string
	// Lookup finds a map by name. The error for an unknown one is a
	// maps.ErrNotSupported.
	Lookup(name string) (maps.Store, error)
}

// open finds a node of the target, the first worker without a name, and its maps.
func (t *target) open(cmd *cobra.Command, node string) (*nodeView, error) {
	running, err := t.client()
	if err != nil {
		return nil, err
	}
	c, err := t.cluster(cmd)
	if err != nil {
		return nil, err
	}
	v := &nodeView{cluster: c}
	if v.node, err = pickNode(c, node); err != nil {
		return nil, err
	}
	v.maps, err = nodeMaps(cmd.Context(), running, c, v.node)
	return v, err
}

// nodeMaps is the maps of a node as a running lab has them, else as computed.
func nodeMaps(ctx context.Context, running *lab.Client, c *cluster.Cluster, node string) (mapSource, error) {
	if running != nil {
		return running.Maps(ctx, node)
	}
	return computed(c, node)
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

// described loads the cluster of the -f flags, or of ./cluster.yaml without any.
func described(cmd *cobra.Command, files []string) (*cluster.Cluster, error) {
	_, c, err := describedSources(cmd, files)
	return c, err
}

// describedSources is described with what was read.
func describedSources(cmd *cobra.Command, files []string) ([]cluster.Source, *cluster.Cluster, error) {
	if len(files) == 0 {
		if _, err := os.Stat(defaultFile); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, usagef("no cluster: give -f FILE, or change to a directory with a %s", defaultFile)
		}
		files = []string{defaultFile}
	}
	sources, err := readSources(cmd, files)
	if err != nil {
		return nil, nil, err
	}
	c, err := cluster.Load(sources...)
	return sources, c, err
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

// cutNode is the name in "node/NAME".
func cutNode(ref string) (string, bool) { return strings.CutPrefix(ref, "node/") }
