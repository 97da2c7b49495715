package bytecode

// Failing are helpers that fail in every run, as they can in a kernel that is out of memory or has a packet which
// it cannot make writable. Nothing else leads programs where they give up for that.
type Failing uint8

// What can be made to fail, as the emulation can too.
const (
	FailStoreBytes Failing = 1 << iota // bpf_skb_store_bytes
	FailL4Csum                         // bpf_l4_csum_replace
	FailCTUpdate                       // bpf_map_update_elem on conntrack
)

// SetFailing makes helpers fail from now on; 0 ends that.
func (e *Engine) SetFailing(f Failing) { e.machine.failing = f }

// fails says that a helper fails.
func (m *machine) fails(f Failing) bool { return m.failing&f != 0 }
