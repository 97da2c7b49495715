package emu

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// lb4ExtractKey makes key the service key of a packet: destination address and port.
// Other protocols than TCP and UDP have none (DropNoService, DropUnknownL4).
//
// C: lb4_extract_key (lib/lb.h).
func (o *object) lb4ExtractKey(p *dataplane.Packet, ip *header.IPv4Header, key *maps.LB4Key) code.Ret {
	switch ip.Protocol() {
	case header.ProtoTCP, header.ProtoUDP:
		var ports maps.FragPorts
		ret := o.ipv4HandleFragmentation(p, ip, ctEgress, &ports)
		key.Set(ip.Dst(), &ports)
		return ret
	case header.ProtoICMP:
		return code.DropNoService
	}
	return code.DropUnknownL4
}

// lb4LookupService finds a frontend: slot 0 of the key, the external scope, any
// protocol (SPEC 6.2).
//
// C: lb4_lookup_service (lib/lb.h).
func (o *object) lb4LookupService(p *dataplane.Packet, key *maps.LB4Key) *maps.LB4Service {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.LB4LookupService)
		found := o.lb4LookupService(p, key)
		p.Trace.Leave(trace.LB4LookupService, code.OK)
		return found
	}
	key.SetSlot(0)
	tag := key.Tag()
	if svc, ok := o.maps.Services.Recall(&o.e.services, tag); ok && p.Trace == nil {
		return svc
	}
	svc := o.maps.Services.Ref(key)
	traceLookup(p, trace.MapServices, 0, key, svc)
	return o.maps.Services.Remember(&o.e.services, tag, svc)
}

// lb4SelectBackendID draws one of the service's slots, of which there is at least
// one; 0 means that the slot is missing.
//
// C: lb4_select_backend_id (lib/lb.h).
func (o *object) lb4SelectBackendID(p *dataplane.Packet, key *maps.LB4Key, svc *maps.LB4Service) uint32 {
	key.SetSlot(uint16(o.e.env.NextRand()%uint32(svc.Count)) + 1)
	slot := o.maps.Services.Ref(key)
	traceLookup(p, trace.MapServices, 0, key, slot)
	if slot == nil {
		return 0
	}
	return slot.BackendID
}

func (o *object) lb4LookupBackend(p *dataplane.Packet, id uint32) *maps.LB4Backend {
	key := maps.LB4BackendKey{ID: id}
	backend := o.maps.Backends.Ref(&key)
	traceLookup(p, trace.MapBackends, 0, &key, backend)
	return backend
}

// lb4Local chooses the backend of a packet to a service, or keeps the one that
// its flow has, and translates the packet (SPEC 6.3). state is then what the
// connection to the backend is to be created with.
//
// C: lb4_local (lib/lb.h).
func (o *object) lb4Local(p *dataplane.Packet, ip *header.IPv4Header, key *maps.LB4Key, svc *maps.LB4Service, state *ctState) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.LB4Local)
		return p.Trace.Leave(trace.LB4Local, o.lb4Local(p, ip, key, svc, state))
	}
	if svc.Count == 0 {
		return code.DropNoService
	}
	var tuple maps.CTKey
	setCTTuple(&tuple, ip)
	_, status := o.ctLookup4(p, ip, &tuple, ctService, state)
	var backend *maps.LB4Backend
	switch status {
	case ctNew:
		backend = o.lb4NewFlow(p, key, svc, &tuple, state)
	case ctReopened, ctEstablished, ctRelated, ctReply:
		backend = o.lb4KnownFlow(p, key, svc, &tuple, state)
	}
	if backend == nil {
		return code.DropNoService
	}
	// Both may have been looked up again under the same key: the same entry.
	state.revNAT = svc.RevNAT
	client := ip.Src()
	state.addr, state.svcAddr = backend.Address, client
	loopback := client == backend.Address
	if loopback {
		state.bits |= maps.CTLBLoopback
		state.addr = o.cfg.Loopback
	}
	return o.lb4Xlate(p, ip, key, backend, loopback)
}

