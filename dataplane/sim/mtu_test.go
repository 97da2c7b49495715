package sim_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// TestFragments sends datagrams that are longer than the pods' MTU: the sender cuts
// them, the receiver and connection tracking put them together.
func TestFragments(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"pod1-2", "pod2-2", "web", "n1", "n2"} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, real112, func(o *sim.Options) {
				o.Open = func(_ sim.Place, proto uint8, port uint16) bool { return proto == header.ProtoUDP && port == 53 }
			})
			data := bytes.Repeat([]byte("abcdefgh"), 500)
			r := w.run(w.UDP("pod1-1", to, 53, sim.Message{Data: data}))
			if r.Outcome != sim.Answered || len(r.Losses) != 0 {
				t.Fatal(w.summary(r))
			}
			if !bytes.Equal(r.Deliveries[0].Data, data) || !bytes.Equal(r.Replies[0].Data, data) {
				t.Errorf("got %d bytes there, %d back, want %d", len(r.Deliveries[0].Data), len(r.Replies[0].Data), len(data))
			}
			r = w.run(w.UDP("pod1-1", to, 53, sim.Message{Data: data, DontFragment: true}))
			if got, want := w.summary(r), "no answer; pod default/pod1-1 eth0: longer than the route's MTU and must not be fragmented"; got != want {
				t.Errorf("with DF: got %s, want %s", got, want)
			}
		})
	}
}

// TestPathMTU learns the path's MTU from an error and uses it.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, func(o *sim.Options) { o.WorldMTU = 1280 })
	m := sim.Message{Data: make([]byte, 1400)}
	r := w.run(w.UDP("pod1-1", "web", 53, m))
	if got, want := w.summary(r), "unreachable; 172.18.0.1 3/4 mtu 1280; gateway eth0: longer than the route's MTU and must not be fragmented"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if r = w.run(w.UDP("pod1-1", "web", 53, m)); r.Outcome != sim.Answered {
		t.Errorf("the second time: got %s", w.summary(r))
	}
}

// frame is one of gopacket's making, from pod1-1 to an address.
func frame(tb testing.TB, dst string, change func(ip *layers.IPv4), payload int) []byte {
	tb.Helper()
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Id: 7, Protocol: layers.IPProtocolUDP, SrcIP: []byte{10, 0, 1, 11}}
	ip.DstIP = netip.MustParseAddr(dst).AsSlice()
	if change != nil {
		change(ip)
	}
	eth := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: []byte{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	ls := []gopacket.SerializableLayer{eth, ip}
	if ip.Protocol == layers.IPProtocolUDP {
		udp := &layers.UDP{SrcPort: 4000, DstPort: 53}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			tb.Fatal(err)
		}
		ls = append(ls, udp)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, append(ls, gopacket.Payload(make([]byte, payload)))...); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// TestOversizeTunnel injects packets around the tunnel's limit: an inner packet of
// 1450 bytes fits, a longer one leaves in two outer fragments though it has DF
// (SPEC 8, 20.4).
func TestOversizeTunnel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ size, fragments int }{{1450, 0}, {1451, 2}, {1500, 2}} {
		t.Run(fmt.Sprint(tt.size), func(t *testing.T) {
			t.Parallel()
			fragments := 0
			w := newWorld(t, real112, func(o *sim.Options) {
				o.Observer = func(e *sim.Event) {
					if e.Kind == sim.Out && e.Device == "eth0" && e.Place.Name == "n1" && header.IPv4(e.Data[14:]).IsFragment() {
						fragments++
						if header.IPv4(e.Data[14:]).TotalLen() > 1500 {
							t.Errorf("fragment of %d bytes", header.IPv4(e.Data[14:]).TotalLen())
						}
					}
				}
			})
			f := frame(t, "10.0.2.12", func(ip *layers.IPv4) { ip.Flags = layers.IPv4DontFragment }, tt.size-28)
			r := w.run(w.Inject(sim.Point{Pod: "pod1-1"}, f))
			// What the server sends back is no answer to anybody.
			if len(r.Deliveries) != 1 || r.Deliveries[0].Place.Name != "default/pod2-2" || len(r.Deliveries[0].Data) != tt.size-28 {
				t.Errorf("got %s, deliveries %v", w.summary(r), r.Deliveries)
			}
			want := tt.fragments
			if want > 0 {
				want = 2
			}
			if fragments != want {
				t.Errorf("got %d outer fragments, want %d", fragments, want)
			}
		})
	}
}

