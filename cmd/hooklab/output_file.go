package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// fileOutput is -o with -w: a form, and a file to which it may go.
type fileOutput struct {
	*output
	file  string            // empty or "-" is standard output
	names map[string]string // forms by the file's extension
}

// fileOutputFlags adds -o and -w to a command.
func fileOutputFlags(cmd *cobra.Command, names map[string]string, formats ...string) *fileOutput {
	o := &fileOutput{output: outputFlag(cmd, formats...), names: names}
	cmd.Flags().StringVarP(&o.file, "write", "w", "", "write to `FILE`, whose extension decides the format unless -o does")
	return o
}

// byName chooses the format by the file's name if -o was not given.
func (o *fileOutput) byName(cmd *cobra.Command) {
	if name := o.names[filepath.Ext(o.file)]; name != "" && !cmd.Flags().Changed("output") {
		o.format = name
	}
}

func (o *fileOutput) toStdout() bool { return o.file == "" || o.file == "-" }

// to writes to the file or to standard output. The file is touched only when all is
// known that goes into it.
func (o *fileOutput) to(cmd *cobra.Command, write func(io.Writer) error) error {
	o.byName(cmd)
	if o.toStdout() {
		return write(cmd.OutOrStdout())
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	if err := os.WriteFile(o.file, b.Bytes(), 0o644); err != nil {
		return exitWith(exitUsage, fmt.Errorf("write %s: %w", o.format, err))
	}
	return nil
}
