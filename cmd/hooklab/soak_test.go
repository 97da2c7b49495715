package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// soakCluster has an end for each kind of load. SECONDS is the interval of garbage collection,
// EXTRA pods that come and go.
const soakCluster = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: soak}
spec:
  conntrackGCInterval: SECONDSs
  nodes: [{name: a}, {name: b}]
  external: [{name: stranger, ip: 172.18.255.1}]
  pods:
  - {name: client, node: a, ip: 10.0.0.10}
  - {name: same, node: a, ip: 10.0.0.11, labels: {app: web}, run: [iperf3, -s]}
  - {name: other, node: b, ip: 10.0.1.11, labels: {app: web}, run: [iperf3, -s]}
  - {name: flooder, node: b, ip: 10.0.1.12}
EXTRA
  services:
  - {name: web, clusterIP: 10.96.0.80, selector: {app: web}, ports: [80]}
  - {name: extra, selector: {app: extra}, ports: [80]}
`

const soakExtra = `  - {name: extra1, node: a, labels: {app: extra}, run: [whoami]}
  - {name: extra2, node: b, labels: {app: extra}, run: [whoami]}
`

// TestPrivilegedSoak keeps a lab under mixed load for SOAK (4s): bulk TCP, ping floods,
// numbered datagrams, 1,000 connections a second, random frames and datagrams, and pods that
// come and go. The lab must not be lost, keep flows in order, account for every frame, and
// need no more memory and descriptors in the end than when conntrack had filled up.
func TestPrivilegedSoak(t *testing.T) {
	t.Parallel()
	length := soakLength(t)
	s := &soak{session: newSession(t), length: length}
	s.describe(false)
	s.run("up", "--detach")
	s.open()
	s.until("sender", "exec", "client", "--", "iperf3", "-c", "10.0.0.11", "-n", "1K")
	s.until("sender", "exec", "client", "--", "iperf3", "-c", "10.0.1.11", "-n", "1K")
	s.accounted(t)
	s.refused(t)
	pid := s.status().PID
	s.load(t)
	if now := s.status(); now.PID != pid {
		t.Errorf("the lab was process %d and is %d", pid, now.PID)
	}
	s.accounted(t)
	s.refused(t)
	s.run("down")
}

// soakLength is how long the load lasts.
func soakLength(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SOAK")
	if text == "" {
		return 4 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		t.Fatalf("SOAK=%s: want a time such as 10m, at least 1s", text)
	}
	return d
}

// soak is a lab with what drives it.
type soak struct {
	*session
	length time.Duration
	client *lab.Client
	spaces map[string]*netns.NS
}

// gcInterval lets garbage collection run often enough for a steady state: an entry of a
// closed connection lives 10 s.
func (s *soak) gcInterval() int { return max(1, int(s.length.Seconds())/20) }

// describe writes the cluster's file, with or without the pods that come and go.
func (s *soak) describe(extra bool) {
	text := strings.Replace(soakCluster, "SECONDS", fmt.Sprint(s.gcInterval()), 1)
	pods := ""
	if extra {
		pods = soakExtra
	}
	s.write("cluster.yaml", strings.Replace(text, "EXTRA\n", pods, 1))
}

// open connects to the lab, and to its namespaces for the generators of load.
func (s *soak) open() {
	s.tb.Helper()
	run := lab.RunDir(s.path("run"))
	var err error
	if s.client, err = run.Client("soak"); err != nil {
		s.tb.Fatal(err)
	}
	s.spaces = map[string]*netns.NS{}
	for _, ref := range []string{"client", "same", "other", "flooder", "external/stranger"} {
		path, err := run.Pin("soak", ref)
		if err != nil {
			s.tb.Fatal(err)
		}
		ns, err := netns.Open(path)
		if err != nil {
			s.tb.Fatal(err)
		}
		s.tb.Cleanup(func() { _ = ns.Close() })
		s.spaces[ref] = ns
	}
	// A neighbour that has to be looked for again is out of the lab's hands: what waits for
	// it in the pod's kernel may be overtaken.
	pods, err := s.client.Cluster(context.Background())
	if err != nil {
		s.tb.Fatal(err)
	}
	pod, err := pods.Pod("client")
	if err != nil {
		s.tb.Fatal(err)
	}
	node, err := pods.Node("a")
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := s.spaces["client"].AddNeigh("eth0", node.Router, netns.MAC(pod.NodeMAC)); err != nil {
		s.tb.Fatal(err)
	}
}

func (s *soak) status() *lab.Status {
	s.tb.Helper()
	st, err := s.client.Status(context.Background())
	if err != nil {
		s.tb.Fatal(err)
	}
	return st
}

// load runs everything at once and looks at the lab's process meanwhile.
func (s *soak) load(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), s.length)
	defer stop()
	seconds := fmt.Sprint(max(1, int(s.length.Seconds())))
	var all sync.WaitGroup
	began := time.Now()
	for _, args := range [][]string{
		{"iperf3", "-c", "10.0.0.11", "-t", seconds, "-b", "1G"},
		{"iperf3", "-c", "10.0.1.11", "-t", seconds, "-b", "1G", "--reverse"},
		{"ping", "-f", "-q", "-w", seconds, "10.0.0.11"},
		{"ping", "-f", "-q", "-w", seconds, "10.0.1.11"},
	} {
		all.Go(func() {
			out, code := s.try(append([]string{"exec", "client", "--"}, args...)...)
			if code != 0 {
				t.Errorf("%v: exit code %d\n%s", args, code, out)
			}
			t.Logf("%v: %s", args, lastLines(out, "sender", "receiver", "transmitted"))
		})
	}
	g := &generators{soak: s, t: t, ctx: ctx, all: &all}
	g.start()
	var samples []sample
	all.Go(func() { samples = s.watch(ctx, t) })
	changes := s.change(ctx, t)
	all.Wait()
	g.report(time.Since(began))
	t.Logf("%d changes of the lab's pods; %d looks at its process", changes, len(samples))
	flat(t, samples, s.length)
}

// change lets pods come and go, with one look at what they serve, until the time is over.
func (s *soak) change(ctx context.Context, t *testing.T) (changes int) {
	t.Helper()
	for ctx.Err() == nil {
		s.describe(true)
		s.run("up")
		s.until("default/extra", "exec", "client", "--", "curl", "-s", "-m", "30", "extra")
		// Which may lose what it likes; the lab must not mind.
		capture := s.start("Capturing", "capture", "-c", "500", "-s", "100", "-w", os.DevNull)
		s.describe(false)
		s.run("up")
		capture.stop()
		changes += 2
	}
	return changes
}

// sample is a look at the lab's process.
type sample struct {
	at   time.Duration
	pods int
	lab.Resources
}

// watch looks at the lab's process a few times a second.
func (s *soak) watch(ctx context.Context, t *testing.T) (samples []sample) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(max(200*time.Millisecond, s.length/2000))
	defer tick.Stop()
	for {
		st, err := s.client.Status(context.Background())
		if err != nil {
			t.Errorf("the lab does not answer after %v: %v", time.Since(began), err)
		} else {
			samples = append(samples, sample{time.Since(began), len(st.Pods), st.Process})
		}
		select {
		case <-ctx.Done():
			return samples
		case <-tick.C:
		}
	}
}

// flat checks that the process needs no more in the end than in the middle, when conntrack
// has filled up. A short run never gets there.
func flat(t *testing.T, samples []sample, length time.Duration) {
	t.Helper()
	const steady = 40 * time.Second // an entry's 10 s, and garbage collections
	if length < steady {
		t.Logf("no steady state in %v: memory is not compared", length)
		return
	}
	for _, problem := range grown(samples, length) {
		t.Error(problem)
	}
	first, last := samples[0], samples[len(samples)-1]
	t.Logf("process at first %+v, in the end %+v", first, last)
}

// grown tells what grows in the second half of the time: it compares the medians of its first
// and last third.
func grown(samples []sample, length time.Duration) (problems []string) {
	half := length / 2
	part := func(from, to time.Duration, of func(*sample) uint64) uint64 {
		var all []uint64
		for i := range samples {
			if x := &samples[i]; x.at >= from && x.at < to {
				all = append(all, of(x))
			}
		}
		if len(all) == 0 {
			return 0
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	for _, m := range []struct {
		name  string
		of    func(*sample) uint64
		share uint64 // that may be added, in percent
		slack uint64
	}{
		{"resident set", func(x *sample) uint64 { return x.RSS }, 10, 8 << 20},
		{"live heap", func(x *sample) uint64 { return x.Heap }, 15, 4 << 20},
		{"goroutines", func(x *sample) uint64 { return x.Goroutines }, 0, 8},
		// Clients come and go, and so do pods; a leak of one descriptor for each of them is
		// hundreds.
		{"open files", func(x *sample) uint64 { return uint64(x.Files) }, 0, 12},
	} {
		was := part(half, half+half/3, m.of)
		is := part(half+2*half/3, length+time.Hour, m.of)
		if was == 0 || is == 0 {
			problems = append(problems, m.name+" was never looked at")
			continue
		}
		if is > was+was*m.share/100+m.slack {
			problems = append(problems, fmt.Sprintf("%s grows: %d in the middle, %d in the end", m.name, was, is))
		}
	}
	return problems
}

// TestFlat: what leaks is found.
func TestFlat(t *testing.T) {
	t.Parallel()
	const length = time.Minute
	series := func(leak func(i int, x *sample)) (all []sample) {
		for i := range 300 {
			x := sample{time.Duration(i) * 200 * time.Millisecond, 4, lab.Resources{RSS: 60 << 20, Heap: 20 << 20, Goroutines: 20, Files: 40}}
			x.Files += i % 5
			leak(i, &x)
			all = append(all, x)
		}
		return all
	}
	for _, tt := range []struct {
		name string
		leak func(i int, x *sample)
		want string
	}{
		{"nothing", func(int, *sample) {}, ""},
		{"until conntrack is full", func(i int, x *sample) { x.Heap += uint64(min(i, 140)) << 20 }, ""},
		{"memory", func(i int, x *sample) { x.RSS += uint64(i) << 18 }, "resident set"},
		{"heap", func(i int, x *sample) { x.Heap += uint64(i) << 17 }, "live heap"},
		{"a descriptor for each change", func(i int, x *sample) { x.Files += i / 5 }, "open files"},
		{"goroutines", func(i int, x *sample) { x.Goroutines += uint64(i / 5) }, "goroutines"},
		{"no look", func(_ int, x *sample) { x.Files = 0 }, "open files was never"},
	} {
		got := strings.Join(grown(series(tt.leak), length), "; ")
		if (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// lastLines are the lines of an output that contain one of the words.
func lastLines(text string, words ...string) string {
	var found []string
	for line := range strings.Lines(text) {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) }) {
			found = append(found, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(found, "; ")
}
