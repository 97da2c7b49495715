package generate

import (
	"slices"

	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/maps"
)

// edits are changes that make the maps say something else than an agent would at rest:
// policies, entries that are stale, wrong or missing, connections that nobody opened.
func (r *round) edits() []compare.Step {
	var e *compare.Edit
	switch r.pick("edit", 10) {
	case 0, 1:
		e = r.policy()
	case 2:
		e = r.ipcache()
	case 3:
		e = r.lxc()
	case 4:
		e = r.tunnel()
	case 5:
		e = r.service()
	case 6:
		e = r.backend()
	case 7:
		e = r.revNATEntry()
	case 8:
		e = r.connection()
	case 9:
		e = r.hole()
	}
	return []compare.Step{{Edit: e}}
}

// entry is an edit of a struct of package maps; without says that it removes.
func entry[K, V any](name string, k K, v V, without bool) *compare.Edit {
	e := &compare.Edit{Map: name, Key: slices.Clone(maps.Bytes(&k))}
	if !without {
		e.Value = slices.Clone(maps.Bytes(&v))
	}
	return e
}

func be16(n uint16) [2]byte { return [2]byte{byte(n >> 8), byte(n)} }

// policy is an entry of a pod's policy: the wildcard that allows all removed, or one
// more that allows, denies or leads to a proxy.
func (r *round) policy() *compare.Edit {
	d := oneOf(r.maker, slices.DeleteFunc(slices.Clone(r.w.Devices), func(d compare.Device) bool { return d.Endpoint == 0 }))
	name := maps.PolicyName(d.Endpoint)
	k := maps.PolicyKey{Egress: uint8(r.IntN(2))}
	if r.pick("policy", 3) == 0 {
		return entry(name, k, maps.PolicyEntry{}, true)
	}
	v := maps.PolicyEntry{}
	if r.chance(70) {
		k.SecLabel = r.identity()
	}
	talk := len(r.talks) > 0 && r.chance(60)
	if talk {
		r.policyOfTalk(&name, &k)
	} else if r.chance(60) {
		k.Proto = oneOf(r.maker, []uint8{header.ProtoTCP, header.ProtoUDP, header.ProtoICMP})
		k.DPort = be16(r.port())
		if k.Proto == header.ProtoICMP {
			k.DPort = be16(oneOf(r.maker, []uint16{0, 3, 8, 11}))
		}
	}
	switch r.pick("policy value", 4) {
	case 0:
		v.Deny = maps.PolicyDeny
	case 1, 2:
		v.ProxyPort = be16(uint16(10000 + r.IntN(1000)))
	}
	return entry(name, k, v, r.chance(15))
}

// policyOfTalk makes a policy's key one that a conversation meets: at its client or at its
// server, for the other's identity or any, for its port or any.
func (r *round) policyOfTalk(name *string, k *maps.PolicyKey) {
	t := oneOf(r.maker, r.talks)
	r.turn = t
	at, other, dport := t.client, t.server, t.dport
	k.Egress = 1
	if r.chance(50) {
		at, other, k.Egress = t.server, t.client, 0
	}
	if f := t.heard; f != nil && len(f.Frame) >= header.EthernetSize+header.IPv4MinSize+header.PortsSize && r.chance(70) {
		// As the receiver sees it, behind a service.
		ip := header.IPv4(f.Frame[header.EthernetSize:])
		at, other, k.Egress = ip.Dst(), ip.Src(), 0
		dport = uint16(ip[header.IPv4MinSize+2])<<8 | uint16(ip[header.IPv4MinSize+3])
	}
	for i := range r.w.Devices {
		if d := &r.w.Devices[i]; d.Endpoint != 0 && d.Config.IPv4 == at {
			*name = maps.PolicyName(d.Endpoint)
		}
	}
	k.SecLabel = 0
	if r.chance(60) {
		k.SecLabel = r.w.Party(other).Identity
	}
	if r.chance(80) {
		k.Proto, k.DPort = t.proto, be16(dport)
		if t.proto == header.ProtoICMP {
			k.DPort = [2]byte{0, header.ICMPEcho}
		}
	}
}

// hole takes a program out of a prog array, as an agent does while it replaces an
// endpoint's programs: the tail call into the slot fails.
func (r *round) hole() *compare.Edit {
	name := oneOf(r.maker, r.w.ProgramArrays())
	slots := []uint32{1, 6, 7, 7, 13, 22, 25, 27, 29} // what programs call themselves
	if name == maps.NamePolicyCall {
		slots = nil
		for _, e := range r.pool.endpoints {
			slots = append(slots, uint32(e))
		}
	}
	slot := oneOf(r.maker, slots)
	return &compare.Edit{Map: name, Key: slices.Clone(maps.Bytes(&slot))}
}

func (r *round) ipcache() *compare.Edit {
	bits := oneOf(r.maker, []uint8{32, 32, 32, 24, 16, 0})
	ip := r.anybody()
	if bits < 32 {
		ip[3] = 0
	}
	if bits < 24 {
		ip[2] = 0
	}
	if bits == 0 {
		ip = [4]byte{}
	}
	v := maps.RemoteEndpointInfo{SecLabel: r.identity(), NodeID: uint16(r.IntN(3))}
	if r.chance(50) {
		v.TunnelEndpoint = oneOf(r.maker, r.pool.hosts)
	}
	return entry(maps.NameIPCache, maps.NewIPCacheKey(ip, bits), v, r.chance(40))
}