// lb4NewFlow chooses a backend for a new flow and writes its service entry.
func (o *object) lb4NewFlow(p *dataplane.Packet, key *maps.LB4Key, svc *maps.LB4Service, tuple *maps.CTKey, state *ctState) *maps.LB4Backend {
	id := o.lb4SelectBackendID(p, key, svc)
	backend := o.lb4LookupBackend(p, id)
	if backend == nil {
		return nil
	}
	state.backendID, state.revNAT = id, svc.RevNAT
	if o.ctCreate4(p, nil, tuple, ctService, state, false).IsErr() {
		return nil
	}
	return backend
}

// lb4KnownFlow finds the backend of a flow that has a service entry. Another is
// chosen where the entry is of another service, where its backend is gone, or
// where it is not active and the packet opens a connection.
func (o *object) lb4KnownFlow(p *dataplane.Packet, key *maps.LB4Key, svc *maps.LB4Service, tuple *maps.CTKey, state *ctState) *maps.LB4Backend {
	if state.revNAT == [2]byte{} {
		state.revNAT = svc.RevNAT
		o.ctUpdateRevNATIndex(tuple, state.revNAT)
	}
	if state.revNAT != svc.RevNAT {
		state.backendID = o.lb4SelectBackendID(p, key, svc)
		if state.backendID == 0 {
			return nil
		}
		o.ctUpdateBackendID(tuple, state.backendID)
		state.revNAT = svc.RevNAT
		o.ctUpdateRevNATIndex(tuple, state.revNAT)
	}
	backend := o.lb4LookupBackend(p, state.backendID)
	if backend != nil && (backend.State == maps.BackendActive || !state.syn) {
		return backend
	}
	svc = o.lb4LookupService(p, key)
	if svc == nil {
		return nil
	}
	state.backendID = o.lb4SelectBackendID(p, key, svc)
	if backend = o.lb4LookupBackend(p, state.backendID); backend != nil {
		o.ctUpdateBackendID(tuple, state.backendID)
	}
	return backend
}

// ctUpdateBackendID writes another backend into a flow's service entry.
//
// C: ct_update_backend_id (lib/conntrack.h).
func (o *object) ctUpdateBackendID(tuple *maps.CTKey, id uint32) {
	if e := o.getCTMap4(tuple.Proto).Ref(tuple); e != nil {
		e.RxBytes = uint64(id)
	}
}

// ctUpdateRevNATIndex writes another service into a flow's service entry.
//
// C: ct_update_rev_nat_index (lib/conntrack.h).
func (o *object) ctUpdateRevNATIndex(tuple *maps.CTKey, id [2]byte) {
	if e := o.getCTMap4(tuple.Proto).Ref(tuple); e != nil {
		e.RevNAT = id
	}
}

// lb4Xlate makes the packet one for the backend; a looped one gets the loopback
// address as its source. A later fragment has no ports and no L4 checksum.
//
// C: lb4_xlate (lib/lb.h).
func (o *object) lb4Xlate(p *dataplane.Packet, ip *header.IPv4Header, key *maps.LB4Key, backend *maps.LB4Backend, loopback bool) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.LB4Xlate)
		return p.Trace.Leave(trace.LB4Xlate, o.lb4Xlate(p, ip, key, backend, loopback))
	}
	l4, proto := l4Offset(ip), ip.Protocol()
	diff := header.Sum(0).Diff4(key.Address, backend.Address)
	ip.SetDst(backend.Address)
	if loopback {
		diff = diff.Diff4(ip.Src(), o.cfg.Loopback)
		ip.SetSrc(o.cfg.Loopback)
	}
	if o.e.fails(FailL3CsumReplace) || !l3CsumReplaceDiff(p, header.EthernetSize+header.IPv4Checksum, diff) {
		return code.DropCsumL3
	}
	if !ip.HasL4Header() {
		return code.OK
	}
	c := csumL4OffsetAndFlags(proto)
	if o.e.fails(FailL4CsumReplace) || !csumL4ReplaceDiff(p, l4, c, diff) {
		return code.DropCsumL4
	}
	if backend.Port != [2]byte{} && key.DPort != backend.Port {
		return o.l4ModifyPort(p, l4, header.DstPort, c, backend.Port, key.DPort)
	}
	return code.OK
}

