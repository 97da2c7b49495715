package emu_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/emu"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// Devices of every test node.
const (
	ethIfindex   = 2
	netIfindex   = 3
	hostIfindex  = 4
	vxlanIfindex = 5
)

// hostEndpoint is the source of the host programs' notifications.
const hostEndpoint = 4096

type (
	addr = [4]byte
	mac  = [6]byte
)

// pod is one pod with both ends of its wire.
type pod struct {
	id           uint16
	identity     uint32
	ifindex      uint32 // host side
	ip           addr
	mac, nodeMAC mac // in the pod, and on the host side
	verdicts     uint32
}

// service is a ClusterIP with its backends: ids from the service's id times 10.
type service struct {
	id       uint16
	ip       addr
	port     uint16
	backends []backend
}

type backend struct {
	ip    addr
	port  uint16
	state uint8
}

// world is one node: an engine with its maps filled as an agent would, a clock
// and a ring of notifications.
type world struct {
	tb     testing.TB
	engine *emu.Engine
	maps   *maps.Set
	cfg    dataplane.Config
	ring   *trace.Ring

	now     uint64 // seconds of the ktime clock
	jiffies uint64
	rand    uint32 // what every random number call draws
	draws   int    // how many were made

	ip, router       addr
	pod1, pod2, pod3 pod // pod3 has a policy
}

// Addresses of the test cluster: nodes A and B, and names of the article.
func nodeA() addr   { return addr{172, 18, 0, 3} }
func nodeB() addr   { return addr{172, 18, 0, 5} }
func nodeC() addr   { return addr{172, 18, 0, 4} }
func routerA() addr { return addr{10, 0, 1, 197} }
func routerB() addr { return addr{10, 0, 2, 122} }
func outside() addr { return addr{8, 8, 8, 8} }

func podsOfA() []pod {
	return []pod{
		{id: 1272, identity: 10178, ifindex: 14, ip: addr{10, 0, 1, 178}, mac: mac{0x66, 0xfe, 0xf8, 0x92, 0xbf, 0xaf}, nodeMAC: mac{0x5a, 3, 0xc6, 0xe1, 0x49, 0xd2}},
		{id: 436, identity: 74565, ifindex: 16, ip: addr{10, 0, 1, 79}, mac: mac{0x32, 0xed, 0x0b, 0xf8, 0x18, 0xe9}, nodeMAC: mac{0xc2, 0x8b, 0x75, 0xd9, 0x5f, 0xec}},
		{id: 51, identity: 10051, ifindex: 18, ip: addr{10, 0, 1, 51}, mac: mac{0xae, 0x3a, 0x52, 0xa3, 0xec, 0xb3}, nodeMAC: mac{0x0a, 0x5a, 0xde, 0xb8, 0xd8, 0xf4}, verdicts: 3},
	}
}

func podsOfB() []pod {
	return []pod{
		{id: 2389, identity: 13789, ifindex: 24, ip: addr{10, 0, 2, 230}, mac: mac{0xa6, 0x0d, 0x28, 0xca, 0x4a, 0x85}, nodeMAC: mac{0x5a, 1, 0x4a, 0x68, 0xc4, 0xc4}},
		{id: 2400, identity: 62536, ifindex: 26, ip: addr{10, 0, 2, 158}, mac: mac{0xee, 0x9d, 0xc0, 0xb1, 0x94, 0x34}, nodeMAC: mac{0x12, 0x3f, 0x87, 6, 0x72, 0x79}},
		{id: 2401, identity: 20401, ifindex: 28, ip: addr{10, 0, 2, 99}, mac: mac{0xee, 1, 2, 3, 4, 5}, nodeMAC: mac{0x12, 1, 2, 3, 4, 5}, verdicts: 3},
	}
}

// newConfig is the configuration of a node of profile cilium-1.12.
func newConfig() dataplane.Config {
	c := dataplane.DefaultConfig()
	c.EncapIfindex, c.NetIfindex, c.HostIfindex = vxlanIfindex, netIfindex, hostIfindex
	c.HostMAC = mac{0x0e, 'H', 'O', 'S', 'T', 4}
	c.NetMAC = mac{0x0e, 'N', 'E', 'T', 0, 3}
	c.OverlayMAC = mac{0x0e, 'V', 'X', 'L', 'A', 5}
	c.HostEndpointID = hostEndpoint
	return c
}

// newWorld makes node A, with the configuration changed by edits.
func newWorld(tb testing.TB, edits ...func(*dataplane.Config)) *world {
	tb.Helper()
	return newNode(tb, nodeA(), routerA(), podsOfA(), podsOfB(), edits...)
}

// newRemote makes node B of the same cluster.
func newRemote(tb testing.TB, edits ...func(*dataplane.Config)) *world {
	tb.Helper()
	return newNode(tb, nodeB(), routerB(), podsOfB(), podsOfA(), edits...)
}

