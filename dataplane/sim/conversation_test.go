package sim_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/sim"
)

const real112 = "profile: cilium-1.12"

// profiles are all that a cluster can have.
var profiles = []string{ // never written
	real112, "profile: article", "profile: article\n  kernelVersion: \"5.4\"", "profile: host-routing", "profile: endpoint-routes",
}

// TestTCP opens connections, sends data, gets it back and closes, and looks at who the
// server thinks the client is and the other way round.
func TestTCP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, from, to string
		port           uint16
		server         string // where, from whom, to whom
		ttl            uint8
		reply          string // from whom
	}{
		{"same node", "pod1-1", "pod1-2", 80, "pod default/pod1-2 10.0.1.11>10.0.1.12:80", 63, "10.0.1.12:80"},
		{"other node", "pod1-1", "pod2-1", 80, "pod default/pod2-1 10.0.1.11>10.0.2.11:80", 63, "10.0.2.11:80"},
		{"service, own backend", "pod1-1", "svc/own", 80, "pod default/pod1-1 169.254.42.1>10.0.1.11:8080", 63, "10.96.0.11:80"},
		{"service, local backend", "pod1-1", "svc/near", 80, "pod default/pod1-2 10.0.1.11>10.0.1.12:8080", 63, "10.96.0.12:80"},
		{"service, remote backend", "pod1-1", "svc/far", 80, "pod default/pod2-1 10.0.1.11>10.0.2.11:8080", 63, "10.96.0.13:80"},
		{"service, backend is its host", "pod1-1", "svc/api", 443, "node n1 10.0.1.11>172.18.0.3:6443", 63, "10.96.0.15:443"},
		{"service, backend is another host", "pod2-1", "svc/api", 443, "node n1 172.18.0.5>172.18.0.3:6443", 62, "10.96.0.15:443"},
		{"external behind the gateway", "pod1-1", "web", 443, "external web 172.18.0.3>192.0.2.80:443", 61, "192.0.2.80:443"},
		{"external on the underlay", "pod1-1", "lan", 80, "external lan 172.18.0.3>172.18.9.9:80", 62, "172.18.9.9:80"},
		{"its host", "pod1-1", "10.0.1.1", 4240, "node n1 10.0.1.11>10.0.1.1:4240", 63, "10.0.1.1:4240"},
		{"another host's router address", "pod1-1", "10.0.2.1", 4240, "node n2 10.0.1.11>10.0.2.1:4240", 63, "10.0.2.1:4240"},
		{"health endpoint", "pod1-1", "health/n2", 4240, "pod health/n2 10.0.1.11>10.0.2.205:4240", 63, "10.0.2.205:4240"},
		{"host to its pod", "node/n1", "pod1-2", 80, "pod default/pod1-2 10.0.1.1>10.0.1.12:80", 63, "10.0.1.12:80"},
		{"host to remote pod", "n1", "pod2-1", 80, "pod default/pod2-1 10.0.1.1>10.0.2.11:80", 63, "10.0.2.11:80"},
		{"host to host", "n1", "n2", 4240, "node n2 172.18.0.3>172.18.0.5:4240", 64, "172.18.0.5:4240"},
		{"host to itself", "n1", "n1", 6443, "node n1 172.18.0.3>172.18.0.3:6443", 64, "172.18.0.3:6443"},
		{"host to ClusterIP, local backend", "n1", "svc/near", 80, "pod default/pod1-2 172.18.0.3>10.0.1.12:8080", 63, "10.96.0.12:80"},
		{"host to ClusterIP, remote backend", "n1", "svc/far", 80, "pod default/pod2-1 10.0.1.1>10.0.2.11:8080", 63, "10.96.0.13:80"},
		{"host to ClusterIP, itself", "n1", "svc/api", 443, "node n1 172.18.0.3>172.18.0.3:6443", 64, "10.96.0.15:443"},
		{"host to external", "n1", "web", 80, "external web 172.18.0.3>192.0.2.80:80", 63, "192.0.2.80:80"},
		{"external to host", "web", "n1", 6443, "node n1 192.0.2.80>172.18.0.3:6443", 63, "172.18.0.3:6443"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, real112, nil)
			data := bytes.Repeat([]byte("0123456789"), 500) // four segments
			r := w.run(w.TCP(tt.from, tt.to, tt.port, sim.Message{Data: data}))
			if r.Outcome != sim.Answered || len(r.Losses) != 0 || len(r.Deliveries) == 0 || len(r.Replies) == 0 {
				t.Fatalf("got %s, losses %v, %d deliveries, %d replies", r.Outcome, r.Losses, len(r.Deliveries), len(r.Replies))
			}
			d, back := r.Deliveries[0], r.Replies[0]
			got := fmt.Sprintf("%s %s>%s", d.Place, d.Src.Addr(), d.Dst)
			if got != tt.server || d.TTL != tt.ttl || d.Flags != header.TCPSYN {
				t.Errorf("server: got %s TTL %d flags %#x, want %s TTL %d", got, d.TTL, d.Flags, tt.server, tt.ttl)
			}
			if back.Src.String() != tt.reply || back.Flags != header.TCPSYN|header.TCPACK {
				t.Errorf("client: got an answer from %s flags %#x, want %s", back.Src, back.Flags, tt.reply)
			}
			if !bytes.Equal(payload(r.Deliveries), data) || !bytes.Equal(payload(r.Replies), data) {
				t.Errorf("got %d bytes there, %d back, want %d", len(payload(r.Deliveries)), len(payload(r.Replies)), len(data))
			}
			last := r.Deliveries[len(r.Deliveries)-1]
			if last.Flags != header.TCPACK {
				t.Errorf("last segment at the server: got flags %#x, want ACK", last.Flags)
			}
		})
	}
}

