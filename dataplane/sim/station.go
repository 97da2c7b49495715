package sim

import (
	"net/netip"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// station is a host outside of the cluster: on the underlay, behind the gateway, or
// the gateway itself.
type station struct {
	sim        *Sim
	at         Place
	name       string
	ip         [4]byte
	mac        [6]byte
	onUnderlay bool
	router     bool // the gateway: it forwards
	named      bool // one of the cluster's external hosts
	serves     bool // 80 and 443 TCP and 53 UDP are open
	stack      stack
	frags      reassembly
}

func newStation(s *Sim, kind PlaceKind, name string, ip [4]byte) *station {
	x := &station{sim: s, name: name, ip: ip, at: Place{Kind: kind, Name: name}}
	if kind == AtExternal && name == "" {
		x.at.Name = addr(ip).String()
	}
	// A locally administered address that no allocation of the cluster begins with.
	x.mac = [6]byte{0x02, 0x00, ip[0], ip[1], ip[2], ip[3]}
	x.onUnderlay = kind == AtGateway
	x.stack = stack{sim: s, out: x}
	x.frags = reassembly{sim: s, at: x.at}
	return x
}

func (x *station) place() Place                   { return x.at }
func (x *station) source([4]byte) ([4]byte, bool) { return x.ip, true }
func (x *station) owns(ip [4]byte) bool           { return ip == x.ip }
func (x *station) lose(f *frame, r Reason)        { x.sim.lose(f, x.at, deviceEth0, r) }

// behind says that an address is not on the underlay.
func (x *station) behind(ip [4]byte) bool { return !x.sim.settings.Underlay.Contains(addr(ip)) }

func (x *station) listens(p uint8, _ [4]byte, port uint16) bool {
	if x.sim.listens(x.at, x.ip, p, port) {
		return true
	}
	return x.serves && (p == header.ProtoTCP && (port == 80 || port == 443) || p == header.ProtoUDP && port == 53)
}

func (x *station) mtu(dst [4]byte) int {
	if x.router && x.behind(dst) || !x.onUnderlay {
		return x.sim.worldMTU()
	}
	return x.sim.mtu
}

// worldMTU is the MTU of the gateway's other side.
func (s *Sim) worldMTU() int {
	if s.opts.WorldMTU > 0 {
		return max(s.opts.WorldMTU, 68) // the least that IPv4 allows
	}
	return s.mtu
}

// output sends what the station's own sockets made.
func (x *station) output(f *frame) {
	if f.ip().Dst() == x.ip {
		x.sim.after(0, func() { x.stack.input(f) })
		return
	}
	x.transmit(f)
}

// transmit cuts a packet to the route's MTU and sends it on.
func (x *station) transmit(f *frame) {
	ip := f.ip()
	if mtu := x.mtu(ip.Dst()); len(ip) > mtu {
		if dontFragment(ip) {
			x.lose(f, TooBig)
			return
		}
		x.sim.sendPieces(f, x.at, deviceEth0, mtu, x.hand)
		return
	}
	x.hand(f)
}

// sendPieces sends a frame in fragments.
func (s *Sim) sendPieces(f *frame, at Place, dev string, mtu int, send func(*frame)) {
	pieces := s.fragment(f, mtu)
	if len(pieces) == 0 {
		s.lose(f, at, dev, TooBig)
	}
	for _, p := range pieces {
		s.emit(p, at, dev, Event{Kind: Fragmented})
		send(p)
	}
}

// hand gives a frame to the next hop.
func (x *station) hand(f *frame) {
	s := x.sim
	dst := f.ip().Dst()
	_, node, toPod := s.routes.find(dst)
	switch {
	case !x.onUnderlay:
		f.link(x.mac, s.gateway.mac)
		s.emit(f, x.at, deviceEth0, Event{Kind: Out})
		s.after(worldTime, func() { s.gateway.arrive(f) })
		return
	case toPod && s.opts.RoutePods:
		x.toNeighbour(f, node)
	case !x.behind(dst):
		x.toNeighbour(f, dst)
	case x.router:
		s.toWorld(f)
	default:
		x.toNeighbour(f, s.gateway.ip)
	}
}

// toNeighbour sends a frame over the underlay.
func (x *station) toNeighbour(f *frame, next [4]byte) {
	mac, ok := x.sim.underlay.neighbour(next)
	if !ok {
		x.lose(f, NoNeighbour)
		x.stack.sendICMPError(f, header.ICMPUnreachable, codeHost, 0)
		return
	}
	f.link(x.mac, mac)
	x.sim.underlay.carry(x.at, f)
}

// toWorld hands a frame from the gateway to a host behind it.
func (s *Sim) toWorld(f *frame) {
	to := s.world(f.ip().Dst())
	if to == nil {
		if f.conv != nil {
			f.conv.left(f, s.gateway.at)
		}
		s.emit(f, s.gateway.at, "world", Event{Kind: Left})
		return
	}
	f.link(s.gateway.mac, to.mac)
	s.emit(f, s.gateway.at, "world", Event{Kind: Out})
	s.after(worldTime, func() { to.arrive(f) })
}

// maxWorld bounds how many hosts of the world are remembered.
const maxWorld = 1 << 16

// world is the host behind the gateway that has an address, or nil. Pods and services
// are nobody there.
func (s *Sim) world(ip [4]byte) *station {
	if x := s.outside[ip]; x != nil {
		if x.onUnderlay {
			return nil
		}
		return x
	}
	a := addr(ip)
	inside := func(p netip.Prefix) bool { return p.Contains(a) }
	if !s.opts.AnswerWorld || !unicast(ip) || a.IsLoopback() || len(s.outside) >= maxWorld ||
		inside(s.settings.Underlay) || inside(s.settings.PodPool) || inside(s.settings.ServiceCIDR) {
		return nil
	}
	if _, _, ok := s.routes.find(ip); ok {
		return nil
	}
	x := newStation(s, AtExternal, "", ip)
	x.serves = true
	s.outside[ip] = x
	return x
}

// arrive takes a frame from the wire.
func (x *station) arrive(f *frame) {
	f.mark, f.iif, f.flow = 0, 0, nil
	f.receivedBy(x.mac)
	x.sim.emit(f, x.at, deviceEth0, Event{Kind: In, Outer: outerHeader(f.data)})
	if f.pktType == dataplane.PacketOtherHost {
		x.lose(f, OtherHost)
		return
	}
	if r := f.checkIPv4(); r != 0 {
		x.lose(f, r)
		return
	}
	ip := f.ip()
	switch {
	case ip.Dst() != x.ip && x.router:
		x.forward(f)
	case ip.Dst() != x.ip:
		x.lose(f, NotLocal)
	case ip.IsFragment():
		if whole := x.frags.add(f, deviceEth0); whole != nil {
			x.stack.input(whole)
		}
	default:
		x.stack.input(f)
	}
}

// forward is the gateway's work on what is not for itself.
func (x *station) forward(f *frame) {
	ip := f.ip()
	ttl := ip.TTL()
	mtu := x.mtu(ip.Dst())
	switch {
	case f.pktType != dataplane.PacketHost || !unicast(ip.Dst()):
		x.lose(f, Broadcast)
	case ttl <= 1:
		x.lose(f, TTLExceeded)
		x.stack.sendICMPError(f, header.ICMPTimeExceeded, 0, 0)
	case len(ip) > mtu && dontFragment(ip):
		x.lose(f, TooBig)
		x.stack.sendICMPError(f, header.ICMPUnreachable, header.ICMPFragNeeded, mtu)
	default:
		decrementTTL(ip)
		x.sim.emit(f, x.at, deviceEth0, Event{Kind: Forwarded, TTL: [2]uint8{ttl, ttl - 1}})
		x.transmit(f)
	}
}
