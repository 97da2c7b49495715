package emu

// Faults are helpers that fail in every run, as they can in a kernel that is out of
// memory or has a packet which it cannot make writable. Nothing else reaches the drop
// reasons that tell of them (SPEC 12.1).
type Faults uint8

// Faults, with the drop reason that a program answers them with.
const (
	FailStoreBytes    Faults = 1 << iota // bpf_skb_store_bytes: 141
	FailL3CsumReplace                    // bpf_l3_csum_replace: 153
	FailL4CsumReplace                    // bpf_l4_csum_replace: 154
	FailMapUpdate                        // bpf_map_update_elem on conntrack: 155
	FailCTState                          // a conntrack state that no program knows: 163
)

// SetFaults makes helpers fail from now on; 0 ends that.
func (e *Engine) SetFaults(f Faults) { e.faults = f }

// fails says that a helper fails.
func (e *Engine) fails(f Faults) bool { return e.faults&f != 0 }
