package journey_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/journey"
)

// scenario is a question with what must come of it by the rules of Kubernetes, which
// know nothing of programs and maps.
type scenario struct {
	q       journey.Question
	outcome journey.Outcome
	places  []string // where it may end; none: anywhere
}

// draw makes a scenario by chance: a pod asks a pod, a service, a node or the world.
func draw(r *rand.Rand, c *cluster.Cluster) scenario {
	pods := c.Pods()
	from, to := &pods[r.IntN(len(pods))], &pods[r.IntN(len(pods))]
	s := scenario{q: journey.Question{From: from.Ref(), To: to.Ref()}, outcome: journey.Delivered, places: []string{"pod " + to.Ref()}}
	switch r.IntN(3) {
	case 0:
		s.q.Protocol, s.q.Port = journey.TCP, uint16(1+r.IntN(8000))
	case 1:
		s.q.Protocol, s.q.Port, s.q.Size = journey.UDP, uint16(1+r.IntN(8000)), r.IntN(3000)
	}
	switch r.IntN(5) {
	case 0: // a service of which every backend may answer
		svc := c.Services()[r.IntN(len(c.Services()))]
		p := svc.Ports[r.IntN(len(svc.Ports))]
		s.q.To, s.q.Protocol, s.q.Port, s.q.Size = "svc/"+svc.Ref(), journey.Protocol(strings.ToLower(p.Protocol)), p.Port, 0
		s.places = nil
		for _, b := range p.Backends {
			s.places = append(s.places, placeOf(c, b.Addr.Addr()))
		}
	case 1:
		n := c.Nodes()[r.IntN(len(c.Nodes()))]
		s.q.To, s.places = "node/"+n.Name, []string{"node " + n.Name}
	case 2:
		s.q.To, s.places = "198.51.100.7", []string{"external 198.51.100.7"}
	case 3:
		if from != to {
			s.q.TTL, s.outcome, s.places = 1, journey.Dropped, nil
		}
	}
	return s
}

func placeOf(c *cluster.Cluster, ip netip.Addr) string {
	pods := c.Pods()
	for i := range pods {
		if pods[i].IP == ip && !pods[i].HostNetwork {
			return "pod " + pods[i].Ref()
		}
	}
	for _, n := range c.Nodes() {
		if n.IP == ip {
			return "node " + n.Name
		}
	}
	return "external " + ip.String()
}

// TestScenarios asks a thousand questions drawn from a seed. Each ends as and where
// Kubernetes' rules say.
func TestScenarios(t *testing.T) {
	t.Parallel()
	c := article(t)
	r := rand.New(rand.NewPCG(3, 1000))
	for i := range 1000 {
		s := draw(r, c)
		j, err := journey.Ask(c, engine, s.q)
		if err != nil {
			t.Fatalf("%d, %s: %v", i, s.q.String(), err)
		}
		v := j.Verdict
		here := len(s.places) == 0
		for _, p := range s.places {
			here = here || p == v.Place
		}
		if v.Outcome != s.outcome || !here {
			t.Errorf("%d, %s: got %s at %s because %s, want %s at %v", i, s.q.String(), v.Outcome, v.Place, v.Because, s.outcome, s.places)
		}
		if v.Because == "" || len(v.Path) == 0 || !strings.Contains(text(t, j, journey.Full), "\nVERDICT ") {
			t.Errorf("%d, %s: no reason, path or verdict: %+v", i, s.q.String(), v)
		}
	}
}
