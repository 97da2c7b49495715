package maps

// Names of the connection tracking maps: TCP in the first, everything else in the second.
const (
	NameCT4    = "cilium_ct4_global"
	NameCTAny4 = "cilium_ct_any4_global"
)

// Values of CTKey.Flags; they combine as bits.
const (
	// TupleOut marks an entry made on egress of the initiating pod.
	TupleOut = 0
	// TupleIn marks an entry made on ingress of the responding pod.
	TupleIn = 1
	// TupleRelated marks the entry under which ICMP errors of a flow are found.
	TupleRelated = 2
	// TupleService marks the entry which remembers the backend of a service flow.
	TupleService = 4
)

// Bits of CTEntry.Flags.
const (
	CTRxClosing     = 1
	CTTxClosing     = 2
	CTNat46         = 4
	CTLBLoopback    = 8
	CTSeenNonSyn    = 16
	CTNodePort      = 32
	CTProxyRedirect = 64
	CTDSR           = 128
	CTFromL7LB      = 256
)

// CTKey is the key of a connection (14 bytes, struct ipv4_ct_tuple; SPEC 5.1). DAddr is the initiator's address and DPort the
// responder's port: SPEC 5.2 lists which field holds what for each kind of entry.
type CTKey struct {
	DAddr, SAddr [4]byte
	DPort, SPort [2]byte
	Proto, Flags uint8
}

// CTEntry is the state of a connection (56 bytes, struct ct_entry; SPEC 5.1). RxBytes is the backend id of a service entry;
// Lifetime, LastTxReport and LastRxReport are times in the unit of the datapath's clock; RevNAT is in network order.
type CTEntry struct {
	RxPackets, RxBytes         uint64
	TxPackets, TxBytes         uint64
	Lifetime                   uint32
	Flags                      uint16
	RevNAT                     [2]byte
	Ifindex                    uint16
	TxFlagsSeen, RxFlagsSeen   uint8
	SrcSecID                   uint32
	LastTxReport, LastRxReport uint32
}
