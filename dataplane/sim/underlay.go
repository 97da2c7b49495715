package sim

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/tunnel"
)

// attached is who has a port on the underlay.
type attached interface {
	// arrive takes a frame from the wire.
	arrive(f *frame)
}

// underlay is one Ethernet segment whose neighbours everybody knows.
type underlay struct {
	sim        *Sim
	stations   map[[6]byte]attached
	neighbours map[[4]byte][6]byte
}

func (u *underlay) attach(ip [4]byte, mac [6]byte, x attached) {
	u.stations[mac], u.neighbours[ip] = x, mac
}

// neighbour is a neighbour's Ethernet address.
func (u *underlay) neighbour(ip [4]byte) ([6]byte, bool) {
	mac, ok := u.neighbours[ip]
	return mac, ok
}

// carry takes a frame from a station's eth0 to the one that it is addressed to.
func (u *underlay) carry(from Place, f *frame) {
	s := u.sim
	s.emit(f, from, deviceEth0, Event{Kind: Out, Outer: outerHeader(f.data)})
	at := Place{Kind: AtUnderlay}
	e := f.eth()
	if e == nil {
		s.lose(f, at, "", BadHeader)
		return
	}
	f.hops++
	to := u.stations[e.Dst()]
	switch {
	case len(f.data) > s.mtu+header.EthernetSize:
		s.lose(f, at, "", WireMTU)
	case e.Dst()[0]&1 != 0:
		s.lose(f, at, "", Broadcast)
	case to == nil:
		s.lose(f, at, "", NoStation)
	case f.hops > maxHops:
		s.lose(f, at, "", Endless)
	default:
		s.after(underlayTime, func() { to.arrive(f) })
	}
}

// outerHeader reads the outer header of a VXLAN packet's frame; nil for all others.
func outerHeader(b []byte) *OuterHeader {
	const vxlanAt = header.EthernetSize + header.IPv4MinSize + header.UDPSize
	if len(b) < vxlanAt+header.VXLANSize || header.Ethernet(b).Type() != header.EtherTypeIPv4 {
		return nil
	}
	ip := header.IPv4(b[header.EthernetSize:])
	udp := ip[header.IPv4MinSize:]
	if ip.Protocol() != header.ProtoUDP || ip.HeaderLen() != header.IPv4MinSize || !ip.HasL4Header() ||
		binary.BigEndian.Uint16(udp[header.DstPort:]) != tunnel.Port {
		return nil
	}
	id := ip.ID()
	return &OuterHeader{
		Src: addr(ip.Src()), Dst: addr(ip.Dst()), TTL: ip.TTL(), TOS: ip.TOS(), ID: binary.BigEndian.Uint16(id[:]),
		SrcPort: binary.BigEndian.Uint16(udp[header.SrcPort:]), DstPort: binary.BigEndian.Uint16(udp[header.DstPort:]),
		VNI: header.VXLAN(b[vxlanAt : vxlanAt+header.VXLANSize]).VNI(),
	}
}
