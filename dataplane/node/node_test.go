package node_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"go.uber.org/goleak"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/maps"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seen is one frame at one of the node's outsides, in words.
type seen string

// world is two nodes, "a" with pod1 and pod2 and "b" with pod3, whose outsides
// write down what reaches them.
type world struct {
	t     *testing.T
	a, b  *node.Node
	seen  []seen
	stack func(d *node.Device, p *dataplane.Packet) // what node a's stack does with a frame
}

const (
	ifVXLAN = 5
	ifNet   = 3
	ifHost  = 4
	ifPod1  = 14
	ifPod2  = 16
	ifPod3  = 24
)

type pod struct {
	ip       [4]byte
	id       uint16
	ifindex  uint32
	identity uint32
}

func podMAC(p pod) [6]byte  { return [6]byte{0x02, 0, 0, 0, 1, p.ip[3]} }
func nodeMAC(p pod) [6]byte { return [6]byte{0x02, 0, 0, 0, 2, p.ip[3]} }

var ( // the same for every test, never written
	pod1 = pod{[4]byte{10, 0, 1, 11}, 101, ifPod1, 1001}
	pod2 = pod{[4]byte{10, 0, 1, 12}, 102, ifPod2, 1002}
	pod3 = pod{[4]byte{10, 0, 2, 13}, 103, ifPod3, 1003}

	nodeA, nodeB     = [4]byte{172, 18, 0, 3}, [4]byte{172, 18, 0, 5}
	routerA, routerB = [4]byte{10, 0, 1, 1}, [4]byte{10, 0, 2, 1}
	hostMAC          = [6]byte{0x02, 0, 0, 0, 0, ifHost}
	netMAC           = [6]byte{0x02, 0, 0, 0, 0, ifNet}
	vxlanMAC         = [6]byte{0x02, 0, 0, 0, 0, ifVXLAN}
)

func newWorld(t *testing.T, delivery dataplane.Delivery) *world {
	t.Helper()
	w := &world{t: t}
	w.stack = func(d *node.Device, p *dataplane.Packet) { w.note("stack", d.Name, p) }
	w.a = w.newNode("a", delivery, nodeA, routerA, []pod{pod1, pod2})
	w.b = w.newNode("b", delivery, nodeB, routerB, []pod{pod3})
	return w
}

