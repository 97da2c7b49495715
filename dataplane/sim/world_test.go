package sim_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/maps"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is two nodes with two pods each, a service for each kind of backend, and three
// hosts outside. %s is the profile with what belongs to it.
const lab = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  %s
  nodes:
  - {name: n1, role: control-plane, ip: 172.18.0.3, podCIDR: 10.0.1.0/24, router: 10.0.1.1}
  - {name: n2, ip: 172.18.0.5, podCIDR: 10.0.2.0/24, router: 10.0.2.1}
  pods:
  - {name: pod1-1, node: n1, ip: 10.0.1.11, identity: 1001, labels: {app: own}}
  - {name: pod1-2, node: n1, ip: 10.0.1.12, identity: 1002, labels: {app: near}, run: [nc, -lk, "80"]}
  - {name: pod2-1, node: n2, ip: 10.0.2.11, identity: 2001, labels: {app: far}, run: [nc, -lk, "80"]}
  - {name: pod2-2, node: n2, ip: 10.0.2.12, identity: 2002, run: [nc, -lku, "53"]}
  services:
  - {name: own, clusterIP: 10.96.0.11, selector: {app: own}, ports: [{port: 80, targetPort: "8080"}]}
  - {name: near, clusterIP: 10.96.0.12, selector: {app: near}, ports: [{port: 80, targetPort: "8080"}]}
  - {name: far, clusterIP: 10.96.0.13, selector: {app: far}, ports: [{port: 80, targetPort: "8080"}, {name: dns, protocol: UDP, port: 53}]}
  - {name: none, clusterIP: 10.96.0.14, selector: {app: none}, ports: [{port: 80}]}
  - {name: api, clusterIP: 10.96.0.15, ports: [{port: 443, backends: ["172.18.0.3:6443"]}]}
  external:
  - {name: web, ip: 192.0.2.80}
  - {name: lan, ip: 172.18.9.9}
`

func engine(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }

// world is a simulation with what its observer saw.
type world struct {
	*sim.Sim
	t       testing.TB
	cluster *cluster.Cluster
	lines   []string
	taps    []string
}

// newWorld simulates the lab with a line of its settings, "profile: article".
func newWorld(tb testing.TB, settings string, change func(o *sim.Options)) *world {
	tb.Helper()
	c, err := cluster.Load(cluster.Source{Name: "lab.yaml", Data: fmt.Appendf(nil, lab, settings)})
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{t: tb, cluster: c}
	o := sim.Options{Engine: engine, Observer: w.see, Notifications: 64}
	if change != nil {
		change(&o)
	}
	if w.Sim, err = sim.New(c, o); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := w.Close(); err != nil {
			tb.Error(err)
		}
	})
	return w
}

// run lets a conversation end and returns its result.
func (w *world) run(c *sim.Conversation, err error) sim.Result {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.RunUntilIdle(100000); err != nil {
		w.t.Fatal(err)
	}
	return c.Result()
}

// see writes an event down.
func (w *world) see(e *sim.Event) {
	w.lines = append(w.lines, describe(e))
	if tap := tapOf(e); tap != "" {
		w.taps = append(w.taps, tap)
	}
}

// describe is an event on one line.
func describe(e *sim.Event) string {
	s := fmt.Sprintf("%d %s #%d<%d/%d %s c%d %s %s %s", e.Seq, e.Time, e.Frame, e.Parent, e.Packet, e.Relation, e.Conversation, e.Place, e.Device, e.Kind)
	switch e.Kind {
	case sim.NodeStep:
		s += fmt.Sprintf(" %d", e.Node.Kind)
		if e.Node.Hook != nil {
			s += " " + e.Node.Hook.Prog.String()
		}
		if e.Node.Kind == node.EventAfter {
			s += " = " + e.Node.Verdict.Action.String()
		}
		if e.Node.Kind == node.EventLost {
			s += " " + e.Node.Loss.String()
		}
	case sim.Notified:
		s += fmt.Sprintf(" %x", e.Notification)
	case sim.Tracked:
		s += " " + e.Flow.String()
	case sim.Routed:
		s += fmt.Sprintf(" %+v", *e.Route)
	case sim.Resolved:
		s += fmt.Sprintf(" %x", e.MAC)
	case sim.Forwarded:
		s += fmt.Sprint(" ", e.TTL)
	case sim.Marked:
		s += fmt.Sprintf(" %#x", e.Marks)
	case sim.Translated:
		s += fmt.Sprintf(" by %s: %+v", e.Actor, *e.NAT)
	case sim.Lost:
		s += " " + e.Reason.String()
	default:
	}
	if e.Outer != nil {
		s += fmt.Sprintf(" %+v", *e.Outer)
	}
	return s + fmt.Sprintf(" mark %#x %x", e.Mark, e.Data)
}

// tapOf is what a packet socket would show: device, direction, TTL, addresses.
func tapOf(e *sim.Event) string {
	var dir string
	switch {
	case e.Kind == sim.Out, e.Kind == sim.NodeStep && e.Node.Kind == node.EventOut:
		dir = "out"
	case e.Kind == sim.In, e.Kind == sim.NodeStep && e.Node.Kind == node.EventIn:
		dir = "in"
		if e.Kind == sim.NodeStep && e.Node.Packet.PktType == dataplane.PacketOtherHost {
			dir = "P"
		}
	default:
		return ""
	}
	where := e.Place.Name + " " + e.Device
	if len(e.Data) < 34 || header.Ethernet(e.Data).Type() != header.EtherTypeIPv4 {
		return where + " " + dir + " arp"
	}
	if e.Outer != nil {
		return fmt.Sprintf("%s %s %s>%s vni %d ttl %d", where, dir, e.Outer.Src, e.Outer.Dst, e.Outer.VNI, e.Outer.TTL)
	}
	ip := header.IPv4(e.Data[14:])
	return fmt.Sprintf("%s %s %d %s>%s", where, dir, ip.TTL(), netip.AddrFrom4(ip.Src()), netip.AddrFrom4(ip.Dst()))
}

// noARP leaves out what only the first packet shows.
func noARP(taps []string) []string {
	var out []string
	for _, t := range taps {
		if !strings.HasSuffix(t, "arp") {
			out = append(out, t)
		}
	}
	return out
}

const terminating = cluster.Terminating

// pod is a pod with a label app.
func pod(name, node, app string) cluster.Pod {
	return cluster.Pod{Name: name, Node: node, Labels: map[string]string{"app": app}}
}
