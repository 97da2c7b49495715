package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// traceLookup tells the packet's trace, if it has one, that a map was asked; v is
// nil on a miss.
func traceLookup[K, V any](p *dataplane.Packet, m trace.Map, endpoint uint16, k *K, v *V) {
	if p.Trace != nil {
		recordLookup(p, m, endpoint, k, v)
	}
}

// recordLookup is apart, so that traceLookup is small enough to be inlined: off,
// it costs its callers a branch.
func recordLookup[K, V any](p *dataplane.Packet, m trace.Map, endpoint uint16, k *K, v *V) {
	p.Trace.Lookup(m, endpoint, maps.Bytes(k), maps.Bytes(v))
}

// traceUpdate tells the packet's trace, if it has one, that an entry was written;
// err says that the map refused.
func traceUpdate[K, V any](p *dataplane.Packet, m trace.Map, k *K, v *V, err error) {
	if p.Trace == nil {
		return
	}
	if err != nil {
		v = nil
	}
	p.Trace.Update(m, maps.Bytes(k), maps.Bytes(v))
}

// ctTraceMap is the trace's name for getCTMap4.
func ctTraceMap(proto uint8) trace.Map {
	if proto == header.ProtoTCP {
		return trace.MapCT4
	}
	return trace.MapCTAny4
}
