package maps

import (
	"cmp"
	"strconv"
)

// NameBackends is the map from backend ids to addresses.
const NameBackends = "cilium_lb4_backends_v2"

// Values of LB4Backend.State.
const (
	BackendActive      = 0
	BackendTerminating = 1
	BackendQuarantined = 2
	BackendMaintenance = 3
)

// LB4BackendKey is a backend id in host order (4 bytes; SPEC 6.1).
type LB4BackendKey struct {
	ID uint32
}

// LB4Backend is a backend's address (8 bytes, struct lb4_backend; SPEC 6.1). Proto is 0, which means any.
type LB4Backend struct {
	Address      [4]byte
	Port         [2]byte
	Proto, State uint8
}

// String returns the id as `cilium map get` prints it.
func (k LB4BackendKey) String() string { return strconv.FormatUint(uint64(k.ID), 10) }

// String returns the address as `cilium map get` prints it, ANY://ip:port (SPEC 14.4).
func (v LB4Backend) String() string {
	return protoText(v.Proto) + "://" + addrPort(v.Address, v.Port)
}

// backendRows lists backends by id.
func backendRows(s Store, _ TextOptions) ([]Row, error) {
	in, err := items(s, func(a, b *item[LB4BackendKey, LB4Backend]) int { return cmp.Compare(a.k.ID, b.k.ID) })
	return rows(in, func(k *LB4BackendKey, v *LB4Backend) (string, string) { return k.String(), v.String() }), err
}