func payload(ds []sim.Delivery) []byte {
	var b []byte
	for _, d := range ds {
		b = append(b, d.Data...)
	}
	return b
}

// TestOutcomes looks at conversations that end in another way than by an answer, and
// at those of other protocols.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	tcp := func(from, to string, port uint16) func(w *world) (*sim.Conversation, error) {
		return func(w *world) (*sim.Conversation, error) { return w.TCP(from, to, port, sim.Message{}) }
	}
	udp := func(from, to string, port uint16) func(w *world) (*sim.Conversation, error) {
		return func(w *world) (*sim.Conversation, error) {
			return w.UDP(from, to, port, sim.Message{Data: []byte("x")})
		}
	}
	ping := func(from, to string, m sim.Message) func(w *world) (*sim.Conversation, error) {
		return func(w *world) (*sim.Conversation, error) { return w.Ping(from, to, m) }
	}
	sctp := func(from, to string, m sim.Message) func(w *world) (*sim.Conversation, error) {
		m.Data = append(make([]byte, 12), m.Data...)
		return func(w *world) (*sim.Conversation, error) { return w.IP(from, to, header.ProtoSCTP, m) }
	}
	for _, tt := range []struct {
		name  string
		start func(w *world) (*sim.Conversation, error)
		want  string // outcome, errors, losses
	}{
		{"closed TCP port", tcp("pod1-1", "pod2-1", 81), "refused; pod default/pod2-1 : port is closed"},
		{"closed TCP port of a service's backend", tcp("pod2-1", "svc/near", 81), "left the cluster"},
		{"closed UDP port", udp("pod1-1", "pod2-1", 53000), "unreachable; 10.0.2.11 3/3; pod default/pod2-1 : port is closed"},
		{"open UDP port", udp("pod1-1", "pod2-2", 53), "answered"},
		{"UDP service", udp("pod1-1", "svc/far", 53), "answered"},
		{"UDP to its host", udp("pod1-1", "n1", 9), "unreachable; 172.18.0.3 3/3; node n1 : port is closed"},
		{"UDP to external, closed", udp("pod1-1", "web", 9), "unreachable; 192.0.2.80 3/3; external web : port is closed"},
		{"UDP to external, open", udp("pod1-1", "web", 53), "answered"},
		{"service without backends", tcp("pod1-1", "svc/none", 80), "no answer; node n1 LXC: dropped by from-container: Service backend not found (-158)"},
		{"service without backends from the host", tcp("n1", "svc/none", 80), "unreachable; 172.18.0.3 3/3; node n1 : rejected: the service has no backend"},
		{"ping to a ClusterIP is not translated", ping("pod1-1", "svc/far", sim.Message{}), "left the cluster"},
		{
			"TTL 1 dies in the program, silently", ping("pod1-1", "pod1-2", sim.Message{TTL: 1}),
			"no answer; node n1 LXC: dropped by from-container: Invalid packet (-134)",
		},
		{
			"TTL 1 to a remote pod dies there", ping("pod1-1", "pod2-1", sim.Message{TTL: 1}),
			"no answer; node n2 cilium_vxlan: dropped by from-overlay: Invalid packet (-134)",
		},
		{"TTL 2 dies in the node's stack", ping("pod1-1", "web", sim.Message{TTL: 2}), "unreachable; 10.0.1.1 11/0; node n1 LXC: TTL exceeded"},
		{"TTL 3 dies at the gateway", ping("pod1-1", "web", sim.Message{TTL: 3}), "unreachable; 172.18.0.1 11/0; gateway eth0: TTL exceeded"},
		{"TTL 4 arrives", ping("pod1-1", "web", sim.Message{TTL: 4}), "answered"},
		{"nobody on the underlay", ping("pod1-1", "172.18.77.7", sim.Message{}), "unreachable; 172.18.0.3 3/1; node n1 eth0: next hop does not answer ARP"},
		{"unknown external", ping("pod1-1", "203.0.113.9", sim.Message{}), "left the cluster"},
		{
			"unassigned address in the own podCIDR", ping("pod1-1", "10.0.1.99", sim.Message{}),
			"no answer; node n1 cilium_host: dropped by from-host: Stale or unroutable IP (-151)",
		},
		{
			"unassigned address in a remote podCIDR", ping("pod1-1", "10.0.2.99", sim.Message{}),
			"no answer; node n2 cilium_host: dropped by from-host: Stale or unroutable IP (-151)",
		},
		{
			"SCTP to a local pod", sctp("pod1-1", "pod1-2", sim.Message{}),
			"no answer; node n1 cilium_net: addressed to another host",
		},
		{
			// The sender's program passes it, and so does the receiver's policy (SPEC 3.6).
			"SCTP to its host", sctp("pod1-1", "n1", sim.Message{TTL: 1}),
			"unreachable; 172.18.0.3 3/2; node n1 : transport protocol is unknown",
		},
		{
			// from-host tunnels it; the receiver's policy passes it to a stack that it is not for.
			"SCTP to a remote pod", sctp("pod1-1", "pod2-1", sim.Message{}),
			"no answer; node n2 cilium_vxlan: addressed to another host",
		},
		{"0.0.0.0", ping("pod1-1", "0.0.0.0", sim.Message{}), "no answer; node n1 LXC: dropped by from-container: Failed to update or lookup TC buffer (-184)"},
		{"external to a pod without a route", ping("web", "pod1-1", sim.Message{}), "left the cluster"},
		{"a single ACK", func(w *world) (*sim.Conversation, error) {
			return w.TCP("pod1-1", "pod2-1", 80, sim.Message{Flags: header.TCPACK})
		}, "refused; pod default/pod2-1 : no socket expects it"},
		{"a single RST", func(w *world) (*sim.Conversation, error) {
			return w.TCP("pod1-1", "pod2-1", 80, sim.Message{Flags: header.TCPRST})
		}, "no answer; pod default/pod2-1 : no socket expects it"},
		{"a SYN of its own", func(w *world) (*sim.Conversation, error) {
			return w.TCP("pod1-1", "pod2-1", 80, sim.Message{Flags: header.TCPSYN})
		}, "answered"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, real112, nil)
			r := w.run(tt.start(w))
			if got := w.summary(r); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// summary is outcome, ICMP errors and losses.
func (w *world) summary(r sim.Result) string {
	s := r.Outcome.String()
	for _, e := range r.Errors {
		s += fmt.Sprintf("; %s %d/%d", e.From, e.Type, e.Code)
		if e.MTU != 0 {
			s += fmt.Sprint(" mtu ", e.MTU)
		}
	}
	for _, l := range r.Losses {
		dev := l.Device
		if len(dev) > 3 && dev[:3] == "lxc" {
			dev = "LXC"
		}
		s += fmt.Sprintf("; %s %s: %s", l.Place, dev, l)
	}
	return s
}

// TestProfiles lets everybody talk to everybody in every profile.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			for _, from := range []string{"pod1-1", "pod2-1", "n1", "n2", "web"} {
				w := newWorld(t, profile, func(o *sim.Options) { o.RoutePods, o.Observer = true, nil })
				for _, to := range []string{"pod1-1", "pod1-2", "pod2-1", "n1", "n2", "10.0.1.1", "10.0.2.1", "web", "lan", "health/n1", "health/n2"} {
					router := to == "10.0.1.1" || to == "10.0.2.1"
					if r := w.run(w.Ping(from, to, sim.Message{})); r.Outcome != sim.Answered && !(from == to) {
						t.Errorf("ping %s > %s: %s", from, to, w.summary(r))
					}
					if router {
						continue
					}
					if r := w.run(w.TCP(from, to, 4321, sim.Message{})); r.Outcome != sim.Refused {
						t.Errorf("tcp %s > %s: %s", from, to, w.summary(r))
					}
				}
				if from == "web" {
					continue
				}
				for _, to := range []string{"svc/own", "svc/near", "svc/far"} {
					if r := w.run(w.TCP(from, to, 80, sim.Message{Data: []byte("x")})); r.Outcome != sim.Answered {
						t.Errorf("tcp %s > %s: %s", from, to, w.summary(r))
					}
				}
			}
		})
	}
}

