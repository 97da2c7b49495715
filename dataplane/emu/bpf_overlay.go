package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// overlay is bpf_overlay.o, on cilium_vxlan.
type overlay struct{ object }

// load makes the object's sections.
func (v *overlay) load() error {
	if err := v.addCalls(maps.NameOverlayCalls); err != nil {
		return err
	}
	v.entries = map[dataplane.Prog]section{
		dataplane.FromOverlay: {"from-overlay", v.fromOverlay},
		dataplane.ToOverlay:   {"to-overlay", v.toOverlay},
	}
	return v.tail(v.calls, callIPv4FromLXC, "tail_handle_ipv4", v.tailHandleIPv4)
}

// fromOverlay is from-overlay: a frame has been decapsulated (SPEC 9).
//
// C: from_overlay (bpf_overlay.c).
func (v *overlay) fromOverlay(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.FromOverlay)
		return p.Trace.Leave(trace.FromOverlay, v.fromOverlay(p))
	}
	bpfClearMeta(p)
	p.QueueMapping = 0
	proto, ok := validateEthertype(p)
	if !ok {
		return code.OK
	}
	point := code.TraceFromOverlay
	if decrypted(p) {
		point = code.TraceFromStack
	}
	v.sendTraceNotify(p, &observation{point: point, ifindex: p.IngressIfindex, reason: code.CTUnknown, monitor: monitorAlways})
	switch proto {
	case header.EtherTypeIPv6:
		ret = code.DropUnknownL3
	case header.EtherTypeIPv4:
		if v.epTailCall(p, callIPv4FromLXC) {
			return tailCalled
		}
		ret = code.DropMissedTailCall
	default:
		return code.OK
	}
	return v.sendDropNotify(p, &drop{reason: ret, exit: code.Drop, dir: code.Ingress})
}

// decrypted tells a packet that IPsec has put back into the stack.
func decrypted(p *dataplane.Packet) bool { return p.Mark&markMagicMask == markDecrypt }

// tailHandleIPv4 turns errors into drops, by the identity found so far.
//
// C: tail_handle_ipv4 (bpf_overlay.c).
func (v *overlay) tailHandleIPv4(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.OverlayTailHandleIPv4)
		return p.Trace.Leave(trace.OverlayTailHandleIPv4, v.tailHandleIPv4(p))
	}
	var identity uint32
	ret = v.handleIPv4(p, &identity)
	if ret.IsErr() {
		return v.sendDropNotify(p, &drop{src: identity, reason: ret, exit: code.Drop, dir: code.Ingress})
	}
	return ret
}

// handleIPv4 delivers the packet to its pod; what has none here goes to the host.
// The sender's identity is the VNI, or, for a remote node, what the ipcache knows.
//
// C: handle_ipv4 (bpf_overlay.c).
func (v *overlay) handleIPv4(p *dataplane.Packet, identity *uint32) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.OverlayHandleIPv4)
		return p.Trace.Leave(trace.OverlayHandleIPv4, v.handleIPv4(p, identity))
	}
	ip := p.IPv4()
	if ip == nil {
		return code.DropInvalid
	}
	if ret := v.sourceIdentity(p, ip, identity); ret.IsErr() {
		return ret
	}
	ep := v.lookupIP4Endpoint(p, ip.Dst())
	if ep != nil && ep.Flags&maps.EndpointHost == 0 {
		return v.ipv4LocalDelivery(p, &delivery{ep: ep, identity: *identity, dir: code.Ingress})
	}
	if ret := v.ipv4L3(p, &v.nodeMAC, &v.cfg.HostMAC); ret != code.OK {
		return ret
	}
	return v.ctxRedirect(p, v.cfg.NetIfindex)
}

// sourceIdentity finds out who sent the packet. As in C the ipcache is asked
// first, whether its answer is needed or not.
func (v *overlay) sourceIdentity(p *dataplane.Packet, ip *header.IPv4Header, identity *uint32) code.Ret {
	info := v.ipcacheLookup4(p, ip.Src())
	switch {
	case decrypted(p):
	case !p.TunnelIn.Present:
		return code.DropNoTunnelKey
	default:
		*identity = p.TunnelIn.ID
		if *identity == code.IdentityHost {
			return code.DropInvalidIdentity
		}
		if !identityIsRemoteNode(*identity) {
			return code.OK
		}
	}
	if info != nil {
		*identity = info.SecLabel
	}
	return code.OK
}

// toOverlay is to-overlay, which does nothing in this configuration.
//
// C: to_overlay (bpf_overlay.c).
func (v *overlay) toOverlay(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.ToOverlay)
		return p.Trace.Leave(trace.ToOverlay, v.toOverlay(p))
	}
	return code.OK
}
