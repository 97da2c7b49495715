package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane/journey"
)

// Output formats of trace.
const (
	formatText    = "text"
	formatMermaid = "mermaid"
	formatPcapng  = "pcapng"
)

// traceOutput is where and how trace writes a journey.
type traceOutput struct {
	*output
	file string // empty or "-" is standard output
}

// traceOutputFlags adds -o and -w to trace.
func traceOutputFlags(cmd *cobra.Command) *traceOutput {
	o := &traceOutput{output: outputFlag(cmd, formatText, formatJSON, formatMermaid, formatPcapng)}
	cmd.Flags().StringVarP(&o.file, "write", "w", "", "write to `FILE` instead of standard output; without -o its name decides: .json, .mmd, .pcapng, else text")
	return o
}

// read chooses the format by the file's name if nothing else does, and refuses to
// disturb a terminal.
func (o *traceOutput) read(cmd *cobra.Command) error {
	if byName := map[string]string{
		".json": formatJSON, ".mmd": formatMermaid, ".mermaid": formatMermaid, ".pcapng": formatPcapng,
	}[filepath.Ext(o.file)]; byName != "" && !cmd.Flags().Changed("output") {
		o.format = byName
	}
	if _, _, tty := terminal(cmd.OutOrStdout()); tty && o.toStdout() && o.format == formatPcapng {
		return usagef("-o %s is not for a terminal: give -w FILE, or | wireshark -k -i -", o.format)
	}
	return nil
}

func (o *traceOutput) toStdout() bool { return o.file == "" || o.file == "-" }

// write writes a journey, or where two of them part. A file is touched only when all
// is known that goes into it.
func (o *traceOutput) write(cmd *cobra.Command, js []*journey.Journey, detail string) error {
	if o.toStdout() {
		return o.print(cmd.OutOrStdout(), js, detail)
	}
	var b bytes.Buffer
	if err := o.print(&b, js, detail); err != nil {
		return err
	}
	if err := os.WriteFile(o.file, b.Bytes(), 0o644); err != nil {
		return exitWith(exitUsage, fmt.Errorf("write %s: %w", o.format, err))
	}
	return nil
}

func (o *traceOutput) print(w io.Writer, js []*journey.Journey, detail string) error {
	j := js[0]
	switch o.format {
	case formatJSON:
		return j.WriteJSON(w)
	case formatMermaid:
		return j.WriteMermaid(w)
	case formatPcapng:
		return j.WritePcapng(w)
	}
	t := journey.TextOptions{Detail: journey.Detail(detail)}
	t.Width, t.Colour, _ = terminal(w)
	if len(js) == 2 {
		return journey.WriteParting(w, j, js[1], t)
	}
	return j.WriteText(w, t)
}

// terminal is the width of the terminal behind w, 0 if it is none, and whether it
// wants colour (NO_COLOR, TERM=dumb).
func terminal(w io.Writer) (width int, colour, tty bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false, false
	}
	return int(size.Col), os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", true
}