// TestFromOutside reaches pods from an external host, without having been asked.
func TestFromOutside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, func(o *sim.Options) { o.RoutePods = true })
	r := w.run(w.Ping("lan", "pod1-1", sim.Message{}))
	want := []string{
		"lan eth0 out 64 172.18.9.9>10.0.1.11",
		"n1 eth0 in 64 172.18.9.9>10.0.1.11",
		"n1 lxc/pod1-1 out 62 172.18.9.9>10.0.1.11",
		"pod1-1 eth0 in 62 172.18.9.9>10.0.1.11",
		"pod1-1 eth0 out 64 10.0.1.11>172.18.9.9",
		"n1 lxc/pod1-1 in 64 10.0.1.11>172.18.9.9",
		"n1 eth0 out 62 10.0.1.11>172.18.9.9", // a reply is not masqueraded
		"lan eth0 in 62 10.0.1.11>172.18.9.9",
	}
	if diff := cmp.Diff(want, w.named(noARP(w.taps))); diff != "" || r.Outcome != sim.Answered {
		t.Errorf("%s, taps (-want +got):\n%s", r.Outcome, diff)
	}
	r = w.run(w.UDP("web", "pod1-1", 9, sim.Message{}))
	if got, want := w.summary(r), "unreachable; 10.0.1.11 3/3; pod default/pod1-1 : port is closed"; got != want {
		t.Errorf("closed port: got %s, want %s", got, want)
	}
}

