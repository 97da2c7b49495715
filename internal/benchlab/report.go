package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Names of the subjects.
const (
	crossPrefix = "two nodes: "

	hooklabTAP    = "hooklab"
	hooklabVeth   = "hooklab --wire veth"
	kernelRouting = "kernel veth + routing"
	kernelPeer    = "K: kernel veth + tc redirect_peer"
	ovsTSO        = "OVS+: OVS userspace, tap, userspace-tso"
	ovsPlain      = "OVS userspace, tap, as it comes"
	naiveTAP      = "naive: water + gopacket"

	crossHooklabTAP    = crossPrefix + "hooklab"
	crossHooklabSocket = crossPrefix + "hooklab --underlay socket"
	crossHooklabVeth   = crossPrefix + "hooklab --wire veth"
	crossKernel        = crossPrefix + "KX: kernel vxlan"
	crossToKernel      = crossPrefix + "hooklab to a kernel vxlan node"
	crossFromKernel    = crossPrefix + "kernel vxlan node to hooklab"
	crossService       = crossPrefix + "hooklab to a service on a kernel vxlan node"
	crossOVS           = crossPrefix + "OVS userspace vxlan"
)

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// figure is one kind of result.
type figure struct {
	name   string
	of     func(*results) []float64
	format string
}

func figures() []figure {
	return []figure{
		{"TCP×1 Gb/s", func(r *results) []float64 { return r.TCP1 }, "%.2f"},
		{"TCP×4 Gb/s", func(r *results) []float64 { return r.TCP4 }, "%.2f"},
		{"UDP pps", func(r *results) []float64 { return r.PPS }, "%.0f"},
		{"p50 µs", func(r *results) []float64 { return r.P50 }, "%.1f"},
		{"p99 µs", func(r *results) []float64 { return r.P99 }, "%.1f"},
		{"one CPU p50 µs", func(r *results) []float64 { return r.Pinned }, "%.1f"},
		{"connections/s", func(r *results) []float64 { return r.Conns }, "%.0f"},
		{"CPU TCP×1", func(r *results) []float64 { return r.CPUTCP }, "%.2f"},
		{"CPU UDP", func(r *results) []float64 { return r.CPUUDP }, "%.2f"},
	}
}

// bar is what a figure is held to: a ratio of two subjects.
type bar struct {
	what   string
	a, b   string
	figure int // of figures
	least  bool
	want   float64
}

func bars() []bar {
	const tcp1, tcp4, pps, p50, pinned = 0, 1, 2, 3, 5
	return []bar{
		{"TCP×1 / K", hooklabTAP, kernelPeer, tcp1, true, 0.75},
		{"TCP×1 / OVS+", hooklabTAP, ovsTSO, tcp1, true, 0.9},
		{"TCP×1 / OVS as it comes", hooklabTAP, ovsPlain, tcp1, true, 6},
		{"TCP×1 / naive", hooklabTAP, naiveTAP, tcp1, true, 12},
		{"TCP×4 / K", hooklabTAP, kernelPeer, tcp4, true, 0.35},
		{"UDP pps / K", hooklabTAP, kernelPeer, pps, true, 0.85},
		{"UDP pps / OVS+", hooklabTAP, ovsTSO, pps, true, 1.1},
		{"one-CPU round trip / K", hooklabTAP, kernelPeer, pinned, false, 2.0},
		{"round trip / OVS+", hooklabTAP, ovsTSO, p50, false, 0.8},
		{"two nodes: TCP×1 / KX", crossHooklabTAP, crossKernel, tcp1, true, 0.75},
		{"two nodes, sockets: TCP×1 / KX", crossHooklabSocket, crossKernel, tcp1, true, 0.55},
		{"two nodes: TCP×1 / OVS vxlan", crossHooklabTAP, crossOVS, tcp1, true, 10},
		{"two nodes, sockets: TCP×1 / OVS vxlan", crossHooklabSocket, crossOVS, tcp1, true, 7},
		{"hooklab to a kernel vxlan node: TCP×1 / KX", crossToKernel, crossKernel, tcp1, true, 0.9},
		{"a kernel vxlan node to hooklab: TCP×1 / KX", crossFromKernel, crossKernel, tcp1, true, 0.9},
		{"hooklab to a service there: TCP×1 / KX", crossService, crossKernel, tcp1, true, 0.9},
		{"two nodes: UDP pps / KX", crossHooklabTAP, crossKernel, pps, true, 0.9},
		{"two nodes: round trip / KX", crossHooklabTAP, crossKernel, p50, false, 1.3},
	}
}

