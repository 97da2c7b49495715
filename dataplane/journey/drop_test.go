package journey_test

import (
	"bytes"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/internal/testkit"
	"github.com/hooklab/hooklab/maps"
)

// emptyService is a small cluster with a service that nothing backs.
const emptyService = `
apiVersion: hooklab.io/v1alpha1
kind: Lab
spec:
  nodes: [{name: n1}, {name: n2}]
  pods: [{name: a, node: n1}, {name: b, node: n2}]
  services: [{name: empty, clusterIP: 10.96.0.9, selector: {app: none}, ports: [80]}]
`

func load(tb testing.TB, text string) *cluster.Cluster {
	tb.Helper()
	c, err := cluster.Load(cluster.Source{Name: "test.yaml", Data: []byte(text)})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// strict is an engine whose policy maps get other entries than the agent writes: the
// one that lets everything in is left out, or denies.
type strict struct {
	dataplane.Runner
	deny bool
}

func (s strict) Map(name string) (maps.Store, error) {
	m, err := s.Runner.Map(name)
	if err == nil && strings.HasPrefix(name, "cilium_policy_") {
		return strictPolicy{m, s.deny}, nil
	}
	return m, err
}

type strictPolicy struct {
	maps.Store
	deny bool
}

func (s strictPolicy) Update(key, value []byte, f maps.UpdateFlag) error {
	if bytes.Equal(key, make([]byte, len(key))) {
		if !s.deny {
			return nil
		}
		value = slices.Clone(value)
		value[2] |= maps.PolicyDeny
	}
	return s.Store.Update(key, value, f)
}

func strictEngine(deny bool) journey.Engine {
	return func(m *maps.Set) (dataplane.Runner, error) { return strict{emu.New(m), deny}, nil }
}

// frame is an echo request as a pod's eth0 sends it.
func frame(src, dst netip.Addr, srcMAC, dstMAC [6]byte, proto uint8) []byte {
	b := make([]byte, 42)
	eth := header.Ethernet(b)
	eth.SetDst(dstMAC)
	eth.SetSrc(srcMAC)
	eth.SetType(header.EtherTypeIPv4)
	copy(b[14:], []byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, proto})
	ip := header.IPv4(b[14:])
	ip.SetSrc(src.As4())
	ip.SetDst(dst.As4())
	ip.SetChecksum(header.IPv4HeaderChecksum(ip))
	copy(b[34:], []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1})
	return b
}

