package compare

import (
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
)

// Scenario is a world and what happens in it: all that is needed to run it again.
type Scenario struct {
	Name string // the file, or how it was made
	// Note is what is said about it in front of its steps, without comment signs.
	Note string
	// Cluster is the description of the cluster, as `-f` takes it. Files are its parts
	// by name, in order.
	Cluster []cluster.Source
	// Node is the node whose datapath the packets meet; empty for the default one.
	Node     string
	Settings []Setting
	Steps    []Step
}

// Setting changes one value of the datapath's configuration that the cluster's
// description does not have; the names are those of [SettingNames].
type Setting struct {
	Line   int
	Name   string
	Device string // for a setting of one endpoint: the device as steps name it
	Value  uint32
}

// Step is one thing that happens: exactly one of Packet and Edit is set.
type Step struct {
	Line   int           // in the file, from 1; 0: made by a program
	At     time.Duration // of the virtual clock, which begins with the node
	Packet *Input
	Edit   *Edit
	Expect []Expectation // of the packet

	talk   *talk    // of a packet that is not made yet
	policy []string // of an edit that is not made yet
}

// Input is one frame at one hook, with the metadata that the program meets. The packet
// type is what the stack derives from the destination MAC.
type Input struct {
	Prog dataplane.Prog
	// Device names the hook's device: a pod (NAME or NAMESPACE/NAME) or "health" for
	// the node's side of its wire, else cilium_host, cilium_net, cilium_vxlan or eth0.
	Device         string
	Frame          []byte
	IngressIfindex uint32
	Mark           uint32
	Hash           uint32
	TCIndex        uint16
	QueueMapping   uint16
	CB             [5]uint32
	Tunnel         dataplane.TunnelKey // as decapsulated
	Rand           uint32              // what every random number call draws
	// Partial says that the L4 checksum is still to be completed, as that of a local
	// socket's packet: the field holds the sum of the pseudo header.
	Partial bool
	// Fail are helpers that fail while the packet is in the programs.
	Fail Failures
}

// Edit is a change of one map entry.
type Edit struct {
	Map   string // Cilium's name
	Key   []byte
	Value []byte // nil removes the entry, which need not be there
}

// clone shares only what nobody changes.
func (s *Scenario) clone() *Scenario {
	c := *s
	c.Settings = append([]Setting(nil), s.Settings...)
	c.Steps = append([]Step(nil), s.Steps...)
	return &c
}

// packets is how many packets the scenario has.
func (s *Scenario) packets() int {
	n := 0
	for i := range s.Steps {
		if s.Steps[i].Packet != nil || s.Steps[i].talk != nil {
			n++
		}
	}
	return n
}
