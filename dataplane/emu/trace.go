package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// monitorAlways is TRACE_PAYLOAD_LEN in the place of a conntrack monitor value:
// report at any aggregation level. 0 reports only without aggregation.
const monitorAlways = 128

// observation is what a trace notification tells, beside the packet.
type observation struct {
	point    code.TracePoint
	src, dst uint32 // identities
	dstID    uint16 // endpoint, or proxy port in host order
	ifindex  uint32
	reason   code.CTStatus
	monitor  uint32
	origIP   [4]byte
}

// sendTraceNotify counts the packet at the point and reports it unless
// aggregation hides it (SPEC 12.3, 12.4).
//
// C: send_trace_notify (lib/trace.h).
func (o *object) sendTraceNotify(p *dataplane.Packet, n *observation) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.SendTraceNotify)
		o.sendTraceNotify(p, n)
		p.Trace.Leave(trace.SendTraceNotify, code.OK)
		return
	}
	o.updateTraceMetrics(p, n.point)
	if p.Events == nil || !o.emitTraceNotify(n) {
		return
	}
	t := trace.Trace{
		Common:   trace.Common{Subtype: uint8(n.point), Source: o.source, Hash: p.Hash},
		SrcLabel: n.src, DstLabel: n.dst, DstID: n.dstID, Reason: n.reason, Ifindex: n.ifindex,
	}
	copy(t.OrigIP[:], n.origIP[:])
	p.Events.Trace(t, p.Data, o.computeCaptureLen(n.monitor))
}

// updateTraceMetrics counts the packet where the point says so.
//
// C: update_trace_metrics (lib/trace.h).
func (o *object) updateTraceMetrics(p *dataplane.Packet, point code.TracePoint) {
	switch point {
	case code.TraceToLXC:
		o.updateMetrics(p, code.Ingress, code.ReasonForwarded)
	case code.TraceToHost, code.TraceToStack, code.TraceToOverlay, code.TraceToNetwork:
		o.updateMetrics(p, code.Egress, code.ReasonForwarded)
	case code.TraceFromHost, code.TraceFromStack, code.TraceFromOverlay, code.TraceFromNetwork:
		o.updateMetrics(p, code.Ingress, code.ReasonPlaintext)
	default: // the other points count nothing
	}
}

// emitTraceNotify applies monitor aggregation.
//
// C: emit_trace_notify (lib/trace.h).
func (o *object) emitTraceNotify(n *observation) bool {
	if o.cfg.Aggregation >= dataplane.AggregateLow {
		switch n.point {
		case code.TraceFromLXC, code.TraceFromProxy, code.TraceFromHost,
			code.TraceFromStack, code.TraceFromOverlay, code.TraceFromNetwork:
			return false
		default: // what leaves is told by the level below
		}
	}
	return o.cfg.Aggregation < dataplane.AggregateMedium || n.monitor != 0
}

// computeCaptureLen is how much of a frame a notification carries at most.
//
// C: compute_capture_len (lib/trace.h).
func (o *object) computeCaptureLen(monitor uint32) uint32 {
	if monitor == 0 {
		return o.cfg.CaptureLen
	}
	return min(monitor, o.cfg.CaptureLen)
}
