package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// This file has what happens to packets that go to a pod: the policy program,
// which other programs tail call, and to-container, at the egress of the pod's
// device.

// handlePolicy is the pod's policy program, run in the sender's hook. The scratch
// slots say who sends (cb0), to which device (cb1) and whether it is the host
// (cb3).
//
// C: handle_policy (bpf_lxc.c).
func (l *lxc) handlePolicy(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.HandlePolicy)
		return p.Trace.Leave(trace.HandlePolicy, l.handlePolicy(p))
	}
	proto, ok := validateEthertype(p)
	switch {
	case !ok:
		ret = code.DropUnsupportedL2
	case proto == header.EtherTypeIPv4:
		return l.tailIPv4CTIngressPolicyOnly(p)
	default:
		ret = code.DropUnknownL3
	}
	return l.ingressDrop(p, p.CB[cbSrcLabel], ret)
}

// ingressDrop drops a packet that goes to the pod.
func (l *lxc) ingressDrop(p *dataplane.Packet, src uint32, reason code.Ret) code.Ret {
	return l.sendDropNotify(p, &drop{
		src: src, dst: l.cfg.Endpoint.Identity, dstID: uint32(l.cfg.Endpoint.ID),
		reason: reason, exit: code.Drop, dir: code.Ingress,
	})
}

// tailIPv4CTIngressPolicyOnly looks up the packet's connection; in an IPv4-only
// build it is not a tail call but part of handle_policy, and so is what follows.
// Its errors go straight to the kernel (SPEC 3.6).
//
// C: tail_ipv4_ct_ingress_policy_only (bpf_lxc.c).
func (l *lxc) tailIPv4CTIngressPolicyOnly(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailIPv4CTIngressPolicyOnly)
		return p.Trace.Leave(trace.TailIPv4CTIngressPolicyOnly, l.tailIPv4CTIngressPolicyOnly(p))
	}
	if ret := l.ctToBuffer(p, ctIngress); ret.IsErr() {
		return ret
	}
	return l.tailIPv4Policy(p)
}

// tailIPv4Policy applies the pod's ingress policy and delivers.
//
// C: tail_ipv4_policy (bpf_lxc.c).
func (l *lxc) tailIPv4Policy(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailIPv4Policy)
		return p.Trace.Leave(trace.TailIPv4Policy, l.tailIPv4Policy(p))
	}
	f := ingress{ifindex: p.CB[cbIfindex], src: p.CB[cbSrcLabel], fromHost: p.CB[cbFromHost] != 0}
	p.CB[cbSrcLabel], p.CB[cbFromHost] = 0, 0
	ret = l.ipv4Policy(p, &f)
	if ret == policyActProxyRedirect {
		ret = l.ctxRedirectToProxy4(p, f.proxy)
	}
	if ret.IsErr() {
		return l.ingressDrop(p, f.src, ret)
	}
	p.CB[cbProxy] = p.Mark // to-host looks here for a proxy's packet
	return ret
}

// ingress is a packet that goes to a pod, on its way through ipv4Policy.
type ingress struct {
	ip       *header.IPv4Header
	src      uint32 // identity of the sender
	ifindex  uint32 // device to deliver to; 0: the hook's own, by returning OK
	fromHost bool
	proxy    proxyPort // where policyActProxyRedirect leads

	origSrc [4]byte
	ct      *maps.CTBuffer4 // the connection found
	status  code.Ret
	verdict code.Ret
}

// ipv4Policy undoes service translation, asks the pod's policy, creates the
// connection and delivers (SPEC 4).
//
// C: ipv4_policy (bpf_lxc.c).
func (l *lxc) ipv4Policy(p *dataplane.Packet, f *ingress) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.IPv4Policy)
		return p.Trace.Leave(trace.IPv4Policy, l.ipv4Policy(p, f))
	}
	if f.ip = p.IPv4(); f.ip == nil {
		return code.DropInvalid
	}
	p.CB[cbPolicy] = 0
	f.origSrc = f.ip.Src()
	if f.ct = l.takeBuffer(); f.ct == nil {
		return code.DropInvalidTCBuffer
	}
	f.status = code.Ret(f.ct.Ret)
	reply := f.status == ctReply || f.status == ctRelated
	if reply && f.ct.Flags&maps.CTProxyRedirect != 0 && p.TCIndex&tcSkipEgressProxy == 0 {
		l.observeIngress(p, f, code.TraceToProxy, 0)
		f.proxy = 0
		return policyActProxyRedirect
	}
	if f.status == ctReply && f.ct.RevNAT != [2]byte{} && f.ct.Flags&maps.CTLBLoopback == 0 {
		var c csumOffset // a later fragment has none
		if f.ip.HasL4Header() {
			c = csumL4OffsetAndFlags(f.ct.Tuple.Proto)
		}
		if ret = l.lb4RevNAT(p, f.ip, f.ct, c); ret.IsErr() {
			return ret
		}
	}
	if ret = l.ingressPolicy(p, f, reply); ret.IsErr() {
		return ret
	}
	if f.status == ctNew {
		state := ctState{srcSecID: f.src}
		if ret = l.ctCreate4(p, l.maps.CTAny4, &f.ct.Tuple, ctIngress, &state, f.verdict > 0); ret.IsErr() {
			return ret
		}
	}
	if redirectToProxy(f.verdict, f.status) {
		f.proxy = proxyPort(f.verdict)
		l.observeIngress(p, f, code.TraceToProxy, f.proxy.host())
		return policyActProxyRedirect
	}
	l.observeIngress(p, f, code.TraceToLXC, l.cfg.Endpoint.ID)
	return l.ingressDeliver(p, f)
}

