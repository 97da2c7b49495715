package sim

import (
	"fmt"
	"net/netip"

	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
)

// Compose makes the packet that a conversation begins with, for Inject: an Ethernet
// frame with addresses of zero. Protocols are ICMP (an echo request), TCP (a SYN unless
// m has flags) and UDP. Nothing is sent, and from may be an address that nobody has.
func (s *Sim) Compose(from, to string, proto uint8, port uint16, m Message) ([]byte, error) {
	src, err := s.Resolve(from)
	if err != nil {
		return nil, err
	}
	dst, err := s.Resolve(to)
	if err != nil {
		return nil, err
	}
	if len(m.Data) > maxPacket-header.IPv4MinSize-header.TCPMinSize {
		return nil, fmt.Errorf("message of %d bytes: %w", len(m.Data), ErrMessage)
	}
	k := socketKey{proto: proto, local: src.As4(), remote: dst.As4(), localPort: m.SrcPort, remotePort: port}
	if k.localPort == 0 {
		k.localPort = uint16(portMin + s.rand.IntN(portCount))
	}
	var payload []byte
	switch proto {
	case header.ProtoICMP:
		if m.Data == nil {
			m.Data = echoData()
		}
		payload = buildEcho(k.localPort, 1, m.Data)
	case header.ProtoTCP:
		g := segment{seq: s.rand.Uint32(), flags: m.Flags, data: m.Data}
		if g.flags == 0 {
			g.flags = header.TCPSYN
		}
		payload = buildTCP(k, g)
	case header.ProtoUDP:
		payload = buildUDP(k, m.Data)
	default:
		return nil, fmt.Errorf("protocol %d: %w", proto, ErrMessage)
	}
	ttl := m.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	return buildIPv4(ipHeader{src: k.local, dst: k.remote, proto: proto, ttl: ttl, tos: m.TOS, df: true, id: 1}, payload), nil
}

// address gives a frame the Ethernet addresses that a frame has at a point, unless it
// has some. Where nobody can be found for them, they stay zero.
func (s *Sim) address(at Point, f *frame) {
	e := f.eth()
	if e == nil || e.Src() != ([6]byte{}) || e.Dst() != ([6]byte{}) {
		return
	}
	src, dst := s.linkAt(at, f)
	e.SetSrc(src)
	e.SetDst(dst)
}

// linkAt is the sender's and the receiver's Ethernet address at a point.
func (s *Sim) linkAt(at Point, f *frame) (src, dst [6]byte) {
	var from, to [4]byte
	if len(f.data) >= header.EthernetSize+header.IPv4MinSize && f.etherType() == header.EtherTypeIPv4 {
		from, to = f.ip().Src(), f.ip().Dst()
	}
	switch {
	case at.Pod != "":
		o, err := s.find(at.Pod)
		if err != nil || o.pod == nil {
			return src, dst
		}
		e := o.pod.endpoint
		if at.Receive {
			return e.NodeMAC, e.MAC
		}
		return e.MAC, e.NodeMAC
	case at.External != "":
		x := s.gateway
		if at.External != AtGateway.String() {
			x = s.external(at.External)
		}
		if x != nil {
			src = x.mac
		}
		return src, s.nextHop(to)
	}
	m := s.machines[at.Node]
	if m == nil {
		return src, dst
	}
	return m.linkAt(at, from, to)
}

// linkAt is Sim.linkAt on one of the node's devices.
func (m *machine) linkAt(at Point, from, to [4]byte) (src, dst [6]byte) {
	n := &m.spec
	switch at.Device {
	case deviceEth0:
		if at.Egress {
			return n.MAC, m.sim.nextHop(to)
		}
		src, ok := m.sim.underlay.neighbour(from)
		if !ok {
			src = m.sim.gateway.mac
		}
		return src, n.MAC
	case node.Host.String():
		if at.Egress {
			return n.HostMAC, n.HostMAC
		}
		return n.NetMAC, n.HostMAC
	case node.Net.String():
		return n.HostMAC, n.NetMAC
	case node.VXLAN.String():
		if p := m.sim.owners[from].pod; p != nil {
			return p.endpoint.MAC, p.endpoint.NodeMAC
		}
		return n.VXLANMAC, n.VXLANMAC
	}
	for _, p := range m.sim.pods {
		switch e := p.endpoint; {
		case p.machine != m || e.Device != at.Device:
		case at.Egress:
			return e.NodeMAC, e.MAC
		default:
			return e.MAC, e.NodeMAC
		}
	}
	return src, dst
}

// nextHop is the Ethernet address of whoever takes a packet on the underlay: the
// receiver, the receiver's node, or the gateway.
func (s *Sim) nextHop(to [4]byte) [6]byte {
	if mac, ok := s.underlay.neighbour(to); ok {
		return mac
	}
	if _, node, ok := s.routes.find(to); ok && s.opts.RoutePods {
		if mac, ok := s.underlay.neighbour(node); ok {
			return mac
		}
	}
	return s.gateway.mac
}

// OwnerOf is who has an address: a pod's or health endpoint's, node's or external
// host's place. It is false if nobody in the cluster's description has it.
func (s *Sim) OwnerOf(ip netip.Addr) (Place, bool) {
	if !ip.Is4() {
		return Place{}, false
	}
	o := s.owners[ip.As4()]
	switch {
	case o.pod != nil:
		return o.pod.at, true
	case o.machine != nil:
		return o.machine.at, true
	case o.station != nil:
		return o.station.at, true
	}
	return Place{}, false
}