func (w *world) newNode(name string, delivery dataplane.Delivery, ip, router [4]byte, pods []pod) *node.Node {
	w.t.Helper()
	m := maps.NewSet(maps.Sizes{})
	n := node.New(node.Config{
		Name: name, Runner: emu.New(m), Stack: stack{w, name}, Underlay: underlay{w, name, ip},
		Clock: func() (uint64, uint64) { return 1000e9, 0 },
	})
	c := dataplane.DefaultConfig()
	c.Delivery, c.Aggregation = delivery, dataplane.AggregateNone
	c.EncapIfindex, c.NetIfindex, c.HostIfindex = ifVXLAN, ifNet, ifHost
	c.HostMAC, c.NetMAC, c.OverlayMAC = hostMAC, netMAC, vxlanMAC
	hook := func(p dataplane.Prog, ifindex uint32, ep uint16) *dataplane.Hook {
		return &dataplane.Hook{Prog: p, Ifindex: ifindex, Endpoint: ep}
	}
	devices := []*node.Device{
		{Name: "cilium_net", Ifindex: ifNet, MAC: netMAC, Kind: node.Net, MTU: 1500, Ingress: hook(dataplane.ToHost, ifNet, 0)},
		{
			Name: "cilium_host", Ifindex: ifHost, MAC: hostMAC, Kind: node.Host, MTU: 1500,
			Ingress: hook(dataplane.ToHost, ifHost, 0), Egress: hook(dataplane.FromHost, ifHost, 0),
		},
		{
			Name: "cilium_vxlan", Ifindex: ifVXLAN, MAC: vxlanMAC, Kind: node.VXLAN,
			Ingress: hook(dataplane.FromOverlay, ifVXLAN, 0), Egress: hook(dataplane.ToOverlay, ifVXLAN, 0),
		},
	}
	for _, d := range devices {
		w.must(n.AddDevice(d, c))
	}
	for _, p := range pods {
		pc := c
		pc.Endpoint = dataplane.EndpointConfig{ID: p.id, IPv4: p.ip, NodeMAC: nodeMAC(p), Identity: p.identity}
		d := &node.Device{
			Name: fmt.Sprintf("lxc%d", p.id), Ifindex: p.ifindex, MAC: nodeMAC(p), Kind: node.LXC, MTU: 1500,
			Endpoint: p.id, Wire: wire{w, fmt.Sprintf("pod%d", p.id)}, Ingress: hook(dataplane.FromContainer, p.ifindex, p.id),
		}
		if delivery == dataplane.DeliverToContainer {
			d.Egress = hook(dataplane.ToContainer, p.ifindex, p.id)
		}
		w.must(n.AddDevice(d, pc))
		w.must(m.Policy(p.id).Set(&maps.PolicyKey{}, &maps.PolicyEntry{}, maps.Any))
		w.must(m.Policy(p.id).Set(&maps.PolicyKey{Egress: 1}, &maps.PolicyEntry{}, maps.Any))
		k := maps.NewEndpointKey(p.ip)
		w.must(m.LXC.Set(&k, &maps.EndpointInfo{Ifindex: p.ifindex, LXCID: p.id, MAC: podMAC(p), NodeMAC: nodeMAC(p)}, maps.Any))
	}
	for _, h := range [][4]byte{ip, router} {
		k := maps.NewEndpointKey(h)
		w.must(m.LXC.Set(&k, &maps.EndpointInfo{Flags: maps.EndpointHost}, maps.Any))
		ipc := maps.NewIPCacheKey(h, 32)
		w.must(m.IPCache.Set(&ipc, &maps.RemoteEndpointInfo{SecLabel: 1}, maps.Any))
	}
	remote := map[string][4]byte{"a": nodeB, "b": nodeA}[name]
	cidr := map[string][4]byte{"a": {10, 0, 2, 0}, "b": {10, 0, 1, 0}}[name]
	w.must(m.Tunnel.Set(&maps.TunnelKey{IP: cidr, Family: maps.FamilyIPv4}, &maps.TunnelEndpoint{IP: remote}, maps.Any))
	world := maps.NewIPCacheKey([4]byte{}, 0)
	w.must(m.IPCache.Set(&world, &maps.RemoteEndpointInfo{SecLabel: 2}, maps.Any))
	return n
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// note writes a frame down: where, who to whom, TTL, mark.
func (w *world) note(place, dev string, p *dataplane.Packet) {
	ip := p.IPv4()
	w.seen = append(w.seen, seen(fmt.Sprintf("%s %s %v>%v %x>%x ttl %d mark %#x",
		place, dev, ip.Src(), ip.Dst(), p.Eth().Src(), p.Eth().Dst(), ip.TTL(), p.Mark)))
}

type wire struct {
	w    *world
	name string
}

func (x wire) Send(_ []byte, p *dataplane.Packet) error {
	x.w.note("pod", x.name, p)
	return nil
}

type stack struct {
	w    *world
	node string
}

func (x stack) Deliver(d *node.Device, p *dataplane.Packet) error {
	x.w.stack(d, p)
	return nil
}

// underlay carries frames straight to the other node, as decapsulated there.
type underlay struct {
	w    *world
	from string
	ip   [4]byte
}

func (x underlay) Send(p *dataplane.Packet) error {
	k := p.TunnelOut
	x.w.seen = append(x.w.seen, seen(fmt.Sprintf("wire %v>%v vni %d ttl %d inner ttl %d", x.ip, k.Remote, k.ID, k.TTL, p.IPv4().TTL())))
	to := map[[4]byte]*node.Node{nodeA: x.w.a, nodeB: x.w.b}[k.Remote]
	if to == nil {
		return errors.New("no such node")
	}
	in := dataplane.Packet{Data: p.Data, TunnelIn: dataplane.TunnelKey{Present: true, ID: k.ID, Remote: x.ip, TTL: 64}}
	return to.Receive(ifVXLAN, &in)
}

// udp is a frame of gopacket's making.
func udp(t *testing.T, src, dst [4]byte, smac, dmac [6]byte, proto layers.IPProtocol, ttl uint8, payload int) *dataplane.Packet {
	t.Helper()
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: ttl, Protocol: proto, SrcIP: src[:], DstIP: dst[:]}
	l := []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: smac[:], DstMAC: dmac[:], EthernetType: layers.EthernetTypeIPv4}, ip,
	}
	if proto == layers.IPProtocolUDP {
		u := &layers.UDP{SrcPort: 4000, DstPort: 53}
		if err := u.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		l = append(l, u)
	}
	buf := gopacket.NewSerializeBuffer()
	l = append(l, gopacket.Payload(make([]byte, payload)))
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		t.Fatal(err)
	}
	return &dataplane.Packet{Data: buf.Bytes()}
}