// TestPingCount sends several pings, a second apart, and counts the answers.
func TestPingCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	r := w.run(w.Ping("pod1-1", "pod2-1", sim.Message{Count: 5}))
	if r.Sent != 5 || len(r.Replies) != 5 || r.Outcome != sim.Answered {
		t.Errorf("got %d sent, %d replies, %s", r.Sent, len(r.Replies), r.Outcome)
	}
	if took := r.Ended - r.Began; took < 4*time.Second || took > 5*time.Second {
		t.Errorf("took %s, want four seconds and a little", took)
	}
}

// TestHold keeps a connection and uses it up to a reset.
func TestHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	r := w.run(w.TCP("pod1-1", "pod2-1", 80, sim.Message{Hold: true, Data: []byte("x")}))
	if r.Outcome != sim.Answered {
		t.Errorf("got %s", w.summary(r))
	}
	for _, d := range r.Deliveries {
		if d.Flags&header.TCPFIN != 0 {
			t.Error("the connection was closed")
		}
	}
}

// TestTimeout ends a conversation whose answer does not come, and no later than that.
func TestTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	c, err := w.TCP("pod1-1", "10.0.2.99", 80, sim.Message{Timeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	began := w.Now()
	if _, err := w.Run(began + 2*time.Second); err != nil || c.Result().Outcome != sim.Open {
		t.Errorf("after two seconds: %s, %v", c.Result().Outcome, err)
	}
	if w.Now() != began+2*time.Second {
		t.Errorf("time is %s, want %s", w.Now(), began+2*time.Second)
	}
	if _, err := w.Run(began + 4*time.Second); err != nil {
		t.Fatal(err)
	}
	if r := c.Result(); r.Outcome != sim.NoAnswer || r.Ended != began+3*time.Second {
		t.Errorf("got %s at %s", r.Outcome, r.Ended)
	}
}

// TestNames checks what can and what cannot be an end of a conversation.
func TestNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	for name, want := range map[string]string{
		"pod1-1": "10.0.1.11", "default/pod1-1": "10.0.1.11", "pod/pod1-1": "10.0.1.11", "svc/far": "10.96.0.13",
		"node/n1": "172.18.0.3", "n2": "172.18.0.5", "external/web": "192.0.2.80", "lan": "172.18.9.9", "1.2.3.4": "1.2.3.4",
	} {
		if got, err := w.Resolve(name); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, want)
		}
	}
	for _, name := range []string{"", "nobody", "svc/nobody", "node/nobody", "health/nobody", "external/nobody", "fd00::1", "pod/n1"} {
		if _, err := w.Resolve(name); !errors.Is(err, sim.ErrName) {
			t.Errorf("%q: got %v, want ErrName", name, err)
		}
	}
	for _, from := range []string{"svc/far", "203.0.113.9", "nobody"} {
		if _, err := w.Ping(from, "pod1-1", sim.Message{}); !errors.Is(err, sim.ErrName) {
			t.Errorf("from %q: got %v, want ErrName", from, err)
		}
	}
	if _, err := w.Ping("pod1-1", "pod1-2", sim.Message{Count: -1}); !errors.Is(err, sim.ErrMessage) {
		t.Errorf("count -1: got %v", err)
	}
	if _, err := w.Inject(sim.Point{Node: "n1", Device: "eth7"}, nil); !errors.Is(err, sim.ErrName) {
		t.Errorf("no such device: got %v", err)
	}
	if _, err := w.Inject(sim.Point{}, nil); !errors.Is(err, sim.ErrName) {
		t.Errorf("no point: got %v", err)
	}
}

// TestAnswerWorld lets any address outside of the cluster answer, and none inside.
func TestAnswerWorld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, func(o *sim.Options) { o.AnswerWorld = true })
	for to, want := range map[string]sim.Outcome{
		"8.8.8.8": sim.Answered, "10.77.0.1": sim.LeftCluster, "10.96.7.7": sim.LeftCluster, "172.18.200.1": sim.Unreachable,
	} {
		if r := w.run(w.Ping("pod1-1", to, sim.Message{})); r.Outcome != want {
			t.Errorf("%s: got %s, want %s", to, w.summary(r), want)
		}
	}
	for port, want := range map[uint16]sim.Outcome{443: sim.Answered, 22: sim.Refused} {
		if r := w.run(w.TCP("pod1-1", "8.8.8.8", port, sim.Message{})); r.Outcome != want {
			t.Errorf("port %d: got %s, want %s", port, w.summary(r), want)
		}
	}
}
