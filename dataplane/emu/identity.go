package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// identityIsReserved tells identities that the ipcache may override.
//
// C: identity_is_reserved (lib/identity.h).
func identityIsReserved(id uint32) bool {
	return id < code.IdentityUnmanaged || identityIsRemoteNode(id)
}

// identityIsRemoteNode tells the identities of other nodes.
//
// C: identity_is_remote_node (lib/identity.h).
func identityIsRemoteNode(id uint32) bool {
	return id == code.IdentityRemoteNode || id == code.IdentityKubeAPIServer
}

// getIdentity reads the 24-bit identity of a mark.
//
// C: get_identity (lib/overloadable_skb.h).
func getIdentity(mark uint32) uint32 { return mark&0xff<<16 | mark>>16 }

// setIdentityMark writes an identity into the mark; the second byte of the mark,
// with the magic, stays (SPEC 3.5, step 10).
//
// C: set_identity_mark (lib/overloadable_skb.h).
func setIdentityMark(p *dataplane.Packet, id uint32) {
	p.Mark = p.Mark&markMagicKeyMask | id&0xffff<<16 | id>>16&0xff
}

// inheritIdentityFromHost reads who sent a packet that comes from the stack from
// its mark, clears the mark and returns the magic that was in it (SPEC 10.2).
//
// C: inherit_identity_from_host (lib/identity.h).
func (o *object) inheritIdentityFromHost(p *dataplane.Packet) (identity, magic uint32) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.InheritIdentityFromHost)
		identity, magic = o.inheritIdentityFromHost(p)
		p.Trace.Leave(trace.InheritIdentityFromHost, code.OK)
		return identity, magic
	}
	magic = p.Mark & markMagicMask
	switch magic {
	case markProxyIngress:
		identity = getIdentity(p.Mark)
		p.TCIndex |= tcSkipIngressProxy
	case markProxyEgress:
		identity = getIdentity(p.Mark)
		p.TCIndex |= tcSkipEgressProxy
	case markMagicIdentity:
		identity = getIdentity(p.Mark)
	case markHost:
		identity = code.IdentityHost
	case markEncrypt:
		identity = p.CB[cbEncryptID]
	default:
		identity = code.IdentityWorld
	}
	p.Mark = 0
	return identity, magic
}

// resolveIdentity replaces a reserved identity by what the ipcache knows of the
// source address, unless that is the host: traffic from the world that was
// masqueraded has the host's address too (SPEC 10.2, step 5).
func (o *object) resolveIdentity(p *dataplane.Packet, identity uint32, src [4]byte) uint32 {
	if !identityIsReserved(identity) {
		return identity
	}
	info := o.ipcacheLookup4(p, src)
	if info != nil && info.SecLabel != code.IdentityUnknown && info.SecLabel != code.IdentityHost {
		return info.SecLabel
	}
	return identity
}