// TestPaths follows packets through the node as SPEC 20.2 lists their taps.
func TestPaths(t *testing.T) {
	t.Parallel()
	fromPod := func(w *world, src pod, dst [4]byte, proto layers.IPProtocol) {
		p := udp(w.t, src.ip, dst, podMAC(src), nodeMAC(src), proto, 64, 20)
		w.must(w.a.Receive(src.ifindex, p))
	}
	fromHost := func(w *world, dst [4]byte, mark uint32) {
		p := udp(w.t, routerA, dst, hostMAC, hostMAC, layers.IPProtocolUDP, 64, 20)
		p.Mark = mark
		w.must(w.a.Transmit(ifHost, p))
	}
	for _, tt := range []struct {
		name     string
		delivery dataplane.Delivery
		send     func(w *world)
		want     []seen
		stats    node.Stats
	}{
		{
			name:  "pod to pod, same node",
			send:  func(w *world) { fromPod(w, pod1, pod2.ip, layers.IPProtocolUDP) },
			want:  []seen{"pod pod102 [10 0 1 11]>[10 0 1 12] 02000000020c>02000000010c ttl 63 mark 0x0"},
			stats: node.Stats{Received: 1, ToPod: 1},
		},
		{
			name: "pod to pod, same node, redirect_peer", delivery: dataplane.DeliverPeer,
			send:  func(w *world) { fromPod(w, pod1, pod2.ip, layers.IPProtocolUDP) },
			want:  []seen{"pod pod102 [10 0 1 11]>[10 0 1 12] 02000000020c>02000000010c ttl 63 mark 0x0"},
			stats: node.Stats{Received: 1, ToPod: 1},
		},
		{
			name: "pod to pod, same node, to-container", delivery: dataplane.DeliverToContainer,
			send:  func(w *world) { fromPod(w, pod1, pod2.ip, layers.IPProtocolUDP) },
			want:  []seen{"pod pod102 [10 0 1 11]>[10 0 1 12] 02000000020c>02000000010c ttl 63 mark 0x0"},
			stats: node.Stats{Received: 1, ToPod: 1},
		},
		{
			name: "pod to pod, other node: one hop less in all, inner header unchanged on the wire",
			send: func(w *world) { fromPod(w, pod1, pod3.ip, layers.IPProtocolUDP) },
			want: []seen{
				"wire [172 18 0 3]>[172 18 0 5] vni 1001 ttl 64 inner ttl 64",
				"pod pod103 [10 0 1 11]>[10 0 2 13] 02000000020d>02000000010d ttl 63 mark 0x0",
			},
			stats: node.Stats{Received: 1, ToUnderlay: 1},
		},
		{
			name:  "pod to the world: the stack gets it with the identity mark",
			send:  func(w *world) { fromPod(w, pod1, [4]byte{8, 8, 8, 8}, layers.IPProtocolUDP) },
			want:  []seen{"stack lxc101 [10 0 1 11]>[8 8 8 8] 02000000010b>02000000020b ttl 63 mark 0x3e90f00"},
			stats: node.Stats{Received: 1, ToStack: 1},
		},
		{
			name:  "unknown protocol: past the datapath to the stack, as it was sent",
			send:  func(w *world) { fromPod(w, pod1, pod2.ip, layers.IPProtocolSCTP) },
			want:  []seen{"stack lxc101 [10 0 1 11]>[10 0 1 12] 02000000010b>02000000020b ttl 64 mark 0x0"},
			stats: node.Stats{Received: 1, ToStack: 1},
		},
		{
			name:  "host to local pod",
			send:  func(w *world) { fromHost(w, pod1.ip, 0xc00) },
			want:  []seen{"pod pod101 [10 0 1 1]>[10 0 1 11] 02000000020b>02000000010b ttl 63 mark 0x0"},
			stats: node.Stats{Received: 1, ToPod: 1},
		},
		{
			name: "host to remote pod: identity of a remote node with the host's mark",
			send: func(w *world) { fromHost(w, pod3.ip, 0xc00) },
			want: []seen{
				"wire [172 18 0 3]>[172 18 0 5] vni 6 ttl 64 inner ttl 64",
				"pod pod103 [10 0 1 1]>[10 0 2 13] 02000000020d>02000000010d ttl 63 mark 0x0",
			},
			stats: node.Stats{Received: 1, ToUnderlay: 1},
		},
		{
			name: "host to remote pod: world without the mark",
			send: func(w *world) { fromHost(w, pod3.ip, 0) },
			want: []seen{
				"wire [172 18 0 3]>[172 18 0 5] vni 2 ttl 64 inner ttl 64",
				"pod pod103 [10 0 1 1]>[10 0 2 13] 02000000020d>02000000010d ttl 63 mark 0x0",
			},
			stats: node.Stats{Received: 1, ToUnderlay: 1},
		},
		{
			name:  "host to its own address: through the pair, in at cilium_net",
			send:  func(w *world) { fromHost(w, routerA, 0xc00) },
			want:  []seen{"stack cilium_net [10 0 1 1]>[10 0 1 1] 020000000004>020000000003 ttl 64 mark 0x0"},
			stats: node.Stats{Received: 1, ToStack: 1},
		},
		{
			name:  "host to an unassigned address of its pod CIDR: dropped by from-host",
			send:  func(w *world) { fromHost(w, [4]byte{10, 0, 1, 99}, 0xc00) },
			stats: lost(node.LossVerdict),
		},
		{
			name: "from the tunnel to the host: in at cilium_host",
			send: func(w *world) {
				p := udp(w.t, pod3.ip, routerA, podMAC(pod3), nodeMAC(pod3), layers.IPProtocolUDP, 64, 20)
				p.TunnelIn = dataplane.TunnelKey{Present: true, ID: pod3.identity, Remote: nodeB, TTL: 64}
				w.must(w.a.Receive(ifVXLAN, p))
			},
			want:  []seen{"stack cilium_host [10 0 2 13]>[10 0 1 1] 020000000005>020000000004 ttl 63 mark 0x0"},
			stats: node.Stats{Received: 1, ToStack: 1},
		},
		{
			name: "unknown protocol from the host to a pod: to cilium_net with the pod's address, and lost",
			send: func(w *world) {
				p := udp(w.t, routerA, pod1.ip, hostMAC, hostMAC, layers.IPProtocolSCTP, 64, 20)
				w.must(w.a.Transmit(ifHost, p))
			},
			stats: lost(node.LossOtherHost),
		},
		{
			name: "frame longer than the device's MTU",
			send: func(w *world) {
				w.must(w.a.Receive(ifPod1, udp(w.t, pod1.ip, pod2.ip, podMAC(pod1), nodeMAC(pod1), layers.IPProtocolUDP, 64, 1477)))
			},
			stats: lost(node.LossMTU),
		},
		{
			name: "spoofed source",
			send: func(w *world) {
				w.must(w.a.Receive(ifPod1, udp(w.t, pod2.ip, pod2.ip, podMAC(pod1), nodeMAC(pod1), layers.IPProtocolUDP, 64, 20)))
			},
			stats: lost(node.LossVerdict),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.delivery)
			tt.send(w)
			if diff := cmp.Diff(tt.want, w.seen); diff != "" {
				t.Errorf("frames outside (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.stats, w.a.Stats()); diff != "" {
				t.Errorf("stats (-want +got):\n%s", diff)
			}
		})
	}
}

