package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hooklab/hooklab/maps"
)

// mapInfo is one line of `hooklab map list`.
type mapInfo struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	KeySize    uint32 `json:"keySize"`   // bytes
	ValueSize  uint32 `json:"valueSize"` // bytes
	Entries    int    `json:"entries"`
	MaxEntries uint32 `json:"maxEntries"`
}

// newMapList makes the command map list.
func newMapList(*app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the maps of a node",
		Example: `  # The maps of the first worker of the only running lab, or of ./cluster.yaml
  hooklab map list

  # Those of another node
  hooklab map list -f cluster.yaml --node worker2`,
		Args:              wants(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	t := targetFlags(cmd)
	node := nodeFlag(cmd, t)
	out := outputFlag(cmd, formatTable, formatYAML, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v, err := t.open(cmd, *node)
		if err != nil {
			return err
		}
		var list []mapInfo
		for _, name := range v.maps.Names() {
			m, err := v.maps.Lookup(name)
			if err != nil {
				return err
			}
			info, err := describe(m)
			if err != nil {
				return err
			}
			list = append(list, info)
		}
		w := cmd.OutOrStdout()
		if done, err := out.encode(w, list); done {
			return err
		}
		tw := tabwriter.NewWriter(w, 5, 0, 3, ' ', 0)
		fmt.Fprintln(tw, "NAME\tTYPE\tKEY\tVALUE\tENTRIES\tMAX")
		for _, m := range list {
			fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d\t%d\n", m.Name, m.Type, m.KeySize, m.ValueSize, m.Entries, m.MaxEntries)
		}
		return tw.Flush()
	}
	return cmd
}

// describe counts a map's entries.
func describe(m maps.Store) (mapInfo, error) {
	s := m.Spec()
	info := mapInfo{Name: s.Name, Type: s.Type.String(), KeySize: s.KeySize, ValueSize: s.ValueSize, MaxEntries: s.MaxEntries}
	for c := (maps.Cursor{}); !c.Done(); {
		if err := m.Range(&c, 0, func(_, _ []byte) bool { info.Entries++; return true }); err != nil {
			return info, fmt.Errorf("count %s: %w", s.Name, err)
		}
	}
	return info, nil
}
