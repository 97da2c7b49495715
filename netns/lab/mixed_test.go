package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hooklab/hooklab/bpf"
	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/bytecode"
	"github.com/hooklab/hooklab/dataplane/object"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// mixedFile has a node on each engine, with a backend of the service on each.
const mixedFile = "../../examples/04-mixed/cluster.yaml"

// mixedPods are its pods' addresses.
func mixedPods() map[string]string {
	return map[string]string{"pod-emulated": "10.0.0.10", "pod-kernel": "10.0.1.10", "pod-bytecode": "10.0.2.10"}
}

// allEngines offers all engines to the lab.
func allEngines(tb testing.TB) func(*lab.Options) {
	tb.Helper()
	b, err := object.NewBundle(bpf.LXC(), bpf.Host(), bpf.Overlay())
	must(tb, err)
	kernel := inKernel(tb, false)
	return func(o *lab.Options) {
		kernel(o)
		o.Engine = ""
		o.Engines["bytecode"] = func(m *maps.Set) (dataplane.Runner, error) { return bytecode.New(m, b), nil }
	}
}

// upMixed brings the example up, without its pods' commands.
func upMixed(t *testing.T) *world {
	t.Helper()
	text, err := os.ReadFile(mixedFile)
	must(t, err)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "run:") {
			lines = append(lines, line)
		}
	}
	return upWith(t, strings.Join(lines, ""), allEngines(t))
}

// TestPrivilegedMixedLab: pods of nodes with different engines reach each other, and each
// backend of a service from each node.
func TestPrivilegedMixedLab(t *testing.T) {
	t.Parallel()
	w := upMixed(t)
	pods := mixedPods()
	for name := range pods {
		echo(t, w.space("default/"+name), ":9")
		tellName(t, w.space("default/"+name), ":80", name)
	}
	for from := range pods {
		for to, ip := range pods {
			if from == to {
				continue
			}
			ns := w.space("default/" + from)
			if ttls, _, err := ping(ns, ip, 3); err != nil || ttls[0] != 63 {
				t.Errorf("ping %s -> %s: TTLs %v, %v; want 63", from, to, ttls, err)
			}
			exchange(t, dial(t, ns, "tcp4", ip+":9"), 2<<20)
		}
		// Chance decides on the backend; ask until each has answered. A hundred draws
		// miss one of three once in 10¹⁷ times.
		seen := map[string]bool{}
		for i := 0; i < 100 && len(seen) < len(pods); i++ {
			c := dial(t, w.space("default/"+from), "tcp4", "10.96.0.80:80")
			name, err := io.ReadAll(c)
			must(t, err)
			seen[string(name)] = true
		}
		if len(seen) < len(pods) {
			t.Errorf("backends that answered %s: %v, want all three", from, seen)
		}
	}
	client, err := w.dir.Client(w.Name())
	must(t, err)
	status, err := client.Status(t.Context())
	must(t, err)
	for _, n := range status.Nodes {
		if want := strings.TrimPrefix(n.Name, "node-"); n.Engine != want {
			t.Errorf("status: node %s runs %q, want %q", n.Name, n.Engine, want)
		}
	}
}

// tellName serves TCP on a port of a namespace: it sends its name and hangs up.
func tellName(tb testing.TB, ns *netns.NS, addr, name string) {
	tb.Helper()
	var l net.Listener
	must(tb, ns.Do(func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(c, name)
			_ = c.Close()
		}
	}()
	tb.Cleanup(func() {
		must(tb, l.Close())
		<-done
	})
}

// TestPrivilegedMixedLabRefusals: what a lab with a node in the kernel cannot do is said with the node.
func TestPrivilegedMixedLabRefusals(t *testing.T) {
	t.Parallel()
	w := upMixed(t)
	client, err := w.dir.Client(w.Name())
	must(t, err)
	err = client.Frames(t.Context(), lab.FrameFilter{}, func() error { return nil }, func(string, time.Time, *lab.Frame) error { return nil }, func(string, uint64) {})
	if err == nil || !strings.Contains(err.Error(), "capture on node node-kernel") {
		t.Errorf("capture on all nodes: %v, want a refusal that names node-kernel", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err = client.Frames(ctx, lab.FrameFilter{Nodes: []string{"node-emulated"}}, func() error { stop(); return nil }, func(string, time.Time, *lab.Frame) error { return nil }, func(string, uint64) {})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("capture on node-emulated: %v", err)
	}
	text, err := os.ReadFile(mixedFile)
	must(t, err)
	for _, tt := range []struct{ old, now, want string }{
		{"engine: bytecode", "engine: emulated", "node node-bytecode: its addresses and its engine cannot change"},
		{"10.96.0.80", "10.96.0.81", "engine kernel runs node node-kernel"},
	} {
		changed := strings.Replace(string(text), tt.old, tt.now, 1)
		_, err := client.Change(t.Context(), []cluster.Source{{Name: "changed.yaml", Data: []byte(changed)}}, nil, true)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("change of %s to %s: %v, want %q", tt.old, tt.now, err, tt.want)
		}
	}
}

