package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// ciliumVersion is the Cilium whose datapath this is.
const ciliumVersion = "1.12.8"

// version is what `hooklab version` tells.
type version struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Cilium   string `json:"cilium"`
}

// newVersion makes the command version.
func newVersion(*app) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "Print the version of hooklab and of the datapath",
		Example:           "  hooklab version\n  hooklab version -o json",
		Args:              wants(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	out := outputFlag(cmd, formatTable, formatYAML, formatJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		w, v := cmd.OutOrStdout(), buildVersion()
		if done, err := out.encode(w, v); done {
			return err
		}
		fmt.Fprintf(w, "hooklab %s", v.Version)
		if v.Commit != "" {
			fmt.Fprintf(w, " commit %.12s", v.Commit)
		}
		if v.Modified {
			fmt.Fprint(w, " with changes")
		}
		fmt.Fprintf(w, " (%s, %s)\nCilium %s datapath\n", v.Go, v.Platform, v.Cilium)
		return nil
	}
	return cmd
}

// buildVersion reads what the toolchain has recorded in the binary.
func buildVersion() version {
	v := version{
		Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Cilium: ciliumVersion,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
