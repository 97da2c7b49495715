package main

import (
	"context"
	"encoding/binary"
	"fmt"
	stdmaps "maps"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns/lab"
)

// counter is packets and bytes of a reason and direction.
type counter struct{ Packets, Bytes uint64 }

// metrics are the counters of cilium_metrics of both nodes, by "NODE REASON DIRECTION".
func (s *soak) metrics() map[string]counter {
	s.tb.Helper()
	all := map[string]counter{}
	for _, node := range []string{"a", "b"} {
		m, err := s.client.Maps(context.Background(), node)
		if err != nil {
			s.tb.Fatal(err)
		}
		store, err := m.Lookup(maps.NameMetrics)
		if err != nil {
			s.tb.Fatal(err)
		}
		err = store.Range(&maps.Cursor{}, 0, func(key, value []byte) bool {
			k := maps.NewMetricsKey(key[0], key[1])
			all[node+" "+k.String()] = counter{binary.LittleEndian.Uint64(value), binary.LittleEndian.Uint64(value[8:])}
			return true
		})
		if err != nil {
			s.tb.Fatal(err)
		}
	}
	return all
}

func number64(tb testing.TB, text string) uint64 {
	tb.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// since is what has been counted since before.
func since(before, now map[string]counter) map[string]counter {
	out := map[string]counter{}
	for k, v := range now {
		if was := before[k]; v != was {
			out[k] = counter{v.Packets - was.Packets, v.Bytes - was.Bytes}
		}
	}
	return out
}

// quiet waits until nothing is counted any more and returns the counters.
func (s *soak) quiet() map[string]counter {
	s.tb.Helper()
	last := s.metrics()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		<-time.After(300 * time.Millisecond) // the time in which nothing must happen
		now := s.metrics()
		if stdmaps.Equal(last, now) {
			return now
		}
		last = now
	}
	s.tb.Fatal("the lab does not become quiet")
	return nil
}

// accounted compares cilium_metrics with what capture sees at the hooks while traffic of
// all kinds goes on, aggregates among it.
func (s *soak) accounted(t *testing.T) {
	t.Helper()
	before := s.quiet()
	capture := s.start("Capturing", "capture", "-s", "100", "-w", "account.pcapng")
	if late := since(before, s.metrics()); len(late) > 0 {
		t.Logf("counted while the capture began: %v", late)
		capture.stop()
		s.accounted(t)
		return
	}
	for _, args := range [][]string{
		{"client", "ping", "-c", "3", "-i", "0.1", "-W", "30", "10.0.0.11"},
		{"client", "ping", "-c", "3", "-i", "0.1", "-W", "30", "10.0.1.11"},
		{"client", "ping", "-c", "2", "-i", "0.1", "-W", "30", "172.18.255.1"},
		{"client", "ping", "-c", "1", "-W", "30", "172.18.0.2"},
		{"node/a", "ping", "-c", "1", "-W", "30", "10.0.0.11"},
		{"node/a", "ping", "-c", "1", "-W", "30", "10.0.1.11"},
		{"client", "iperf3", "-c", "10.0.0.11", "-n", "8M"},
		{"client", "iperf3", "-c", "10.0.1.11", "-n", "8M"},
		{"client", "iperf3", "-u", "-b", "1M", "-c", "10.0.1.11", "-n", "20K"},
	} {
		s.run(append([]string{"exec", args[0], "--"}, args[1:]...)...)
	}
	// Hop limit reached on the way to a pod of the node: a drop.
	_, _ = s.try("exec", "client", "--", "ping", "-c", "2", "-i", "0.1", "-W", "1", "-t", "1", "10.0.0.11")
	now := s.quiet()
	text := capture.stop()
	if strings.Contains(text, "lost") {
		t.Fatalf("capture has lost frames:\n%s", text)
	}
	want, aggregates := captured(t, s.path("account.pcapng"))
	if diff := cmp.Diff(want, since(before, now)); diff != "" {
		t.Errorf("cilium_metrics (-as captured +counted):\n%s", diff)
	}
	if aggregates == 0 {
		t.Error("no aggregate was among the frames")
	}
	var sum counter
	for _, c := range want {
		sum.Packets, sum.Bytes = sum.Packets+c.Packets, sum.Bytes+c.Bytes
	}
	t.Logf("captured %d frames that count, %d bytes; %d aggregates", sum.Packets, sum.Bytes, aggregates)
}

