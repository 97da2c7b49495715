package dataplane

import "strconv"

// Prog names a TC program by the section that a real agent attaches.
type Prog uint8

// The programs of bpf_lxc, bpf_host and bpf_overlay (SPEC 1). PolicyProg is the
// pod's policy program, which no device has: other programs reach it by tail call
// through cilium_call_policy, and a test may enter it directly.
const (
	FromContainer Prog = iota
	ToContainer
	FromHost
	ToHost
	FromNetdev
	ToNetdev
	FromOverlay
	ToOverlay
	PolicyProg
	numProgs
)

// String is the section name, "from-container".
func (p Prog) String() string {
	names := [numProgs]string{
		"from-container", "to-container", "from-host", "to-host",
		"from-netdev", "to-netdev", "from-overlay", "to-overlay", "policy",
	}
	if p < numProgs {
		return names[p]
	}
	return "prog(" + strconv.Itoa(int(p)) + ")"
}

// ParseProg finds the program of a section name.
func ParseProg(section string) (Prog, bool) {
	for p := range numProgs {
		if p.String() == section {
			return p, true
		}
	}
	return 0, false
}

// Egress tells a program of a device's egress side. ingress_ifindex is then the
// device where the frame entered the node, not the hook's.
func (p Prog) Egress() bool {
	switch p {
	case ToContainer, FromHost, ToNetdev, ToOverlay:
		return true
	default:
		return false
	}
}

// Hook is a program on a device. Endpoint is the pod's endpoint id for the
// programs of bpf_lxc and 0 elsewhere.
type Hook struct {
	Prog     Prog
	Ifindex  uint32
	Endpoint uint16
}
