package object

import (
	"fmt"

	"github.com/hooklab/hooklab/dataplane"
)

// Kind is which of Cilium's C files an object was compiled from.
type Kind uint8

// The three objects of a node.
const (
	LXC     Kind = iota // bpf_lxc: one instance for each pod
	Host                // bpf_host: one for each of cilium_host, cilium_net and the uplinks
	Overlay             // bpf_overlay: one
	numKinds
)

// String is the object's file name without ".o".
func (k Kind) String() string {
	names := [numKinds]string{"bpf_lxc", "bpf_host", "bpf_overlay"}
	if k < numKinds {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// KindOf is the object that has a program.
func KindOf(p dataplane.Prog) Kind {
	switch p {
	case dataplane.FromHost, dataplane.ToHost, dataplane.FromNetdev, dataplane.ToNetdev:
		return Host
	case dataplane.FromOverlay, dataplane.ToOverlay:
		return Overlay
	default:
		return LXC
	}
}
