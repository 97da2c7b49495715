package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane/journey"
)

// Output formats of trace.
const (
	formatText    = "text"
	formatMermaid = "mermaid"
	formatPcapng  = "pcapng"
	formatHTML    = "html"
)

// traceOutput is where and how trace writes a journey.
type traceOutput struct {
	*fileOutput
	parting bool // show where two journeys part, instead of all
}

// traceOutputFlags adds -o and -w to trace.
func traceOutputFlags(cmd *cobra.Command) traceOutput {
	return traceOutput{fileOutput: fileOutputFlags(cmd,
		map[string]string{".json": formatJSON, ".mmd": formatMermaid, ".mermaid": formatMermaid, ".pcapng": formatPcapng, ".html": formatHTML},
		formatText, formatJSON, formatMermaid, formatPcapng, formatHTML)}
}

// check refuses to disturb a terminal.
func (o traceOutput) check(cmd *cobra.Command) error {
	o.byName(cmd)
	if _, _, tty := terminal(cmd.OutOrStdout()); tty && o.toStdout() {
		switch o.format {
		case formatPcapng:
			return usagef("-o %s is not for a terminal: give -w FILE, or | wireshark -k -i -", o.format)
		case formatHTML:
			return usagef("-o %s is for a browser: give -w FILE", o.format)
		}
	}
	return nil
}

// write writes journeys, or where two of them part.
func (o traceOutput) write(cmd *cobra.Command, js []*journey.Journey, detail string) error {
	return o.to(cmd, func(w io.Writer) error { return o.print(w, js, detail) })
}

func (o traceOutput) print(w io.Writer, js []*journey.Journey, detail string) error {
	switch o.format {
	case formatJSON:
		for _, j := range js {
			if err := j.WriteJSON(w); err != nil {
				return err
			}
		}
		return nil
	case formatMermaid:
		return journey.WriteMermaid(w, js)
	case formatPcapng:
		return journey.WritePcapng(w, js)
	case formatHTML:
		return js[0].WriteHTML(w)
	}
	t := journey.TextOptions{Detail: journey.Detail(detail)}
	t.Width, t.Colour, _ = terminal(w)
	if o.parting {
		return journey.WriteParting(w, js[0], js[1], t)
	}
	for i, j := range js {
		if i > 0 && t.Detail != journey.Minimal {
			fmt.Fprintln(w)
		}
		if err := j.WriteText(w, t); err != nil {
			return err
		}
	}
	return nil
}

// terminal is the width of the terminal behind a stream, 0 if it is none, and whether it
// wants colour (NO_COLOR, TERM=dumb).
func terminal(stream any) (width int, colour, tty bool) {
	f, ok := stream.(*os.File)
	if !ok {
		return 0, false, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false, false
	}
	return int(size.Col), os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", true
}
