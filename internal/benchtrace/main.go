// Command benchtrace measures what `hooklab trace` costs: the whole process for one packet
// beside `hooklab version`, in turns, and simulations of 2, 100 and 2,000 nodes. It needs
// no root and writes a page.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/maps"
)

func main() {
	out := flag.String("o", "docs/TRACE-BENCHMARKS.md", "page to write; - is standard output")
	hooklab := flag.String("hooklab", "bin/hooklab", "program to measure")
	file := flag.String("f", "examples/01-article/cluster.yaml", "cluster to ask")
	rounds := flag.Int("n", 41, "rounds of processes")
	flag.Parse()
	page, err := measure(*hooklab, *file, *rounds)
	if err == nil && *out == "-" {
		_, err = io.WriteString(os.Stdout, page)
	} else if err == nil {
		err = os.WriteFile(*out, []byte(page), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchtrace:", err)
		os.Exit(1)
	}
}

// measure measures all and writes the page.
func measure(hooklab, file string, rounds int) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# What `hooklab trace` costs\n\nWritten by `make bench-trace` on %s: %d CPUs, %s/%s, %s.\nCompare figures of one page only.\n\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	fmt.Fprintf(&b, "## The whole process\n\nFrom start to end, %d times each and in turns; `version` does nothing, so its time is the\nprogram's start.\n\n| command | least ms | median ms |\n|---|---|---|\n", rounds)
	commands := [][]string{
		{"version"},
		{"trace", "-f", file, "--from", "pod1-1", "--to", "pod2-1", "--detail", "minimal"},
		{"trace", "-f", file, "--from", "pod1-1", "--to", "svc/web", "--tcp", "80"},
	}
	took := make([][]time.Duration, len(commands))
	for range rounds {
		for i, args := range commands {
			cmd := exec.Command(hooklab, args...) //nolint:gosec // the program to measure
			began := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				return "", fmt.Errorf("hooklab %s: %w\n%s", strings.Join(args, " "), err, out)
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	for i, args := range commands {
		slices.Sort(took[i])
		fmt.Fprintf(&b, "| `hooklab %s` | %s | %s |\n", strings.Join(args, " "), ms(took[i][0]), ms(took[i][len(took[i])/2]))
	}
	b.WriteString(`
## Clusters in one process

Two pods on each node, and every node's first pod pings a pod of the next node, so that every
node gets its maps. Memory is what stays in use, a node.

| nodes | to load the cluster ms | to make the simulation ms | all pings ms | a ping ms | KB a node before its first frame | KB a node after |
|---|---|---|---|---|---|---|
`)
	for _, nodes := range []int{2, 100, 2000} {
		row, err := simulate(nodes)
		if err != nil {
			return "", fmt.Errorf("%d nodes: %w", nodes, err)
		}
		b.WriteString(row)
	}
	b.WriteString(`
What a node takes in a large cluster is its own copy of cilium_ipcache, which has an entry for
every address of the cluster, as on a real node. Nodes that no frame meets have none.
`)
	return b.String(), nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }

// described is a cluster with two pods on each node.
func described(nodes int) string {
	var b strings.Builder
	b.WriteString("apiVersion: hooklab.io/v1alpha1\nkind: Lab\nspec:\n  nodes:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  - {name: n%d}\n", i)
	}
	b.WriteString("  pods:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  - {name: a%d, node: n%d}\n  - {name: b%d, node: n%d}\n", i, i, i, i)
	}
	return b.String()
}

// simulate lets every node of a cluster ping the next one.
func simulate(nodes int) (row string, err error) {
	began := time.Now()
	c, err := cluster.Load(cluster.Source{Name: "bench.yaml", Data: []byte(described(nodes))})
	if err != nil {
		return "", err
	}
	loaded := time.Since(began)
	before := inUse()
	began = time.Now()
	s, err := sim.New(c, sim.Options{Engine: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	made, idle := time.Since(began), inUse()
	began = time.Now()
	for i := range nodes {
		ping, err := s.Ping(fmt.Sprint("a", i), fmt.Sprint("b", (i+1)%nodes), sim.Message{})
		if err != nil {
			return "", err
		}
		if _, err := s.RunUntilIdle(1 << 20); err != nil {
			return "", err
		}
		if o := ping.Result().Outcome; o != sim.Answered {
			return "", fmt.Errorf("ping of node %d: %s", i, o)
		}
	}
	all := time.Since(began)
	after := inUse()
	// Once more, now that every node has its maps.
	again := time.Now()
	for i := range nodes {
		if _, err := s.Ping(fmt.Sprint("a", i), fmt.Sprint("b", (i+1)%nodes), sim.Message{}); err != nil {
			return "", err
		}
		if _, err := s.RunUntilIdle(1 << 20); err != nil {
			return "", err
		}
	}
	one := time.Since(again) / time.Duration(nodes)
	runtime.KeepAlive(c)
	return fmt.Sprintf("| %d | %s | %s | %s | %.3f | %.1f | %.0f |\n", nodes, ms(loaded), ms(made), ms(all), float64(one)/float64(time.Millisecond),
		float64(idle-before)/1024/float64(nodes), float64(after-idle)/1024/float64(nodes)), nil
}

// inUse is the memory in use.
func inUse() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
