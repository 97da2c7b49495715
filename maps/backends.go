package maps

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