// TestDrops reads what an on-call engineer would want of each drop: code, text,
// direction, entry and command.
func TestDrops(t *testing.T) {
	t.Parallel()
	c, empty := article(t), load(t, emptyService)
	pod, err := c.Pod("pod1-1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Pod("pod1-2")
	if err != nil {
		t.Fatal(err)
	}
	worker2, err := c.Node("cilium-worker2")
	if err != nil {
		t.Fatal(err)
	}
	vxlan := sim.Point{Node: "cilium-worker", Device: "cilium_vxlan", Tunnel: dataplane.TunnelKey{Present: true, ID: 1, Remote: worker2.IP.As4(), TTL: 64}}
	inject := func(at sim.Point, b []byte) func() (*journey.Journey, error) {
		return func() (*journey.Journey, error) {
			return journey.Inject(c, engine, journey.Question{From: "a frame", To: "pod1-2", Protocol: journey.ICMP}, at, b)
		}
	}
	asked := func(c *cluster.Cluster, e journey.Engine, q journey.Question) func() (*journey.Journey, error) {
		return func() (*journey.Journey, error) { return journey.Ask(c, e, q) }
	}
	spoofed := netip.MustParseAddr("10.0.1.66")
	tests := []struct {
		name    string
		ask     func() (*journey.Journey, error)
		outcome journey.Outcome
		drop    *journey.Drop
		because string
	}{
		{
			"spoofed-source", inject(sim.Point{Pod: "pod1-1"}, frame(spoofed, other.IP, pod.MAC, pod.NodeMAC, 1)),
			journey.Dropped,
			&journey.Drop{
				Code: 132, Reason: "Invalid source ip", Direction: "EGRESS", Program: "from-container",
				Needed: "ip.src 10.0.1.178", Command: "cilium endpoint get 1272",
			},
			"10.0.1.66 is not the address of endpoint 1272 (default/pod1-1), which may send from 10.0.1.178 only",
		},
		{
			"ttl-1", asked(c, engine, journey.Question{From: "pod1-1", To: "pod1-2", TTL: 1}),
			journey.Dropped,
			&journey.Drop{Code: 134, Reason: "Invalid packet", Direction: "EGRESS", Program: "from-container", Needed: "ip.ttl 2"},
			"TTL 1 may not be decremented; Cilium sends no ICMP time exceeded",
		},
		{
			"no-backend", asked(empty, engine, journey.Question{From: "a", To: "svc/empty", Protocol: journey.TCP, Port: 80}),
			journey.Dropped,
			&journey.Drop{
				Code: 158, Reason: "Service backend not found", Direction: "EGRESS", Program: "from-container", Map: "cilium_lb4_services_v2",
				Missed: []string{"10.96.0.9:80 slot 1"}, Needed: "10.96.0.9:80 slot 1 with the id of a backend", Command: "cilium bpf lb list",
			},
			"service 10.96.0.9:80 has no active backend",
		},
		{
			"unroutable", asked(c, engine, journey.Question{From: "pod1-1", To: "10.0.1.250"}),
			journey.Dropped,
			&journey.Drop{
				Code: 151, Reason: "Stale or unroutable IP", Direction: "INGRESS", Program: "from-host", Map: "cilium_ipcache",
				Missed:  []string{"10.0.1.250/32"},
				Needed:  "cilium_lxc 10.0.1.250:0, if it is a pod of this node; else cilium_ipcache 10.0.1.250/32 with a tunnelendpoint",
				Command: "cilium bpf endpoint list; cilium bpf ipcache get 10.0.1.250",
			},
			"no endpoint of this node has 10.0.1.250, and cilium_ipcache knows it as identity 2 (world) only (by 0.0.0.0/0): the pod is gone or was never there",
		},
		{
			"vni-1", inject(vxlan, frame(pod.IP, other.IP, pod.MAC, pod.NodeMAC, 1)),
			journey.Dropped,
			&journey.Drop{Code: 171, Reason: "Invalid identity", Direction: "INGRESS", Program: "from-overlay", Needed: "a VNI other than 1"},
			"the VNI says identity 1 (host), which no other node may send",
		},
		{
			"policy-miss", asked(c, strictEngine(false), journey.Question{From: "pod1-1", To: "pod1-2", Protocol: journey.TCP, Port: 80}),
			journey.Dropped,
			&journey.Drop{
				Code: 133, Reason: "Policy denied", Direction: "INGRESS", Program: "from-container", Map: "cilium_policy_00436",
				Missed: []string{"Ingress: 5420 80/TCP", "Ingress: 0 80/TCP", "Ingress: 5420", "Ingress: 0"},
				Needed: "Ingress: 5420 80/TCP", Command: "cilium bpf policy get 436",
			},
			`the policy of endpoint 436 (default/pod1-2) has none of the entries that would allow it, the nearest being "Ingress: 5420 80/TCP"; there is only "Ingress: 1"`,
		},
		{
			"policy-deny", asked(c, strictEngine(true), journey.Question{From: "pod1-1", To: "pod2-1", Protocol: journey.UDP, Port: 53}),
			journey.Dropped,
			&journey.Drop{
				Code: 181, Reason: "Policy denied by denylist", Direction: "INGRESS", Program: "from-overlay", Map: "cilium_policy_03607",
				Denied: "Ingress: 0 Deny proxyport=NONE packets=0 bytes=0", Command: "cilium bpf policy get 3607",
			},
			`the policy of endpoint 3607 (default/pod2-1) denies it by "Ingress: 0"`,
		},
		{
			"vxlan-from-pod", asked(c, engine, journey.Question{From: "pod1-1", To: "pod2-1", Protocol: journey.UDP, Port: 8472}),
			journey.Dropped,
			&journey.Drop{Code: 170, Reason: "Encapsulation traffic is prohibited", Direction: "EGRESS", Program: "from-container"},
			"a pod may not send to the tunnel's own UDP port",
		},
		{
			"sctp", inject(sim.Point{Pod: "pod1-1"}, frame(pod.IP, other.IP, pod.MAC, pod.NodeMAC, header.ProtoSCTP)),
			journey.Lost, nil,
			"the host stack ignored the frame: its MAC is another host's (from-container let it go on with CT: Unknown L4 protocol (-137), which counts as no verdict)",
		},
		{
			"wrong-mac", inject(sim.Point{Node: "cilium-worker", Device: "eth0"}, frame(worker2.IP, other.IP, worker2.MAC, [6]byte{2, 9, 9, 9, 9, 9}, 1)),
			journey.Lost, nil, "addressed to another host's MAC",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j, err := tt.ask()
			if err != nil {
				t.Fatal(err)
			}
			v := j.Verdict
			if v.Outcome != tt.outcome || v.Because != tt.because {
				t.Errorf("got %s because %s\nwant %s because %s", v.Outcome, v.Because, tt.outcome, tt.because)
			}
			if diff := cmp.Diff(tt.drop, v.Drop); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(v.Fields) == 0 && tt.drop != nil {
				t.Error("it depended on no field")
			}
			testkit.Golden(t, "drop-"+tt.name+".txt", []byte(text(t, j, journey.Full)))
		})
	}
}

