package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// encapsulation is what a packet leaves the node with.
type encapsulation struct {
	identity uint32
	reason   code.CTStatus
	monitor  uint32
}

// encapAndRedirectLXC encapsulates a pod's packet to the endpoint that the
// ipcache told, or else to the node that the tunnel map has for the destination's
// pod CIDR. DropNoTunnel means that neither knows it: not tunnelled.
//
// C: encap_and_redirect_lxc (lib/encap.h).
func (o *object) encapAndRedirectLXC(p *dataplane.Packet, endpoint, dst [4]byte, n *encapsulation) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.EncapAndRedirectLXC)
		return p.Trace.Leave(trace.EncapAndRedirectLXC, o.encapAndRedirectLXC(p, endpoint, dst, n))
	}
	if endpoint != [4]byte{} {
		return o.encapAndRedirectWithNodeIDInner(p, endpoint, n)
	}
	t := o.lookupTunnel(p, dst)
	if t == nil {
		return code.DropNoTunnel
	}
	return o.encapAndRedirectWithNodeIDInner(p, t.IP, n)
}

// encapAndRedirectNetdev encapsulates the host's packet by the tunnel map.
//
// C: encap_and_redirect_netdev (lib/encap.h).
func (o *object) encapAndRedirectNetdev(p *dataplane.Packet, dst [4]byte, n *encapsulation) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.EncapAndRedirectNetdev)
		return p.Trace.Leave(trace.EncapAndRedirectNetdev, o.encapAndRedirectNetdev(p, dst, n))
	}
	t := o.lookupTunnel(p, dst)
	if t == nil {
		return code.DropNoTunnel
	}
	return o.encapAndRedirectWithNodeIDInner(p, t.IP, n)
}

// encapAndRedirectWithNodeID encapsulates the host's packet to an endpoint that
// the ipcache told.
//
// C: encap_and_redirect_with_nodeid (lib/encap.h).
func (o *object) encapAndRedirectWithNodeID(p *dataplane.Packet, endpoint [4]byte, n *encapsulation) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.EncapAndRedirectWithNodeID)
		return p.Trace.Leave(trace.EncapAndRedirectWithNodeID, o.encapAndRedirectWithNodeID(p, endpoint, n))
	}
	return o.encapAndRedirectWithNodeIDInner(p, endpoint, n)
}

// encapAndRedirectWithNodeIDInner sets the tunnel key and sends the frame out of
// cilium_vxlan.
//
// C: __encap_and_redirect_with_nodeid (lib/encap.h).
func (o *object) encapAndRedirectWithNodeIDInner(p *dataplane.Packet, endpoint [4]byte, n *encapsulation) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.EncapAndRedirectWithNodeIDInner)
		return p.Trace.Leave(trace.EncapAndRedirectWithNodeIDInner, o.encapAndRedirectWithNodeIDInner(p, endpoint, n))
	}
	o.encapWithNodeIDInner(p, endpoint, n)
	return o.ctxRedirect(p, o.cfg.EncapIfindex)
}

// encapWithNodeIDInner sets the key that cilium_vxlan encapsulates with: the
// identity as VNI, the host's own replaced by that of a remote node (SPEC 8).
//
// C: __encap_with_nodeid (lib/encap.h).
func (o *object) encapWithNodeIDInner(p *dataplane.Packet, endpoint [4]byte, n *encapsulation) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.EncapWithNodeIDInner)
		o.encapWithNodeIDInner(p, endpoint, n)
		p.Trace.Leave(trace.EncapWithNodeIDInner, code.OK)
		return
	}
	identity := n.identity
	if identity == code.IdentityHost {
		identity = o.cfg.LocalNodeID
	}
	k := &p.TunnelOut // field by field: a copy of a fresh one would wait for its parts
	k.Present, k.ID, k.Remote, k.TTL, k.TOS = true, identity, endpoint, 64, 0
	o.sendTraceNotify(p, &observation{
		point: code.TraceToOverlay, src: identity, ifindex: o.cfg.EncapIfindex, reason: n.reason, monitor: n.monitor,
	})
}

// lookupTunnel finds the node of a pod CIDR in cilium_tunnel_map.
func (o *object) lookupTunnel(p *dataplane.Packet, dst [4]byte) *maps.TunnelEndpoint {
	tag := addressTag(dst) & addressTag(o.cfg.PodCIDRMask)
	if t, ok := o.maps.Tunnel.Recall(&o.e.tunnels, tag); ok && p.Trace == nil {
		return t
	}
	var key maps.TunnelKey
	key.Set(dst, o.cfg.PodCIDRMask)
	t := o.maps.Tunnel.Ref(&key)
	traceLookup(p, trace.MapTunnel, 0, &key, t)
	return o.maps.Tunnel.Remember(&o.e.tunnels, tag, t)
}
