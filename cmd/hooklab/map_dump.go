package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/maps"
)

// newMapDump makes the command map dump.
func newMapDump(*app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dump [DIR]",
		Short: "Write maps as bytes, for bpftool's readers and trace --state",
		Long: `Write the maps of all nodes, or of --node, below a directory: DIR/NODE/MAP.json, in the
form of 'bpftool map dump -j'. Without a directory the maps of one node are printed as
one object, {"cilium_lxc": [{"k": HEX, "v": HEX}, …], …}.

'hooklab trace --state' reads both, and the files that bpftool itself writes on a node:

  mkdir worker; for m in cilium_lxc cilium_ipcache …; do
    bpftool map dump pinned /sys/fs/bpf/tc/globals/$m -j > worker/$m.json; done`,
		Example: `  # The maps of a running lab, to be asked later
  hooklab map dump state
  hooklab trace --state state --from pod1-1 --to svc/web --tcp 80

  # What the agent of one node writes for a cluster, in one file
  hooklab map dump -f cluster.yaml --node worker > worker.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("unexpected argument %q", args[1])
			}
			return nil
		},
	}
	t := targetFlags(cmd)
	node := nodeFlag(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		v, err := t.open(cmd, *node)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			dumps, err := dumpsOf(v.maps)
			if err != nil {
				return err
			}
			return maps.WriteDumps(cmd.OutOrStdout(), dumps)
		}
		names := []string{v.node}
		if *node == "" {
			names = nil
			for _, n := range v.cluster.Nodes() {
				names = append(names, n.Name)
			}
		}
		for _, name := range names {
			if v, err = t.open(cmd, name); err != nil {
				return err
			}
			dumps, err := dumpsOf(v.maps)
			if err != nil {
				return err
			}
			if err := writeState(filepath.Join(args[0], name), dumps); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// dumpsOf copies the maps of a node, but for the scratch space of programs.
func dumpsOf(m mapSource) (map[string][]maps.Entry, error) {
	out := make(map[string][]maps.Entry)
	for _, name := range m.Names() {
		if name == maps.NameTailCallBuffer {
			continue
		}
		s, err := m.Lookup(name)
		if err != nil {
			return nil, err
		}
		if _, computed := m.(*maps.Set); computed && s.Spec().Type == maps.TypeProgArray {
			continue // nothing has loaded programs
		}
		if out[name], err = maps.Entries(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// writeState writes maps into a directory, which is made if need be.
func writeState(dir string, dumps map[string][]maps.Entry) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return exitWith(exitUsage, fmt.Errorf("write state: %w", err))
	}
	for name, entries := range dumps {
		spec, ok := maps.SpecOf(name)
		if !ok {
			continue // a map that only some engine has
		}
		if err := writeDump(filepath.Join(dir, name+".json"), spec, entries); err != nil {
			return err
		}
	}
	return nil
}

// writeDump writes one map as bpftool does, whole or not at all.
func writeDump(path string, s maps.Spec, entries []maps.Entry) error {
	var b bytes.Buffer
	if err := maps.WriteDump(&b, s, entries); err != nil {
		return err
	}
	return replaceFile(path, b.Bytes())
}

// replaceFile gives a file another content at once.
func replaceFile(path string, content []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return exitWith(exitUsage, fmt.Errorf("write state: %w", err))
	}
	if err := os.Rename(next, path); err != nil {
		return exitWith(exitUsage, fmt.Errorf("write state: %w", err))
	}
	return nil
}
