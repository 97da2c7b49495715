package maps

import "strconv"

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

// String returns the id as `cilium map get` prints it.
func (k RevNATKey) String() string { return strconv.Itoa(int(be16(k.ID))) }

// String returns the address as `cilium map get` prints it, ip:port (SPEC 14.5).
func (v RevNAT) String() string { return addrPort(v.Address, v.Port) }

// revNATRows lists services by id.
func revNATRows(s Store, _ TextOptions) ([]Row, error) {
	in, err := items(s, byKey[RevNATKey, RevNAT])
	return rows(in, func(k *RevNATKey, v *RevNAT) (string, string) { return k.String(), v.String() }), err
}
