package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// agreeCluster has an end for each path of the lab. Services have one backend, so that
// nothing is left to chance. Hosts outside run something that has no port: of those that
// run nothing trace takes some for open.
const agreeCluster = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: agree}
spec:
  profile: %s
  nodes: [{name: a}, {name: b}]
  external:
  - {name: neighbour, ip: 172.18.255.1, run: [sleep, infinity]}
  - {name: world, ip: 8.8.8.8, run: [sleep, infinity]}
  pods:
  - {name: client, node: a}
  - {name: same, node: a, labels: {at: same}, run: [whoami]}
  - {name: other, node: b, labels: {at: other}, run: [whoami]}
  services:
  - {name: near, selector: {at: same}, ports: [80, {port: 53, targetPort: 80, protocol: UDP}]}
  - {name: far, selector: {at: other}, ports: [80, {port: 53, targetPort: 80, protocol: UDP}]}
  - {name: empty, selector: {at: nowhere}, ports: [80]}
`

// TestPrivilegedAgreement asks trace --lab about packets drawn by chance, sends the same
// ones for real, and compares what happens: programs and their returns, what passes each
// device with TTL, addresses and ports, the tunnel's ends and VNI, where it ends and
// what answers. Of what leaves by the masquerade the source port is left out, which is
// the kernel's to choose.
//
// There are 200 questions; HOOKLAB_QUESTIONS asks another number.
func TestPrivilegedAgreement(t *testing.T) {
	t.Parallel()
	questions := number(t, "HOOKLAB_QUESTIONS", 200)
	for i, of := range []struct{ profile, wire string }{
		{"cilium-1.12", "tap"}, {"article", "veth"},
	} {
		t.Run(of.profile, func(t *testing.T) {
			t.Parallel()
			a := newAgreement(t, of.profile, of.wire)
			r := rand.New(rand.NewPCG(200, uint64(i)))
			for n := range questions / 2 {
				q := a.draw(r, n)
				if diff := a.differ(t, q); diff != "" {
					t.Errorf("%d, %s (-trace +lab):\n%s", n, q.String(), diff)
				}
			}
		})
	}
}

// agreement is a running lab with its cluster's names, and with eyes at all nodes.
type agreement struct {
	*watch
	cluster *cluster.Cluster
	lab     *lab.Lab
	client  *lab.Client
	spaces  map[string]*netns.NS   // by reference
	ports   map[string]*netns.Port // eth0 of pods
	number  uint16                 // of the last packet
}

func newAgreement(t *testing.T, profile, wire string) *agreement {
	t.Helper()
	if ok, err := privileged(); err != nil || !ok {
		t.Skipf("needs root for network namespaces: %v", err)
	}
	c, err := cluster.Load(cluster.Source{Name: "agree.yaml", Data: fmt.Appendf(nil, agreeCluster, profile)})
	must(t, err)
	run := lab.RunDir(t.TempDir())
	l, err := lab.Up(t.Context(), lab.Options{
		Cluster: c, RunDir: run, Wire: wire, Version: "test",
		Engines: map[string]lab.Engine{lab.DefaultEngine: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }},
	})
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	a := &agreement{cluster: c, lab: l, spaces: map[string]*netns.NS{}, ports: map[string]*netns.Port{}, number: 20000}
	a.client, err = run.Client(l.Name())
	must(t, err)
	for _, ref := range []string{"default/client", "default/same", "default/other", "node/a", "node/b", "external/neighbour", "external/world", "wire/underlay"} {
		path, err := run.Pin(l.Name(), ref)
		must(t, err)
		ns, err := netns.Open(path)
		must(t, err)
		t.Cleanup(func() { must(t, ns.Close()) })
		a.spaces[ref] = ns
	}
	a.prepare(t)
	a.watch = newWatch(t, a)
	return a
}

// prepare makes the lab what trace takes for granted: errors are not held back, hosts
// outside know the way to pods, and servers listen.
func (a *agreement) prepare(t *testing.T) {
	t.Helper()
	for _, ns := range a.spaces {
		must(t, ns.SetSysctl("net/ipv4/icmp_ratelimit", "0"))
	}
	for _, n := range a.cluster.Nodes() {
		for _, ref := range []string{"external/neighbour", "wire/underlay"} {
			must(t, a.spaces[ref].AddRoute(netns.Route{Dst: n.PodCIDR, Via: n.IP}))
		}
	}
	for _, pod := range []string{"client", "same", "other"} {
		p, err := a.spaces["default/"+pod].OpenPacket("eth0", netns.PacketOptions{})
		must(t, err)
		t.Cleanup(func() { must(t, p.Close()) })
		a.ports[pod] = p
	}
	for _, pod := range []string{"same", "other"} {
		addr := netip.AddrPortFrom(a.pod(pod).IP, 80).String()
		waitFor(t, pod+" does not listen", func() bool {
			return a.spaces["node/a"].Do(func() error {
				conn, err := net.DialTimeout("tcp4", addr, time.Second)
				if err != nil {
					return err
				}
				return conn.Close()
			}) == nil
		})
	}
}

func (a *agreement) pod(name string) *cluster.Pod {
	p, err := a.cluster.Pod(name)
	if err != nil {
		panic(err)
	}
	return &p
}

// waitFor waits for a condition.
func waitFor(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatal(what)
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// differ asks about a packet, sends it, and says where trace and lab differ.
func (a *agreement) differ(t *testing.T, q *realQuestion) string {
	t.Helper()
	st, err := labState(t.Context(), a.client, a.cluster)
	must(t, err)
	asker, err := journey.NewAsker(a.cluster, journey.Options{
		Engine: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }, State: st,
	})
	must(t, err)
	j, err := asker.Ask(q.Question)
	if err != nil {
		t.Fatalf("%s: %v", q.String(), err)
	}
	want := told(j)
	a.forget()
	refused := q.send()
	if !errors.Is(refused, unix.EPERM) { // a rule of the sender's own kernel
		must(t, refused)
	}
	got := a.seen(q)
	for deadline := time.Now().Add(patience); !got.equal(want) && got.begins(want) && time.Now().Before(deadline); got = a.seen(q) {
		a.wait(10 * time.Millisecond)
	}
	// Whatever else the packet does happens before two later ones come back, one by the
	// tunnel and one by the hosts' stacks.
	a.mark(t, a.node("b").Router)
	a.mark(t, netip.MustParseAddr("172.18.255.1"))
	got = a.seen(q)
	got.verdict = got.judge(want.verdict)
	if refused != nil {
		got.verdict = string(journey.Dropped)
	}
	if want.verdict == string(journey.ToStack) {
		got.answer = nil // the gateway's, which knows no way to it: trace follows nothing out of the cluster
	}
	return cmp.Diff(want.text(), got.text())
}

func (a *agreement) node(name string) cluster.Node {
	n, err := a.cluster.Node(name)
	if err != nil {
		panic(err)
	}
	return n
}

// mark sends an echo request from a pod and waits for the answer.
func (a *agreement) mark(t *testing.T, to netip.Addr) {
	t.Helper()
	q := a.fromPod("client", packetTo{ip: to, proto: protoICMP, ttl: 64})
	must(t, q.send())
	waitFor(t, "no answer to a marker to "+to.String(), func() bool {
		a.wait(10 * time.Millisecond)
		for _, line := range a.seen(q).answer {
			if strings.HasPrefix(line, "pod default/client eth0 In") {
				return true
			}
		}
		return false
	})
}
