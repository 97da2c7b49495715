package emu

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// memos is how many addresses an engine finds without a search, in each map.
const memos = 64

// memoOf is the place of an address among the memos.
func memoOf(ip [4]byte) uint32 { return binary.LittleEndian.Uint32(ip[:]) * 0x9e3779b1 >> 26 }

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
	var key maps.EndpointKey
	key.Set(ip)
	ep := o.maps.LXC.RefBy(&o.e.endpoints[memoOf(ip)], &key)
	traceLookup(p, trace.MapLXC, 0, &key, ep)
	return ep
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
	var key maps.IPCacheKey
	key.Set(ip, 32)
	info := o.maps.IPCache.RefBy(&o.e.addresses[memoOf(ip)], &key)
	traceLookup(p, trace.MapIPCache, 0, &key, info)
	return info
}
