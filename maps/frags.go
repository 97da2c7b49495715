package maps

// NameFrags is the map of datagrams whose first fragment has been seen.
const NameFrags = "cilium_ipv4_frag_datagrams"

// FragKey names an IPv4 datagram in fragments (12 bytes, struct ipv4_frag_id; SPEC 3.8).
type FragKey struct {
	DAddr, SAddr [4]byte
	ID           [2]byte
	Proto, Pad   uint8
}

// FragPorts holds the ports which only the first fragment carries (4 bytes, struct ipv4_frag_l4ports; SPEC 3.8).
type FragPorts struct {
	SPort, DPort [2]byte
}