func newNode(tb testing.TB, ip, router addr, local, remote []pod, edits ...func(*dataplane.Config)) *world {
	tb.Helper()
	w := &world{
		tb: tb, maps: maps.NewSet(maps.Sizes{}), cfg: newConfig(), ring: trace.NewRing(64), now: 1000,
		ip: ip, router: router, pod1: local[0], pod2: local[1], pod3: local[2],
	}
	for _, edit := range edits {
		edit(&w.cfg)
	}
	w.engine = emu.New(w.maps)
	for _, h := range []dataplane.Hook{
		{Prog: dataplane.FromHost, Ifindex: hostIfindex},
		{Prog: dataplane.ToHost, Ifindex: hostIfindex},
		{Prog: dataplane.ToHost, Ifindex: netIfindex},
		{Prog: dataplane.FromOverlay, Ifindex: vxlanIfindex},
		{Prog: dataplane.ToOverlay, Ifindex: vxlanIfindex},
	} {
		w.load(h, w.cfg)
	}
	for _, p := range local {
		w.addPod(p)
	}
	otherRouter, otherNode := routerB(), nodeB()
	if ip == nodeB() {
		otherRouter, otherNode = routerA(), nodeA()
	}
	w.ipcache(addr{}, 0, code.IdentityWorld, addr{})
	w.hostAddr(ip)
	w.hostAddr(router)
	w.ipcache(otherNode, 32, code.IdentityRemoteNode, addr{})
	w.ipcache(otherRouter, 32, code.IdentityRemoteNode, otherNode)
	w.tunnel(addr{otherRouter[0], otherRouter[1], otherRouter[2], 0}, otherNode)
	w.tunnel(addr{10, 0, 0, 0}, nodeC())
	for _, p := range remote {
		w.ipcache(p.ip, 32, p.identity, otherNode)
	}
	return w
}

func (w *world) load(h dataplane.Hook, c dataplane.Config) {
	w.tb.Helper()
	if err := w.engine.Load(h, c); err != nil {
		w.tb.Fatal(err)
	}
}

// podConfig is a pod's build.
func (w *world) podConfig(p pod) dataplane.Config {
	c := w.cfg
	c.Endpoint = dataplane.EndpointConfig{ID: p.id, IPv4: p.ip, NodeMAC: p.nodeMAC, Identity: p.identity, VerdictFilter: p.verdicts}
	return c
}

// addPod loads a pod's program and writes its entries; without verdict filter
// everything is allowed, with it only localhost.
func (w *world) addPod(p pod) {
	w.tb.Helper()
	w.load(w.hook(dataplane.FromContainer, p), w.podConfig(p))
	key := maps.NewEndpointKey(p.ip)
	must(w.tb, w.maps.LXC.Set(&key, &maps.EndpointInfo{Ifindex: p.ifindex, LXCID: p.id, MAC: p.mac, NodeMAC: p.nodeMAC}, maps.Any))
	w.ipcache(p.ip, 32, p.identity, addr{})
	w.allow(p, maps.PolicyKey{SecLabel: code.IdentityHost})
	if p.verdicts == 0 {
		w.allow(p, maps.PolicyKey{})
		w.allow(p, maps.PolicyKey{Egress: maps.PolicyEgress})
	}
}

// addIngressProgram attaches to-container, as the profiles without evaluation at
// the source do.
func (w *world) addIngressProgram(p pod) {
	w.tb.Helper()
	w.load(w.hook(dataplane.ToContainer, p), w.podConfig(p))
}

func (w *world) hook(prog dataplane.Prog, p pod) dataplane.Hook {
	return dataplane.Hook{Prog: prog, Ifindex: p.ifindex, Endpoint: p.id}
}

func (w *world) allow(p pod, k maps.PolicyKey) { w.policy(p, k, maps.PolicyEntry{}) }

func (w *world) policy(p pod, k maps.PolicyKey, e maps.PolicyEntry) {
	w.tb.Helper()
	must(w.tb, w.maps.Policy(p.id).Set(&k, &e, maps.Any))
}

func (w *world) hostAddr(ip addr) {
	w.tb.Helper()
	key := maps.NewEndpointKey(ip)
	must(w.tb, w.maps.LXC.Set(&key, &maps.EndpointInfo{Flags: maps.EndpointHost}, maps.Any))
	w.ipcache(ip, 32, code.IdentityHost, addr{})
}

func (w *world) ipcache(ip addr, bits uint8, identity uint32, tunnel addr) {
	w.tb.Helper()
	key := maps.NewIPCacheKey(ip, bits)
	must(w.tb, w.maps.IPCache.Set(&key, &maps.RemoteEndpointInfo{SecLabel: identity, TunnelEndpoint: tunnel}, maps.Any))
}

func (w *world) tunnel(prefix, node addr) {
	w.tb.Helper()
	key, v := maps.NewTunnelKey(prefix), maps.NewTunnelEndpoint(node)
	must(w.tb, w.maps.Tunnel.Set(&key, &v, maps.Any))
}

