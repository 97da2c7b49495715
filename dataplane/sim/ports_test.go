package sim_test

import (
	"strings"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// TestOpenPorts checks the rule that the package's comment gives.
func TestOpenPorts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		run  string
		udp  bool
		port uint16
		want sim.Outcome
	}{
		{run: "nc -lk 80", port: 80, want: sim.Answered},
		{run: "nc -lk 80", port: 80, udp: true, want: sim.Unreachable},
		{run: "/bin/ncat --listen --udp 53", port: 53, udp: true, want: sim.Answered},
		{run: "nc -lku -w 5 5300", port: 5300, udp: true, want: sim.Answered},
		{run: "nc 10.0.0.1 80", port: 80, want: sim.Refused},
		{run: "python3 -m http.server", port: 8000, want: sim.Answered},
		{run: "python3 -m http.server 8080", port: 8080, want: sim.Answered},
		{run: "socat TCP-LISTEN:99,fork EXEC:cat", port: 99, want: sim.Answered},
		{run: "socat udp4-listen:99,fork exec:cat", port: 99, udp: true, want: sim.Answered},
		{run: "sleep 3600", port: 3600, want: sim.Refused},
		{run: "", port: 80, want: sim.Refused},
	} {
		t.Run(tt.run, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, real112, nil)
			p := pod("server", "n2", "server")
			p.Run = strings.Fields(tt.run)
			if _, err := w.cluster.AddPod(p); err != nil {
				t.Fatal(err)
			}
			w.Refresh()
			start := w.TCP
			if tt.udp {
				start = w.UDP
			}
			if r := w.run(start("pod1-1", "server", tt.port, sim.Message{})); r.Outcome != tt.want {
				t.Errorf("got %s, want %s", w.summary(r), tt.want)
			}
		})
	}
}

// TestHostNetwork lets a pod in its node's network answer there.
func TestHostNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	p := cluster.Pod{Name: "proxy", Node: "n2", HostNetwork: true, Run: []string{"nc", "-lk", "9100"}}
	if _, err := w.cluster.AddPod(p); err != nil {
		t.Fatal(err)
	}
	w.Refresh()
	r := w.run(w.TCP("pod1-1", "proxy", 9100, sim.Message{}))
	if r.Outcome != sim.Answered || r.Deliveries[0].Place != (sim.Place{Kind: sim.AtNode, Name: "n2"}) {
		t.Errorf("got %s", w.summary(r))
	}
	if r := w.run(w.TCP("proxy", "pod1-2", 80, sim.Message{})); r.Outcome != sim.Answered {
		t.Errorf("from it: %s", w.summary(r))
	}
}
