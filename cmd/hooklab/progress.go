package main

import (
	"fmt"
	"io"
	"time"

	"github.com/hooklab/hooklab/dataplane/compare"
)

// progress tells on a terminal how far a comparison is, every second.
type progress struct {
	out          io.Writer
	begin, shown time.Time
	terminal     bool
}

func newProgress(out io.Writer) *progress {
	width, _, _ := terminal(out)
	return &progress{out: out, begin: time.Now(), terminal: width > 0}
}

// show writes a line: how many packets, how fast, how long it will take. What is no
// terminal gets one every ten seconds.
func (p *progress) show(at compare.Progress) {
	now := time.Now()
	every := 10 * time.Second
	if p.terminal {
		every = time.Second
	}
	if last := p.shown; last.IsZero() && now.Sub(p.begin) < every || !last.IsZero() && now.Sub(last) < every {
		return
	}
	p.shown = now
	rate := float64(at.Packets) / now.Sub(p.begin).Seconds()
	left := "?"
	if rate > 0 {
		left = (time.Duration(float64(max(0, at.Total-at.Packets))/rate) * time.Second).String()
	}
	end := "\n"
	if p.terminal {
		end = "\r"
	}
	fmt.Fprintf(p.out, "compare: %d of %d packets, %.0f a second, %s left, %d differ in %d ways %s", at.Packets, at.Total, rate, left, at.Differing, at.Distinct, end)
}

// step writes what is being done; on a terminal in one line.
func (p *progress) step(done, total int, what string) {
	now := time.Now()
	if !p.terminal && now.Sub(p.begin) < 10*time.Second {
		return
	}
	if p.terminal {
		fmt.Fprintf(p.out, "compare: %d of %d: %.60s\x1b[K\r", done+1, total, what)
	} else {
		fmt.Fprintf(p.out, "compare: %d of %d: %s\n", done+1, total, what)
		p.begin = now
	}
	p.shown = now
}

// end leaves the line.
func (p *progress) end() {
	if p.terminal && !p.shown.IsZero() {
		fmt.Fprintln(p.out)
	}
}
