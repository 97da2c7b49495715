package maps

import (
	"fmt"
	"slices"
	"strings"
)

// Set is all maps of one node. It belongs to the node's goroutine. Make it with [NewSet].
type Set struct {
	LXC            *Hash[EndpointKey, EndpointInfo]
	IPCache        *LPM[IPCacheKey, RemoteEndpointInfo]
	Tunnel         *Hash[TunnelKey, TunnelEndpoint]
	CT4            *LRU[CTKey, CTEntry] // TCP
	CTAny4         *LRU[CTKey, CTEntry] // everything else
	Frags          *LRU[FragKey, FragPorts]
	Services       *Hash[LB4Key, LB4Service]
	Backends       *Hash[LB4BackendKey, LB4Backend]
	RevNAT         *Hash[RevNATKey, RevNAT]
	Metrics        *Hash[MetricsKey, MetricsValue] // per-CPU, one CPU
	TailCallBuffer *PerCPUArray[CTBuffer4]
	PolicyCall     *ProgArray // slot: endpoint id

	fixed   []namedMap
	named   map[string]dynamicMap // policy and calls maps by name
	policy  map[uint16]*Hash[PolicyKey, PolicyEntry]
	calls   map[string]*ProgArray
	sizes   Sizes
	names   func(id uint32) string
	journal *Journal
	state   uint64 // which of the states between journals the set is in
	states  uint64 // states given out so far
}

// dynamicMap is what a set needs of its maps beside their content.
type dynamicMap interface {
	Store
	identity() any
	setJournal(j *Journal)
}

type namedMap struct {
	name string
	m    dynamicMap
}

// Sizes sets max_entries of a node's maps; 0 means Cilium's default, which the comment gives.
type Sizes struct {
	LXC        uint32 // 65535
	IPCache    uint32 // 512000
	Tunnel     uint32 // 65536
	CT4        uint32 // 524288
	CTAny4     uint32 // 262144
	Frags      uint32 // 8192
	Services   uint32 // 65536
	Backends   uint32 // 65536
	RevNAT     uint32 // 65536
	Metrics    uint32 // 1024
	Policy     uint32 // 16384, for each endpoint
	PolicyCall uint32 // 65535
}

// size returns the size asked for, or the default, within what a container can hold.
func size(asked, normal uint32) uint32 {
	if asked == 0 {
		return normal
	}
	return min(asked, maxSlots)
}

// NewSet makes the maps of a node, all empty, without policy and calls maps. A size beyond 2^30 is cut to that.
func NewSet(z Sizes) *Set {
	s := &Set{
		LXC:            hashMap[EndpointKey, EndpointInfo](NameLXC, TypeHash, size(z.LXC, 65535)),
		Tunnel:         hashMap[TunnelKey, TunnelEndpoint](NameTunnel, TypeHash, size(z.Tunnel, 65536)),
		CT4:            lruMap[CTKey, CTEntry](NameCT4, size(z.CT4, 524288)),
		CTAny4:         lruMap[CTKey, CTEntry](NameCTAny4, size(z.CTAny4, 262144)),
		Frags:          lruMap[FragKey, FragPorts](NameFrags, size(z.Frags, 8192)),
		Services:       hashMap[LB4Key, LB4Service](NameServices, TypeHash, size(z.Services, 65536)),
		Backends:       hashMap[LB4BackendKey, LB4Backend](NameBackends, TypeHash, size(z.Backends, 65536)),
		RevNAT:         hashMap[RevNATKey, RevNAT](NameRevNAT, TypeHash, size(z.RevNAT, 65536)),
		Metrics:        hashMap[MetricsKey, MetricsValue](NameMetrics, TypePerCPUHash, size(z.Metrics, 1024)),
		TailCallBuffer: &PerCPUArray[CTBuffer4]{cells[CTBuffer4]{spec: fixedSpec[uint32, CTBuffer4](NameTailCallBuffer, TypePerCPUArray, 1, 0)}},
		PolicyCall:     progArray(NamePolicyCall, size(z.PolicyCall, 65535)),
		named:          make(map[string]dynamicMap),
		policy:         make(map[uint16]*Hash[PolicyKey, PolicyEntry]),
		calls:          make(map[string]*ProgArray),
		sizes:          z,
	}
	s.IPCache = ipcacheMap(size(z.IPCache, 512000))
	for _, m := range []dynamicMap{
		s.LXC, s.IPCache, s.Tunnel, s.CT4, s.CTAny4, s.Frags, s.Services, s.Backends, s.RevNAT, s.Metrics, s.TailCallBuffer, s.PolicyCall,
	} {
		s.fixed = append(s.fixed, namedMap{m.Spec().Name, m})
	}
	return s
}

