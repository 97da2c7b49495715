package maps

// NameRevNAT is the map from reverse NAT ids to service addresses.
const NameRevNAT = "cilium_lb4_reverse_nat"

// RevNATKey is a service id in network order (2 bytes; SPEC 6.1).
type RevNATKey struct {
	ID [2]byte
}

// RevNAT is the address that replies of a service are given (6 bytes, struct lb4_reverse_nat; SPEC 6.1).
type RevNAT struct {
	Address [4]byte
	Port    [2]byte
}
