package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// lxc is bpf_lxc.o, compiled for one pod. This file has what happens to packets
// that leave the pod; bpf_lxc_ingress.go has the rest.
type lxc struct{ object }

// load makes the object's sections.
func (l *lxc) load(endpoint uint16) error {
	if err := l.addCalls(maps.CallsName(endpoint)); err != nil {
		return err
	}
	for _, t := range []struct {
		slot uint32
		name string
		run  func(*dataplane.Packet) code.Ret
	}{
		{callARP, "tail_handle_arp", l.tailHandleARP},
		{callIPv4FromLXC, "tail_handle_ipv4", l.tailHandleIPv4},
		{callIPv4ToEndpoint, "tail_ipv4_to_endpoint", l.tailIPv4ToEndpoint},
		{callIPv4FromCont, "tail_handle_ipv4_cont", l.tailHandleIPv4Cont},
		{callIPv4CTIngress, "tail_ipv4_ct_ingress", l.tailIPv4CTIngress},
		{callIPv4CTEgress, "tail_ipv4_ct_egress", l.tailIPv4CTEgress},
	} {
		if err := l.tail(l.calls, t.slot, t.name, t.run); err != nil {
			return err
		}
	}
	l.entries = map[dataplane.Prog]section{
		dataplane.FromContainer: {"from-container", l.handleXgress},
		dataplane.ToContainer:   {"to-container", l.handleToContainer},
		dataplane.PolicyProg:    {"policy", l.handlePolicy},
	}
	return l.tail(l.maps.PolicyCall, uint32(endpoint), "handle_policy", l.handlePolicy)
}

// handleXgress is from-container: a frame has left the pod.
//
// C: handle_xgress (bpf_lxc.c).
func (l *lxc) handleXgress(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.HandleXgress)
		return p.Trace.Leave(trace.HandleXgress, l.handleXgress(p))
	}
	bpfClearMeta(p)
	p.QueueMapping = 0
	l.sendTraceNotify(p, &observation{
		point: code.TraceFromLXC, src: l.cfg.Endpoint.Identity, reason: code.CTUnknown, monitor: monitorAlways,
	})
	proto, ok := validateEthertype(p)
	switch {
	case !ok:
		ret = code.DropUnsupportedL2
	case proto == header.EtherTypeIPv4:
		if l.epTailCall(p, callIPv4FromLXC) {
			return tailCalled
		}
		ret = code.DropMissedTailCall
	case proto == header.EtherTypeARP:
		if l.epTailCall(p, callARP) {
			return tailCalled
		}
		ret = code.DropMissedTailCall
	default:
		ret = code.DropUnknownL3
	}
	return l.egressDrop(p, 0, ret)
}

// egressDrop drops a packet that leaves the pod.
func (l *lxc) egressDrop(p *dataplane.Packet, dst uint32, reason code.Ret) code.Ret {
	return l.sendDropNotify(p, &drop{
		src: l.cfg.Endpoint.Identity, dst: dst, reason: reason, exit: code.Drop, dir: code.Egress,
	})
}

// tailHandleARP answers the pod's ARP requests for any address but its own
// (SPEC 2); all other ARP goes to the stack.
//
// C: tail_handle_arp (bpf_lxc.c).
func (l *lxc) tailHandleARP(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailHandleARP)
		return p.Trace.Leave(trace.TailHandleARP, l.tailHandleARP(p))
	}
	q, ok := l.arpValidate(p, l.nodeMAC)
	if !ok {
		return code.OK
	}
	if q.target == l.cfg.Endpoint.IPv4 {
		return code.OK // duplicate address detection
	}
	return l.arpRespond(p, l.nodeMAC, q)
}

// tailHandleIPv4 begins the pod's IPv4 path.
//
// C: tail_handle_ipv4 (bpf_lxc.c).
func (l *lxc) tailHandleIPv4(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.LXCTailHandleIPv4)
		return p.Trace.Leave(trace.LXCTailHandleIPv4, l.tailHandleIPv4(p))
	}
	ret = l.tailHandleIPv4Inner(p)
	if ret.IsErr() {
		return l.egressDrop(p, 0, ret)
	}
	return ret
}

// tailHandleIPv4Inner checks the source address and translates services; the
// choice goes on to the next programs in the scratch slots (SPEC 3.3).
//
// C: __tail_handle_ipv4 (bpf_lxc.c).
func (l *lxc) tailHandleIPv4Inner(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailHandleIPv4Inner)
		return p.Trace.Leave(trace.TailHandleIPv4Inner, l.tailHandleIPv4Inner(p))
	}
	ip := p.IPv4()
	if ip == nil {
		return code.DropInvalid
	}
	if ip.Src() != l.cfg.Endpoint.IPv4 {
		return code.DropInvalidSIP
	}
	var state ctState
	var key maps.LB4Key
	ret = l.lb4ExtractKey(p, ip, &key)
	switch {
	case ret == code.DropNoService || ret == code.DropUnknownL4:
		// Nothing that a service could have.
	case ret.IsErr():
		return ret
	default:
		if svc := l.lb4LookupService(p, &key); svc != nil {
			if ret := l.lb4Local(p, ip, &key, svc, &state); ret.IsErr() {
				return ret
			}
		}
	}
	lb4CtxStoreState(p, &state)
	if l.epTailCall(p, callIPv4CTEgress) {
		return tailCalled
	}
	return code.DropMissedTailCall
}

