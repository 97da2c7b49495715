package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// host is bpf_host.o, compiled for cilium_host, cilium_net or an uplink.
type host struct{ object }

// load makes the object's sections.
func (h *host) load(c dataplane.Config) error {
	// The agent names the calls map of the host endpoint by endpoint, those of
	// other devices by ifindex.
	name := maps.NetdevCallsName(h.key.id)
	if h.key.id == c.HostIfindex {
		name = maps.HostCallsName(c.HostEndpointID)
	}
	if err := h.addCalls(name); err != nil {
		return err
	}
	if err := h.tail(h.calls, callIPv4FromLXC, "tail_handle_ipv4_from_netdev", h.tailHandleIPv4FromNetdev); err != nil {
		return err
	}
	h.entries = map[dataplane.Prog]section{
		dataplane.FromHost:   {"from-host", h.fromHost},
		dataplane.ToHost:     {"to-host", h.toHost},
		dataplane.FromNetdev: {"from-netdev", h.fromNetdev},
		dataplane.ToNetdev:   {"to-netdev", h.toNetdev},
	}
	return h.tail(h.calls, callIPv4FromHost, "tail_handle_ipv4_from_host", h.tailHandleIPv4FromHost)
}

// fromHost is from-host: the host stack sends a frame through cilium_host.
//
// C: from_host (bpf_host.c).
func (h *host) fromHost(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.FromHost)
		return p.Trace.Leave(trace.FromHost, h.fromHost(p))
	}
	return h.handleNetdev(p, true)
}

// fromNetdev is from-netdev: a frame has come in from an uplink.
//
// C: from_netdev (bpf_host.c).
func (h *host) fromNetdev(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.FromNetdev)
		return p.Trace.Leave(trace.FromNetdev, h.fromNetdev(p))
	}
	return h.handleNetdev(p, false)
}

// handleNetdev passes frames without an ether type to the stack.
//
// C: handle_netdev (bpf_host.c).
func (h *host) handleNetdev(p *dataplane.Packet, fromHost bool) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.HandleNetdev)
		return p.Trace.Leave(trace.HandleNetdev, h.handleNetdev(p, fromHost))
	}
	proto, ok := validateEthertype(p)
	if !ok {
		h.sendTraceNotify(p, &observation{point: code.TraceToStack, src: code.IdentityHost, reason: code.CTUnknown})
		return code.OK
	}
	return h.doNetdev(p, proto, fromHost)
}

// doNetdev finds out who sent the packet and starts the IPv4 path (SPEC 10.2).
//
// C: do_netdev (bpf_host.c).
func (h *host) doNetdev(p *dataplane.Packet, proto uint16, fromHost bool) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.DoNetdev)
		return p.Trace.Leave(trace.DoNetdev, h.doNetdev(p, proto, fromHost))
	}
	var identity uint32
	n := observation{point: code.TraceFromNetwork, ifindex: p.IngressIfindex, reason: code.CTUnknown, monitor: monitorAlways}
	if fromHost {
		var magic uint32
		identity, magic = h.inheritIdentityFromHost(p)
		n.point, n.src = code.TraceFromHost, identity
		if magic == markProxyIngress || magic == markProxyEgress {
			n.point = code.TraceFromProxy
		}
	}
	h.sendTraceNotify(p, &n)
	bpfClearMeta(p)
	if proto != header.EtherTypeIPv4 {
		return code.OK
	}
	identity = h.resolveSrcIDIPv4(p, identity, fromHost)
	p.CB[cbSrcLabel] = identity
	slot := uint32(callIPv4FromLXC)
	if fromHost {
		slot = callIPv4FromHost
	}
	if h.epTailCall(p, slot) {
		return tailCalled
	}
	// Traffic to the stack must go on even if the maps are gone.
	return h.sendDropNotify(p, &drop{src: identity, reason: code.DropMissedTailCall, exit: code.OK, dir: code.Ingress})
}

// resolveSrcIDIPv4 is the sender's identity. A frame that is too short for an
// IPv4 header has the error code in its place, as in C.
//
// C: resolve_srcid_ipv4 (bpf_host.c).
func (h *host) resolveSrcIDIPv4(p *dataplane.Packet, identity uint32, fromHost bool) uint32 {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.ResolveSrcIDIPv4)
		identity = h.resolveSrcIDIPv4(p, identity, fromHost)
		p.Trace.Leave(trace.ResolveSrcIDIPv4, code.OK)
		return identity
	}
	ip := p.IPv4()
	if ip == nil {
		invalid := code.DropInvalid
		return uint32(invalid)
	}
	if !fromHost {
		// SECCTX_FROM_IPCACHE is off: a frame from the network is the world's.
		return code.IdentityWorld
	}
	return h.resolveIdentity(p, identity, ip.Src())
}

