package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What the ratios are held to, and what they aim at.
const (
	emulatedBar, emulatedAim = 0.5, 0.2
	bytecodeBar, bytecodeAim = 8.0, 5.0
)

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// ratio is the median of the rounds' ratios, and the quartiles.
func ratio(a, b []float64) (mid, low, high float64) {
	var all []float64
	for i := range a {
		all = append(all, a[i]/b[i])
	}
	all = slices.Sorted(slices.Values(all))
	return median(all), all[len(all)/4], all[len(all)*3/4]
}

func held(v, bar, aim float64) string {
	switch {
	case v <= aim:
		return "aim met"
	case v <= bar:
		return "met"
	}
	return "**missed**"
}

// write writes the page.
func write(w io.Writer, o *options, all []*result) error {
	for _, r := range all {
		if r.allocsEmulated >= 0.01 || r.allocsBytes >= 0.01 {
			return fmt.Errorf("%s: %.2f and %.2f allocations per packet, want none", r.path.Name, r.allocsEmulated, r.allocsBytes)
		}
	}
	fmt.Fprintf(w, `# Engines

Written by `+"`make bench-engines`"+` on %s: %s, %s, %s.
One packet of a flow that is under way, on each path; nanoseconds, medians of %d rounds of %d packets (bytecode and
a call: a tenth). In each round the engines take turns %d times, and the fastest of each counts: what disturbs a
turn only adds to it. A path has its rounds three by three, all through the run.
Ratios are medians of the rounds' ratios, their quartiles in brackets.

- emulated: hooklab's datapath in Go; bytecode: hooklab's own BPF objects in its virtual machine; kernel: the same
  objects compiled by the kernel, by BPF_PROG_TEST_RUN, all runs of a turn in one system call.
- Each run begins with a fresh frame and fresh metadata, since the one before has changed them. That is a copy in
  Go (%.0f ns) and a small program in the kernel (%.0f ns), each measured in the same turns with an engine that does
  nothing and with an empty program.
- a call: one BPF_PROG_TEST_RUN for one packet, as hooklab's engine asks the kernel, but for reading maps and notifications.
- The Go engines' times are those of their thread, the kernel's its own: neither has what else ran on the machine.
- Monitor aggregation medium; notifications, where a packet makes one, find their ring full, in all engines.
- The Go engines are compiled with the profile that the hooklab binary is compiled with (`+"`make pgo`"+`).

Bars: emulated at most %.1f of the kernel's time (aim %.1f), bytecode at most %.0f times (aim %.0f). Allocations per
packet: 0 in both Go engines.

## A packet, from the fresh frame on

The kernel's time is what BPF_PROG_TEST_RUN reports.
`, time.Now().Format("2006-01-02"), cpus(), kernelVersion(), runtime.Version(), o.rounds, o.packets, turns,
		median(all[0].copies), median(all[0].harness), emulatedBar, emulatedAim, bytecodeBar, bytecodeAim)
	table(w, all, func(r *result) (e, b, k []float64) { return r.emulated, r.bytecode, r.kernel })
	fmt.Fprint(w, `
## The programs alone

The same figures without the copy and without the small program. Where little is left, as on arp, it is the difference of
two times that are much longer.
`)
	table(w, all, func(r *result) (e, b, k []float64) {
		return minus(r.emulated, r.copies), minus(r.bytecode, r.copies), minus(r.kernel, r.harness)
	})
	fmt.Fprint(w, `
## Packets per second of one CPU, from the fresh frame on

| path | emulated | bytecode | kernel | by a call for each |
|---|---|---|---|---|
`)
	for _, r := range all {
		fmt.Fprintf(w, "| %s | %.2f M | %.2f M | %.2f M | %.2f M |\n",
			r.path.Name, 1e3/median(r.emulated), 1e3/median(r.bytecode), 1e3/median(r.kernel), 1e3/median(r.calls))
	}
	return nil
}

// table writes the paths' times and ratios, and where they miss their bars.
func table(w io.Writer, all []*result, times func(*result) (emulated, bytecode, kernel []float64)) {
	fmt.Fprint(w, `
| path | | emulated ns | bytecode ns | kernel ns | a call ns | emulated / kernel | bytecode / kernel | notifications |
|---|---|---|---|---|---|---|---|---|
`)
	var missed []string
	for _, r := range all {
		emulated, bytecode, kernel := times(r)
		e, eLow, eHigh := ratio(emulated, kernel)
		b, bLow, bHigh := ratio(bytecode, kernel)
		fmt.Fprintf(w, "| %s | %s | %.0f | %.0f | %.0f | %.0f | %.2f [%.2f, %.2f] %s | %.1f [%.1f, %.1f] %s | %d |\n", r.path.Name, r.path.About,
			median(emulated), median(bytecode), median(kernel), median(r.calls), e, eLow, eHigh, held(e, emulatedBar, emulatedAim),
			b, bLow, bHigh, held(b, bytecodeBar, bytecodeAim), r.events)
		if e > emulatedBar {
			missed = append(missed, "emulated on "+r.path.Name)
		}
		if b > bytecodeBar {
			missed = append(missed, "bytecode on "+r.path.Name)
		}
	}
	fmt.Fprintf(w, "\nMissed: %s.\n", orNone(missed))
}

// minus is a - b, round by round.
func minus(a, b []float64) []float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] - b[i]
	}
	return all
}

func orNone(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// cpus describes the processors.
func cpus() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // else the model is not named
	model := ""
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = " (" + strings.TrimSpace(value) + ")"
			break
		}
	}
	return fmt.Sprintf("%d CPUs%s", runtime.NumCPU(), model)
}

func kernelVersion() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "Linux"
	}
	return "Linux " + string(bytes.TrimRight(u.Release[:], "\x00"))
}
