package sim

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/tunnel"
)

// The functions in this file stand in the order in which the host stack meets a
// packet: receive, input or forward, postrouting, leave, hand.

// arrive takes a frame from the underlay.
func (m *machine) arrive(f *frame) {
	f.mark, f.iif, f.flow = 0, m.eth0.Ifindex, nil
	f.receivedBy(m.spec.MAC)
	m.sim.emit(f, m.at, deviceEth0, Event{Kind: In, Outer: outerHeader(f.data)})
	if f.pktType == dataplane.PacketOtherHost {
		m.lose(f, deviceEth0, OtherHost)
		return
	}
	m.receive(m.eth0, f)
}

// receive is what the stack does with a frame from a device (ip_rcv): checks,
// defragmentation, connection tracking, routing.
func (m *machine) receive(d *node.Device, f *frame) {
	if f.etherType() == header.EtherTypeARP {
		m.arpInput(d, f)
		return
	}
	if r := f.checkIPv4(); r != 0 {
		m.lose(f, d.Name, r)
		return
	}
	if r := m.martian(d, f); r != 0 {
		m.lose(f, d.Name, r)
		return
	}
	if f.ip().IsFragment() {
		whole := m.frags.add(f, d.Name)
		if whole == nil {
			return
		}
		f = whole
	}
	if d == m.eth0 && m.isTunnel(f) {
		m.decapsulate(f)
		return
	}
	m.track(f, d.Name)
	m.translate(f, d.Name, false)
	w, ok := m.route(f.ip().Dst(), f.mark)
	if !ok {
		m.lose(f, d.Name, NoRoute)
		return
	}
	m.sim.emit(f, m.at, d.Name, Event{Kind: Routed, Route: &w.Route})
	if w.out == outLoopback {
		m.input(d, f)
		return
	}
	m.forward(d, f, w)
}

// martian refuses addresses that cannot come from a device (fib_validate_source).
// Cilium's devices have accept_local, and nobody filters by reverse path.
func (m *machine) martian(d *node.Device, f *frame) Reason {
	src, dst := f.ip().Src(), f.ip().Dst()
	cilium := d.Kind == node.Host || d.Kind == node.Net || d.Kind == node.VXLAN
	switch {
	case d == m.lo:
		return 0
	case !unicast(src), src[0] == 127, dst[0] == 127, dst[0] == 0:
		return Martian
	case m.owns(src) && !cilium:
		return Martian
	case !unicast(dst):
		return Broadcast
	}
	return 0
}

// isTunnel tells an outer VXLAN packet for this node.
func (m *machine) isTunnel(f *frame) bool {
	ip, l4 := f.ip(), f.l4()
	return ip.Dst() == m.ip && ip.Protocol() == header.ProtoUDP && len(l4) >= header.UDPSize &&
		binary.BigEndian.Uint16(l4[header.DstPort:]) == tunnel.Port
}

// input gives a packet to the host's sockets.
func (m *machine) input(d *node.Device, f *frame) {
	m.translate(f, d.Name, true)
	if !m.confirm(f) {
		m.lose(f, d.Name, Overflow)
		return
	}
	m.stack.input(f)
}

// forward sends a packet on (ip_forward).
func (m *machine) forward(d *node.Device, f *frame, w way) {
	ip := f.ip()
	ttl := ip.TTL()
	switch {
	case f.pktType != dataplane.PacketHost:
		m.lose(f, d.Name, Broadcast)
	case ttl <= 1:
		m.lose(f, d.Name, TTLExceeded)
		m.stack.sendICMPError(f, header.ICMPTimeExceeded, 0, 0)
	case len(ip) > w.MTU && dontFragment(ip) && f.fragMax == 0:
		m.lose(f, d.Name, TooBig)
		m.stack.sendICMPError(f, header.ICMPUnreachable, header.ICMPFragNeeded, w.MTU)
	default:
		decrementTTL(ip)
		m.sim.emit(f, m.at, w.Device, Event{Kind: Forwarded, TTL: [2]uint8{ttl, ttl - 1}})
		m.postrouting(f, w)
	}
}

// output sends what the host's own sockets made: connection tracking, kube-proxy,
// routing, and the mark that says "from the host" (CILIUM_OUTPUT, SPEC 11).
func (m *machine) output(f *frame) {
	m.track(f, "")
	if !m.serviceDNAT(f) {
		m.lose(f, "", Rejected)
		m.stack.sendICMPError(f, header.ICMPUnreachable, codePort, 0)
		return
	}
	m.translate(f, "", false)
	ip := f.ip()
	w, ok := m.route(ip.Dst(), f.mark)
	if !ok {
		m.lose(f, "", NoRoute)
		return
	}
	m.sim.emit(f, m.at, w.Device, Event{Kind: Routed, Route: &w.Route})
	if len(ip) > w.MTU && dontFragment(ip) {
		m.lose(f, w.Device, TooBig)
		return
	}
	if !exemptFromHostMark(f.mark) {
		was := f.mark
		f.mark = was&^markMagic | markHost
		m.sim.emit(f, m.at, w.Device, Event{Kind: Marked, Actor: Agent, Marks: [2]uint32{was, f.mark}})
	}
	m.postrouting(f, w)
}

