package journey_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/maps"
)

// ofPacket are the decisions of a topic about one packet, in order.
func ofPacket(p *journey.Packet, topic journey.Topic) []string {
	var out []string
	for _, s := range p.Steps {
		if s.Run == nil {
			continue
		}
		for _, d := range s.Run.Decisions {
			if d.Topic == topic && !strings.HasPrefix(d.Text, "conntrack service") {
				out = append(out, d.Text)
			}
		}
	}
	return out
}

// TestSetCT asks about packets of connections that the maps do not have.
func TestSetCT(t *testing.T) {
	t.Parallel()
	c := article(t)
	tests := []struct {
		name  string
		q     journey.Question
		hooks []string // of conntrack, in order
		end   journey.Outcome
	}{
		{"TCP on the node", journey.Question{From: "pod1-1", To: "pod1-2", Protocol: journey.TCP, Port: 80, Flags: "ACK"}, []string{"egress", "ingress"}, journey.Delivered},
		{"UDP to another node", journey.Question{From: "pod1-1", To: "pod2-1", Protocol: journey.UDP, Port: 80}, []string{"egress", "ingress"}, journey.Delivered},
		{"ping to another node", journey.Question{From: "pod1-1", To: "pod2-1"}, []string{"egress", "ingress"}, journey.Delivered},
		{"TCP to a service", journey.Question{From: "pod1-1", To: "svc/web", Protocol: journey.TCP, Port: 80, Flags: "ACK"}, []string{"egress", "ingress"}, journey.Delivered},
		{"TCP from a node", journey.Question{From: "node/cilium-worker", To: "pod1-2", Protocol: journey.TCP, Port: 80, Flags: "ACK"}, []string{"ingress"}, journey.Delivered},
		{"TCP to the world", journey.Question{From: "pod1-1", To: "8.8.8.8", Protocol: journey.TCP, Port: 80, Flags: "ACK"}, []string{"egress"}, journey.Delivered},
	}
	for _, tt := range tests {
		for _, state := range journey.CTStates() {
			t.Run(tt.name+", "+state, func(t *testing.T) {
				t.Parallel()
				q := tt.q
				q.SetCT = journey.CTState(state)
				j, err := journey.Ask(c, engine, q)
				if err != nil {
					t.Fatal(err)
				}
				var want []string
				for _, h := range tt.hooks {
					want = append(want, "conntrack "+h+": "+state)
				}
				if got := ofPacket(j.Asked(), journey.TopicConntrack); !slices.Equal(got, want) || j.Verdict.Outcome != tt.end {
					t.Errorf("got %s, %q; want %s, %q", j.Verdict.Outcome, got, tt.end, want)
				}
				if said := strings.Join(j.Assumed, "\n"); !strings.Contains(said, "to Cilium's conntrack the packet is") || (state != "new") != strings.Contains(said, "has "+protocolOf(&q)) {
					t.Errorf("assumed: %s", said)
				}
			})
		}
	}
}

func protocolOf(q *journey.Question) string {
	if q.Protocol == "" {
		return "ICMP"
	}
	return strings.ToUpper(string(q.Protocol))
}

// TestSetCTReplyPasses shows what a reply is spared: a policy that denies new
// connections lets it pass.
func TestSetCTReplyPasses(t *testing.T) {
	t.Parallel()
	c := article(t)
	for state, want := range map[journey.CTState]journey.Outcome{
		"": journey.Dropped, journey.CTNew: journey.Dropped, journey.CTEstablished: journey.Dropped, journey.CTReply: journey.Delivered,
	} {
		q := journey.Question{From: "pod1-1", To: "pod2-1", Protocol: journey.TCP, Port: 80, Flags: "ACK", SetCT: state}
		j, err := journey.Ask(c, strictEngine(true), q)
		if err != nil {
			t.Fatal(err)
		}
		if j.Verdict.Outcome != want {
			t.Errorf("%q: %s because %s, want %s", state, j.Verdict.Outcome, j.Verdict.Because, want)
		}
	}
}