// Policy returns the policy map of an endpoint, nil if there is none.
func (s *Set) Policy(endpoint uint16) *Hash[PolicyKey, PolicyEntry] {
	return s.policy[endpoint]
}

// AddPolicy returns the policy map of an endpoint and makes an empty one if there is none.
func (s *Set) AddPolicy(endpoint uint16) *Hash[PolicyKey, PolicyEntry] {
	m := s.policy[endpoint]
	if m == nil {
		m = policyMap(PolicyName(endpoint), size(s.sizes.Policy, 16384))
		s.rename(m.Spec().Name, m)
	}
	return m
}

// RemovePolicy removes the policy map of an endpoint, if there is one.
func (s *Set) RemovePolicy(endpoint uint16) { s.rename(PolicyName(endpoint), nil) }

// Calls returns the calls map of that name, nil if there is none.
func (s *Set) Calls(name string) *ProgArray { return s.calls[name] }

// AddCalls returns the calls map of that name, as made by [CallsName] and its like, and makes an empty one if there is none.
func (s *Set) AddCalls(name string) *ProgArray {
	m := s.calls[name]
	if m == nil {
		m = progArray(name, CallsEntries)
		m.names = s.names
		s.rename(name, m)
	}
	return m
}

// RemoveCalls removes the calls map of that name, if there is one.
func (s *Set) RemoveCalls(name string) {
	if s.calls[name] != nil {
		s.rename(name, nil)
	}
}

// SetProgNames tells the program arrays of the set, also those made later, how programs are called by section name.
func (s *Set) SetProgNames(names func(id uint32) string) {
	s.names = names
	s.PolicyCall.SetNames(names)
	for _, m := range s.calls {
		m.SetNames(names)
	}
}

// Lookup returns a map by Cilium's name. The error for an unknown name wraps ErrNotSupported and lists the names there are.
func (s *Set) Lookup(name string) (Store, error) {
	for _, n := range s.fixed {
		if n.name == name {
			return n.m, nil
		}
	}
	if m := s.named[name]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("map %q: %w; there are %s", name, ErrNotSupported, strings.Join(s.Names(), ", "))
}

// Names returns the names of all maps, sorted.
func (s *Set) Names() []string {
	var out []string
	for _, n := range s.fixed {
		out = append(out, n.name)
	}
	for name := range s.named {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// rename gives a name to m, or takes it away if m is nil, and notes in the journal which map had it.
func (s *Set) rename(name string, m dynamicMap) {
	if j := s.journal; j != nil && (m != nil || s.named[name] != nil) {
		j.noteName(name, s.named[name])
	}
	s.put(name, m)
}

// put is rename without the journal's knowledge.
func (s *Set) put(name string, m dynamicMap) {
	if old, ok := s.named[name]; ok {
		delete(s.named, name)
		switch old.(type) {
		case *Hash[PolicyKey, PolicyEntry]:
			delete(s.policy, endpointOf(name))
		case *ProgArray:
			delete(s.calls, name)
		}
	}
	if m == nil {
		return
	}
	m.setJournal(s.journal)
	s.named[name] = m
	switch m := m.(type) {
	case *Hash[PolicyKey, PolicyEntry]:
		s.policy[endpointOf(name)] = m
	case *ProgArray:
		s.calls[name] = m
	}
}

// attach makes j the journal of all maps.
func (s *Set) attach(j *Journal) {
	s.journal = j
	for _, n := range s.fixed {
		n.m.setJournal(j)
	}
	for _, m := range s.named {
		m.setJournal(j)
	}
}
