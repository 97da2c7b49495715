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
	fmt.Fprintf(w, `# Engines

Written by `+"`make bench-engines`"+` on %s: %s, %s, %s.
One packet of a flow that is under way, on each path; nanoseconds, medians of %d rounds of %d packets (bytecode and
a call: a tenth). In each round the engines take turns %d times, and the fastest of each counts: what disturbs a
turn only adds to it. A path has its rounds three by three, all through the run.
Ratios are medians of the rounds' ratios, their quartiles in brackets.

- emulated: hooklab's datapath in Go; bytecode: hooklab's own BPF objects in its virtual machine. Both
  without the copy of frame and metadata that each run begins with (%.0f ns, which an engine that does nothing
  takes in the same round, subtracted).
- kernel: the same objects by BPF_PROG_TEST_RUN, compiled by the kernel, all runs of a turn in
  one system call, without leaving the kernel in between, and without the harness that restores frame and
  metadata before each (%.0f ns, which an empty program takes in the same round, subtracted).
- a call: one BPF_PROG_TEST_RUN for one packet, as hooklab's engine asks the kernel, but for reading maps and notifications.
- The Go engines' times are those of their thread, the kernel's its own: neither has what else ran on the machine.
- Monitor aggregation medium; notifications, where a packet makes one, find their ring full, in all engines.

| path | | emulated ns | bytecode ns | kernel ns | a call ns | emulated / kernel | bytecode / kernel | notifications |
|---|---|---|---|---|---|---|---|---|
`, time.Now().Format("2006-01-02"), cpus(), kernelVersion(), runtime.Version(), o.rounds, o.packets, turns, median(all[0].copies), median(all[0].harness))
	var missed []string
	for _, r := range all {
		e, eLow, eHigh := ratio(r.emulated, r.kernel)
		b, bLow, bHigh := ratio(r.bytecode, r.kernel)
		fmt.Fprintf(w, "| %s | %s | %.0f | %.0f | %.0f | %.0f | %.2f [%.2f, %.2f] %s | %.1f [%.1f, %.1f] %s | %d |\n", r.path.Name, r.path.About,
			median(r.emulated), median(r.bytecode), median(r.kernel), median(r.calls), e, eLow, eHigh, held(e, emulatedBar, emulatedAim),
			b, bLow, bHigh, held(b, bytecodeBar, bytecodeAim), r.events)
		if e > emulatedBar {
			missed = append(missed, fmt.Sprintf("emulated on %s", r.path.Name))
		}
		if b > bytecodeBar {
			missed = append(missed, fmt.Sprintf("bytecode on %s", r.path.Name))
		}
		if r.allocsEmulated >= 0.01 || r.allocsBytes >= 0.01 {
			return fmt.Errorf("%s: %.2f and %.2f allocations per packet, want none", r.path.Name, r.allocsEmulated, r.allocsBytes)
		}
	}
	fmt.Fprintf(w, `
Bars: emulated at most %.1f of the kernel's time (aim %.1f), bytecode at most %.0f times (aim %.0f).
Missed: %s. Allocations per packet: 0 in both Go engines.

Packets per second of one CPU, by the same figures:

| path | emulated | bytecode | kernel |
|---|---|---|---|
`, emulatedBar, emulatedAim, bytecodeBar, bytecodeAim, orNone(missed))
	for _, r := range all {
		fmt.Fprintf(w, "| %s | %.2f M | %.2f M | %.2f M |\n", r.path.Name, 1e3/median(r.emulated), 1e3/median(r.bytecode), 1e3/median(r.kernel))
	}
	return nil
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
