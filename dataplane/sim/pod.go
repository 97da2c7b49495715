package sim

import (
	"errors"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/tunnel"
)

// pod is a pod's network namespace: eth0 with an address of its own and a gateway,
// the node's router, that the datapath answers for (SPEC 10.1).
type pod struct {
	machine  *machine
	at       Place
	endpoint cluster.Endpoint
	ip       [4]byte
	stack    stack
	frags    reassembly
	arp      neighbours
}

func newPod(m *machine, name string, e cluster.Endpoint) *pod {
	p := &pod{machine: m, at: Place{Kind: AtPod, Name: name}, endpoint: e, ip: e.IP.As4()}
	p.stack = stack{sim: m.sim, out: p}
	p.frags = reassembly{sim: m.sim, at: p.at}
	p.arp = neighbours{sim: m.sim}
	return p
}

func (p *pod) place() Place                   { return p.at }
func (p *pod) source([4]byte) ([4]byte, bool) { return p.ip, true }
func (p *pod) lose(f *frame, r Reason)        { p.machine.sim.lose(f, p.at, deviceEth0, r) }

// mtu is that of the default route, which leaves room for the tunnel.
func (p *pod) mtu([4]byte) int { return p.machine.sim.mtu - tunnel.Overhead }

func (p *pod) owns(ip [4]byte) bool { return ip == p.ip || ip[0] == 127 }

func (p *pod) listens(proto uint8, ip [4]byte, port uint16) bool {
	if p.endpoint.Identity == p.machine.spec.Health.Identity && p.ip == p.machine.spec.Health.IP.As4() &&
		proto == header.ProtoTCP && port == healthPort {
		return true
	}
	return p.machine.sim.listens(p.at, p.ip, proto, port)
}

// output sends what the pod's sockets made: all of it to the gateway.
func (p *pod) output(f *frame) {
	s := p.machine.sim
	ip := f.ip()
	switch mtu := p.mtu(ip.Dst()); {
	case p.owns(ip.Dst()):
		s.after(0, func() { p.local(f) })
	case len(ip) <= mtu:
		p.toGateway(f)
	case dontFragment(ip):
		p.lose(f, TooBig)
	default:
		s.sendPieces(f, p.at, deviceEth0, mtu, p.toGateway)
	}
}

// local takes a packet over the loopback device.
func (p *pod) local(f *frame) {
	p.machine.sim.emit(f, p.at, "lo", Event{Kind: In})
	p.stack.input(f)
}

// toGateway sends a frame once the gateway's Ethernet address is known.
func (p *pod) toGateway(f *frame) {
	gw := p.machine.router
	if mac, ok := p.arp.known[gw]; ok {
		f.link(p.endpoint.MAC, mac)
		p.transmit(f)
		return
	}
	p.arp.wait(f, gw, waiting{
		at: p.at, dev: deviceEth0, send: p.toGateway,
		ask: func() {
			a := buildARP(header.ARPRequest, p.endpoint.MAC, header.BroadcastMAC(), p.ip, [6]byte{}, gw)
			q := p.machine.sim.derive(f, Asking, a)
			p.machine.sim.emit(q, p.at, deviceEth0, Event{Kind: Sent})
			p.transmit(q)
		},
		fail: func(f *frame) { p.lose(f, NoNeighbour) },
	})
}

// transmit puts a frame on the pod's wire.
func (p *pod) transmit(f *frame) {
	s := p.machine.sim
	s.emit(f, p.at, deviceEth0, Event{Kind: Out})
	s.after(wireTime, func() { p.machine.fromPod(p, f) })
}

// arrive takes a frame from the pod's wire.
func (p *pod) arrive(f *frame) {
	s := p.machine.sim
	f.mark, f.iif, f.flow = 0, 0, nil
	f.receivedBy(p.endpoint.MAC)
	s.emit(f, p.at, deviceEth0, Event{Kind: In})
	switch {
	case f.pktType == dataplane.PacketOtherHost:
		p.lose(f, OtherHost)
		return
	case f.etherType() == header.EtherTypeARP:
		p.arpInput(f)
		return
	}
	if r := f.checkIPv4(); r != 0 {
		p.lose(f, r)
		return
	}
	ip := f.ip()
	switch {
	case ip.Dst() != p.ip:
		p.lose(f, NotLocal)
	case ip.IsFragment():
		if whole := p.frags.add(f, deviceEth0); whole != nil {
			p.stack.input(whole)
		}
	default:
		p.stack.input(f)
	}
}

