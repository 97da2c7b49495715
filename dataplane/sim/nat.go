package sim

import (
	"encoding/binary"
	"net/netip"

	"github.com/hooklab/hooklab/dataplane/header"
)

// serviceDNAT stands for kube-proxy in OUTPUT: a new connection of the host's own to
// a ClusterIP gets one of the active backends. It is false if there is none.
func (m *machine) serviceDNAT(f *frame) bool {
	fl := f.flow
	if fl == nil || f.state != FlowNew || fl.dstDone {
		return true
	}
	fl.dstDone = true
	t := &fl.tuples[0]
	backends, ok := m.sim.services[listener{t.dst, t.proto, t.dport}]
	switch {
	case !ok:
		return true
	case len(backends) == 0:
		return false
	}
	b := backends[m.sim.chooseBackend(len(backends))]
	fl.dstRule = ServiceDNAT
	fl.tuples[1].src, fl.tuples[1].sport = b.Addr().As4(), b.Port()
	return true
}

// chooseBackend is kube-proxy's choice among n backends.
func (s *Sim) chooseBackend(n int) int {
	if s.opts.KubeProxy != nil {
		return s.opts.KubeProxy(n)
	}
	return s.rand.IntN(n)
}

// sourceNAT decides about a new connection's source by CILIUM_POST_nat, whose first
// rule that fits counts (SPEC 11).
func (m *machine) sourceNAT(f *frame, w way) {
	fl := f.flow
	if fl == nil || f.state != FlowNew || fl.srcDone {
		return
	}
	fl.srcDone = true
	ip := f.ip()
	src, dst := m.spec.PodCIDR.Contains(addr(ip.Src())), m.spec.PodCIDR.Contains(addr(ip.Dst()))
	switch {
	case src && !dst && w.out != outHost:
		m.bindSource(fl, Masquerade, m.ip)
	case f.mark&markProxies == markProxy:
		// ACCEPT: the proxy's packets keep their source.
	case !src && !dst && w.out == outHost:
		m.bindSource(fl, HostToCluster, m.router)
	case ip.Src() == [4]byte{127, 0, 0, 1} && w.out == outHost:
		m.bindSource(fl, LoopbackSNAT, m.router)
	case f.mark&markMagic == markIdentity && w.out == outHost && fl.dstRule != 0:
		m.bindSource(fl, HairpinSNAT, m.router)
	}
}

// bindSource gives a flow another source, with the same port if that is free
// (get_unique_tuple).
func (m *machine) bindSource(fl *flow, rule Rule, to [4]byte) {
	if fl.tuples[0].src == to {
		return
	}
	fl.srcRule = rule
	t := &fl.tuples[1]
	t.dst = to
	port := &t.dport
	if t.proto == header.ProtoICMP {
		port = &t.sport // the echo's id
	}
	if _, taken := m.flows.find(*t); !taken || *port == 0 && t.proto != header.ProtoICMP {
		return
	}
	const low, count = 1024, 1<<16 - 1024
	start := m.sim.rand.IntN(count)
	for i := range count {
		*port = uint16(low + (start+i)%count)
		if _, taken := m.flows.find(*t); !taken {
			return
		}
	}
}

// translate applies a flow's translation of the source or of the destination to a
// packet, in the direction that it goes (nf_nat_packet).
func (m *machine) translate(f *frame, dev string, source bool) {
	fl := f.flow
	if fl == nil {
		return
	}
	rule := fl.dstRule
	if source == (f.dir == 0) {
		rule = fl.srcRule
	}
	if rule == 0 {
		return
	}
	n := Translation{Rule: rule, Source: source, Reply: f.dir == 1, Related: f.state == FlowRelated}
	want := fl.tuples[1-f.dir].inverse()
	ip := f.ip()
	if n.Related {
		n.From, n.To = m.translateError(f, fl, source, want)
	} else {
		n.From, n.To = rewrite(ip, source, want)
	}
	if n.From == n.To {
		return
	}
	actor := Agent
	if rule == ServiceDNAT {
		actor = KubeProxy
	}
	m.sim.emit(f, m.at, dev, Event{Kind: Translated, Actor: actor, NAT: &n})
}

// translateError does it for an ICMP error: the packet that it quotes went the other
// way, so its other end is changed (nf_nat_icmp_reply_translation).
func (m *machine) translateError(f *frame, fl *flow, source bool, want tuple) (from, to netip.AddrPort) {
	l4 := f.l4()
	rewrite(header.IPv4(l4[header.ICMPSize:]), !source, fl.tuples[1-f.dir])
	putICMPChecksum(l4)
	ip := f.ip()
	if source {
		from = netip.AddrPortFrom(addr(ip.Src()), 0)
		setAddress(ip, true, want.src)
		return from, netip.AddrPortFrom(addr(want.src), 0)
	}
	from = netip.AddrPortFrom(addr(ip.Dst()), 0)
	setAddress(ip, false, want.dst)
	return from, netip.AddrPortFrom(addr(want.dst), 0)
}

// setAddress writes an address and corrects the IP header's checksum.
func setAddress(ip header.IPv4, source bool, to [4]byte) (was [4]byte) {
	if source {
		was = ip.Src()
		ip.SetSrc(to)
	} else {
		was = ip.Dst()
		ip.SetDst(to)
	}
	ip.SetChecksum(header.ReplaceByDiff(ip.Checksum(), header.Sum(0).Diff4(was, to)))
	return was
}

// rewrite writes the source or destination of a tuple into a packet that may be cut
// off, and corrects checksums by the difference. It returns what was there and is.
func rewrite(ip header.IPv4, source bool, want tuple) (from, to netip.AddrPort) {
	address, port, at := want.dst, want.dport, header.DstPort
	if source {
		address, port, at = want.src, want.sport, header.SrcPort
	}
	sumAt, pseudo := 0, true
	switch want.proto {
	case header.ProtoTCP:
		sumAt = header.TCPChecksum
	case header.ProtoUDP:
		sumAt = header.UDPChecksum
	case header.ProtoICMP:
		port, at, sumAt, pseudo = want.sport, icmpInfo, icmpChecksum, false
	}
	was := setAddress(ip, source, address)
	from, to = netip.AddrPortFrom(addr(was), 0), netip.AddrPortFrom(addr(address), 0)
	l4 := ip[ip.HeaderLen():]
	if sumAt == 0 || len(l4) < at+2 {
		return from, to
	}
	old := binary.BigEndian.Uint16(l4[at:])
	binary.BigEndian.PutUint16(l4[at:], port)
	from, to = netip.AddrPortFrom(addr(was), old), netip.AddrPortFrom(addr(address), port)
	if len(l4) < sumAt+2 {
		return from, to
	}
	sum := binary.BigEndian.Uint16(l4[sumAt:])
	if want.proto == header.ProtoUDP && sum == 0 {
		return from, to // no checksum
	}
	if pseudo {
		sum = header.ReplaceByDiff(sum, header.Sum(0).Diff4(was, address))
	}
	sum = header.Replace2(sum, old, port)
	if want.proto == header.ProtoUDP && sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(l4[sumAt:], sum)
	return from, to
}
