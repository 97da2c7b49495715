package emu

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// access is a question to an endpoint's policy map.
type access struct {
	remote uint32 // identity of the other side
	dport  [2]byte
	proto  uint8
	egress bool
}

// policyCanEgress4 decides whether a pod may send: 0 yes, positive a proxy port,
// negative no. Traffic to the tunnel's port is never allowed: a pod must not
// inject encapsulated packets.
//
// C: policy_can_egress4 (lib/policy.h).
func (o *object) policyCanEgress4(p *dataplane.Packet, a *access) (match code.MatchType, ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.PolicyCanEgress4)
		match, ret = o.policyCanEgress4(p, a)
		p.Trace.Leave(trace.PolicyCanEgress4, ret)
		return match, ret
	}
	if a.proto == header.ProtoUDP && binary.BigEndian.Uint16(a.dport[:]) == o.cfg.TunnelPort {
		return code.MatchNone, code.DropEncapProhibited
	}
	return o.policyCanAccessInner(p, a)
}

// policyCanAccessIngress decides whether a pod may receive, as policyCanEgress4.
//
// C: policy_can_access_ingress (lib/policy.h).
func (o *object) policyCanAccessIngress(p *dataplane.Packet, a *access) (match code.MatchType, ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.PolicyCanAccessIngress)
		match, ret = o.policyCanAccessIngress(p, a)
		p.Trace.Leave(trace.PolicyCanAccessIngress, ret)
		return match, ret
	}
	return o.policyCanAccessInner(p, a)
}

// policyCanAccessInner asks the policy map from the most to the least specific
// key; the first hit decides and counts the packet (SPEC 13).
//
// C: __policy_can_access (lib/policy.h).
func (o *object) policyCanAccessInner(p *dataplane.Packet, a *access) (match code.MatchType, ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.PolicyCanAccessInner)
		match, ret = o.policyCanAccessInner(p, a)
		p.Trace.Leave(trace.PolicyCanAccessInner, ret)
		return match, ret
	}
	dport := a.dport
	if a.proto == header.ProtoICMP {
		ip := p.IPv4()
		if ip == nil {
			return code.MatchNone, code.DropInvalid
		}
		b := p.Load(l4Offset(ip), header.ICMPSize)
		if b == nil {
			return code.MatchNone, code.DropInvalid
		}
		if b[header.ICMPType] == header.ICMPUnreachable && b[header.ICMPCode] == header.ICMPFragNeeded {
			return code.MatchNone, code.OK
		}
		dport = [2]byte{0, b[header.ICMPType]}
	}
	e, match := o.policyLookup(p, a, dport)
	if e == nil {
		if p.CB[cbPolicy] != 0 {
			return match, code.OK
		}
		return match, code.DropPolicy
	}
	e.Packets++
	e.Bytes += uint64(len(p.Data))
	switch {
	case e.Deny&1 != 0:
		return match, code.DropPolicyDeny
	case match == code.MatchL3L4 || match == code.MatchL4:
		return match, code.Ret(binary.LittleEndian.Uint16(e.ProxyPort[:]))
	}
	return match, code.OK
}

// policyLookup tries identity and port, port, identity, and neither: those of which
// the map has any keys, or all of them if somebody watches.
func (o *object) policyLookup(p *dataplane.Packet, a *access, dport [2]byte) (*maps.PolicyEntry, code.MatchType) {
	var dir uint8
	if a.egress {
		dir = 1
	}
	classes := maps.PolicyClassesOf(o.policy)
	if p.Trace != nil {
		classes = maps.AllPolicyClasses
	}
	key := maps.NewPolicyWord(a.remote, dport, a.proto, dir)
	if classes.Have(key) {
		if e := o.policyRef(p, key); e != nil {
			return e, code.MatchL3L4
		}
	}
	if l4 := key.AnyIdentity(); classes.Have(l4) {
		if e := o.policyRef(p, l4); e != nil {
			return e, code.MatchL4
		}
	}
	if l3 := key.AnyPort(); classes.Have(l3) {
		if e := o.policyRef(p, l3); e != nil {
			return e, code.MatchL3
		}
	}
	if all := key.AnyIdentity().AnyPort(); classes.Have(all) {
		if e := o.policyRef(p, all); e != nil {
			return e, code.MatchAll
		}
	}
	return nil, code.MatchNone
}

func (o *object) policyRef(p *dataplane.Packet, w maps.PolicyWord) *maps.PolicyEntry {
	key := w.Key()
	e := o.policy.Ref(&key)
	traceLookup(p, trace.MapPolicy, o.source, &key, e)
	return e
}

// sendPolicyVerdictNotify reports a verdict, if the endpoint's filter asks for
// that direction.
//
// C: send_policy_verdict_notify (lib/policy_log.h).
func (o *object) sendPolicyVerdictNotify(p *dataplane.Packet, a *access, verdict code.Ret, match code.MatchType) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.SendPolicyVerdictNotify)
		o.sendPolicyVerdictNotify(p, a, verdict, match)
		p.Trace.Leave(trace.SendPolicyVerdictNotify, code.OK)
		return
	}
	dir := code.Ingress
	if a.egress {
		dir = code.Egress
	}
	if p.Events == nil || o.cfg.Endpoint.VerdictFilter&uint32(dir) == 0 {
		return
	}
	p.Events.Verdict(trace.Verdict{
		Common:      trace.Common{Source: o.source, Hash: p.Hash},
		RemoteLabel: a.remote, Verdict: int32(verdict), DstPort: binary.BigEndian.Uint16(a.dport[:]),
		Proto: a.proto, Dir: dir, Match: match,
	}, p.Data, o.cfg.CaptureLen)
}
