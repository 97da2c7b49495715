package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/maps"
)

// updateMetrics counts the frame, Ethernet header included, in cilium_metrics
// (SPEC 12.3).
//
// Differs: a node is one CPU, so each counter has one value where the kernel has
// one for each CPU; comparisons sum those. Test: TestConformance.
//
// C: update_metrics (lib/metrics.h).
func (o *object) updateMetrics(p *dataplane.Packet, dir code.Dir, reason uint8) {
	n := uint64(len(p.Data))
	tag := uint64(reason)<<8 | uint64(dir)
	if v, ok := o.maps.Metrics.Recall(&o.e.counters, tag); ok && v != nil {
		v.Count++
		v.Bytes += n
		return
	}
	key := maps.NewMetricsKey(reason, uint8(dir))
	if v := o.maps.Metrics.Remember(&o.e.counters, tag, o.maps.Metrics.Ref(&key)); v != nil {
		v.Count++
		v.Bytes += n
		return
	}
	// A full map loses the count, as in C.
	_ = o.maps.Metrics.Set(&key, &maps.MetricsValue{Count: 1, Bytes: n}, maps.Any)
}