// TestSetCTEntries looks at the entries that a packet of an established connection
// meets: those of a service's connection have its reverse NAT, and live as long as one
// that is in use.
func TestSetCTEntries(t *testing.T) {
	t.Parallel()
	j := ask(t, article(t), journey.Question{From: "pod1-1", To: "svc/web", Protocol: journey.TCP, Port: 80, Flags: "ACK", SetCT: journey.CTEstablished})
	var out, in string
	for _, s := range j.Asked().Steps {
		if s.Run == nil {
			continue
		}
		for _, e := range s.Run.Entries {
			switch {
			case strings.Contains(e.Key, "service"):
			case strings.HasPrefix(e.Key, "TCP OUT"):
				out = e.Before
			case strings.HasPrefix(e.Key, "TCP IN"):
				in = e.Before
			}
		}
	}
	for _, want := range []string{"expires=25200", "RevNAT=5", "SeenNonSyn", "TxFlagsSeen=0x12"} {
		if !strings.Contains(out, want) {
			t.Errorf("OUT before: %s; want %s", out, want)
		}
	}
	for _, want := range []string{"expires=25200", "RevNAT=0", "SeenNonSyn"} {
		if !strings.Contains(in, want) {
			t.Errorf("IN before: %s; want %s", in, want)
		}
	}
	// The answer is found, and translated back.
	var answered bool
	for _, p := range j.Packets {
		answered = answered || p.Of == j.Asked().ID && strings.Contains(strings.Join(ofPacket(p, journey.TopicNAT), " "), "reverse NAT 5")
	}
	if !answered {
		t.Errorf("no answer with reverse NAT:\n%s", text(t, j, journey.Summary))
	}
}

// TestSetCTLoopback lets a pod reach itself by a service in the middle of a connection:
// its second entry is there, so the answer finds the way back.
func TestSetCTLoopback(t *testing.T) {
	t.Parallel()
	c := load(t, `
apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  nodes: [{name: n1}]
  pods: [{name: a, node: n1, labels: {app: web}, run: [nc, -lk, "80"]}]
  services: [{name: web, clusterIP: 10.96.0.9, selector: {app: web}, ports: [80]}]
`)
	for _, state := range []journey.CTState{"", journey.CTEstablished} {
		j := ask(t, c, journey.Question{From: "a", To: "svc/web", Protocol: journey.TCP, Port: 80, Flags: "ACK", SetCT: state})
		if j.Verdict.Outcome != journey.Delivered || !strings.Contains(j.Verdict.Answer, "came to pod default/a") {
			t.Errorf("%q: %s, %s", state, j.Verdict.Outcome, j.Verdict.Answer)
		}
	}
}

// TestSetCTChoosesAlike draws the same backend with and without the state: trying a
// program out uses up no chance.
func TestSetCTChoosesAlike(t *testing.T) {
	t.Parallel()
	places := map[string]bool{}
	for seed := range 12 {
		c := load(t, fmt.Sprintf(`
apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  seed: %d
  nodes: [{name: n1}]
  pods:
  - {name: client, node: n1}
  - {name: web1, node: n1, labels: {app: web}, run: [nc, -lk, "80"]}
  - {name: web2, node: n1, labels: {app: web}, run: [nc, -lk, "80"]}
  - {name: web3, node: n1, labels: {app: web}, run: [nc, -lk, "80"]}
  services: [{name: web, clusterIP: 10.96.0.9, selector: {app: web}, ports: [80]}]
`, seed+1))
		q := journey.Question{From: "client", To: "svc/web", Protocol: journey.TCP, Port: 80}
		want := ask(t, c, q).Verdict.Place
		q.SetCT = journey.CTNew
		if got := ask(t, c, q).Verdict.Place; got != want {
			t.Errorf("seed %d: got %s, want %s", seed+1, got, want)
		}
		places[want] = true
	}
	if len(places) < 2 {
		t.Errorf("always the same backend: %v", places)
	}
}

// TestSetCTStateFile decides what a state leaves open, but for what it knows of services.
func TestSetCTStateFile(t *testing.T) {
	t.Parallel()
	c := load(t, emptyService)
	a, err := journey.NewAsker(c, journey.Options{Engine: engine, Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ask(journey.Question{From: "a", To: "b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ask(journey.Question{From: "a", To: "b", SetCT: journey.CTNew}); !errors.Is(err, journey.ErrQuestion) {
		t.Errorf("kept: %v", err)
	}
	st, err := a.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range st {
		delete(n, maps.NameCTAny4)
		delete(n, maps.NameCT4)
	}
	for state, want := range map[journey.CTState]journey.Outcome{"": journey.Unknown, journey.CTNew: journey.Delivered, journey.CTEstablished: journey.Delivered} {
		j := askState(t, c, st, journey.Question{From: "a", To: "b", SetCT: state})
		if j.Verdict.Outcome != want {
			t.Errorf("%q: %s because %s, want %s", state, j.Verdict.Outcome, j.Verdict.Because, want)
		}
	}
}

func askState(tb testing.TB, c *cluster.Cluster, st journey.State, q journey.Question) *journey.Journey {
	tb.Helper()
	a, err := journey.NewAsker(c, journey.Options{Engine: engine, State: st})
	if err != nil {
		tb.Fatal(err)
	}
	j, err := a.Ask(q)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}