// exemptFromHostMark tells the marks that "host->any mark as from host" leaves alone:
// encryption, decryption, proxy, 0x800, identity.
func exemptFromHostMark(mark uint32) bool {
	const encrypt, decrypt, reserved = 0xe00, 0xd00, 0x800
	switch mark & markMagic {
	case encrypt, decrypt, markIdentity:
		return true
	}
	pair := mark & markProxies
	return pair == markProxy || pair == reserved
}

// postrouting is the last rules before a device.
func (m *machine) postrouting(f *frame, w way) {
	m.sourceNAT(f, w)
	m.translate(f, w.Device, true)
	if !m.confirm(f) {
		m.lose(f, w.Device, Overflow)
		return
	}
	m.leave(f, w)
}

// leave cuts a packet to the route's MTU, or to the fragments that it came in.
func (m *machine) leave(f *frame, w way) {
	mtu := w.MTU
	if f.fragMax != 0 {
		mtu = min(mtu, f.fragMax)
	}
	if len(f.ip()) > mtu {
		m.sim.sendPieces(f, m.at, w.Device, mtu, func(p *frame) { m.hand(p, w) })
		return
	}
	m.hand(f, w)
}

// hand gives a frame to the route's device.
func (m *machine) hand(f *frame, w way) {
	switch w.out {
	case outLoopback:
		m.sim.after(0, func() {
			m.sim.emit(f, m.at, m.lo.Name, Event{Kind: In})
			m.receive(m.lo, f)
		})
	case outHost:
		// The device is NOARP: the next hop has its own address (SPEC 10.1).
		f.link(m.spec.HostMAC, m.spec.HostMAC)
		if m.ready(f) {
			m.enter(f, func(p *dataplane.Packet) error { return m.node.Transmit(m.cfg.HostIfindex, p) })
		}
	case outLXC:
		m.toPod(f, w)
	default:
		m.toUnderlay(f, w)
	}
}

// toUnderlay sends a frame out of eth0. The segment's neighbours are known; who is
// not there does not answer ARP.
func (m *machine) toUnderlay(f *frame, w way) {
	next := f.ip().Dst()
	if w.Via.IsValid() {
		next = w.Via.As4()
	}
	mac, ok := m.sim.underlay.neighbour(next)
	if !ok {
		m.arp.wait(f, next, waiting{at: m.at, dev: deviceEth0, ask: func() {}, fail: m.unreachable(deviceEth0)})
		return
	}
	m.sim.emit(f, m.at, deviceEth0, Event{Kind: Resolved, MAC: mac})
	f.link(m.spec.MAC, mac)
	m.sim.underlay.carry(m.at, f)
}

// unreachable is what happens to frames whose next hop does not answer.
func (m *machine) unreachable(dev string) func(*frame) {
	return func(f *frame) {
		m.lose(f, dev, NoNeighbour)
		m.stack.sendICMPError(f, header.ICMPUnreachable, codeHost, 0)
	}
}

// toPod sends a frame out of a pod's device by the pod's own route. The pod answers
// ARP itself.
func (m *machine) toPod(f *frame, w way) {
	ip := w.pod.ip
	transmit := func(f *frame) {
		if m.ready(f) {
			m.enter(f, func(p *dataplane.Packet) error { return m.node.Transmit(w.pod.endpoint.Ifindex, p) })
		}
	}
	send := func(f *frame) {
		f.link(w.pod.endpoint.NodeMAC, m.arp.known[ip])
		transmit(f)
	}
	if _, ok := m.arp.known[ip]; ok {
		send(f)
		return
	}
	m.arp.wait(f, ip, waiting{
		at: m.at, dev: w.Device, send: send, fail: m.unreachable(w.Device),
		ask: func() {
			q := m.sim.derive(f, Asking, buildARP(header.ARPRequest, w.pod.endpoint.NodeMAC, header.BroadcastMAC(), m.ip, [6]byte{}, ip))
			m.sim.emit(q, m.at, w.Device, Event{Kind: Sent})
			transmit(q)
		},
	})
}

// arpInput learns from a pod's answer. Requests are the datapath's to answer.
func (m *machine) arpInput(d *node.Device, f *frame) {
	a := f.arp()
	if a == nil || a.Op() != header.ARPReply || m.arp.asked[a.SenderIP()] == nil {
		m.lose(f, d.Name, NeighbourIgnored)
		return
	}
	m.sim.emit(f, m.at, d.Name, Event{Kind: Received})
	m.arp.learn(a.SenderIP(), a.SenderMAC(), func(f *frame) {
		m.sim.emit(f, m.at, d.Name, Event{Kind: Resolved, MAC: a.SenderMAC()})
	})
}
