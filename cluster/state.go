package cluster

import (
	"maps"
	"net/netip"
	"slices"
)

// state is a whole cluster at one moment. Once published it is never changed: a
// change is made to a clone.
type state struct {
	settings   Settings
	namespaces map[string]map[string]string // labels of those that are described
	nodes      []Node
	pods       []Pod
	services   []Service
	backendIDs map[netip.AddrPort]uint32 // of all backends there are
	// The next ids to try. Like Cilium's allocators they do not give a freed id to
	// the next comer.
	nextService uint16
	nextBackend uint32

	common *common // what agents make of this state; set when it is published
}

// clone copies what completing a state may change.
func (s *state) clone() state {
	c := *s
	c.nodes = slices.Clone(s.nodes)
	c.pods = slices.Clone(s.pods)
	c.services = make([]Service, len(s.services))
	for i := range s.services {
		c.services[i] = s.services[i].clone()
	}
	c.backendIDs = maps.Clone(s.backendIDs)
	return c
}

func (s *state) nodeNames() []string {
	names := make([]string, len(s.nodes))
	for i := range s.nodes {
		names[i] = s.nodes[i].Name
	}
	return names
}