// tailIPv4CTEgress looks up the packet's connection. Its errors go straight to
// the kernel, which then passes the frame to the stack: no drop, no event, no
// metric (SPEC 3.6).
//
// C: tail_ipv4_ct_egress (bpf_lxc.c).
func (l *lxc) tailIPv4CTEgress(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailIPv4CTEgress)
		return p.Trace.Leave(trace.TailIPv4CTEgress, l.tailIPv4CTEgress(p))
	}
	if ret := l.ctToBuffer(p, ctEgress); ret.IsErr() {
		return ret
	}
	if l.epTailCall(p, callIPv4FromCont) {
		return tailCalled
	}
	return code.DropMissedTailCall
}

// tailHandleIPv4Cont ends the pod's IPv4 path.
//
// C: tail_handle_ipv4_cont (bpf_lxc.c).
func (l *lxc) tailHandleIPv4Cont(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailHandleIPv4Cont)
		return p.Trace.Leave(trace.TailHandleIPv4Cont, l.tailHandleIPv4Cont(p))
	}
	var dst uint32
	ret = l.handleIPv4FromLXC(p, &dst)
	if ret.IsErr() {
		return l.egressDrop(p, dst, ret)
	}
	return ret
}

// egress is a packet that leaves a pod, on its way through handleIPv4FromLXC.
type egress struct {
	ip      *header.IPv4Header
	dst     uint32          // destination identity
	tunnel  [4]byte         // tunnel endpoint from the ipcache, or zero
	ct      *maps.CTBuffer4 // the connection found
	lb      ctState         // chosen by the load balancer
	status  code.Ret
	verdict code.Ret
	hairpin bool
}

// handleIPv4FromLXC decides the packet's way: policy, connection, then local pod,
// other node or the stack (SPEC 3.5). dst is set to the destination's identity.
//
// C: handle_ipv4_from_lxc (bpf_lxc.c).
func (l *lxc) handleIPv4FromLXC(p *dataplane.Packet, dst *uint32) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.HandleIPv4FromLXC)
		return p.Trace.Leave(trace.HandleIPv4FromLXC, l.handleIPv4FromLXC(p, dst))
	}
	f := egress{ip: p.IPv4(), dst: code.IdentityWorld}
	if f.ip == nil {
		return code.DropInvalid
	}
	if info := l.ipcacheLookup4(p, f.ip.Dst()); info != nil && info.SecLabel != code.IdentityUnknown {
		f.dst, f.tunnel = info.SecLabel, info.TunnelEndpoint
	}
	*dst = f.dst
	l.lb4CtxRestoreState(p, f.ip.Dst(), &f.lb)
	f.hairpin = f.lb.loopback()
	if f.ct = l.takeBuffer(); f.ct == nil {
		return code.DropInvalidTCBuffer
	}
	f.status = code.Ret(f.ct.Ret)
	if (f.status == ctReply || f.status == ctRelated) && f.ct.Flags&maps.CTProxyRedirect != 0 {
		return l.ctxRedirectToProxy4(p, 0)
	}
	if ret = l.egressPolicy(p, &f); ret.IsErr() {
		return ret
	}
	if ret = l.egressConnection(p, &f); ret.IsErr() {
		return ret
	}
	f.hairpin = f.hairpin || f.ct.Flags&maps.CTLBLoopback != 0
	if redirectToProxy(f.verdict, f.status) {
		port := proxyPort(f.verdict)
		l.observeEgress(p, &f, &observation{point: code.TraceToProxy, src: l.cfg.Endpoint.Identity, dstID: port.host()})
		return l.ctxRedirectToProxy4(p, port)
	}
	return l.egressRoute(p, &f)
}

// egressPolicy asks the pod's policy, unless the packet goes back to the pod
// itself. Replies are asked too, which counts them, but never refused.
func (l *lxc) egressPolicy(p *dataplane.Packet, f *egress) code.Ret {
	if f.hairpin {
		return code.OK
	}
	var a access // field by field: a copy of a fresh one would wait for its parts
	a.remote, a.dport, a.proto, a.egress = f.dst, f.ct.Tuple.DPort, f.ct.Tuple.Proto, true
	match, verdict := l.policyCanEgress4(p, &a)
	f.verdict = verdict
	reply := f.status == ctReply || f.status == ctRelated
	if !reply && (verdict.IsErr() || f.status == ctNew || f.status == ctReopened) {
		l.sendPolicyVerdictNotify(p, &a, verdict, match)
	}
	if reply {
		return code.OK
	}
	return min(verdict, code.OK)
}

