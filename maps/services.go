package maps

// NameServices is the map of service frontends and their backend slots.
const NameServices = "cilium_lb4_services_v2"

// LB4Key is a service frontend (BackendSlot 0) or one of its backend slots (12 bytes, struct lb4_key; SPEC 6.1). BackendSlot is in
// host order, Proto is always 0, Scope is 0 for external and 1 for internal.
type LB4Key struct {
	Address      [4]byte
	DPort        [2]byte
	BackendSlot  uint16
	Proto, Scope uint8
	Pad          [2]byte
}

// LB4Service is the value of a frontend or slot (12 bytes, struct lb4_service; SPEC 6.1). BackendID is 0 and Count the number of
// active backends in slot 0; RevNAT is in network order.
type LB4Service struct {
	BackendID     uint32
	Count         uint16
	RevNAT        [2]byte
	Flags, Flags2 uint8
	Pad           [2]byte
}