// lost is what the node counts for one frame that ended in it.
func lost(l node.Loss) node.Stats {
	s := node.Stats{Received: 1}
	s.Lost[l] = 1
	return s
}

func TestARP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dataplane.DeliverRedirect)
	var got []byte
	// The reply goes out of the device that the request came from: into the pod.
	d := w.a.Device(ifPod1)
	d.Wire = wireFunc(func(frame []byte) { got = append([]byte(nil), frame...) })
	f := make([]byte, header.EthernetSize+header.ARPSize)
	eth, arp := header.Ethernet(f), header.ARP(f[header.EthernetSize:])
	eth.SetDst(header.BroadcastMAC())
	eth.SetSrc(podMAC(pod1))
	eth.SetType(header.EtherTypeARP)
	copy(arp, []byte{0, 1, 8, 0, 6, 4, 0, 1})
	arp.SetSender(podMAC(pod1), pod1.ip)
	arp.SetTarget([6]byte{}, routerA)
	w.must(w.a.Receive(ifPod1, &dataplane.Packet{Data: f}))
	if len(got) == 0 {
		t.Fatal("no reply")
	}
	reply := header.ARP(got[header.EthernetSize:])
	if reply.Op() != header.ARPReply || reply.SenderMAC() != nodeMAC(pod1) || reply.SenderIP() != routerA || reply.TargetMAC() != podMAC(pod1) {
		t.Errorf("got %x", got)
	}
}