var verdictDrop = regexp.MustCompile(`^drop, (.*) \(\d+\)$`)

// captured is what cilium_metrics should have counted for the frames of a capture (SPEC
// 12.3), and how many aggregates are among them.
func captured(t *testing.T, file string) (map[string]counter, int) {
	t.Helper()
	out, err := exec.Command("tshark", "-r", file, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.len", "-e", "frame.comment").Output()
	if err != nil {
		t.Fatal(err)
	}
	all, aggregates := map[string]counter{}, 0
	for line := range strings.Lines(string(out)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		node, rest, _ := strings.Cut(f[0], "/")
		device, hook, _ := strings.Cut(rest, ":")
		size := number64(t, f[1])
		if strings.Contains(f[2], "aggregate:") {
			aggregates++
		}
		_, verdict, _ := strings.Cut(f[2], "verdict: ")
		for _, end := range []string{",source identity", ",destination identity", ",mark", ",tunnel key", ",aggregate", ",checksum"} {
			verdict, _, _ = strings.Cut(verdict, end)
		}
		for _, what := range counts(device, hook, verdict) {
			c := all[node+" "+what]
			all[node+" "+what] = counter{c.Packets + 1, c.Bytes + size}
		}
	}
	return all, aggregates
}

// counts are the counters that a frame increments, as SPEC 12.3 says.
func counts(device, hook, verdict string) []string {
	const in, out, plain = "Success INGRESS", "Success EGRESS", "Interface INGRESS"
	if m := verdictDrop.FindStringSubmatch(verdict); m != nil {
		if strings.HasPrefix(hook, "from-container") {
			return []string{m[1] + " EGRESS"}
		}
		return []string{m[1] + " INGRESS"}
	}
	target, redirected := strings.CutPrefix(verdict, "redirect to ")
	pod := redirected && strings.HasPrefix(target, "lxc")
	switch hook {
	case "from-host@entry", "from-overlay@entry":
		return []string{plain}
	case "from-container@exit":
		switch {
		case redirected && target == device: // an answer to ARP
			return nil
		case pod:
			return []string{out, in}
		}
		return []string{out}
	case "from-host@exit":
		switch {
		case pod:
			return []string{in, in}
		case redirected:
			return []string{out}
		}
	case "from-overlay@exit":
		if pod {
			return []string{in}
		}
	case "to-host@exit":
		return []string{out}
	}
	return nil
}

// refused sends random frames from a pod and random datagrams to the tunnel's port, and
// checks that each of them is counted, most as drops with a reason.
func (s *soak) refused(t *testing.T) {
	t.Helper()
	s.quiet()
	before, counted := s.status(), s.metrics()
	var frames, datagrams uint64
	err := s.spaces["flooder"].Do(func() error {
		return withFrames(func(send func() error) {
			frames = s.burst(send, func(n *lab.NodeStats) uint64 { return n.Received })
		})
	})
	if err == nil {
		err = s.spaces["external/stranger"].Do(func() error {
			return withDatagrams([]string{"172.18.0.3"}, func(send func() error) {
				datagrams = s.burst(send, tunnelled)
			})
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.quiet()
	after := s.status()
	drops := since(counted, s.metrics())
	was, is := before.Nodes[1].Stats, after.Nodes[1].Stats
	reasons := map[string]uint64{}
	var programs uint64
	for name, c := range drops {
		if !strings.HasPrefix(name, "b Success") && !strings.HasPrefix(name, "b Interface") && strings.HasPrefix(name, "b ") {
			reasons[strings.TrimPrefix(name, "b ")] = c.Packets
			programs += c.Packets
		}
	}
	lost := is.Lost[lab.LostByProgram] - was.Lost[lab.LostByProgram]
	tunnel := tunnelled(&is) - tunnelled(&was)
	var why uint64
	for i, c := range is.Tunnel.RxReasons {
		why += c - was.Tunnel.RxReasons[i]
	}
	t.Logf("%d random frames, %d random datagrams: dropped by programs %v; by the tunnel %d of %d", frames, datagrams, reasons, why, tunnel)
	if len(reasons) < 3 || programs != lost {
		t.Errorf("cilium_metrics has %d drops for %d reasons, the node has lost %d", programs, len(reasons), lost)
	}
	if tunnel < datagrams || why == 0 {
		t.Errorf("%d of %d datagrams reached the tunnel, %d were dropped there", tunnel, datagrams, why)
	}
	if got := is.Received - was.Received; got < frames+tunnel-why {
		t.Errorf("the node received %d frames of %d from the pod and %d from the tunnel", got, frames, tunnel-why)
	}
	for _, st := range after.Nodes {
		if left := st.Stats.Received - ended(&st.Stats); left != 0 {
			t.Errorf("node %s: %d of %d frames have no end", st.Name, left, st.Stats.Received)
		}
	}
	// It lives.
	s.run("exec", "client", "--", "ping", "-c", "1", "-W", "30", "10.0.1.12")
}

// burst sends 3,000 times, no more at once than fits the queues on the way: node b has to
// have counted them first.
func (s *soak) burst(send func() error, counted func(*lab.NodeStats) uint64) (sent uint64) {
	s.tb.Helper()
	look := func() uint64 {
		n, err := s.client.Stats(context.Background(), "b")
		if err != nil {
			s.tb.Error(err)
			return 0
		}
		return counted(n)
	}
	base := look()
	for range 30 {
		for range 100 {
			if send() == nil {
				sent++
			}
		}
		for end := time.Now().Add(patience); look() < base+sent; {
			if time.Now().After(end) {
				s.tb.Errorf("%d of %d were counted", look()-base, sent)
				return sent
			}
		}
	}
	return sent
}

// tunnelled counts the datagrams that a node's tunnel has seen.
func tunnelled(s *lab.NodeStats) uint64 {
	return s.Tunnel.RxPackets + s.Tunnel.RxErrors + s.Tunnel.RxDropped
}

// ended counts the frames whose end is known.
func ended(s *lab.NodeStats) uint64 {
	n := s.ToPod + s.ToStack + s.ToUnderlay
	for _, c := range s.Lost {
		n += c
	}
	return n
}

// TestCounts: a frame that counted twice, or that nobody counted, would be found.
func TestCounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ device, hook, verdict, want string }{
		{"lxc1", "from-container@exit", "redirect to lxc2", "[Success EGRESS Success INGRESS]"},
		{"lxc1", "from-container@exit", "redirect to lxc1", "[]"},
		{"lxc1", "from-container@exit", "redirect to cilium_vxlan", "[Success EGRESS]"},
		{"lxc1", "from-container@exit", "drop, Invalid packet (134)", "[Invalid packet EGRESS]"},
		{"cilium_vxlan", "from-overlay@exit", "drop, Invalid packet (134)", "[Invalid packet INGRESS]"},
		{"lxc1", "from-container@entry", "", "[]"},
		{"cilium_host", "from-host@exit", "redirect to lxc1", "[Success INGRESS Success INGRESS]"},
	} {
		if got := fmt.Sprint(counts(tt.device, tt.hook, tt.verdict)); got != tt.want {
			t.Errorf("%v: %s, want %s", tt, got, tt.want)
		}
	}
}
