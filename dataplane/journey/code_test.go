package journey_test

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/maps"
)

// portService is a cluster whose service has another port than its backend.
const portService = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  nodes: [{name: n1}, {name: n2}]
  pods: [{name: a, node: n1}, {name: b, node: n1, labels: {app: web}}]
  services: [{name: web, clusterIP: 10.96.0.9, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}]
`

// failing is an engine with helpers that fail.
func failing(f emu.Faults) journey.Engine {
	return func(m *maps.Set) (dataplane.Runner, error) {
		e := emu.New(m)
		e.SetFaults(f)
		return e, nil
	}
}

// computed is the maps of all nodes as their agents write them.
func computed(tb testing.TB, c *cluster.Cluster) journey.State {
	tb.Helper()
	st := journey.State{}
	for _, n := range c.Nodes() {
		set := maps.NewSet(maps.Sizes{})
		agent, err := cluster.NewAgent(c, n.Name, set)
		if err != nil {
			tb.Fatal(err)
		}
		if err := agent.Sync(); err != nil {
			tb.Fatal(err)
		}
		st[n.Name] = journey.NodeState{}
		for _, name := range set.Names() {
			m, err := set.Lookup(name)
			if err != nil {
				tb.Fatal(err)
			}
			if m.Spec().Type == maps.TypeProgArray {
				continue
			}
			if st[n.Name][name], err = maps.Entries(m); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return st
}

// TestEveryCode explains each drop reason that a packet, map state or a failing helper
// can cause (SPEC 12.1).
func TestEveryCode(t *testing.T) {
	t.Parallel()
	c, web, empty := article(t), load(t, portService), load(t, emptyService)
	pod, err := c.Pod("pod1-1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Pod("pod1-2")
	if err != nil {
		t.Fatal(err)
	}
	asked := func(c *cluster.Cluster, e journey.Engine, q journey.Question) func() (*journey.Journey, error) {
		return func() (*journey.Journey, error) { return journey.Ask(c, e, q) }
	}
	inject := func(at sim.Point, b []byte) func() (*journey.Journey, error) {
		return func() (*journey.Journey, error) {
			return journey.Inject(c, engine, journey.Question{From: "a frame", To: "pod1-2"}, at, b)
		}
	}
	from := func(change func(b []byte) []byte) func() (*journey.Journey, error) {
		b := change(frame(pod.IP, other.IP, pod.MAC, pod.NodeMAC, 1))
		return inject(sim.Point{Pod: "pod1-1"}, b)
	}
	etherType := func(typ uint16) func([]byte) []byte {
		return func(b []byte) []byte { header.Ethernet(b).SetType(typ); return b }
	}
	ipv4 := func(change func(ip header.IPv4)) func([]byte) []byte {
		return func(b []byte) []byte {
			ip := header.IPv4(b[14:])
			change(ip)
			ip.SetChecksum(0)
			ip.SetChecksum(header.IPv4HeaderChecksum(ip[:20]))
			return b
		}
	}
	overlay := func(id uint32, present bool) func() (*journey.Journey, error) {
		at := sim.Point{Node: "cilium-worker", Device: "cilium_vxlan", Tunnel: dataplane.TunnelKey{Present: present, ID: id, Remote: [4]byte{172, 18, 0, 5}, TTL: 64}}
		return inject(at, frame(netip.MustParseAddr("10.0.2.158"), other.IP, pod.MAC, pod.NodeMAC, 1))
	}
	toWeb := journey.Question{From: "a", To: "svc/web", Protocol: journey.TCP, Port: 80}
	between := journey.Question{From: "pod1-1", To: "pod1-2"}
	unloaded := func() (*journey.Journey, error) {
		st := computed(t, c)
		st["cilium-worker"][maps.NamePolicyCall] = nil
		a, err := journey.NewAsker(c, journey.Options{Engine: engine, State: st})
		if err != nil {
			return nil, err
		}
		return a.Ask(between)
	}
	tests := []struct {
		code uint8
		ask  func() (*journey.Journey, error)
		why  string
	}{
		{132, asked(c, engine, journey.Question{Hook: "from-container@pod1-1", From: "10.0.1.66", To: "pod1-2"}), "which may send from 10.0.1.178 only"},
		{133, asked(c, strictEngine(false), between), "has none of the entries that would allow it"},
		{134, asked(c, engine, journey.Question{From: "pod1-1", To: "pod1-2", TTL: 1}), "TTL 1 may not be decremented"},
		{139, from(etherType(0x86dd)), "only IPv4 and ARP are supported"},
		{140, unloaded, "the endpoint's programs are not loaded"},
		{141, asked(web, failing(emu.FailStoreBytes), toWeb), "bpf_skb_store_bytes failed"},
		{147, overlay(0, false), "without a tunnel key"},
		{151, asked(c, engine, journey.Question{From: "pod1-1", To: "10.0.1.250"}), "the pod is gone or was never there"},
		{153, asked(web, failing(emu.FailL3CsumReplace), toWeb), "bpf_l3_csum_replace failed"},
		{154, asked(web, failing(emu.FailL4CsumReplace), toWeb), "bpf_l4_csum_replace failed"},
		{155, asked(c, failing(emu.FailMapUpdate), between), "could not be written"},
		{158, asked(empty, engine, journey.Question{From: "a", To: "svc/empty", Protocol: journey.TCP, Port: 80}), "has no active backend"},
		{163, asked(c, failing(emu.FailCTState), between), "a state that the program does not know"},
		{166, from(etherType(0x0100)), "no Ethernet II frame"},
		{170, asked(c, engine, journey.Question{From: "pod1-1", To: "pod2-1", Protocol: journey.UDP, Port: 8472}), "the tunnel's own UDP port"},
		{171, overlay(1, true), "the VNI says identity 1 (host)"},
		{175, from(ipv4(func(ip header.IPv4) { ip[9] = header.ProtoUDP; binary.BigEndian.PutUint16(ip[6:], 100) })), "the first fragment with the ports has not been here"},
		{181, asked(c, strictEngine(true), between), "denies it by"},
		{184, from(ipv4(func(ip header.IPv4) { ip.SetDst([4]byte{}) })), "0.0.0.0"},
	}
	for _, tt := range tests {
		t.Run(string('0'+rune(tt.code/100))+string('0'+rune(tt.code/10%10))+string('0'+rune(tt.code%10)), func(t *testing.T) {
			t.Parallel()
			j, err := tt.ask()
			if err != nil {
				t.Fatal(err)
			}
			v := j.Verdict
			if v.Outcome != journey.Dropped || v.Drop == nil || v.Drop.Code != tt.code || !strings.Contains(v.Because, tt.why) {
				t.Errorf("got %s %+v because %s", v.Outcome, v.Drop, v.Because)
			}
		})
	}
}

// TestShortHeader is a frame that ends within its ports (code 14, -EFAULT).
func TestShortHeader(t *testing.T) {
	t.Parallel()
	j := ask(t, article(t), journey.Question{Packet: shortTCP(t)})
	if v := j.Verdict; v.Outcome != journey.Dropped || v.Drop == nil || v.Drop.Code != 14 || !strings.Contains(v.Because, "too short for its ports") {
		t.Errorf("got %s because %s", v.Outcome, v.Because)
	}
}

// shortTCP is a frame from pod1-1 to pod1-2 with two bytes of a TCP header.
func shortTCP(tb testing.TB) journey.Frame {
	tb.Helper()
	b, err := journey.ParsePacket(pingHex)
	if err != nil {
		tb.Fatal(err)
	}
	b = b[:36]
	ip := header.IPv4(b[14:])
	ip[9] = header.ProtoTCP
	binary.BigEndian.PutUint16(ip[2:], 22)
	ip.SetChecksum(0)
	ip.SetChecksum(header.IPv4HeaderChecksum(ip[:20]))
	return b
}