// egressConnection creates the packet's connection, or, for a reply of a service
// backend, undoes the translation.
func (l *lxc) egressConnection(p *dataplane.Packet, f *egress) code.Ret {
	if l.e.fails(FailCTState) {
		return code.DropUnknownCT
	}
	switch f.status {
	case ctReopened, ctEstablished:
		if f.ct.RevNAT == f.lb.revNAT {
			return code.OK
		}
		fallthrough // the entry is that of another service, or of none
	case ctNew:
		f.lb.srcSecID = l.cfg.Endpoint.Identity
		return l.ctCreate4(p, l.maps.CTAny4, &f.ct.Tuple, ctEgress, &f.lb, f.verdict > 0)
	case ctReply, ctRelated:
		p.CB[cbPolicy] = 1
		if f.ct.RevNAT == [2]byte{} {
			return code.OK
		}
		// As in C this takes a later fragment for one with an L4 header, and changes
		// two bytes of its payload where the checksum would be.
		return l.lb4RevNAT(p, f.ip, f.ct, csumL4OffsetAndFlags(f.ct.Tuple.Proto))
	}
	return code.DropUnknownCT
}

// egressRoute sends the packet to a local pod, another node or the stack.
func (l *lxc) egressRoute(p *dataplane.Packet, f *egress) code.Ret {
	routing := l.cfg.Delivery != dataplane.DeliverStack
	// A hairpin packet is delivered even without routing, whoever it is for: the
	// stack would not send it out of the device it came from.
	if routing || f.hairpin {
		if ep := l.lookupIP4Endpoint(p, f.ip.Dst()); ep != nil {
			if routing && ep.Flags&maps.EndpointHost != 0 {
				return l.passToStack(p, f, routing)
			}
			p.CB[cbPolicy] = 0
			return l.ipv4LocalDelivery(p, &delivery{
				ep: ep, identity: l.cfg.Endpoint.Identity, dir: code.Egress, hairpin: f.hairpin,
			})
		}
	}
	ret := l.encapAndRedirectLXC(p, f.tunnel, f.ip.Dst(), &encapsulation{
		identity: l.cfg.Endpoint.Identity, reason: code.CTStatus(f.status), monitor: f.ct.Monitor,
	})
	if ret == code.DropNoTunnel {
		return l.passToStack(p, f, routing)
	}
	return ret
}

// passToStack gives the packet to the host stack with the pod's identity in the
// mark.
func (l *lxc) passToStack(p *dataplane.Packet, f *egress, routing bool) code.Ret {
	if routing {
		if ret := l.ipv4L3(p, nil, &l.nodeMAC); ret != code.OK {
			return ret
		}
	}
	p.Mark |= markMagicIdentity
	setIdentityMark(p, l.cfg.Endpoint.Identity)
	l.observeEgress(p, f, &observation{point: code.TraceToStack, src: l.cfg.Endpoint.Identity, dst: f.dst})
	return code.OK
}

func (l *lxc) observeEgress(p *dataplane.Packet, f *egress, n *observation) {
	n.reason, n.monitor = code.CTStatus(f.status), f.ct.Monitor
	l.sendTraceNotify(p, n)
}

// ctToBuffer looks up the packet's connection and leaves the outcome in
// cilium_tail_call_buffer4 for the next program.
func (l *lxc) ctToBuffer(p *dataplane.Packet, dir ctDir) code.Ret {
	ip := p.IPv4()
	if ip == nil {
		return code.DropInvalid
	}
	var state ctState
	var tuple maps.CTKey
	setCTTuple(&tuple, ip)
	monitor, ret := l.ctLookup4(p, ip, &tuple, dir, &state)
	if ret.IsErr() {
		return ret
	}
	b := l.maps.TailCallBuffer.Ref(0)
	if b == nil {
		return code.DropInvalidTCBuffer
	}
	b.Tuple.CopyFrom(&tuple)
	b.Monitor, b.Ret = monitor, int32(ret)
	b.RevNAT, b.Flags, b.Ifindex, b.BackendID = state.revNAT, state.bits, state.ifindex, state.backendID
	return code.OK
}

// takeBuffer is what ctToBuffer left, or nil. A tuple without a source address
// counts as an empty buffer, which is what a packet to 0.0.0.0 makes.
func (l *lxc) takeBuffer() *maps.CTBuffer4 {
	b := l.maps.TailCallBuffer.Ref(0)
	if b == nil || b.Tuple.SAddr == [4]byte{} {
		return nil
	}
	return b
}
