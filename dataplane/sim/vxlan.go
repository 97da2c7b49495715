package sim

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/tunnel"
)

// vxlanDevice is cilium_vxlan beyond its programs: collect-metadata VXLAN (SPEC 8,
// 20.4).
type vxlanDevice struct{ m *machine }

// Send implements node.Underlay: it takes over the frame, and the outer packet is
// sent when the datapath is done.
func (v vxlanDevice) Send(p *dataplane.Packet) error {
	m := v.m
	f := m.take(p.Data)
	if f == nil {
		return nil
	}
	key := p.TunnelOut
	m.sim.after(0, func() { m.encapsulate(f, key) })
	return nil
}

// encapsulate makes the outer packet and sends it as the host's own: TTL 64, no DF,
// ECN of the inner packet, no UDP checksum.
func (m *machine) encapsulate(f *frame, key dataplane.TunnelKey) {
	const outer = header.UDPSize + header.VXLANSize
	if len(f.data) > maxPacket-header.IPv4MinSize-outer {
		m.lose(f, node.VXLAN.String(), TooBig)
		return
	}
	udp := make([]byte, outer+len(f.data))
	binary.BigEndian.PutUint16(udp[header.SrcPort:], tunnel.SourcePort(tunnel.FlowHash(f.data)))
	binary.BigEndian.PutUint16(udp[header.DstPort:], tunnel.Port)
	binary.BigEndian.PutUint16(udp[udpLength:], uint16(len(udp)))
	tunnel.Encap(udp[header.UDPSize:], key.ID)
	copy(udp[outer:], f.data)
	src, ok := m.source(key.Remote)
	if !ok {
		m.lose(f, node.VXLAN.String(), NoRoute)
		return
	}
	m.stack.nextID++
	m.stack.nextID = max(m.stack.nextID, 1) // never zero here
	o := m.sim.derive(f, Outer, buildIPv4(ipHeader{
		src: src, dst: key.Remote, proto: header.ProtoUDP, ttl: key.TTL, tos: tunnel.EncapTOS(f.data), id: m.stack.nextID,
	}, udp))
	o.mark, o.iif = 0, 0
	m.sim.emit(o, m.at, node.VXLAN.String(), Event{Kind: Encapsulated, Outer: outerHeader(o.data)})
	w, ok := m.route(key.Remote, 0)
	if !ok {
		m.lose(o, node.VXLAN.String(), NoRoute)
		return
	}
	m.sim.emit(o, m.at, w.Device, Event{Kind: Routed, Route: &w.Route})
	m.leave(o, w)
}

// decapsulate takes an outer packet that has come for this node.
func (m *machine) decapsulate(f *frame) {
	refuse := func() { m.lose(f, node.VXLAN.String(), TunnelRefused) }
	ip, udp := f.ip(), f.l4()
	n := int(binary.BigEndian.Uint16(udp[udpLength:]))
	if n < header.UDPSize || n > len(udp) {
		m.lose(f, deviceEth0, BadHeader)
		return
	}
	if binary.BigEndian.Uint16(udp[header.UDPChecksum:]) != 0 && !checksumOK(f) {
		m.lose(f, deviceEth0, BadL4Checksum)
		return
	}
	vni, inner, err := tunnel.Decap(udp[header.UDPSize:n])
	if err != nil || header.Ethernet(inner).Src() == m.spec.VXLANMAC {
		refuse()
		return
	}
	i := m.sim.derive(f, Inner, append([]byte(nil), inner...))
	if err := tunnel.DecapTOS(i.data, ip.TOS()); err != nil {
		refuse()
		return
	}
	i.mark, i.iif = 0, 0
	m.sim.emit(i, m.at, node.VXLAN.String(), Event{Kind: Decapsulated, Outer: outerHeader(f.data)})
	if !m.ready(i) {
		return
	}
	key := dataplane.TunnelKey{Present: true, ID: vni, Remote: ip.Src(), TTL: ip.TTL(), TOS: ip.TOS()}
	m.enter(i, func(p *dataplane.Packet) error {
		p.TunnelIn = key
		return m.node.Receive(m.cfg.EncapIfindex, p)
	})
}
