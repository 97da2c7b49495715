package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// Outcomes of a lookup as return codes; negative ones are errors.
const (
	ctNew         = code.Ret(code.CTNew)
	ctEstablished = code.Ret(code.CTEstablished)
	ctReply       = code.Ret(code.CTReply)
	ctRelated     = code.Ret(code.CTRelated)
	ctReopened    = code.Ret(code.CTReopened)
)

// ctAction is what a packet asks of its connection.
type ctAction uint8

const (
	ctActionNone   ctAction = iota // ICMP errors
	ctActionCreate                 // open or go on
	ctActionClose                  // FIN or RST
)

// ctState is what programs pass between lookup, load balancer and creation.
//
// C: struct ct_state (lib/common.h).
type ctState struct {
	revNAT    [2]byte
	bits      uint16 // loopback, node_port, proxy_redirect and dsr, as in CTEntry.Flags
	ifindex   uint16
	addr      [4]byte // what the packet's source became: the loopback address
	svcAddr   [4]byte
	srcSecID  uint32
	backendID uint32
	syn       bool
}

const ctStateBits = maps.CTLBLoopback | maps.CTNodePort | maps.CTProxyRedirect | maps.CTDSR

func (s *ctState) loopback() bool { return s.bits&maps.CTLBLoopback != 0 }

// getCTMap4 is the map of the tuple's protocol.
//
// C: get_ct_map4 (lib/conntrack_map.h).
func (o *object) getCTMap4(proto uint8) *maps.LRU[maps.CTKey, maps.CTEntry] {
	if proto == header.ProtoTCP {
		return o.maps.CT4
	}
	return o.maps.CTAny4
}

// setCTTuple makes t a packet's tuple before its ports are read.
func setCTTuple(t *maps.CTKey, ip *header.IPv4Header) { t.Set(ip.Dst(), ip.Src(), ip.Protocol()) }

// ctFlow is one packet's lookup under way.
type ctFlow struct {
	m        *maps.LRU[maps.CTKey, maps.CTEntry]
	dir      ctDir
	action   ctAction
	tcp      bool
	tcpFlags uint8
	monitor  uint32
}

// ctLookup4 looks a packet up, first as a reply, then as a packet of a
// connection's own direction. It completes the tuple, which is then the key of
// the entry found or of the one to create, and sets state from an entry. It
// returns ctNew … ctReopened or an error (SPEC 5.2).
//
// C: ct_lookup4 (lib/conntrack.h).
func (o *object) ctLookup4(p *dataplane.Packet, ip *header.IPv4Header, tuple *maps.CTKey, dir ctDir, state *ctState) (monitor uint32, ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.CTLookup4)
		monitor, ret = o.ctLookup4(p, ip, tuple, dir, state)
		p.Trace.Leave(trace.CTLookup4, ret)
		return monitor, ret
	}
	f := ctFlow{m: o.getCTMap4(tuple.Proto), dir: dir, tcp: tuple.Proto == header.ProtoTCP}
	// The tuple is written as that of the opposite direction: the first lookup
	// asks whether this packet answers one.
	switch dir {
	case ctIngress:
		tuple.SetFlags(maps.TupleOut)
	case ctEgress:
		tuple.SetFlags(maps.TupleIn)
	default:
		tuple.SetFlags(maps.TupleService)
	}
	if ret := o.ctExtract(p, ip, tuple, &f); ret.IsErr() {
		return 0, ret
	}
	ret = o.ctLookupInner(p, tuple, &f, state)
	if ret != ctNew {
		if tuple.Flags&maps.TupleRelated != 0 {
			return f.monitor, ctRelated
		}
		return f.monitor, ctReply
	}
	if dir != ctService {
		ipv4CTTupleReverse(tuple)
		ret = o.ctLookupInner(p, tuple, &f, state)
	}
	return f.monitor, ret
}

// ctExtract reads what conntrack needs of the L4 header into tuple and flow.
func (o *object) ctExtract(p *dataplane.Packet, ip *header.IPv4Header, tuple *maps.CTKey, f *ctFlow) code.Ret {
	switch tuple.Proto {
	case header.ProtoICMP:
		return ctExtractICMP(p, ip, tuple, f)
	case header.ProtoTCP, header.ProtoUDP:
		var ports maps.FragPorts
		if ret := o.ipv4HandleFragmentation(p, ip, f.dir, &ports); ret.IsErr() {
			return ret
		}
		tuple.SetPorts(&ports)
		f.action = ctActionCreate
		if !f.tcp || !ip.HasL4Header() {
			return code.OK
		}
		b := p.Load(l4Offset(ip)+header.TCPFlags-1, 2)
		if b == nil {
			return code.DropCTInvalidHdr
		}
		f.tcpFlags = b[1]
		if f.tcpFlags&(header.TCPRST|header.TCPFIN) != 0 {
			f.action = ctActionClose
		}
		return code.OK
	}
	return code.DropCTUnknownProto
}