// lb4CtxStoreState passes the load balancer's choice to the next programs in the
// scratch slots.
//
// C: lb4_ctx_store_state (lib/lb.h).
func lb4CtxStoreState(p *dataplane.Packet, s *ctState) {
	p.CB[cbProxy] = 0
	p.CB[cbBackendID] = s.backendID
	p.CB[cbCTState] = uint32(binary.LittleEndian.Uint16(s.revNAT[:])) << 16
	if s.loopback() {
		p.CB[cbCTState] |= 1
	}
}

// lb4CtxRestoreState takes what lb4CtxStoreState left into s, which is zero, and
// clears the slots.
//
// C: lb4_ctx_restore_state (lib/lb.h).
func (o *object) lb4CtxRestoreState(p *dataplane.Packet, dst [4]byte, s *ctState) {
	meta := p.CB[cbCTState]
	if meta&1 != 0 {
		s.bits = maps.CTLBLoopback
		s.addr, s.svcAddr = o.cfg.Loopback, dst
	}
	binary.LittleEndian.PutUint16(s.revNAT[:], uint16(meta>>16))
	s.backendID = p.CB[cbBackendID]
	p.CB[cbCTState], p.CB[cbBackendID], p.CB[cbProxy] = 0, 0, 0
}

// lb4RevNAT makes a backend's answer one of the service. A service that is no
// longer known leaves it untranslated (SPEC 6.6). c is where the packet's L4
// checksum is taken to be.
//
// C: lb4_rev_nat (lib/lb.h).
func (o *object) lb4RevNAT(p *dataplane.Packet, ip *header.IPv4Header, ct *maps.CTBuffer4, c csumOffset) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.LB4RevNAT)
		return p.Trace.Leave(trace.LB4RevNAT, o.lb4RevNAT(p, ip, ct, c))
	}
	key := maps.RevNATKey{ID: ct.RevNAT}
	nat := o.maps.RevNAT.Ref(&key)
	traceLookup(p, trace.MapRevNAT, 0, &key, nat)
	if nat == nil {
		return code.OK
	}
	return o.lb4RevNATInner(p, ip, nat, ct, c)
}

// lb4RevNATInner rewrites source port and address; on a looped connection the
// old source becomes the destination.
//
// C: __lb4_rev_nat (lib/lb.h).
func (o *object) lb4RevNATInner(p *dataplane.Packet, ip *header.IPv4Header, nat *maps.RevNAT, ct *maps.CTBuffer4, c csumOffset) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.LB4RevNATInner)
		return p.Trace.Leave(trace.LB4RevNATInner, o.lb4RevNATInner(p, ip, nat, ct, c))
	}
	l4 := l4Offset(ip)
	if c.off != 0 && ip.HasL4Header() && nat.Port != [2]byte{} {
		b := p.Load(l4+header.SrcPort, 2)
		if b == nil {
			return code.Fault
		}
		if old := [2]byte(b); old != nat.Port {
			if ret := o.l4ModifyPort(p, l4, header.SrcPort, c, nat.Port, old); ret.IsErr() {
				return ret
			}
		}
	}
	old := ip.Src()
	ip.SetSrc(nat.Address)
	diff := header.Sum(0).Diff4(old, nat.Address)
	if ct.Flags&maps.CTLBLoopback != 0 {
		diff = diff.Diff4(ip.Dst(), old)
		ip.SetDst(old)
		ct.Tuple.SAddr = old
	}
	if o.e.fails(FailL3CsumReplace) || !l3CsumReplaceDiff(p, header.EthernetSize+header.IPv4Checksum, diff) {
		return code.DropCsumL3
	}
	if c.off != 0 && (o.e.fails(FailL4CsumReplace) || !csumL4ReplaceDiff(p, l4, c, diff)) {
		return code.DropCsumL4
	}
	return code.OK
}
