package maps

import "fmt"

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

// String returns the datagram as source --> destination, protocol, id.
//
// Differs: Cilium prints id and ports without converting them from network order, which no reader could compare with a
// packet. Test: TestTables.
func (k FragKey) String() string {
	return fmt.Sprintf("%s --> %s, %d, %d", addr4(k.SAddr), addr4(k.DAddr), k.Proto, be16(k.ID))
}

// String returns destination port and source port.
func (v FragPorts) String() string {
	return fmt.Sprintf("%d, %d", be16(v.DPort), be16(v.SPort))
}

// fragRows lists datagrams by address.
func fragRows(s Store, _ TextOptions) ([]Row, error) {
	in, err := items(s, byKey[FragKey, FragPorts])
	return rows(in, func(k *FragKey, v *FragPorts) (string, string) { return k.String(), v.String() }), err
}