func (r *round) lxc() *compare.Edit {
	ip := r.anybody()
	v := maps.EndpointInfo{
		Ifindex: uint32(1 + r.IntN(20)), LXCID: oneOf(r.maker, r.pool.endpoints), MAC: [6]byte(r.bytes(6)), NodeMAC: [6]byte(r.bytes(6)),
	}
	if r.chance(20) {
		v.Flags = maps.EndpointHost
	}
	return entry(maps.NameLXC, maps.NewEndpointKey(ip), v, r.chance(50))
}

func (r *round) tunnel() *compare.Edit {
	ip := r.anybody()
	ip[3] = oneOf(r.maker, []byte{0, 0, 64})
	return entry(maps.NameTunnel, maps.NewTunnelKey(ip), maps.NewTunnelEndpoint(oneOf(r.maker, r.pool.hosts)), r.chance(50))
}

func (r *round) service() *compare.Edit {
	k := maps.LB4Key{Address: oneOf(r.maker, r.pool.services), DPort: be16(r.port()), BackendSlot: uint16(r.IntN(4))}
	if f, ok := r.pool.frontend(k.Address); ok && r.chance(70) {
		k.DPort = be16(oneOf(r.maker, f.ports))
	}
	v := maps.LB4Service{BackendID: oneOf(r.maker, r.pool.backends), RevNAT: be16(oneOf(r.maker, r.pool.revNAT))}
	if k.BackendSlot == 0 {
		v.Count, v.BackendID = uint16(r.IntN(4)), 0
	}
	return entry(maps.NameServices, k, v, r.chance(30))
}

func (r *round) backend() *compare.Edit {
	v := maps.LB4Backend{Address: r.anybody(), Port: be16(r.port()), State: uint8(r.IntN(4))}
	return entry(maps.NameBackends, maps.LB4BackendKey{ID: oneOf(r.maker, r.pool.backends)}, v, r.chance(40))
}

func (r *round) revNATEntry() *compare.Edit {
	v := maps.RevNAT{Address: r.anybody(), Port: be16(r.port())}
	return entry(maps.NameRevNAT, maps.RevNATKey{ID: be16(oneOf(r.maker, r.pool.revNAT))}, v, r.chance(50))
}

// connection is a conntrack entry in any state, mostly one that a conversation of the
// round will meet.
func (r *round) connection() *compare.Edit {
	k := maps.CTKey{DAddr: r.anybody(), SAddr: r.anybody(), DPort: be16(r.port()), SPort: be16(r.port()), Proto: header.ProtoTCP}
	if len(r.talks) > 0 && r.chance(80) {
		t := oneOf(r.maker, r.talks)
		k = maps.CTKey{DAddr: t.server, SAddr: t.client, DPort: be16(t.sport), SPort: be16(t.dport), Proto: t.proto}
		if t.proto == header.ProtoICMP {
			k.DPort, k.SPort = [2]byte{}, be16(t.id)
		}
		if r.chance(50) {
			k.DAddr, k.SAddr, k.DPort, k.SPort = k.SAddr, k.DAddr, k.SPort, k.DPort
		}
	}
	k.Flags = oneOf(r.maker, []uint8{maps.TupleOut, maps.TupleIn, maps.TupleService, maps.TupleRelated, maps.TupleRelated | maps.TupleIn})
	now := uint32(r.now.Seconds())
	if f := r.heard(); f != nil && r.chance(30) {
		// The way of a packet as its receiver knows it, whose answer then has a service.
		ip := header.IPv4(f[header.EthernetSize:])
		k = maps.CTKey{DAddr: ip.Dst(), SAddr: ip.Src(), DPort: [2]byte(ip[header.IPv4MinSize:]), SPort: [2]byte(ip[header.IPv4MinSize+2:]), Proto: ip.Protocol()}
		if r.chance(50) {
			k.DAddr, k.SAddr, k.DPort, k.SPort = k.SAddr, k.DAddr, k.SPort, k.DPort
		}
	}
	v := maps.CTEntry{
		Flags: uint16(r.Uint32()) & 0x1ff, Lifetime: now + r.Uint32N(100), SrcSecID: r.identity(),
		TxFlagsSeen: uint8(r.IntN(8)), RxFlagsSeen: uint8(r.IntN(8)), LastTxReport: now - r.Uint32N(40), LastRxReport: now - r.Uint32N(40),
	}
	if r.chance(60) {
		v.Flags &= maps.CTRxClosing | maps.CTTxClosing | maps.CTSeenNonSyn
	}
	if r.chance(50) {
		v.RevNAT = be16(oneOf(r.maker, r.pool.revNAT))
	}
	if k.Flags&maps.TupleService != 0 {
		v.RxBytes = uint64(oneOf(r.maker, r.pool.backends))
	}
	name := maps.NameCTAny4
	if k.Proto == header.ProtoTCP && k.Flags&maps.TupleRelated == 0 {
		name = maps.NameCT4
	}
	if k.Flags&maps.TupleRelated != 0 {
		k.Proto, k.DPort, k.SPort = header.ProtoICMP, [2]byte{}, [2]byte{}
	}
	return entry(name, k, v, r.chance(20))
}

// heard is the frame that a conversation's last packet became, with ports; nil if there is none.
func (r *round) heard() []byte {
	if len(r.talks) == 0 {
		return nil
	}
	t := oneOf(r.maker, r.talks)
	if t.heard == nil || t.proto == header.ProtoICMP || len(t.heard.Frame) < header.EthernetSize+header.IPv4MinSize+header.PortsSize {
		return nil
	}
	return t.heard.Frame
}
