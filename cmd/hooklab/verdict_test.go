package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

const verdictCluster = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
metadata: {name: verdicts}
spec:
  nodes: [{name: a}]
  external: [{name: world, ip: 8.8.8.8}]
  pods:
  - {name: client, node: a}
  - {name: server, node: a}
`

// verdictLab is a lab whose pods have policies: an agent with policies gives each endpoint
// entries and asks its programs for verdicts, which this test does in its place.
type verdictLab struct {
	*session
	lab     *lab.Lab
	cluster *cluster.Cluster
}

func newVerdictLab(t *testing.T) *verdictLab {
	t.Helper()
	s := newSession(t)
	c, err := cluster.Load(cluster.Source{Name: "verdicts.yaml", Data: []byte(verdictCluster)})
	must(t, err)
	l, err := lab.Up(t.Context(), lab.Options{
		Cluster: c, RunDir: lab.RunDir(s.path("run")), Version: "test",
		Engines: map[string]lab.Engine{lab.DefaultEngine: func(m *maps.Set) (dataplane.Runner, error) { return emu.New(m), nil }},
	})
	must(t, err)
	t.Cleanup(func() { must(t, l.Close()) })
	return &verdictLab{s, l, c}
}

func (v *verdictLab) pod(name string) cluster.Pod {
	v.tb.Helper()
	p, err := v.cluster.Pod(name)
	must(v.tb, err)
	return p
}

// policy gives a pod's endpoint all its entries, and turns verdicts on.
func (v *verdictLab) policy(pod string, entries map[maps.PolicyKey]maps.PolicyEntry) {
	v.tb.Helper()
	p := v.pod(pod)
	cfg, err := v.cluster.EndpointConfig("a", p.Endpoint)
	must(v.tb, err)
	cfg.Endpoint.VerdictFilter = uint32(code.Ingress | code.Egress)
	doErr := v.lab.Do(context.Background(), "a", func(n *node.Node, s *maps.Set) {
		m := s.Policy(p.ID)
		for k := range m.All() {
			gone := *k
			err = errors.Join(err, m.Remove(&gone))
		}
		for k, e := range entries {
			err = errors.Join(err, m.Set(&k, &e, maps.Any))
		}
		err = errors.Join(err, n.Configure(p.Ifindex, cfg))
	})
	must(v.tb, errors.Join(doErr, err))
}

// send sends a datagram from a namespace and returns the address that it came from.
func (v *verdictLab) send(from, to string) string {
	v.tb.Helper()
	path, err := lab.RunDir(v.path("run")).Pin("verdicts", from)
	must(v.tb, err)
	ns, err := netns.Open(path)
	must(v.tb, err)
	defer ns.Close()
	var source string
	must(v.tb, ns.Do(func() error {
		conn, err := net.Dial("udp4", to)
		if err != nil {
			return err
		}
		defer conn.Close()
		source = conn.LocalAddr().String()
		_, err = conn.Write([]byte("?"))
		return err
	}))
	return source
}

// TestPrivilegedVerdicts: what `hooklab monitor` prints of policies' verdicts is what SPEC
// 14.12 says, for what each kind of entry decides about real datagrams.
func TestPrivilegedVerdicts(t *testing.T) {
	t.Parallel()
	v := newVerdictLab(t)
	monitor := v.start("Press Ctrl-C", "monitor", "--type", "policy-verdict")
	numeric := v.start("Press Ctrl-C", "monitor", "--type", "policy-verdict", "-n")
	client, server := v.pod("client"), v.pod("server")

	type entries = map[maps.PolicyKey]maps.PolicyEntry
	port := [2]byte{0, 53}
	all := entries{maps.NewPolicyKey(0, [2]byte{}, 0, maps.PolicyIngress): {}, maps.NewPolicyKey(0, [2]byte{}, 0, maps.PolicyEgress): {}}
	in := func(id uint32, port [2]byte, proto uint8, e maps.PolicyEntry) entries {
		return entries{maps.NewPolicyKey(id, port, proto, maps.PolicyIngress): e}
	}
	out := func(id uint32, port [2]byte, proto uint8, e maps.PolicyEntry) entries {
		return entries{maps.NewPolicyKey(id, port, proto, maps.PolicyEgress): e}
	}
	const udp = header.ProtoUDP
	proxy, deny := maps.PolicyEntry{ProxyPort: [2]byte{0x27, 0x10}}, maps.PolicyEntry{Deny: maps.PolicyDeny}
	for _, tt := range []struct {
		client, server entries
		from, to       string
		pod            cluster.Pod // which speaks
		want           string      // "%s" is the remote identity
		name           string      // of it
		id             uint32
	}{
		{all, all, "default/client", "server", client, "egress, action allow, match all", "", server.Identity},
		{all, all, "default/client", "server", server, "ingress, action allow, match all", "", client.Identity},
		{all, in(client.Identity, [2]byte{}, 0, maps.PolicyEntry{}), "default/client", "server", server, "ingress, action allow, match L3-Only", "", client.Identity},
		{all, in(client.Identity, port, udp, maps.PolicyEntry{}), "default/client", "server", server, "ingress, action allow, match L3-L4", "", client.Identity},
		{all, in(0, port, udp, maps.PolicyEntry{}), "default/client", "server", server, "ingress, action allow, match L4-Only", "", client.Identity},
		{all, in(0, port, udp, proxy), "default/client", "server", server, "ingress, action redirect, match L4-Only", "", client.Identity},
		{all, in(client.Identity, port, udp, deny), "default/client", "server", server, "ingress, action deny, match L3-L4", "", client.Identity},
		{all, entries{}, "default/client", "server", server, "ingress, action deny, match none", "", client.Identity},
		{out(server.Identity, port, udp, proxy), all, "default/client", "server", client, "egress, action redirect, match L3-L4", "", server.Identity},
		{entries{}, all, "default/client", "server", client, "egress, action deny, match none", "", server.Identity},
		{all, all, "default/client", "world", client, "egress, action allow, match all", "world", code.IdentityWorld},
		{all, in(code.IdentityHost, [2]byte{}, 0, maps.PolicyEntry{}), "node/a", "server", server, "ingress, action allow, match L3-Only", "host", code.IdentityHost},
	} {
		v.policy("client", tt.client)
		v.policy("server", tt.server)
		to := "8.8.8.8:53"
		if tt.to == "server" {
			to = server.IP.String() + ":53"
		}
		conn := v.send(tt.from, to) + " -> " + to + " udp"
		if tt.name == "" {
			tt.name = fmt.Sprint(tt.id)
		}
		line := `(?m)^Policy verdict log: flow 0x[0-9a-f]+ local EP ID %d, remote ID %v, proto 17, %s, %s$`
		monitor.await(fmt.Sprintf(line, tt.pod.ID, tt.name, tt.want, conn))
		numeric.await(fmt.Sprintf(line, tt.pod.ID, tt.id, tt.want, conn))
	}
}