// TestTooLongForTheRoute sends a protocol that bypasses the tunnel program: the stack
// knows the remote podCIDR's MTU and says so.
func TestTooLongForTheRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	f := frame(t, "10.0.2.11", func(ip *layers.IPv4) { ip.Protocol, ip.Flags = layers.IPProtocolSCTP, layers.IPv4DontFragment }, 1451-20)
	// To the host-side device's address, or the stack would not take it.
	copy(f, w.nodeMAC("pod1-1"))
	r := w.run(w.Inject(sim.Point{Pod: "pod1-1"}, f))
	// No socket of the pod has sent it, so the error ends there.
	want := "no answer; node n1 LXC: longer than the route's MTU and must not be fragmented; pod default/pod1-1 : no socket expects it"
	if got := w.summary(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func (w *world) nodeMAC(name string) []byte {
	w.t.Helper()
	p, err := w.cluster.Pod(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.NodeMAC[:]
}

// TestMissingFragments gives up after half a minute.
func TestMissingFragments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, real112, nil)
	f := frame(t, "10.0.1.12", func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }, 32)
	began := w.Now()
	r := w.run(w.Inject(sim.Point{Pod: "pod1-1"}, f))
	if got, want := w.summary(r), "no answer; pod default/pod1-2 eth0: fragments are missing"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if took := w.Now() - began; took < 30*time.Second {
		t.Errorf("gave up after %s", took)
	}
}

// TestECN carries congestion marks as the VXLAN device does (SPEC 8, 20.4).
func TestECN(t *testing.T) {
	t.Parallel()
	for tos, outer := range map[uint8]uint8{0: 0, 1: 1, 2: 2, 3: 2, 0xb8: 0, 0xbb: 2} {
		t.Run(fmt.Sprintf("%#x", tos), func(t *testing.T) {
			t.Parallel()
			var got []uint8
			w := newWorld(t, real112, func(o *sim.Options) {
				o.Observer = func(e *sim.Event) {
					if e.Kind == sim.Encapsulated && e.Place.Name == "n1" {
						got = append(got, e.Outer.TOS)
					}
				}
			})
			r := w.run(w.Ping("pod1-1", "pod2-1", sim.Message{TOS: tos}))
			if len(got) != 1 || got[0] != outer || len(r.Deliveries) != 1 || r.Deliveries[0].TOS != tos {
				t.Errorf("got outer %v, inner %+v, want outer %#x and inner unchanged", got, r.Deliveries, outer)
			}
		})
	}
}

