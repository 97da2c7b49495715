package main

import (
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
type traceOutput struct{ *fileOutput }

// traceOutputFlags adds -o and -w to trace.
func traceOutputFlags(cmd *cobra.Command) traceOutput {
	return traceOutput{fileOutputFlags(cmd,
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

// write writes a journey, or where two of them part.
func (o traceOutput) write(cmd *cobra.Command, js []*journey.Journey, detail string) error {
	return o.to(cmd, func(w io.Writer) error { return o.print(w, js, detail) })
}

func (o traceOutput) print(w io.Writer, js []*journey.Journey, detail string) error {
	j := js[0]
	switch o.format {
	case formatJSON:
		return j.WriteJSON(w)
	case formatMermaid:
		return j.WriteMermaid(w)
	case formatPcapng:
		return j.WritePcapng(w)
	case formatHTML:
		return j.WriteHTML(w)
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
