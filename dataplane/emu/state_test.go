package emu_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/gopacket/layers"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// This file writes what a run did to maps and ring as lines, so that a test can
// state exact values. All are decoded here from bytes, by the offsets of SPEC 5.1,
// 6.1, 12.3 and 13, not through the structs that the emulator uses.

// describe fills the result's lists.
func (r *result) describe(w *world) {
	for _, d := range r.deltas {
		switch {
		case d.Map == maps.NameCT4 || d.Map == maps.NameCTAny4:
			r.conntrack = append(r.conntrack, conntrackLine(d, w.clock()))
		case d.Map == maps.NameFrags:
			r.frags = append(r.frags, fmt.Sprintf("%s %x %x", d.Op, d.Key, d.New))
		case d.Map == maps.NameMetrics:
			count, bytes := counters(d, 0)
			r.metrics = append(r.metrics, fmt.Sprintf("%d %s +%d %d", d.Key[0], code.Dir(d.Key[1]), count, bytes))
		case strings.HasPrefix(d.Map, "cilium_policy_"):
			count, bytes := counters(d, 8)
			r.policy = append(r.policy, fmt.Sprintf("%s %x +%d %d", strings.TrimPrefix(d.Map, "cilium_policy_"), d.Key, count, bytes))
		case d.Map != maps.NameTailCallBuffer:
			w.tb.Errorf("a program wrote %s %x", d.Map, d.Key)
		}
	}
	for {
		b, ok := w.ring.Next()
		if !ok {
			return
		}
		n, _, err := trace.DecodeNotification(b)
		must(w.tb, err)
		r.events = append(r.events, eventLine(n))
	}
}

// conntrackLine is "add TCP 10.0.1.178 10.0.1.79 80 40000 0: rx 0/0 tx 1/54 life
// 60 bits 0x0 rev 0 sec 10178 seen 2/0 report 1000/0": operation, protocol,
// key in the order of its bytes, packets/bytes, lifetime from now, flag
// bits, reverse NAT id, identity, TCP flags tx/rx and last reports tx/rx.
func conntrackLine(d maps.Delta, now uint32) string {
	k, v := d.Key, d.New
	name := fmt.Sprint(layers.IPProtocol(k[12]))
	if tcp := k[12] == 6; tcp != (d.Map == maps.NameCT4) {
		name += " in " + d.Map
	}
	at := func(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }
	line := fmt.Sprintf("%s %s %s %s %d %d %d", d.Op, name, at(k[0:4]), at(k[4:8]),
		binary.BigEndian.Uint16(k[8:]), binary.BigEndian.Uint16(k[10:]), k[13])
	if v == nil {
		return line
	}
	le := binary.LittleEndian
	return line + fmt.Sprintf(": rx %d/%d tx %d/%d life %d bits %#x rev %d sec %d seen %x/%x report %d/%d",
		le.Uint64(v), le.Uint64(v[8:]), le.Uint64(v[16:]), le.Uint64(v[24:]), int32(le.Uint32(v[32:])-now),
		le.Uint16(v[36:]), binary.BigEndian.Uint16(v[38:]), le.Uint32(v[44:]), v[42], v[43], le.Uint32(v[48:]), le.Uint32(v[52:]))
}

// counters is by how much two 64-bit counters at off have grown.
func counters(d maps.Delta, off int) (count, bytes uint64) {
	at := func(b []byte, off int) uint64 {
		if b == nil {
			return 0
		}
		return binary.LittleEndian.Uint64(b[off:])
	}
	return at(d.New, off) - at(d.Old, off), at(d.New, off+8) - at(d.Old, off+8)
}

// eventLine is a notification on one line, with all its fields.
func eventLine(n any) string {
	switch n := n.(type) {
	case trace.Trace:
		return fmt.Sprintf("%s from %d: %d->%d id %d ifindex %d orig %s %s, %d of %d",
			code.TracePoint(n.Subtype), n.Source, n.SrcLabel, n.DstLabel, n.DstID, n.Ifindex,
			netip.AddrFrom4([4]byte(n.OrigIP[:])), n.Reason, n.CapLen, n.Len)
	case trace.Drop:
		return fmt.Sprintf("drop %d from %d: %d->%d id %d file %d, %d of %d",
			n.Subtype, n.Source, n.SrcLabel, n.DstLabel, n.DstID, n.File, n.CapLen, n.Len)
	case trace.Verdict:
		return fmt.Sprintf("verdict %d from %d: remote %d port %d proto %d %s %s, %d of %d",
			n.Verdict, n.Source, n.RemoteLabel, n.DstPort, n.Proto, n.Dir, n.Match, n.CapLen, n.Len)
	}
	return fmt.Sprint(n)
}
