package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// drop is what a drop notification tells, beside the packet.
type drop struct {
	src, dst uint32 // identities
	dstID    uint32 // endpoint
	reason   code.Ret
	exit     code.Ret // what the program returns
	dir      code.Dir
}

// sendDropNotify counts a drop and tail calls the program that reports it
// (SPEC 12.2). It returns the program's return code.
//
// C: send_drop_notify (lib/drop.h).
func (o *object) sendDropNotify(p *dataplane.Packet, d *drop) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.SendDropNotify)
		return p.Trace.Leave(trace.SendDropNotify, o.sendDropNotify(p, d))
	}
	p.CB = [5]uint32{
		d.src, d.dst, uint32(d.reason.Reason()), d.dstID,
		uint32(d.exit)&0xff | uint32(o.file)<<8,
	}
	o.updateMetrics(p, d.dir, d.reason.Reason())
	o.e.verdict.Drop = d.reason
	if o.epTailCall(p, callDropNotify) {
		return tailCalled
	}
	return d.exit
}

// sendDropNotifyInner emits the drop notification from the scratch slots.
//
// Differs: the line of the C source that dropped the packet has no counterpart
// here and is 0. Test: TestDropLine.
//
// C: __send_drop_notify (lib/drop.h).
func (o *object) sendDropNotifyInner(p *dataplane.Packet) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.SendDropNotifyInner)
		return p.Trace.Leave(trace.SendDropNotifyInner, o.sendDropNotifyInner(p))
	}
	if p.Events != nil {
		p.Events.Drop(trace.Drop{
			Common:   trace.Common{Subtype: uint8(p.CB[2]), Source: o.source, Hash: p.Hash},
			SrcLabel: p.CB[0], DstLabel: p.CB[1], DstID: p.CB[3],
			Line: uint16(p.CB[4] >> 16), File: uint8(p.CB[4] >> 8), ExtError: int8(p.CB[2] >> 8),
		}, p.Data, o.cfg.CaptureLen)
	}
	return code.Ret(p.CB[4] & 0xff)
}