// page writes everything.
func (b *bench) page(w io.Writer) error {
	var t bytes.Buffer
	fmt.Fprintf(&t, `# Benchmarks

Written by `+"`make bench-lab`"+` on %s: %s.
%d rounds of %v for each figure, all subjects up at the same time and measured in turns; medians.
Compare figures of one page only, and trust the ratios more than the figures.

UDP packets have %d bytes of payload and count where they arrive, one sender, one receiver. Round
trips are UDP of the same size; "one CPU" has client, server and forwarder on one. Connections
are opened and reset one after the other. CPU is what the forwarder's processes take, in
cores; the kernel's own paths work in the sender's time and show none. The load average
of a minute, looked at before each measurement, had a median of %.1f and was %.1f at most, of
which this program is two or three: what else runs costs most where frames change hands
between processes, in round trips above all. docs/PERFORMANCE.md says where the time goes.

`, time.Now().UTC().Format("2006-01-02"), machine(), b.options.repeats, b.options.duration, smallPacket, median(b.loads), slices.Max(append(b.loads, 0)))
	for _, cross := range []bool{false, true} {
		title := "Same node"
		if cross {
			title = "Two nodes, VXLAN"
		}
		fmt.Fprintf(&t, "## %s\n\n|", title)
		for _, f := range figures() {
			fmt.Fprintf(&t, " | %s", f.name)
		}
		fmt.Fprintf(&t, " |\n|---|%s\n", strings.Repeat("---|", len(figures())))
		for _, s := range b.subjects {
			if s.cross != cross {
				continue
			}
			fmt.Fprintf(&t, "| %s", strings.TrimPrefix(s.name, crossPrefix))
			for _, f := range figures() {
				fmt.Fprintf(&t, " | "+f.format, median(f.of(b.results[s.name])))
			}
			fmt.Fprintln(&t, " |")
		}
		fmt.Fprintln(&t)
	}
	b.ratios(&t)
	_, err := w.Write(t.Bytes())
	return err
}

func (b *bench) ratios(t *bytes.Buffer) {
	fmt.Fprint(t, "## Ratios\n\n| | ratio | aim | |\n|---|---|---|---|\n")
	for _, x := range bars() {
		ra, rb := b.results[x.a], b.results[x.b]
		f := figures()[x.figure]
		if ra == nil || rb == nil || len(f.of(ra)) == 0 || len(f.of(rb)) == 0 {
			continue
		}
		got := median(f.of(ra)) / median(f.of(rb))
		ok, sign := got >= x.want, "≥"
		if !x.least {
			ok, sign = got <= x.want, "≤"
		}
		mark := "met"
		if !ok {
			mark = "**not met**"
		}
		fmt.Fprintf(t, "| %s | %.2f | %s %g | %s |\n", x.what, got, sign, x.want, mark)
	}
	fmt.Fprintln(t)
}

// loadAverage is the machine's, of one minute; 0 if it is not known.
func loadAverage() float64 {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	load, _, _ := strings.Cut(string(data), " ")
	v, _ := strconv.ParseFloat(load, 64)
	return v
}

// machine describes where this runs.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // never fails
	model := "unknown CPU"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d CPUs (%s), Linux %s, %s", runtime.NumCPU(), model, unix.ByteSliceToString(u.Release[:]), runtime.Version())
}
