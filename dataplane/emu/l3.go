package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// ipv4L3 does a router's work on the frame: TTL, then source MAC (unless nil),
// then destination MAC. A TTL of 1 or less is DropInvalid; nobody sends an ICMP
// error (SPEC 3.7).
//
// C: ipv4_l3 (lib/l3.h).
func (o *object) ipv4L3(p *dataplane.Packet, src, dst *[6]byte) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.IPv4L3)
		return p.Trace.Leave(trace.IPv4L3, o.ipv4L3(p, src, dst))
	}
	ip := p.IPv4()
	ttl := ip.TTL()
	if ttl <= 1 {
		return code.DropInvalid
	}
	ip.SetChecksum(header.Replace2(ip.Checksum(), uint16(ttl)<<8, uint16(ttl-1)<<8))
	ip.SetTTL(ttl - 1)
	eth := p.Eth()
	if src != nil {
		eth.SetSrc(*src)
	}
	eth.SetDst(*dst)
	return code.OK
}

// delivery is a packet's way to a local pod.
type delivery struct {
	ep       *maps.EndpointInfo
	identity uint32 // of the sender
	dir      code.Dir
	fromHost bool
	hairpin  bool // back to its own sender, through a service
}

// ipv4LocalDelivery hands the packet to a pod of this node: by a tail call to the
// pod's policy program, or as the delivery mode says (SPEC 4, 16).
//
// C: ipv4_local_delivery (lib/l3.h).
func (o *object) ipv4LocalDelivery(p *dataplane.Packet, d *delivery) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.IPv4LocalDelivery)
		return p.Trace.Leave(trace.IPv4LocalDelivery, o.ipv4LocalDelivery(p, d))
	}
	if ret := o.ipv4L3(p, &d.ep.NodeMAC, &d.ep.MAC); ret != code.OK {
		return ret
	}
	if o.countLocal {
		o.updateMetrics(p, d.dir, code.ReasonForwarded)
	}
	if d.hairpin {
		return o.redirectEP(p, d.ep.Ifindex, d.fromHost)
	}
	if o.cfg.Delivery == dataplane.DeliverToContainer {
		p.Mark |= markMagicIdentity
		setIdentityMark(p, d.identity)
		return o.redirectEP(p, d.ep.Ifindex, d.fromHost)
	}
	p.CB[cbSrcLabel] = d.identity
	p.CB[cbIfindex] = d.ep.Ifindex
	p.CB[cbFromHost] = 0
	if d.fromHost {
		p.CB[cbFromHost] = 1
	}
	if o.e.tailCall(p, trace.MapPolicyCall, o.maps.PolicyCall, uint32(d.ep.LXCID)) {
		return tailCalled
	}
	return code.DropMissedTailCall
}

// redirectEP sends the frame to a pod: out of its lxc device, or straight into
// the pod where host routing is on and the frame is not the host's.
//
// C: redirect_ep (lib/common.h).
func (o *object) redirectEP(p *dataplane.Packet, ifindex uint32, fromHost bool) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.RedirectEP)
		return p.Trace.Leave(trace.RedirectEP, o.redirectEP(p, ifindex, fromHost))
	}
	if o.cfg.Delivery != dataplane.DeliverPeer || fromHost {
		return o.ctxRedirect(p, ifindex)
	}
	// From the overlay: the pod's stack would not take a frame for another host.
	p.PktType = dataplane.PacketHost
	return o.ctxRedirectPeer(p, ifindex)
}