func ctExtractICMP(p *dataplane.Packet, ip *header.IPv4Header, tuple *maps.CTKey, f *ctFlow) code.Ret {
	off := l4Offset(ip)
	b := p.Load(off, 1)
	if b == nil {
		return code.DropCTInvalidHdr
	}
	switch b[0] {
	case header.ICMPUnreachable, header.ICMPTimeExceeded, header.ICMPParamProblem:
		tuple.Flags |= maps.TupleRelated
		return code.OK
	case header.ICMPEcho, header.ICMPEchoReply:
		id := p.Load(off+header.ICMPID, 2)
		if id == nil {
			return code.DropCTInvalidHdr
		}
		if b[0] == header.ICMPEcho {
			tuple.DPort = [2]byte(id)
		} else {
			tuple.SPort = [2]byte(id)
		}
	}
	f.action = ctActionCreate
	return code.OK
}

// ipv4CTTupleReverse makes the tuple that of the opposite direction.
//
// C: ipv4_ct_tuple_reverse (lib/conntrack.h).
func ipv4CTTupleReverse(t *maps.CTKey) {
	t.Reverse()
}

// ctLookupInner looks one tuple up and brings the entry up to date. It returns
// ctNew, ctEstablished or ctReopened (SPEC 5.3).
//
// C: __ct_lookup (lib/conntrack.h).
func (o *object) ctLookupInner(p *dataplane.Packet, tuple *maps.CTKey, f *ctFlow, state *ctState) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.CTLookupInner)
		return p.Trace.Leave(trace.CTLookupInner, o.ctLookupInner(p, tuple, f, state))
	}
	entry := f.m.Ref(tuple)
	traceLookup(p, ctTraceMap(tuple.Proto), 0, tuple, entry)
	syn := f.tcpFlags&header.TCPSYN != 0
	if entry == nil || f.dir == ctService && syn && ctEntryClosing(entry) && o.ctEntryExpiredRebalance(entry) {
		f.monitor = monitorAlways
		return ctNew
	}
	if ctEntryAlive(entry) {
		f.monitor = o.ctUpdateTimeout(entry, f.tcp, f.dir, f.tcpFlags)
	}
	state.revNAT, state.ifindex = entry.RevNAT, entry.Ifindex
	state.bits = entry.Flags & ctStateBits
	if f.dir == ctService {
		state.backendID, state.syn = uint32(entry.RxBytes), syn
	}
	ctAccount(entry, f.dir, len(p.Data))
	switch f.action {
	case ctActionCreate:
		if syn && ctEntryClosing(entry) {
			entry.Flags &^= maps.CTRxClosing | maps.CTTxClosing
			f.monitor = o.ctUpdateTimeout(entry, f.tcp, f.dir, f.tcpFlags)
			return ctReopened
		}
	case ctActionClose:
		o.ctClose(entry, f)
	case ctActionNone:
	}
	return ctEstablished
}

// ctClose records a FIN or RST. Any RST closes both directions at once: the test
// whether both SYNs were seen, which should guard established connections, is
// never true on little endian (SPEC 5.3). A service entry sees one direction only.
func (o *object) ctClose(entry *maps.CTEntry, f *ctFlow) {
	switch {
	case f.tcpFlags&header.TCPRST != 0 && f.dir != ctService:
		entry.Flags |= maps.CTRxClosing | maps.CTTxClosing
	case f.dir == ctIngress:
		entry.Flags |= maps.CTRxClosing
	default:
		entry.Flags |= maps.CTTxClosing
	}
	f.monitor = monitorAlways
	if !ctEntryAlive(entry) {
		o.ctUpdateTimeoutInner(entry, o.bpfSecToMono(o.cfg.Lifetimes.Close), f.dir, f.tcpFlags)
	}
}

// ctEntryAlive tells an entry that is not closed in both directions.
//
// C: ct_entry_alive (lib/conntrack.h).
func ctEntryAlive(e *maps.CTEntry) bool {
	const both = maps.CTRxClosing | maps.CTTxClosing
	return e.Flags&both != both
}

// ctEntryClosing tells an entry that is closed in a direction.
//
// C: ct_entry_closing (lib/conntrack.h).
func ctEntryClosing(e *maps.CTEntry) bool { return e.Flags&(maps.CTRxClosing|maps.CTTxClosing) != 0 }

// ctEntryExpiredRebalance tells a closing service entry that is old enough for a new
// choice of backend.
//
// C: ct_entry_expired_rebalance (lib/conntrack.h).
func (o *object) ctEntryExpiredRebalance(e *maps.CTEntry) bool {
	return e.LastTxReport+o.bpfSecToMono(o.cfg.Lifetimes.ServiceCloseRebalance) <= o.bpfMonoNow()
}