// TestBadQuestions get an error that says what is wrong.
func TestBadQuestions(t *testing.T) {
	t.Parallel()
	c := article(t)
	tests := []struct {
		name string
		q    journey.Question
		want string
	}{
		{"no ends", journey.Question{}, "bad question: it needs both ends"},
		{"unknown pod", journey.Question{From: "pod1-9", To: "pod1-1"}, `no pod "pod1-9"; pods: default/pod1-1`},
		{"unknown node", journey.Question{From: "node/x", To: "pod1-1"}, `"x"`},
		{"unknown service", journey.Question{From: "pod1-1", To: "svc/x"}, `"x"`},
		{"service sends", journey.Question{From: "svc/web", To: "pod1-1"}, "svc/web does not send"},
		{"nobody sends", journey.Question{From: "10.0.1.250", To: "pod1-1"}, "nobody sends from 10.0.1.250"},
		{"IPv6", journey.Question{From: "pod1-1", To: "fd00::1"}, "fd00::1 is not IPv4"},
		{"flags of UDP", journey.Question{From: "pod1-1", To: "pod1-2", Protocol: journey.UDP, Port: 1, Flags: "SYN"}, "flags SYN need tcp"},
		{"unknown flag", journey.Question{From: "pod1-1", To: "pod1-2", Protocol: journey.TCP, Port: 1, Flags: "SYN,FOO"}, `TCP flag "FOO"; allowed: FIN, SYN`},
		{"conversation of pings", journey.Question{From: "pod1-1", To: "pod1-2", Conversation: true}, "a conversation needs tcp; icmp is"},
		{"conversation with flags", journey.Question{From: "pod1-1", To: "pod1-2", Protocol: journey.TCP, Port: 1, Flags: "FIN", Conversation: true}, "of one segment"},
		{"port of a ping", journey.Question{From: "pod1-1", To: "pod1-2", Port: 80}, "for tcp and udp"},
		{"no port", journey.Question{From: "pod1-1", To: "pod1-2", Protocol: journey.TCP}, "for tcp and udp"},
		{"size", journey.Question{From: "pod1-1", To: "pod1-2", Size: 70000}, "size 70000 is not between"},
		{"ARP of a node", journey.Question{From: "node/cilium-worker", To: "pod1-2", Protocol: journey.ARP}, "asked from a pod"},
		{"ARP with TTL", journey.Question{From: "pod1-1", To: "pod1-2", Protocol: journey.ARP, TTL: 3}, "neither size, TTL nor DF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := journey.Ask(c, engine, tt.q)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
			if !errors.Is(err, journey.ErrQuestion) && !errors.Is(err, cluster.ErrInput) {
				t.Errorf("%v is neither of the question nor of the input", err)
			}
		})
	}
}

// TestRepeats asks a hundred times and gets the same bytes.
func TestRepeats(t *testing.T) {
	t.Parallel()
	q := journey.Question{From: "pod2-1", To: "svc/web", Protocol: journey.TCP, Port: 80, Conversation: true}
	var first []byte
	for i := range 100 {
		var b bytes.Buffer
		j := ask(t, article(t), q)
		if err := errors.Join(j.WriteJSON(&b), j.WriteText(&b, journey.TextOptions{}), journey.WriteMermaid(&b, []*journey.Journey{j})); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = b.Bytes()
		} else if !bytes.Equal(first, b.Bytes()) {
			t.Fatalf("repeat %d differs", i)
		}
	}
}

// TestWidth keeps lines within the width, unless a word is longer.
func TestWidth(t *testing.T) {
	t.Parallel()
	j := ask(t, article(t), journey.Question{From: "pod1-1", To: "pod2-1"})
	for _, width := range []int{60, 80, 100, 140} {
		var b bytes.Buffer
		if err := j.WriteText(&b, journey.TextOptions{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(line)) - 1; n > width && !strings.HasPrefix(line, "VERDICT") {
				t.Errorf("width %d: %d columns: %s", width, n, line)
			}
		}
	}
}

