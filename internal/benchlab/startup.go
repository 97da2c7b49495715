package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pingsAtOnce is how many pods ping at the same time.
const pingsAtOnce = 16

// startup is how long labs of one size take, and what they take.
type startup struct {
	nodes, pods, repeats int // pods of each node
	want                 float64
	// up is the command; first from its begin to the first answer to a ping; all what the
	// pings of all pods take.
	up, first, all, down []float64 // s
	rss                  []float64 // bytes of the lab's process
	taken                []float64 // bytes that the machine has less
}

// startups are the sizes, with what the first ping is held to; 0 is nothing.
func startups() []*startup {
	return []*startup{
		{nodes: 2, repeats: 5},
		{nodes: 2, pods: 2, repeats: 9, want: 1},
		{nodes: 2, pods: 50, repeats: 5, want: 3},
		{nodes: 10, pods: 100, repeats: 3},
	}
}

// measureStartup brings labs up and down, one of each size in each round.
func (b *bench) measureStartup(ctx context.Context) ([]*startup, error) {
	sizes := startups()
	for round := range slices.MaxFunc(sizes, func(a, b *startup) int { return a.repeats - b.repeats }).repeats {
		for _, s := range sizes {
			if round >= s.repeats {
				continue
			}
			b.loads = append(b.loads, loadAverage())
			if err := b.startOnce(ctx, s); err != nil {
				return nil, fmt.Errorf("%d × %d: %w", s.nodes, s.pods, err)
			}
			fmt.Fprintf(os.Stderr, "round %d: %d × %d: up %.2f, first ping %.2f, down %.2f s\n", round+1, s.nodes, s.pods, s.up[round], last(s.first), s.down[round])
		}
	}
	return sizes, nil
}

// startOnce brings a lab up, lets its pods ping and takes it down.
func (b *bench) startOnce(ctx context.Context, s *startup) error {
	before, err := available()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := b.up("start", manyPods(s.nodes, s.pods)); err != nil {
		return err
	}
	s.up = append(s.up, time.Since(begin).Seconds())
	if s.pods > 0 {
		if _, err := output(nil, b.env(), b.options.hooklab, "exec", podName(0, 0), "--", "ping", "-c", "1", "-W", "30", podName(1, 0)); err != nil {
			return err
		}
		s.first = append(s.first, time.Since(begin).Seconds())
		begin = time.Now()
		if err := b.pingNeighbours(ctx, s); err != nil {
			return err
		}
		s.all = append(s.all, time.Since(begin).Seconds())
	}
	now, err := available()
	if err != nil {
		return err
	}
	state, err := b.runDir().State("start")
	if err != nil {
		return err
	}
	rss, err := residentBytes(state.Process.PID)
	if err != nil {
		return err
	}
	s.taken, s.rss = append(s.taken, float64(before-now)), append(s.rss, float64(rss))
	begin = time.Now()
	if err := b.down("start"); err != nil {
		return err
	}
	s.down = append(s.down, time.Since(begin).Seconds())
	return nil
}

// pingNeighbours lets each pod ping one other, every second of them a pod of another node.
// Each sends one packet, and all must be answered.
func (b *bench) pingNeighbours(ctx context.Context, s *startup) error {
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		errs    []error
		places  = make(chan struct{}, pingsAtOnce)
	)
	for n := range s.nodes {
		for p := range s.pods {
			to := podName(n, (p+1)%s.pods)
			if p%2 == 1 {
				to = podName((n+1)%s.nodes, p)
			}
			places <- struct{}{}
			running.Go(func() {
				defer func() { <-places }()
				if err := b.ping(ctx, podName(n, p), to); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, err)
				}
			})
		}
	}
	running.Wait()
	if len(errs) > 0 {
		return fmt.Errorf("%d of %d pods have no answer: %w", len(errs), s.nodes*s.pods, errors.Join(errs[:min(len(errs), 5)]...))
	}
	return nil
}

