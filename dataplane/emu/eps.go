package emu

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// addressTag stands for an address in memos.
func addressTag(ip [4]byte) uint64 { return uint64(binary.LittleEndian.Uint32(ip[:])) }

// lookupIP4Endpoint finds a local endpoint or host address in cilium_lxc.
//
// C: lookup_ip4_endpoint (lib/eps.h).
func (o *object) lookupIP4Endpoint(p *dataplane.Packet, ip [4]byte) *maps.EndpointInfo {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.LookupIP4Endpoint)
		found := o.lookupIP4Endpoint(p, ip)
		p.Trace.Leave(trace.LookupIP4Endpoint, code.OK)
		return found
	}
	if ep, ok := o.maps.LXC.Recall(&o.e.endpoints, addressTag(ip)); ok && p.Trace == nil {
		return ep
	}
	var key maps.EndpointKey
	key.Set(ip)
	ep := o.maps.LXC.Ref(&key)
	traceLookup(p, trace.MapLXC, 0, &key, ep)
	return o.maps.LXC.Remember(&o.e.endpoints, addressTag(ip), ep)
}

// ipcacheLookup4 finds the longest prefix of an address in cilium_ipcache.
//
// C: ipcache_lookup4 (lib/eps.h).
func (o *object) ipcacheLookup4(p *dataplane.Packet, ip [4]byte) *maps.RemoteEndpointInfo {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.IPCacheLookup4)
		found := o.ipcacheLookup4(p, ip)
		p.Trace.Leave(trace.IPCacheLookup4, code.OK)
		return found
	}
	if info, ok := o.maps.IPCache.Recall(&o.e.addresses, addressTag(ip)); ok && p.Trace == nil {
		return info
	}
	var key maps.IPCacheKey
	key.Set(ip, 32)
	info := o.maps.IPCache.Ref(&key)
	traceLookup(p, trace.MapIPCache, 0, &key, info)
	return o.maps.IPCache.Remember(&o.e.addresses, addressTag(ip), info)
}
