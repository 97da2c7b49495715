package cluster

import (
	"net/netip"

	"github.com/hooklab/hooklab/dataplane"
)

// Profile is which Cilium the lab behaves as: where the article and a real 1.12
// agent differ, and two further configurations.
type Profile string

// Profiles. Cilium112 is the default.
const (
	Cilium112      Profile = "cilium-1.12"
	Article        Profile = "article"
	HostRouting    Profile = "host-routing"
	EndpointRoutes Profile = "endpoint-routes"
)

// Settings are the properties of the whole lab: what a Lab document says, with
// defaults filled in.
type Settings struct {
	Name        string
	Profile     Profile
	Kernel      KernelVersion
	Underlay    netip.Prefix
	PodPool     netip.Prefix // podCIDRs are cut from it
	PodMask     int
	ServiceCIDR netip.Prefix
	MTU         uint32 // of the underlay and of all devices; the pods' routes have 50 less
	Seed        uint64 // of everything that a real cluster leaves to chance
	Health      bool   // every node has a health endpoint
	External    []External

	// ConntrackGCInterval is the time between two garbage collections of conntrack in
	// seconds, as the agent's option conntrack-gc-interval; 0 adapts it.
	ConntrackGCInterval uint32

	// Datapath has the lab's part of every program's configuration; see
	// Cluster.Config for a node's and an endpoint's.
	Datapath dataplane.Config
}

// Gateway is the underlay's first address: the router to everything outside.
func (s *Settings) Gateway() netip.Addr { return s.Underlay.Addr().Next() }

// defaultSettings is a lab without a Lab document.
func defaultSettings() Settings {
	return Settings{
		Name:        "hooklab",
		Profile:     Cilium112,
		Kernel:      KernelVersion{Major: 5, Minor: 10},
		Underlay:    netip.MustParsePrefix("172.18.0.0/16"),
		PodPool:     netip.MustParsePrefix("10.0.0.0/8"),
		PodMask:     24,
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
		MTU:         1500,
		Health:      true,
		Datapath:    dataplane.DefaultConfig(),
	}
}

// delivery is how packets reach local pods in a profile. In profile article it
// depends on the kernel, as the article says; in Cilium 1.12 it does not.
func (s *Settings) delivery() dataplane.Delivery {
	switch s.Profile {
	case HostRouting:
		return dataplane.DeliverPeer
	case EndpointRoutes:
		return dataplane.DeliverStack
	case Article:
		if s.Kernel.AtLeast(5, 10) {
			return dataplane.DeliverPeer
		}
		return dataplane.DeliverToContainer
	default:
		return dataplane.DeliverRedirect
	}
}