// iperfSeconds is how long iperf3 sends. `make iperf` says 60.
func iperfSeconds(tb testing.TB) int {
	tb.Helper()
	text := os.Getenv("HOOKLAB_IPERF_SECONDS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	must(tb, err)
	return n
}

// TestPrivilegedMixedIperf lets iperf3 send by TCP both ways at once between each two of
// the three engines, all six directions together.
func TestPrivilegedMixedIperf(t *testing.T) {
	t.Parallel()
	w := upMixed(t)
	pods := mixedPods()
	seconds := iperfSeconds(t)
	var running sync.WaitGroup
	for i, pair := range [][2]string{{"pod-emulated", "pod-kernel"}, {"pod-kernel", "pod-bytecode"}, {"pod-bytecode", "pod-emulated"}} {
		port := strconv.Itoa(5201 + i)
		server := exec.Command("iperf3", "-s", "-1", "-p", port)
		must(t, w.space("default/"+pair[1]).Start(server))
		listening(t, w.space("default/"+pair[1]), port)
		var out bytes.Buffer
		client := exec.Command("iperf3", "-c", pods[pair[1]], "-p", port, "--bidir", "-t", strconv.Itoa(seconds), "-J")
		client.Stdout = &out
		must(t, w.space("default/"+pair[0]).Start(client))
		running.Go(func() {
			err := client.Wait()
			if err != nil {
				_ = server.Process.Kill()
			}
			_ = server.Wait() // the client says what went wrong
			if err != nil {
				t.Errorf("iperf3 %s <-> %s: %v: %s", pair[0], pair[1], err, out.String())
				return
			}
			checkIperf(t, pair[0], pair[1], seconds, out.Bytes())
		})
	}
	running.Wait()
}

// checkIperf wants that data went in both directions for all the time.
func checkIperf(t *testing.T, a, b string, seconds int, out []byte) {
	t.Helper()
	type sum struct {
		Seconds, Bytes, Retransmits float64
		BitsPerSecond               float64 `json:"bits_per_second"`
	}
	var r struct {
		End struct {
			There sum `json:"sum_received"`
			Back  sum `json:"sum_received_bidir_reverse"`
		}
		Error string
	}
	if err := json.Unmarshal(out, &r); err != nil || r.Error != "" {
		t.Errorf("iperf3 %s <-> %s: %v, %s", a, b, err, r.Error)
		return
	}
	for _, d := range []struct {
		from, to string
		sum      sum
	}{{a, b, r.End.There}, {b, a, r.End.Back}} {
		t.Logf("%s -> %s: %.0f Mbit/s for %.1f s", d.from, d.to, d.sum.BitsPerSecond/1e6, d.sum.Seconds)
		if d.sum.Bytes < 1<<16 || d.sum.Seconds < float64(seconds)*0.9 {
			t.Errorf("%s -> %s: %.0f bytes in %.1f s, want more than 64 KiB in %d s", d.from, d.to, d.sum.Bytes, d.sum.Seconds, seconds)
		}
	}
}

// listening waits until somebody listens on a TCP port of a namespace.
func listening(tb testing.TB, ns *netns.NS, port string) {
	tb.Helper()
	n, err := strconv.Atoi(port)
	must(tb, err)
	want := fmt.Sprintf(":%04X ", n)
	until(tb, func() bool {
		var text []byte
		must(tb, ns.Do(func() (err error) {
			text, err = os.ReadFile("/proc/thread-self/net/tcp")
			other, err6 := os.ReadFile("/proc/thread-self/net/tcp6")
			if err6 == nil {
				text = append(text, other...)
			}
			return err
		}))
		return strings.Contains(string(text), want)
	})
}
