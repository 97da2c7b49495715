package journey_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/internal/testkit"
)

// path is one of the article's paths with the C functions that it prints for it, in
// its order: forth for the question's packet, back for the answer.
type path struct {
	name        string
	question    journey.Question
	forth, back []string
}

// The article's stacks.
var (
	fromPod  = []string{"handle_xgress", "tail_handle_ipv4", "__tail_handle_ipv4", "tail_handle_ipv4_cont", "handle_ipv4_from_lxc"}
	delivery = []string{
		"ipv4_local_delivery", "ipv4_l3", "handle_policy", "tail_ipv4_ct_ingress_policy_only", "tail_ipv4_policy", "ipv4_policy", "redirect_ep",
	}
	toTunnel   = []string{"encap_and_redirect_lxc", "__encap_and_redirect_with_nodeid", "__encap_with_nodeid", "ctx_redirect"}
	fromTunnel = join([]string{"tail_handle_ipv4", "handle_ipv4", "ipcache_lookup4"}, delivery)
	service    = []string{
		"handle_xgress", "tail_handle_ipv4", "__tail_handle_ipv4", "lb4_lookup_service", "lb4_local", "tail_handle_ipv4_cont", "handle_ipv4_from_lxc",
	}
	sameNode = join(fromPod, []string{"lookup_ip4_endpoint"}, delivery)
	fromHost = []string{"handle_netdev", "do_netdev", "tail_handle_ipv4_from_host", "tail_handle_ipv4", "handle_ipv4"}
	hostRX   = []string{"tail_handle_ipv4", "handle_ipv4", "lookup_ip4_endpoint", "ipv4_l3", "ctx_redirect"}
)

func join(parts ...[]string) []string {
	var out []string
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// paths are the article's paths.
func paths() []path {
	revNAT := []string{"ipv4_policy", "lb4_rev_nat", "__lb4_rev_nat", "redirect_ep"}
	return []path{
		{
			name: "arp", question: journey.Question{From: "pod1-1", To: "10.0.1.197", Protocol: journey.ARP},
			forth: []string{"handle_xgress", "tail_handle_arp", "arp_respond", "ctx_redirect"},
		},
		{name: "pod-to-pod-same-node", question: journey.Question{From: "pod1-1", To: "pod1-2"}, forth: sameNode, back: sameNode},
		{
			name: "pod-to-pod-other-node", question: journey.Question{From: "pod1-1", To: "pod2-1"},
			forth: join(fromPod, toTunnel, fromTunnel), back: join(fromPod, toTunnel, fromTunnel),
		},
		{
			name: "node-to-remote-pod", question: journey.Question{From: "node/cilium-worker", To: "pod2-1"},
			forth: join(fromHost, []string{"encap_and_redirect_with_nodeid"}, fromTunnel), back: join(fromPod, toTunnel, hostRX),
		},
		{
			name: "node-to-local-pod", question: journey.Question{From: "node/cilium-worker", To: "pod1-1"},
			forth: join(fromHost, delivery), back: fromPod,
		},
		{name: "pod-to-own-node", question: journey.Question{From: "pod1-1", To: "node/cilium-worker"}, forth: join(fromPod, []string{"lookup_ip4_endpoint"})},
		{
			name: "service-local-backend", question: journey.Question{From: "pod1-1", To: "svc/web", Protocol: journey.TCP, Port: 80},
			forth: join(service, delivery), back: join(fromPod, revNAT),
		},
		{
			name: "service-remote-backend", question: journey.Question{From: "pod2-1", To: "svc/web", Protocol: journey.TCP, Port: 80},
			forth: join(service, toTunnel, fromTunnel), back: join(fromPod, toTunnel, []string{"tail_handle_ipv4", "handle_ipv4"}, revNAT),
		},
		{
			name: "pod-to-external", question: journey.Question{From: "pod1-1", To: "8.8.8.8"},
			forth: join(fromPod, []string{"encap_and_redirect_lxc", "ipv4_l3"}), back: join(fromHost, delivery),
		},
		{name: "external-to-pod", question: journey.Question{From: "8.8.8.8", To: "pod1-1"}, forth: join(fromHost, delivery)},
	}
}

// TestArticle finds the article's functions in its order, and compares the text and
// the JSON with what was approved.
func TestArticle(t *testing.T) {
	t.Parallel()
	c := article(t)
	for _, p := range paths() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			j := ask(t, c, p.question)
			asked := j.Asked()
			if asked == nil || j.Verdict.Outcome != journey.Delivered {
				t.Fatalf("got %+v", j.Verdict)
			}
			wantOrder(t, "forth", functions(asked), p.forth)
			if p.back != nil {
				wantOrder(t, "back", functions(answerTo(t, j, asked)), p.back)
			}
			testkit.Golden(t, p.name+".txt", []byte(text(t, j, journey.Full)))
			testkit.Golden(t, p.name+".summary.txt", []byte(text(t, j, journey.Summary)))
			testkit.Golden(t, p.name+".minimal.txt", []byte(text(t, j, journey.Minimal)))
			var b bytes.Buffer
			if err := j.WriteJSON(&b); err != nil {
				t.Fatal(err)
			}
			testkit.Golden(t, p.name+".json", b.Bytes())
			b.Reset()
			if err := journey.WriteMermaid(&b, []*journey.Journey{j}); err != nil {
				t.Fatal(err)
			}
			testkit.Golden(t, p.name+".mmd", b.Bytes())
		})
	}
}

// TestOldKernel finds the article's reverse NAT stack, which it has before Linux 5.10
// only: the receiver's policy is then at the egress of its lxc device.
func TestOldKernel(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../examples/01-article/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, strings.Replace(string(data), `kernelVersion: "5.10"`, `kernelVersion: "5.4"`, 1))
	for _, from := range []string{"pod1-1", "pod2-1"} {
		j := ask(t, c, journey.Question{From: from, To: "svc/web", Protocol: journey.TCP, Port: 80})
		wantOrder(t, from, functions(answerTo(t, j, j.Asked())),
			[]string{"handle_to_container", "tail_ipv4_to_endpoint", "ipv4_policy", "lb4_rev_nat", "__lb4_rev_nat"})
	}
}

// functions are the C functions that a packet met, in order.
func functions(p *journey.Packet) []string {
	var out []string
	for _, s := range p.Steps {
		if s.Run == nil {
			continue
		}
		for _, l := range s.Run.Lines {
			if l.Kind == journey.LineCall {
				out = append(out, l.Func)
			}
		}
	}
	return out
}

func answerTo(t *testing.T, j *journey.Journey, p *journey.Packet) *journey.Packet {
	t.Helper()
	for _, a := range j.Packets {
		if a.Relation == journey.Answer && a.Of == p.ID {
			return a
		}
	}
	t.Fatal("no answer")
	return nil
}

// wantOrder finds want in got, in its order, others between them allowed.
func wantOrder(t *testing.T, which string, got, want []string) {
	t.Helper()
	i := 0
	for _, f := range got {
		if i < len(want) && f == want[i] {
			i++
		}
	}
	if i < len(want) {
		t.Errorf("%s: %s does not follow after %s in %s", which, want[i], strings.Join(want[:i], " "), strings.Join(got, " "))
	}
}