// tailHandleIPv4FromHost is the IPv4 path of from-host.
//
// C: tail_handle_ipv4_from_host (bpf_host.c).
func (h *host) tailHandleIPv4FromHost(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailHandleIPv4FromHost)
		return p.Trace.Leave(trace.TailHandleIPv4FromHost, h.tailHandleIPv4FromHost(p))
	}
	return h.tailHandleIPv4(p, true)
}

// tailHandleIPv4FromNetdev is the IPv4 path of from-netdev.
//
// C: tail_handle_ipv4_from_netdev (bpf_host.c).
func (h *host) tailHandleIPv4FromNetdev(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.TailHandleIPv4FromNetdev)
		return p.Trace.Leave(trace.TailHandleIPv4FromNetdev, h.tailHandleIPv4FromNetdev(p))
	}
	return h.tailHandleIPv4(p, false)
}

// tailHandleIPv4 turns errors into drops.
//
// C: tail_handle_ipv4 (bpf_host.c).
func (h *host) tailHandleIPv4(p *dataplane.Packet, fromHost bool) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.HostTailHandleIPv4)
		return p.Trace.Leave(trace.HostTailHandleIPv4, h.tailHandleIPv4(p, fromHost))
	}
	identity := p.CB[cbSrcLabel]
	p.CB[cbSrcLabel] = 0
	ret = h.handleIPv4(p, identity, fromHost)
	if ret.IsErr() {
		return h.sendDropNotify(p, &drop{src: identity, reason: ret, exit: code.Drop, dir: code.Ingress})
	}
	return ret
}

// handleIPv4 sends the host's packet to a local pod or to another node; what is
// neither, and not known as a cluster address, is dropped (SPEC 10.2). A packet of
// the network goes to a local pod only with host routing, and to the stack else.
//
// C: handle_ipv4 (bpf_host.c).
func (h *host) handleIPv4(p *dataplane.Packet, identity uint32, fromHost bool) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.HostHandleIPv4)
		return p.Trace.Leave(trace.HostHandleIPv4, h.handleIPv4(p, identity, fromHost))
	}
	ip := p.IPv4()
	if ip == nil {
		return code.DropInvalid
	}
	if !fromHost && h.cfg.Delivery != dataplane.DeliverPeer {
		return code.OK // NO_REDIRECT: iptables must see it
	}
	if fromHost {
		p.Eth().SetDst(h.cfg.NetMAC)
	}
	if ep := h.lookupIP4Endpoint(p, ip.Dst()); ep != nil {
		if ep.Flags&maps.EndpointHost != 0 {
			return code.OK
		}
		return h.ipv4LocalDelivery(p, &delivery{ep: ep, identity: identity, dir: code.Ingress, fromHost: fromHost})
	}
	if !fromHost {
		return code.OK
	}
	n := encapsulation{identity: identity, reason: code.CTUnknown, monitor: monitorAlways}
	info := h.ipcacheLookup4(p, ip.Dst())
	if info != nil && info.TunnelEndpoint != [4]byte{} {
		return h.encapAndRedirectWithNodeID(p, info.TunnelEndpoint, &n)
	}
	if ret = h.encapAndRedirectNetdev(p, ip.Dst(), &n); ret != code.DropNoTunnel {
		return ret
	}
	if info == nil || info.SecLabel == code.IdentityWorld {
		return code.DropUnroutable
	}
	return code.OK
}

// toHost is to-host: a frame enters the host through cilium_host or cilium_net
// (SPEC 10.3).
//
// C: to_host (bpf_host.c).
func (h *host) toHost(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.ToHost)
		return p.Trace.Leave(trace.ToHost, h.toHost(p))
	}
	n := observation{point: code.TraceToStack, ifindex: h.cfg.HostIfindex, reason: code.CTUnknown}
	switch magic := p.CB[cbProxy]; {
	case magic&markMagicMask == markEncrypt:
		p.Mark, n.src = magic, p.CB[cbEncryptID]
	case magic&0xffff == markToProxy:
		p.CB[cbProxy] = 0
		return h.ctxRedirectToProxyFirst(p, proxyPort(magic>>16)) // traced by the program that sent it
	}
	h.sendTraceNotify(p, &n)
	return code.OK
}

// toNetdev is to-netdev: a frame leaves through an uplink.
//
// C: to_netdev (bpf_host.c).
func (h *host) toNetdev(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.ToNetdev)
		return p.Trace.Leave(trace.ToNetdev, h.toNetdev(p))
	}
	h.sendTraceNotify(p, &observation{point: code.TraceToNetwork, reason: code.CTUnknown})
	return code.OK
}