// TestDecapsulation injects outer packets with each fault.
func TestDecapsulation(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(outer []byte)
		want   string
	}{
		{"as it is", nil, ""},
		{"no VNI flag", func(b []byte) { b[42] = 0 }, "refused by cilium_vxlan"},
		{"reserved byte", func(b []byte) { b[49] = 1 }, "refused by cilium_vxlan"},
		{"congestion without ECN", func(b []byte) { b[15] = 3; sum(b) }, "refused by cilium_vxlan"},
		{"identity host", func(b []byte) { b[46], b[47], b[48] = 0, 0, 1 }, "dropped by from-overlay: Invalid identity (-171)"},
		{"another VNI", func(b []byte) { b[46] = 0xff }, ""},
		{"wrong IP checksum", func(b []byte) { b[24]++ }, "wrong IP header checksum"},
		{"wrong UDP checksum", func(b []byte) { b[40] = 1 }, "wrong transport checksum"},
		{"another port", func(b []byte) { b[36], b[37] = 4789>>8, 4789&0xff }, "port is closed"},
		{"outer TTL 1", func(b []byte) { b[22] = 1; sum(b) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var outer []byte
			w := newWorld(t, real112, func(o *sim.Options) {
				o.Observer = func(e *sim.Event) {
					if e.Kind == sim.Out && e.Outer != nil && outer == nil {
						outer = bytes.Clone(e.Data)
					}
				}
			})
			w.run(w.UDP("pod1-1", "pod2-2", 53, sim.Message{Data: []byte("x"), SrcPort: 40000}))
			if tt.change != nil {
				tt.change(outer)
			}
			r := w.run(w.Inject(sim.Point{Node: "n2", Device: "eth0"}, outer))
			got := ""
			if len(r.Losses) > 0 && len(r.Deliveries) == 0 {
				got = r.Losses[0].String()
			}
			if got != tt.want || (tt.want == "") != (len(r.Deliveries) == 1) {
				t.Errorf("got %q, %d deliveries, want %q", got, len(r.Deliveries), tt.want)
			}
		})
	}
}

// sum corrects an outer header's checksum.
func sum(b []byte) {
	ip := header.IPv4(b[14:34])
	ip.SetChecksum(header.IPv4HeaderChecksum(ip))
}

// TestInject puts a frame in at the datapath's own devices.
func TestInject(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		point func(w *world) sim.Point
		dst   string
		want  string
	}{
		{"at the pod's eth0", func(*world) sim.Point { return sim.Point{Pod: "pod1-1"} }, "10.0.2.12", "pod default/pod2-2"},
		{"at the host-side device", func(w *world) sim.Point {
			return sim.Point{Node: "n1", Device: w.device("pod1-1")}
		}, "10.0.2.12", "pod default/pod2-2"},
		{"at cilium_host, from the host", func(*world) sim.Point {
			return sim.Point{Node: "n1", Device: "cilium_host", Egress: true, Mark: 0xc00}
		}, "10.0.2.12", "pod default/pod2-2"},
		{"at cilium_vxlan, with a key", func(*world) sim.Point {
			return sim.Point{Node: "n2", Device: "cilium_vxlan", Tunnel: dataplane.TunnelKey{Present: true, ID: 1001, Remote: [4]byte{172, 18, 0, 3}, TTL: 64}}
		}, "10.0.2.12", "pod default/pod2-2"},
		{"at cilium_vxlan, without a key", func(*world) sim.Point {
			return sim.Point{Node: "n2", Device: "cilium_vxlan"}
		}, "10.0.2.12", "node n2 cilium_vxlan: dropped by from-overlay: Error retrieving tunnel key (-147)"},
		{"out of cilium_vxlan", func(*world) sim.Point {
			return sim.Point{
				Node: "n1", Device: "cilium_vxlan", Egress: true,
				Tunnel: dataplane.TunnelKey{Present: true, ID: 1001, Remote: [4]byte{172, 18, 0, 5}, TTL: 64},
			}
		}, "10.0.2.12", "pod default/pod2-2"},
		{"into the pod", func(*world) sim.Point { return sim.Point{Pod: "pod2-2", Receive: true} }, "10.0.2.12", "pod default/pod2-2 eth0: addressed to another host's MAC"},
		{"on the underlay, to nobody", func(*world) sim.Point { return sim.Point{External: "gateway"} }, "10.0.2.12", "underlay : no station with this MAC on the wire"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, real112, nil)
			r := w.run(w.Inject(tt.point(w), frame(t, tt.dst, nil, 10)))
			got := "nothing"
			switch {
			case len(r.Deliveries) > 0:
				got = r.Deliveries[0].Place.String()
			case len(r.Losses) > 0:
				l := r.Losses[0]
				got = fmt.Sprintf("%s %s: %s", l.Place, l.Device, l)
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// device is the name of a pod's host-side device.
func (w *world) device(name string) string {
	w.t.Helper()
	p, err := w.cluster.Pod(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Device
}
