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

// helperEntry is a helper's number (linux/bpf.h, enum bpf_func_id) and its function.
type helperEntry struct {
	id int
	fn helperFunc
}

// helperTable are all helpers. The first place is empty: index 0 means none.
var helperTable = [...]helperEntry{
	{},
	{1, (*machine).helpMapLookup},
	{2, (*machine).mapUpdate},
	{3, (*machine).mapDelete},
	{5, (*machine).ktime},
	{6, (*machine).tracePrintk},
	{7, (*machine).random},
	{8, (*machine).zero}, // get_smp_processor_id
	{9, (*machine).skbStoreBytes},
	{10, (*machine).l3CsumReplace},
	{11, (*machine).l4CsumReplace},
	{20, (*machine).getTunnelKey},
	{21, (*machine).setTunnelKey},
	{23, (*machine).redirect},
	{25, (*machine).perfEventOutput},
	{26, (*machine).skbLoadBytes},
	{28, (*machine).csumDiff},
	{32, (*machine).changeType},
	{34, (*machine).hashRecalc},
	{38, (*machine).changeTail},
	{39, (*machine).pullData},
	{40, (*machine).csumUpdate},
	{41, (*machine).hashInvalid},
	{42, (*machine).zero}, // get_numa_node_id
	{43, (*machine).changeHead},
	{48, (*machine).setHash},
	{50, (*machine).adjustRoom},
	{68, (*machine).loadBytesRelative},
	{69, (*machine).fibLookup},
	{118, (*machine).jiffies},
	{125, (*machine).ktime}, // ktime_get_boot_ns
	{130, (*machine).ringbufOutput},
	{131, (*machine).ringbufReserve},
	{132, (*machine).ringbufSubmit},
	{133, (*machine).ringbufDiscard},
	{134, (*machine).zero}, // ringbuf_query
	{155, (*machine).redirectPeer},
	{160, (*machine).ktime}, // ktime_get_coarse_ns
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
