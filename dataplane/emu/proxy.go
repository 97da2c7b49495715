package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// policyActProxyRedirect is POLICY_ACT_PROXY_REDIRECT: the policy's verdict is a
// proxy. It never leaves a program.
const policyActProxyRedirect code.Ret = 1 << 16

// proxyPort is a proxy's port as policy entries hold it: network order, read as a
// native 16-bit number.
type proxyPort uint16

// host is the port in host order, as notifications tell it.
func (n proxyPort) host() uint16 { return uint16(n)<<8 | uint16(n)>>8 }

// redirectToProxy tells whether a policy verdict sends a packet of this state to
// a proxy: replies are never redirected anew.
//
// C: redirect_to_proxy (lib/conntrack.h).
func redirectToProxy(verdict, status code.Ret) bool {
	return verdict > 0 && (status == ctNew || status == ctEstablished || status == ctReopened)
}

// ctxRedirectToProxy4 passes the packet to the stack with the mark that a TPROXY
// rule takes it by.
//
// C: ctx_redirect_to_proxy4 (lib/proxy.h).
func (o *object) ctxRedirectToProxy4(p *dataplane.Packet, port proxyPort) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.CtxRedirectToProxy4)
		return p.Trace.Leave(trace.CtxRedirectToProxy4, o.ctxRedirectToProxy4(p, port))
	}
	p.Mark = markToProxy | uint32(port)<<16
	p.PktType = dataplane.PacketHost
	return code.OK
}

// ctxRedirectToProxyFirst is ctxRedirectToProxy4 for a packet that another
// program has sent to the host for its proxy.
//
// C: ctx_redirect_to_proxy_first (lib/proxy.h).
func (o *object) ctxRedirectToProxyFirst(p *dataplane.Packet, port proxyPort) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.CtxRedirectToProxyFirst)
		return p.Trace.Leave(trace.CtxRedirectToProxyFirst, o.ctxRedirectToProxyFirst(p, port))
	}
	p.Mark = markToProxy | uint32(port)<<16
	p.PktType = dataplane.PacketHost
	return code.OK
}

// ctxRedirectToProxyHairpinIPv4 sends a packet that is on its way to a pod back
// into the host, for its proxy (SPEC 10.5).
//
// C: ctx_redirect_to_proxy_hairpin_ipv4 (lib/proxy.h).
func (o *object) ctxRedirectToProxyHairpinIPv4(p *dataplane.Packet, port proxyPort) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.CtxRedirectToProxyHairpinIPv4)
		return p.Trace.Leave(trace.CtxRedirectToProxyHairpinIPv4, o.ctxRedirectToProxyHairpinIPv4(p, port))
	}
	p.CB[cbProxy] = markToProxy | uint32(port)<<16
	if ret := o.ipv4L3(p, &o.nodeMAC, &o.cfg.HostMAC); ret != code.OK {
		return ret
	}
	return o.ctxRedirect(p, o.cfg.NetIfindex)
}