// TestColour only adds escape sequences.
func TestColour(t *testing.T) {
	t.Parallel()
	j := ask(t, article(t), journey.Question{From: "pod1-1", To: "pod1-2", TTL: 1})
	var b bytes.Buffer
	if err := j.WriteText(&b, journey.TextOptions{Colour: true}); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if !strings.Contains(got, "\x1b[1;31mVERDICT DROPPED") {
		t.Error("the verdict is not red")
	}
	if diff := cmp.Diff(text(t, j, journey.Full), regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(got, "")); diff != "" {
		t.Errorf("(-plain +coloured):\n%s", diff)
	}
}

// FuzzQuestion asks whatever comes: it is answered or refused, and every answer has a
// verdict.
func FuzzQuestion(f *testing.F) {
	f.Add("pod1-1", "pod1-2", "icmp", uint16(0), "", uint8(0), false, 0, false)
	f.Add("pod1-1", "svc/web", "tcp", uint16(80), "SYN,ACK", uint8(1), false, 100, false)
	f.Add("node/cilium-worker", "8.8.8.8", "udp", uint16(53), "", uint8(2), true, 3000, false)
	f.Add("pod1-1", "10.0.1.197", "arp", uint16(0), "", uint8(0), false, 0, false)
	f.Add("health/cilium-worker", "external/x", "tcp", uint16(4240), "", uint8(255), false, 9, true)
	c := article(f)
	f.Fuzz(func(t *testing.T, from, to, proto string, port uint16, flags string, ttl uint8, df bool, size int, conversation bool) {
		q := journey.Question{
			From: from, To: to, Protocol: journey.Protocol(proto), Port: port, Flags: flags, TTL: ttl, DontFragment: df, Size: size, Conversation: conversation,
		}
		j, err := journey.Ask(c, engine, q)
		if err != nil {
			if !errors.Is(err, journey.ErrQuestion) && !errors.Is(err, cluster.ErrInput) {
				t.Error(err)
			}
			return
		}
		if j.Verdict.Outcome == "" || j.Verdict.Because == "" {
			t.Errorf("got %+v", j.Verdict)
		}
		if !strings.Contains(text(t, j, journey.Full), "\nVERDICT ") {
			t.Error("no verdict in the text")
		}
	})
}

// TestUnknown says that it does not know when an engine fails, and why.
func TestUnknown(t *testing.T) {
	t.Parallel()
	broken := func(*maps.Set) (dataplane.Runner, error) { return nil, errors.New("out of order") }
	j, err := journey.Ask(article(t), broken, journey.Question{From: "pod1-1", To: "pod1-2"})
	if err != nil {
		t.Fatal(err)
	}
	if v := j.Verdict; v.Outcome != journey.Unknown || !strings.Contains(v.Because, "out of order") {
		t.Errorf("got %+v", v)
	}
	if got := text(t, j, journey.Full); !strings.Contains(got, "\nVERDICT UNKNOWN") {
		t.Errorf("got %s", got)
	}
}

// closing is an engine that drops what closes a connection.
type closing struct{ dataplane.Runner }

func (c closing) Run(h dataplane.Hook, p *dataplane.Packet, env *dataplane.Env) (dataplane.Verdict, error) {
	flags := p.Load(header.EthernetSize+header.IPv4MinSize+header.TCPFlags, 1)
	if flags != nil && p.IPv4().Protocol() == header.ProtoTCP && flags[0]&header.TCPFIN != 0 {
		return dataplane.Verdict{Action: code.Drop, Drop: code.DropPolicy}, nil
	}
	return c.Runner.Run(h, p, env)
}

// TestConversation is judged by the first of its packets that does not arrive.
func TestConversation(t *testing.T) {
	t.Parallel()
	q := journey.Question{From: "pod1-1", To: "pod1-2", Protocol: journey.TCP, Port: 80, Conversation: true}
	if j := ask(t, article(t), q); j.Verdict.Outcome != journey.Delivered || j.Verdict.Packet != j.Asked().ID {
		t.Errorf("got %+v", j.Verdict)
	}
	j, err := journey.Ask(article(t), func(m *maps.Set) (dataplane.Runner, error) { return closing{emu.New(m)}, nil }, q)
	if err != nil {
		t.Fatal(err)
	}
	v := j.Verdict
	if v.Outcome != journey.Dropped || v.Packet <= j.Asked().ID || !strings.Contains(v.Text, "of packet ") {
		t.Errorf("got %+v", v)
	}
}
