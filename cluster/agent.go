package cluster

import (
	"errors"
	"fmt"
	stdmaps "maps"
	"slices"

	"github.com/hooklab/hooklab/maps"
)

// Maps gives the agent the maps of its node by Cilium's names. A *maps.Set does; so
// does an engine's method Map as a MapsFunc.
type Maps interface {
	Lookup(name string) (maps.Store, error)
}

// MapsFunc makes Maps of a function.
type MapsFunc func(name string) (maps.Store, error)

// Lookup calls f.
func (f MapsFunc) Lookup(name string) (maps.Store, error) { return f(name) }

// policyMaker is what a *maps.Set offers beyond Maps. An engine makes an endpoint's
// policy map when it loads the endpoint's program, and removes it with the last one.
type policyMaker interface {
	AddPolicy(endpoint uint16) *maps.Hash[maps.PolicyKey, maps.PolicyEntry]
	RemovePolicy(endpoint uint16)
}

// Agent keeps the maps of one node as the cluster wants them. It is used by the
// node's goroutine only; what changes the cluster may be any other.
//
// The agent owns the maps that it fills: it removes what does not belong there,
// whoever wrote it. cilium_call_policy and the calls maps are the engine's, so an
// endpoint's programs should be loaded before the Sync that makes it known; where
// Maps cannot make policy maps, they must.
type Agent struct {
	cluster  *Cluster
	node     string
	maps     Maps
	synced   *state          // the state that the maps have
	policies map[uint16]bool // endpoints whose policy maps this agent has filled
}

// NewAgent makes the agent of a node. The error, for a node that the cluster does
// not have, is ErrInput.
func NewAgent(c *Cluster, node string, m Maps) (*Agent, error) {
	if _, err := c.Node(node); err != nil {
		return nil, err
	}
	return &Agent{cluster: c, node: node, maps: m, policies: make(map[uint16]bool)}, nil
}

// Pending says that the cluster has changed since the last Sync.
func (a *Agent) Pending() bool { return a.synced != a.cluster.now() }

// Sync brings the maps to the cluster's current state. It writes only what differs,
// and at every moment the datapath finds a backend for every slot that a frontend
// counts. Before an address is given to an endpoint, conntrack is scrubbed of it.
// After an error the next Sync tries again.
func (a *Agent) Sync() error {
	s := a.cluster.now()
	if s == a.synced {
		return nil
	}
	n := s.node(a.node)
	if n == nil {
		return inputErrorf("", "", "node %s is no longer in the cluster", quote(a.node))
	}
	if err := a.apply(s.desiredFor(n)); err != nil {
		return fmt.Errorf("sync maps of node %s: %w", a.node, err)
	}
	a.synced = s
	return nil
}

// apply writes the difference in an order that is safe for packets in between.
func (a *Agent) apply(d *desired) error {
	var all []*delta
	open := func(name string, part func(key string) bool, want ...entries) *delta {
		x := &delta{name: name, want: want, part: part}
		all = append(all, x)
		return x
	}
	lxc := open(maps.NameLXC, nil, d.lxc)
	ipcache := open(maps.NameIPCache, nil, d.ipcache, d.common.ipcache)
	tunnel := open(maps.NameTunnel, nil, d.tunnel)
	backends := open(maps.NameBackends, nil, d.backends)
	revNAT := open(maps.NameRevNAT, nil, d.revNAT)
	slots := open(maps.NameServices, func(key string) bool { return !isFrontend(key) }, d.slots)
	frontends := open(maps.NameServices, isFrontend, d.frontends)
	for _, x := range all {
		if err := x.find(a.maps); err != nil {
			return err
		}
	}
	steps := []func() error{
		backends.put, revNAT.put, slots.put, frontends.put,
		frontends.remove, slots.remove, revNAT.remove, backends.remove,
		ipcache.remove, lxc.remove, func() error { return a.dropPolicies(d) },
		func() error { return a.scrub(lxc.newcomers()) },
		func() error { return a.fillPolicies(d) },
		lxc.put, tunnel.put, ipcache.put, tunnel.remove,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// isFrontend says that a key of cilium_lb4_services_v2 is a slot 0.
func isFrontend(key string) bool { return len(key) >= 8 && key[6] == 0 && key[7] == 0 }

// dropPolicies removes the policy maps of endpoints that are gone, where that is not
// the engine's part.
func (a *Agent) dropPolicies(d *desired) error {
	maker, ok := a.maps.(policyMaker)
	for id := range a.policies {
		if _, stays := d.policies[id]; !stays {
			delete(a.policies, id)
			if ok {
				maker.RemovePolicy(id)
			}
		}
	}
	return nil
}

// fillPolicies gives each endpoint's policy map its entries. Counters of entries that
// stay are kept.
func (a *Agent) fillPolicies(d *desired) error {
	maker, _ := a.maps.(policyMaker)
	for _, id := range slices.Sorted(stdmaps.Keys(d.policies)) {
		if maker != nil {
			maker.AddPolicy(id)
		}
		x := &delta{name: maps.PolicyName(id), want: layers{d.policies[id]}, same: samePolicy}
		if err := x.find(a.maps); err != nil {
			return err
		}
		if err := errors.Join(x.put(), x.remove()); err != nil {
			return err
		}
		a.policies[id] = true
	}
	return nil
}

// samePolicy compares two entries without their counters.
func samePolicy(have []byte, want string) bool {
	return len(have) >= 8 && len(want) >= 8 && string(have[:8]) == want[:8]
}