// addService writes frontend, slots, backends and the reverse entry; count is the
// number of active backends, which come first.
func (w *world) addService(s service) {
	w.tb.Helper()
	key := maps.LB4Key{Address: s.ip, DPort: be16(s.port)}
	front := maps.LB4Service{RevNAT: be16(s.id)}
	for i, b := range s.backends {
		if b.state == maps.BackendActive {
			front.Count++
		}
		slot := key
		slot.BackendSlot = uint16(i) + 1
		must(w.tb, w.maps.Services.Set(&slot, &maps.LB4Service{BackendID: s.backendID(i), RevNAT: be16(s.id)}, maps.Any))
		must(w.tb, w.maps.Backends.Set(&maps.LB4BackendKey{ID: s.backendID(i)},
			&maps.LB4Backend{Address: b.ip, Port: be16(b.port), State: b.state}, maps.Any))
	}
	must(w.tb, w.maps.Services.Set(&key, &front, maps.Any))
	must(w.tb, w.maps.RevNAT.Set(&maps.RevNATKey{ID: be16(s.id)}, &maps.RevNAT{Address: s.ip, Port: be16(s.port)}, maps.Any))
}

func (s service) backendID(i int) uint32 { return uint32(s.id)*10 + uint32(i) }

// web is the service of most tests: 10.96.52.248:80 on pod2, port 8080.
func (w *world) web() service {
	w.tb.Helper()
	s := service{id: 5, ip: addr{10, 96, 52, 248}, port: 80, backends: []backend{{ip: w.pod2.ip, port: 8080}}}
	w.addService(s)
	return s
}

// result is what one run left behind. Lists are in the notation of state_test.go,
// nil if empty.
type result struct {
	verdict   dataplane.Verdict
	packet    *dataplane.Packet
	frame     []byte
	in        []byte
	deltas    []maps.Delta
	conntrack []string
	frags     []string
	metrics   []string
	policy    []string
	events    []string
}

// run sends one packet through a hook.
func (w *world) run(h dataplane.Hook, p *dataplane.Packet) *result {
	w.tb.Helper()
	var j maps.Journal
	w.maps.Record(&j)
	defer w.maps.Record(nil)
	p.Ifindex, p.Events = h.Ifindex, w.ring
	in := bytes.Clone(p.Data)
	v, err := w.engine.Run(h, p, w.env())
	if err != nil {
		w.tb.Fatal(err)
	}
	r := &result{verdict: v, packet: p, frame: p.Data, in: in, deltas: j.Diff()}
	r.describe(w)
	return r
}

func (w *world) env() *dataplane.Env {
	return &dataplane.Env{KtimeNS: w.now * 1e9, Jiffies: w.jiffies, Rand: func() uint32 { w.draws++; return w.rand }}
}

// clock is the datapath's time of now.
func (w *world) clock() uint32 {
	if w.cfg.Clock == dataplane.ClockJiffies {
		return uint32(w.jiffies >> 8)
	}
	return uint32(w.now)
}

// fromPod sends a frame out of a pod.
func (w *world) fromPod(p pod, frame []byte) *result {
	w.tb.Helper()
	return w.run(w.hook(dataplane.FromContainer, p), &dataplane.Packet{Data: frame, IngressIfindex: p.ifindex})
}

// fromHost sends a frame of the host stack out of cilium_host.
func (w *world) fromHost(frame []byte, mark uint32) *result {
	w.tb.Helper()
	return w.run(dataplane.Hook{Prog: dataplane.FromHost, Ifindex: hostIfindex}, &dataplane.Packet{Data: frame, Mark: mark})
}

// fromOverlay receives a frame with a VNI from the other node.
func (w *world) fromOverlay(frame []byte, vni uint32) *result {
	w.tb.Helper()
	remote := nodeB()
	if w.ip == nodeB() {
		remote = nodeA()
	}
	return w.run(dataplane.Hook{Prog: dataplane.FromOverlay, Ifindex: vxlanIfindex}, &dataplane.Packet{
		Data: frame, IngressIfindex: vxlanIfindex, PktType: dataplane.PacketOtherHost,
		TunnelIn: dataplane.TunnelKey{Present: true, ID: vni, Remote: remote, TTL: 64},
	})
}

// toContainer sends a frame out of a pod's device, towards the pod.
func (w *world) toContainer(p pod, frame []byte, mark uint32) *result {
	w.tb.Helper()
	return w.run(w.hook(dataplane.ToContainer, p), &dataplane.Packet{Data: frame, Mark: mark})
}

func redirect(ifindex uint32) dataplane.Verdict {
	return dataplane.Verdict{Action: code.Redirect, Ifindex: ifindex}
}

func dropped(reason code.Ret) dataplane.Verdict {
	return dataplane.Verdict{Action: code.Drop, Drop: reason}
}

func pass() dataplane.Verdict { return dataplane.Verdict{Action: code.OK} }

// raw is a return code that escaped its program.
func raw(ret code.Ret) dataplane.Verdict { return dataplane.Verdict{Action: ret} }

// equal reports a difference with the name of what differs.
func equal[T any](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if d := cmp.Diff(want, got); d != "" {
		tb.Errorf("%s differs (-want +got):\n%s", what, d)
	}
}

// unchanged checks that a run wrote nothing but what its caller names.
func (r *result) unchanged(tb testing.TB) {
	tb.Helper()
	equal(tb, "frame", r.frame, r.in)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func be16(n uint16) [2]byte { return [2]byte{byte(n >> 8), byte(n)} }