// ctAccount counts a frame of n bytes. Service entries count nothing: the field
// holds the backend.
func ctAccount(e *maps.CTEntry, dir ctDir, n int) {
	switch dir {
	case ctIngress:
		e.RxPackets++
		e.RxBytes += uint64(n)
	case ctEgress:
		e.TxPackets++
		e.TxBytes += uint64(n)
	case ctService:
	}
}

// ctUpdateTimeout prolongs an entry (SPEC 5.4) and returns the monitor value.
//
// C: ct_update_timeout (lib/conntrack.h).
func (o *object) ctUpdateTimeout(e *maps.CTEntry, tcp bool, dir ctDir, tcpFlags uint8) uint32 {
	l := &o.cfg.Lifetimes
	lifetime := l.NonTCP
	if dir == ctService {
		lifetime = l.ServiceNonTCP
	}
	if tcp {
		if tcpFlags&header.TCPSYN == 0 {
			e.Flags |= maps.CTSeenNonSyn
		}
		switch {
		case e.Flags&maps.CTSeenNonSyn == 0:
			lifetime = l.SYN
		case dir == ctService:
			lifetime = l.ServiceTCP
		default:
			lifetime = l.TCP
		}
	}
	return o.ctUpdateTimeoutInner(e, o.bpfSecToMono(lifetime), dir, tcpFlags)
}

// ctUpdateTimeoutInner writes a lifetime, and the report fields where TCP flags
// are new or the report interval is over. It returns monitorAlways if so, else 0.
//
// C: __ct_update_timeout (lib/conntrack.h).
func (o *object) ctUpdateTimeoutInner(e *maps.CTEntry, lifetime uint32, dir ctDir, tcpFlags uint8) uint32 {
	now := o.bpfMonoNow()
	e.Lifetime = now + lifetime
	seen, last := &e.TxFlagsSeen, &e.LastTxReport
	if dir == ctIngress {
		seen, last = &e.RxFlagsSeen, &e.LastRxReport
	}
	flags := *seen | tcpFlags&o.cfg.ReportFlags
	if *last+o.bpfSecToMono(o.cfg.ReportInterval) < now || flags != *seen {
		*seen, *last = flags, now
		return monitorAlways
	}
	return 0
}

// ctCreate4 writes a new entry for tuple: to its map; for a looped service
// connection a second time under the reply's key; and, unless related is nil,
// for ICMP errors about it (SPEC 5.5).
//
// C: ct_create4 (lib/conntrack.h).
func (o *object) ctCreate4(p *dataplane.Packet, related *maps.LRU[maps.CTKey, maps.CTEntry], tuple *maps.CTKey, dir ctDir, state *ctState, proxy bool) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.CTCreate4)
		return p.Trace.Leave(trace.CTCreate4, o.ctCreate4(p, related, tuple, dir, state, proxy))
	}
	e := maps.CTEntry{RevNAT: state.revNAT, Ifindex: state.ifindex, SrcSecID: state.srcSecID}
	e.Flags = state.bits &^ maps.CTProxyRedirect
	if proxy {
		e.Flags |= maps.CTProxyRedirect
	}
	if dir == ctService {
		e.RxBytes = uint64(state.backendID)
	}
	tcp := tuple.Proto == header.ProtoTCP
	var flags uint8
	if tcp {
		flags = header.TCPSYN // whatever the packet's flags are
	}
	o.ctUpdateTimeout(&e, tcp, dir, flags)
	ctAccount(&e, dir, len(p.Data))

	m := o.getCTMap4(tuple.Proto)
	if ret := o.ctSet(p, m, tuple, &e); ret.IsErr() {
		return ret
	}
	if state.loopback() && state.addr != [4]byte{} {
		k := *tuple
		k.Flags = maps.TupleIn
		if dir == ctIngress {
			k.SAddr, k.DAddr = state.addr, state.svcAddr
		} else {
			k.SAddr, k.DAddr = state.svcAddr, state.addr
		}
		if ret := o.ctSet(p, m, &k, &e); ret.IsErr() {
			return ret
		}
	}
	if related != nil {
		k := maps.CTKey{DAddr: tuple.DAddr, SAddr: tuple.SAddr, Proto: header.ProtoICMP, Flags: tuple.Flags | maps.TupleRelated}
		e.Flags |= maps.CTSeenNonSyn
		if ret := o.ctSet(p, related, &k, &e); ret.IsErr() {
			return ret
		}
	}
	return code.OK
}

// ctSet writes one entry.
func (o *object) ctSet(p *dataplane.Packet, m *maps.LRU[maps.CTKey, maps.CTEntry], k *maps.CTKey, e *maps.CTEntry) code.Ret {
	if o.e.fails(FailMapUpdate) {
		return code.DropCTCreateFailed
	}
	err := m.Set(k, e, maps.Any)
	traceUpdate(p, ctTraceMap(k.Proto), k, e, err)
	if err != nil {
		return code.DropCTCreateFailed
	}
	return code.OK
}