// ingressPolicy asks the pod's policy, unless the packet is the pod's own.
// Replies are asked too, which counts them, but never refused.
func (l *lxc) ingressPolicy(p *dataplane.Packet, f *ingress, reply bool) code.Ret {
	if f.ct.Flags&maps.CTLBLoopback != 0 {
		return code.OK
	}
	var a access // see egressPolicy
	a.remote, a.dport, a.proto = f.src, f.ct.Tuple.DPort, f.ct.Tuple.Proto
	match, verdict := l.policyCanAccessIngress(p, &a)
	f.verdict = verdict
	if verdict.IsErr() {
		if reply {
			return code.OK
		}
		l.sendPolicyVerdictNotify(p, &a, verdict, match)
		return verdict
	}
	if p.TCIndex&tcSkipIngressProxy != 0 {
		f.verdict = code.OK // it comes from that proxy, whose connection was reported
		return code.OK
	}
	if f.status == ctNew || f.status == ctReopened {
		l.sendPolicyVerdictNotify(p, &a, verdict, match)
	}
	return code.OK
}

// ingressDeliver sends the packet into the pod.
func (l *lxc) ingressDeliver(p *dataplane.Packet, f *ingress) code.Ret {
	if l.cfg.Delivery == dataplane.DeliverStack {
		// The frame has the pod's MAC already: the stack would take it for another's.
		p.PktType = dataplane.PacketHost
		return code.OK
	}
	if f.ifindex == 0 {
		return code.OK
	}
	return l.redirectEP(p, f.ifindex, f.fromHost)
}

func (l *lxc) observeIngress(p *dataplane.Packet, f *ingress, point code.TracePoint, dstID uint16) {
	l.sendTraceNotify(p, &observation{
		point: point, src: f.src, dst: l.cfg.Endpoint.Identity, dstID: dstID, ifindex: f.ifindex,
		reason: code.CTStatus(f.status), monitor: f.ct.Monitor, origIP: f.origSrc,
	})
}

// handleToContainer is to-container: a frame is about to enter the pod through
// the egress of its device (SPEC 10.5).
//
// C: handle_to_container (bpf_lxc.c).
func (l *lxc) handleToContainer(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.HandleToContainer)
		return p.Trace.Leave(trace.HandleToContainer, l.handleToContainer(p))
	}
	proto, ok := validateEthertype(p)
	if !ok {
		return l.ingressDrop(p, 0, code.DropUnsupportedL2)
	}
	bpfClearMeta(p)
	identity, magic := l.inheritIdentityFromHost(p)
	point := code.TraceFromStack
	if magic == markProxyIngress || magic == markProxyEgress {
		point = code.TraceFromProxy
	}
	l.sendTraceNotify(p, &observation{
		point: point, src: identity, ifindex: p.IngressIfindex, reason: code.CTUnknown, monitor: monitorAlways,
	})
	p.CB[cbSrcLabel] = identity
	switch proto {
	case header.EtherTypeARP:
		return code.OK
	case header.EtherTypeIPv4:
		if l.epTailCall(p, callIPv4CTIngress) {
			return tailCalled
		}
		ret = code.DropMissedTailCall
	default:
		ret = code.DropUnknownL3
	}
	return l.ingressDrop(p, identity, ret)
}

// tailIPv4CTIngress looks up the connection of a packet that to-container has.
// Its errors go straight to the kernel: at egress the frame then reaches the pod.
//
// C: tail_ipv4_ct_ingress (bpf_lxc.c).
func (l *lxc) tailIPv4CTIngress(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailIPv4CTIngress)
		return p.Trace.Leave(trace.TailIPv4CTIngress, l.tailIPv4CTIngress(p))
	}
	if ret := l.ctToBuffer(p, ctIngress); ret.IsErr() {
		return ret
	}
	if l.epTailCall(p, callIPv4ToEndpoint) {
		return tailCalled
	}
	return code.DropMissedTailCall
}

// tailIPv4ToEndpoint applies the pod's ingress policy to a packet that is on the
// pod's own device already.
//
// C: tail_ipv4_to_endpoint (bpf_lxc.c).
func (l *lxc) tailIPv4ToEndpoint(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailIPv4ToEndpoint)
		return p.Trace.Leave(trace.TailIPv4ToEndpoint, l.tailIPv4ToEndpoint(p))
	}
	f := ingress{src: p.CB[cbSrcLabel], fromHost: true}
	ip := p.IPv4()
	if ip == nil {
		return l.ingressDrop(p, f.src, code.DropInvalid)
	}
	f.src = l.resolveIdentity(p, f.src, ip.Src())
	l.updateMetrics(p, code.Ingress, code.ReasonForwarded)
	p.CB[cbSrcLabel] = 0
	ret = l.ipv4Policy(p, &f)
	if ret == policyActProxyRedirect {
		ret = l.ctxRedirectToProxyHairpinIPv4(p, f.proxy)
	}
	if ret.IsErr() {
		return l.ingressDrop(p, f.src, ret)
	}
	return ret
}
