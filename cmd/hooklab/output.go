package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// Output formats of -o.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatYAML  = "yaml"
	formatJSON  = "json"
)

// output is the flag -o of one command. The first of its formats is the default.
type output struct {
	format  string
	formats []string
}

// outputFlag adds -o to a command.
func outputFlag(cmd *cobra.Command, formats ...string) *output {
	o := &output{format: formats[0], formats: formats}
	cmd.Flags().VarP(o, "output", "o", "output format: "+strings.Join(formats, ", "))
	complete(cmd, "output", formats...)
	return o
}

// String is the chosen format.
func (o *output) String() string { return o.format }

// Set takes one of the formats.
func (o *output) Set(name string) error {
	if !slices.Contains(o.formats, name) {
		return fmt.Errorf("allowed: %s", strings.Join(o.formats, ", "))
	}
	o.format = name
	return nil
}

// Type is what the help text calls the flag's value.
func (o *output) Type() string { return "FORMAT" }

// encode writes v if the format is YAML or JSON, and says whether it was.
func (o *output) encode(w io.Writer, v any) (bool, error) {
	switch o.format {
	case formatJSON:
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return true, enc.Encode(v)
	case formatYAML:
		data, err := yaml.Marshal(v)
		if err == nil {
			_, err = w.Write(data)
		}
		return true, err
	}
	return false, nil
}

// complete gives a flag's values to the shell's completion.
func complete(cmd *cobra.Command, flag string, values ...string) {
	completeFunc(cmd, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeFunc is complete with values that are found when they are asked for. It
// fails only for a flag that does not exist, which the tests of completion notice.
func completeFunc(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, f) // the flag exists: the caller has just made it
}
