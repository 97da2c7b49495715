package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// ctDir is the direction of a conntrack lookup.
type ctDir uint8

// Directions (CT_EGRESS, CT_INGRESS, CT_SERVICE).
const (
	ctEgress ctDir = iota
	ctIngress
	ctService
)

// ctToMetricsDir is the direction that a metric of a lookup has.
//
// C: ct_to_metrics_dir (lib/metrics.h).
func ctToMetricsDir(d ctDir) code.Dir {
	return [...]code.Dir{code.Egress, code.Ingress, code.Service}[d]
}

// l4Offset is where the L4 header begins, by the header length that the packet
// claims.
func l4Offset(ip *header.IPv4Header) int { return header.EthernetSize + ip.HeaderLen() }

// ipv4HandleFragmentation finds the packet's ports: in its L4 header, or, for a
// later fragment, in cilium_ipv4_frag_datagrams, where the first fragment left
// them (SPEC 3.8). Each call counts a fragment once.
//
// C: ipv4_handle_fragmentation (lib/ipv4.h).
func (o *object) ipv4HandleFragmentation(p *dataplane.Packet, ip *header.IPv4Header, dir ctDir, ports *maps.FragPorts) code.Ret {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.IPv4HandleFragmentation)
		return p.Trace.Leave(trace.IPv4HandleFragmentation, o.ipv4HandleFragmentation(p, ip, dir, ports))
	}
	if ip.IsFragment() {
		return o.fragmentPorts(p, ip, dir, ports)
	}
	return loadPorts(p, ip, ports)
}

// loadPorts reads ports from the L4 header.
func loadPorts(p *dataplane.Packet, ip *header.IPv4Header, ports *maps.FragPorts) code.Ret {
	b := p.Load(l4Offset(ip), header.PortsSize)
	if b == nil {
		return code.Fault
	}
	ports.Set([4]byte(b))
	return code.OK
}

// fragmentPorts finds the ports of a fragment; the first one's are remembered.
func (o *object) fragmentPorts(p *dataplane.Packet, ip *header.IPv4Header, dir ctDir, ports *maps.FragPorts) code.Ret {
	o.updateMetrics(p, ctToMetricsDir(dir), code.ReasonFragPacket)
	if !ip.HasL4Header() {
		return o.ipv4FragGetL4Ports(p, ip, ports)
	}
	if ret := loadPorts(p, ip, ports); ret != code.OK {
		return ret
	}
	key := fragKey(ip)
	err := o.maps.Frags.Set(&key, ports, maps.Any)
	traceUpdate(p, trace.MapFrags, &key, ports, err)
	if err != nil {
		o.updateMetrics(p, ctToMetricsDir(dir), code.ReasonFragUpdate)
	}
	return code.OK
}

// ipv4FragGetL4Ports finds what the first fragment of a datagram left.
//
// C: ipv4_frag_get_l4ports (lib/ipv4.h).
func (o *object) ipv4FragGetL4Ports(p *dataplane.Packet, ip *header.IPv4Header, ports *maps.FragPorts) code.Ret {
	key := fragKey(ip)
	found := o.maps.Frags.Ref(&key)
	traceLookup(p, trace.MapFrags, 0, &key, found)
	if found == nil {
		return code.DropFragNotFound
	}
	*ports = *found
	return code.OK
}

func fragKey(ip *header.IPv4Header) maps.FragKey {
	return maps.FragKey{DAddr: ip.Dst(), SAddr: ip.Src(), ID: ip.ID(), Proto: ip.Protocol()}
}