type wireFunc func(frame []byte)

func (f wireFunc) Send(frame []byte, _ *dataplane.Packet) error {
	f(frame)
	return nil
}

// A redirect that leads nowhere or in circles ends, and is counted.
func TestLosses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setup func(w *world)
		want  node.Stats
	}{
		{
			"device gone", func(w *world) { w.must(w.a.RemoveDevice(ifPod2)) },
			lost(node.LossVerdict), // its slot of cilium_call_policy is empty: missed tail call
		},
		{
			"wire refuses", func(w *world) { w.a.Device(ifPod2).Wire = brokenWire{} },
			lost(node.LossIO),
		},
		{
			"stale endpoint entry", func(w *world) {
				m, err := w.a.Runner().Map("cilium_lxc")
				w.must(err)
				k, v := maps.NewEndpointKey(pod2.ip), make([]byte, 48)
				key := append(append([]byte{}, k.IP[:]...), make([]byte, 16)...)
				key[16] = maps.FamilyIPv4
				w.must(m.Lookup(key, v))
				binary.LittleEndian.PutUint32(v, 999)
				w.must(m.Update(key, v, maps.Any))
			},
			lost(node.LossNoDevice),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, dataplane.DeliverRedirect)
			tt.setup(w)
			w.must(w.a.Receive(ifPod1, udp(t, pod1.ip, pod2.ip, podMAC(pod1), nodeMAC(pod1), layers.IPProtocolUDP, 64, 20)))
			if diff := cmp.Diff(tt.want, w.a.Stats()); diff != "" {
				t.Errorf("stats (-want +got):\n%s", diff)
			}
			if len(w.seen) != 0 {
				t.Errorf("frames outside: %v", w.seen)
			}
		})
	}
}

type brokenWire struct{}

