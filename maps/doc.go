// Package maps stands in for BPF maps: it holds the containers (hash, LRU hash, LPM trie, arrays, program array), every
// cilium_* map of a node with Cilium's byte layout and text, and a journal that can undo and list changes.
//
// Keys and values are Go structs which equal the C structs byte for byte on a little endian machine, so any entry can be
// copied to or from a kernel map. Fields that the datapath keeps in network order are byte arrays ([2]byte, [4]byte,
// [6]byte); fields in host order are integers; padding is spelled out as named fields. [Store] shows a map as bytes; the
// emulator uses the concrete types, whose Ref returns the live entry as bpf_map_lookup_elem does.
//
// A node is one goroutine, and one goroutine is one CPU: nothing here locks, a per-CPU map holds the value of that single
// CPU, and whoever copies to or from a kernel map sums the kernel's per-CPU values.
package maps