// ping sends one echo request from a pod to another by its name.
func (b *bench) ping(ctx context.Context, from, to string) error {
	cmd := exec.CommandContext(ctx, "ping", "-c", "1", "-W", "30", to)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := b.runDir().Start("start", from, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s pings %s: %w: %s", from, to, err, out.String())
	}
	return nil
}

func podName(node, pod int) string { return fmt.Sprintf("pod%d-%d", node, pod) }

func manyPods(nodes, pods int) string {
	var t strings.Builder
	t.WriteString("apiVersion: hooklab.io/v1alpha1\nkind: Lab\nmetadata: {name: start}\nspec:\n  nodes:\n")
	for n := range nodes {
		fmt.Fprintf(&t, "  - {name: node%d}\n", n)
	}
	if pods > 0 {
		t.WriteString("  pods:\n")
	}
	for n := range nodes {
		for p := range pods {
			fmt.Fprintf(&t, "  - {name: %s, node: node%d}\n", podName(n, p), n)
		}
	}
	return t.String()
}

// residentBytes is a process's resident set.
func residentBytes(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	return pages * os.Getpagesize(), err
}

// available are the bytes that the machine could still give.
func available() (int, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/meminfo does not tell MemAvailable")
}

// startupPage writes what measureStartup has found.
func (b *bench) startupPage(w io.Writer, sizes []*startup) error {
	var t bytes.Buffer
	fmt.Fprintf(&t, `# How long labs take to come and go

Written by `+"`make bench-start`"+` on %s: %s.
Medians, the slowest in parentheses; the load average of a minute had a median of %.1f and was %.1f at most.

`+"`hooklab up --detach` and `hooklab down`"+` are whole commands. The first ping is from the begin of
`+"`up`"+` to the end of `+"`hooklab exec pod0-0 -- ping -c 1 pod1-0`"+`, to the other node. Then each pod sends
one echo request to a neighbour by its name, every second one to another node: a process of
ping for each pod, %d at a time, and each must be answered or there is no page.

Memory of the process is the lab process's resident set. Memory of the machine is what
/proc/meminfo has less available, so it has the kernel's part: namespaces, devices, sockets.

| nodes × pods each | up s | first ping s | aim | all pods' pings s | down s | process MiB | KiB a pod | machine MiB | KiB a pod |
|---|---|---|---|---|---|---|---|---|---|
`, time.Now().UTC().Format("2006-01-02"), machine(), median(b.loads), slices.Max(b.loads), pingsAtOnce)
	empty := sizes[0]
	for _, s := range sizes {
		aim, first, all, kib, machineMiB, machineKiB := "", "–", "–", "–", "–", "–"
		if s.pods > 0 {
			first, all = spread(s.first), fmt.Sprintf("%.2f, %d answers", median(s.all), s.nodes*s.pods)
		}
		if s.want > 0 {
			aim = fmt.Sprintf("< %g met", s.want)
			if median(s.first) >= s.want {
				aim = fmt.Sprintf("< %g **not met**", s.want)
			}
		}
		n := float64(s.nodes * s.pods)
		if n >= 100 {
			kib = fmt.Sprintf("%.0f", (median(s.rss)-median(empty.rss))/1024/n)
		}
		if n >= 1000 { // of less nothing can be said: others take and give, too
			machineMiB, machineKiB = fmt.Sprintf("%.0f", median(s.taken)/(1<<20)), fmt.Sprintf("%.0f", median(s.taken)/1024/n)
		}
		fmt.Fprintf(&t, "| %d × %d | %s | %s | %s | %s | %s | %.0f | %s | %s | %s |\n", s.nodes, s.pods, spread(s.up), first, aim, all,
			spread(s.down), median(s.rss)/(1<<20), kib, machineMiB, machineKiB)
	}
	_, err := w.Write(t.Bytes())
	return err
}

// spread are the median and the greatest.
func spread(v []float64) string { return fmt.Sprintf("%.2f (%.2f)", median(v), slices.Max(v)) }

// last is the last one, 0 of none.
func last(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return v[len(v)-1]
}
