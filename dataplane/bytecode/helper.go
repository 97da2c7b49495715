package bytecode

import (
	"github.com/cilium/ebpf/asm"
)

// helperFunc is a helper: arguments r1 to r5, result r0. It reports a fault with machine.fail.
type helperFunc func(m *machine, a, b, c, d, e uint64) uint64

// Helpers that the decoder treats on its own.
const (
	helperMapLookup = 1
	helperTailCall  = 12
)

// Errors as helpers return them (errno.h), negated.
const (
	errENOENT   = ^uint64(2) + 1
	errE2BIG    = ^uint64(7) + 1
	errENOMEM   = ^uint64(12) + 1
	errEFAULT   = ^uint64(14) + 1
	errEEXIST   = ^uint64(17) + 1
	errEINVAL   = ^uint64(22) + 1
	errENOSPC   = ^uint64(28) + 1
	errEPROTO   = ^uint64(71) + 1
	errENOTSUPP = ^uint64(524) + 1
)

// numHelpers is the length of the table of helpers, a power of two.
const numHelpers = 64

// helperEntry is a helper: its number and name in enum bpf_func_id of linux/bpf.h, how many arguments it takes, and its
// function.
type helperEntry struct {
	id   int
	name string
	args int
	fn   helperFunc
}

// helperTable are all helpers. The first place is empty: index 0 means none.
var helperTable = [...]helperEntry{
	{},
	{1, "map_lookup_elem", 2, (*machine).helpMapLookup},
	{2, "map_update_elem", 4, (*machine).mapUpdate},
	{3, "map_delete_elem", 2, (*machine).mapDelete},
	{5, "ktime_get_ns", 0, (*machine).ktime},
	{6, "trace_printk", 2, (*machine).tracePrintk},
	{7, "get_prandom_u32", 0, (*machine).random},
	{8, "get_smp_processor_id", 0, (*machine).zero},
	{9, "skb_store_bytes", 5, (*machine).skbStoreBytes},
	{10, "l3_csum_replace", 5, (*machine).l3CsumReplace},
	{11, "l4_csum_replace", 5, (*machine).l4CsumReplace},
	{20, "skb_get_tunnel_key", 4, (*machine).getTunnelKey},
	{21, "skb_set_tunnel_key", 4, (*machine).setTunnelKey},
	{23, "redirect", 2, (*machine).redirect},
	{25, "perf_event_output", 5, (*machine).perfEventOutput},
	{26, "skb_load_bytes", 4, (*machine).skbLoadBytes},
	{28, "csum_diff", 5, (*machine).csumDiff},
	{32, "skb_change_type", 2, (*machine).changeType},
	{34, "get_hash_recalc", 1, (*machine).hashRecalc},
	{38, "skb_change_tail", 3, (*machine).changeTail},
	{39, "skb_pull_data", 2, (*machine).pullData},
	{40, "csum_update", 2, (*machine).csumUpdate},
	{41, "set_hash_invalid", 1, (*machine).hashInvalid},
	{42, "get_numa_node_id", 0, (*machine).zero},
	{43, "skb_change_head", 3, (*machine).changeHead},
	{48, "set_hash", 2, (*machine).setHash},
	{50, "skb_adjust_room", 4, (*machine).adjustRoom},
	{68, "skb_load_bytes_relative", 5, (*machine).loadBytesRelative},
	{69, "fib_lookup", 4, (*machine).fibLookup},
	{118, "jiffies64", 0, (*machine).jiffies},
	{125, "ktime_get_boot_ns", 0, (*machine).ktime},
	{130, "ringbuf_output", 4, (*machine).ringbufOutput},
	{131, "ringbuf_reserve", 3, (*machine).ringbufReserve},
	{132, "ringbuf_submit", 2, (*machine).ringbufSubmit},
	{133, "ringbuf_discard", 2, (*machine).ringbufDiscard},
	{134, "ringbuf_query", 2, (*machine).zero},
	{155, "redirect_peer", 2, (*machine).redirectPeer},
	{160, "ktime_get_coarse_ns", 0, (*machine).ktime},
}

// helpers are the functions by their place in helperTable, helperIndex that place by number.
var helpers, helperIndex = indexHelpers()

func indexHelpers() (fns [numHelpers]helperFunc, index [256]uint8) {
	for i := range fns {
		fns[i] = (*machine).noHelper
	}
	for i, h := range helperTable {
		if h.fn != nil {
			fns[i], index[h.id] = h.fn, uint8(i)
		}
	}
	return fns, index
}

// helperName is a helper's name and number.
func helperName(id int64) string {
	name := asm.BuiltinFunc(uint32(id)).String()
	return name + " (" + itoa(id) + ")"
}

func (m *machine) noHelper(_, _, _, _, _ uint64) uint64 {
	m.fail("no such helper")
	return 0
}

func (m *machine) zero(_, _, _, _, _ uint64) uint64 { return 0 }

func (m *machine) ktime(_, _, _, _, _ uint64) uint64 { return m.env.KtimeNS }

func (m *machine) jiffies(_, _, _, _, _ uint64) uint64 { return m.env.Jiffies }

func (m *machine) random(_, _, _, _, _ uint64) uint64 { return uint64(m.env.NextRand()) }

// tracePrintk checks its format and prints nothing.
func (m *machine) tracePrintk(format, size, _, _, _ uint64) uint64 {
	if m.arg(1, "read", format, size) == nil {
		return 0
	}
	return size
}

// arg is memory that a helper's argument n points to; nil is a fault, or size 0.
func (m *machine) arg(n int, how string, addr, size uint64) []byte {
	if size == 0 {
		return nil
	}
	var b []byte
	if how == "write" {
		b = m.write(addr, size)
	} else {
		b = m.read(addr, size)
	}
	if b == nil {
		m.failAccess("argument "+itoa(int64(n))+": "+how, addr, size)
	}
	return b
}

// isContext checks that argument 1 is the context.
func (m *machine) isContext(a uint64) bool {
	if a != address(regionContext, 0) {
		m.fail("argument 1 is %#x, not the context", a)
		return false
	}
	return true
}