// arpInput learns from an answer and answers for the pod's own address.
func (p *pod) arpInput(f *frame) {
	s := p.machine.sim
	a := f.arp()
	if a == nil || a.TargetIP() != p.ip {
		p.lose(f, NeighbourIgnored)
		return
	}
	s.emit(f, p.at, deviceEth0, Event{Kind: Received})
	if a.Op() == header.ARPRequest {
		r := s.derive(f, Answer, buildARP(header.ARPReply, p.endpoint.MAC, a.SenderMAC(), p.ip, a.SenderMAC(), a.SenderIP()))
		s.emit(r, p.at, deviceEth0, Event{Kind: Sent})
		if r.depth > maxDepth {
			p.lose(r, Endless)
			return
		}
		p.transmit(r)
		return
	}
	p.arp.learn(a.SenderIP(), a.SenderMAC(), func(f *frame) {
		s.emit(f, p.at, deviceEth0, Event{Kind: Resolved, MAC: a.SenderMAC()})
	})
}

// errWire is what the node counts as refused outside of it.
var errWire = errors.New("the pod is gone")

// podWire is the way from the node into a pod. It takes over the frame that the
// machine works on.
type podWire struct{ pod *pod }

// Send implements node.Wire.
func (w podWire) Send(frame []byte, _ *dataplane.Packet) error {
	m := w.pod.machine
	f := m.take(frame)
	if f == nil {
		return errWire
	}
	m.sim.after(wireTime, func() { w.pod.arrive(f) })
	return nil
}

var _ node.Wire = podWire{}

// neighbours is a stack's ARP table. What is learnt stays.
type neighbours struct {
	sim   *Sim
	known map[[4]byte][6]byte
	asked map[[4]byte]*waiting
}

// waiting is what happens with frames whose next hop is being asked for.
type waiting struct {
	at     Place
	dev    string
	frames []*frame
	ask    func()
	send   func(f *frame)
	fail   func(f *frame)
	timer  *timer
	tries  int
}

// The kernel's defaults: three requests, a second apart; 101 frames wait for one
// neighbour in 64 KiB each, of which the number is kept.
const (
	arpTries    = 3
	arpInterval = time.Second
	arpQueue    = 101
	maxAsked    = 1024
)

// wait queues a frame for a neighbour, and asks for it.
func (n *neighbours) wait(f *frame, ip [4]byte, w waiting) {
	q := n.asked[ip]
	switch {
	case q == nil && len(n.asked) >= maxAsked || q != nil && len(q.frames) >= arpQueue:
		n.sim.lose(f, w.at, w.dev, Overflow)
		return
	case q != nil:
		q.frames = append(q.frames, f)
		n.sim.emit(f, w.at, w.dev, Event{Kind: Waiting})
		return
	}
	if n.asked == nil {
		n.asked = make(map[[4]byte]*waiting)
	}
	w.frames = []*frame{f}
	n.asked[ip] = &w
	n.sim.emit(f, w.at, w.dev, Event{Kind: Waiting})
	n.try(ip, &w)
}

// try asks, and gives up after the last try.
func (n *neighbours) try(ip [4]byte, w *waiting) {
	if n.asked[ip] != w {
		return
	}
	if w.tries == arpTries {
		delete(n.asked, ip)
		for _, f := range w.frames {
			w.fail(f)
		}
		return
	}
	w.tries++
	w.timer = n.sim.after(arpInterval, func() { n.try(ip, w) })
	w.ask()
}

// learn takes an answer that was asked for, and sends what waits for it.
func (n *neighbours) learn(ip [4]byte, mac [6]byte, resolved func(*frame)) {
	w := n.asked[ip]
	if w == nil {
		return
	}
	w.timer.stop()
	delete(n.asked, ip)
	if n.known == nil {
		n.known = make(map[[4]byte][6]byte)
	}
	n.known[ip] = mac
	for _, f := range w.frames {
		resolved(f)
		w.send(f)
	}
}