func (brokenWire) Send([]byte, *dataplane.Packet) error { return errors.New("down") }

// spin redirects every frame to its own device.
type spin struct{ *emu.Engine }

func (spin) Run(h dataplane.Hook, _ *dataplane.Packet, _ *dataplane.Env) (dataplane.Verdict, error) {
	return dataplane.Verdict{Action: 7, Ifindex: h.Ifindex}, nil
}

func TestRedirectLoopEnds(t *testing.T) {
	t.Parallel()
	n := node.New(node.Config{Runner: spin{emu.New(maps.NewSet(maps.Sizes{}))}, Clock: func() (uint64, uint64) { return 0, 0 }})
	d := &node.Device{Name: "cilium_vxlan", Ifindex: ifVXLAN, Kind: node.VXLAN, Egress: &dataplane.Hook{Prog: dataplane.ToOverlay, Ifindex: ifVXLAN}}
	if err := n.AddDevice(d, dataplane.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	if err := n.Transmit(ifVXLAN, &dataplane.Packet{Data: make([]byte, 60)}); err != nil {
		t.Fatal(err)
	}
	if got := n.Stats().Lost[node.LossLoop]; got != 1 {
		t.Errorf("got %d lost in a loop, want 1", got)
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dataplane.DeliverRedirect)
	if err := w.a.AddDevice(&node.Device{Name: "x", Ifindex: ifPod1, Kind: node.LXC}, dataplane.DefaultConfig()); err == nil {
		t.Error("an ifindex that is taken: got no error")
	}
	if err := w.a.AddDevice(&node.Device{Name: "x", Ifindex: 77, Kind: node.VXLAN}, dataplane.DefaultConfig()); err == nil {
		t.Error("a second cilium_vxlan: got no error")
	}
	half := &node.Device{
		Name: "x", Ifindex: 78, Kind: node.LXC,
		Ingress: &dataplane.Hook{Prog: dataplane.FromContainer, Ifindex: 78, Endpoint: 7},
		Egress:  &dataplane.Hook{Prog: dataplane.ToContainer, Ifindex: 78, Endpoint: 8}, // not the configuration's
	}
	c := dataplane.DefaultConfig()
	c.Endpoint.ID = 7
	if err := w.a.AddDevice(half, c); err == nil {
		t.Error("a program of another endpoint: got no error")
	}
	if err := w.a.Runner().Unload(*half.Ingress); err == nil {
		t.Error("the first program of a device that was refused stayed loaded")
	}
	if err := w.a.Receive(77, &dataplane.Packet{}); !errors.Is(err, node.ErrNoDevice) {
		t.Errorf("receive on no device: got %v", err)
	}
	if err := w.a.RemoveDevice(77); !errors.Is(err, node.ErrNoDevice) {
		t.Errorf("remove no device: got %v", err)
	}
	var names []string
	for _, d := range w.a.Devices() {
		names = append(names, d.Name)
	}
	if diff := cmp.Diff([]string{"cilium_net", "cilium_host", "cilium_vxlan", "lxc101", "lxc102"}, names); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

func TestDo(t *testing.T) {
	t.Parallel()
	n := node.New(node.Config{})
	woken := make(chan struct{}, 1)
	n.SetWake(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	end, ended := make(chan struct{}), make(chan struct{})
	go func() { // the node's goroutine
		defer close(ended)
		for {
			select {
			case <-woken:
				n.RunTasks()
			case <-end:
				n.Stop()
				return
			}
		}
	}()
	got := 0
	for i := range 100 {
		if err := n.Do(context.Background(), func() { got += i }); err != nil {
			t.Fatal(err)
		}
	}
	if got != 4950 {
		t.Errorf("got %d, want 4950", got)
	}
	close(end)
	<-ended
	if err := n.Do(context.Background(), func() { t.Error("ran after Stop") }); !errors.Is(err, node.ErrStopped) {
		t.Errorf("after Stop: got %v", err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := node.New(node.Config{}).Do(canceled, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
}
