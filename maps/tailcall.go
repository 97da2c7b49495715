package maps

// NameTailCallBuffer is the per-CPU map which hands conntrack results to the next tail call.
const NameTailCallBuffer = "cilium_tail_call_buffer4"

// CTBuffer4 is what the conntrack stage leaves for the policy stage (32 bytes; SPEC 1). Flags holds the bits CTLBLoopback,
// CTNodePort, CTProxyRedirect and CTDSR as in [CTEntry]; Ret is the conntrack status.
//
// Differs: the layout is hooklab's own. Cilium's struct embeds compiler-laid bit fields, lives for one packet, and is never shown or
// compared, so only its content matters. Test: TestLayout.
type CTBuffer4 struct {
	Tuple     CTKey
	RevNAT    [2]byte
	Flags     uint16
	Ifindex   uint16
	BackendID uint32
	Monitor   uint32
	Ret       int32
}
