package bytecode

import (
	"errors"
	"strconv"

	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// objectKind is what a permanent region stands for.
type objectKind uint8

const (
	kindFree     objectKind = iota // nothing
	kindMemory                     // nothing but its memory: read-only data, values of a scratch array
	kindMap                        // a map with entries
	kindScratch                    // an array that only programs know
	kindPrograms                   // a prog array
	kindEvents                     // the perf event array of notifications
	kindSignals                    // another one, that nobody listens to
	kindRing                       // a ring buffer
)

// object returns what argument n, a pointer to a map, stands for.
func (m *machine) object(n int, addr uint64, kind objectKind) *machineObject {
	id := addr >> 32
	if id >= uint64(len(m.objects)) || uint32(addr) != 0 || m.objects[id].kind != kind {
		m.fail("argument %d is %#x, not the map that the helper takes", n, addr)
		return nil
	}
	return &m.objects[id]
}

// mapObject returns the map that argument 1 points to.
func (m *machine) mapObject(addr uint64) *machineObject {
	id := addr >> 32
	if id < uint64(len(m.objects)) && uint32(addr) == 0 {
		if o := &m.objects[id]; o.kind == kindMap || o.kind == kindScratch {
			return o
		}
	}
	m.fail("argument 1 is %#x, no map with entries", addr)
	return nil
}

// mapLookup is bpf_map_lookup_elem: the address of the live value, or 0.
func (m *machine) mapLookup(addr, keyAddr uint64) uint64 {
	o := m.mapObject(addr)
	if o == nil {
		return 0
	}
	key := m.read(keyAddr, uint64(o.keySize))
	if key == nil {
		m.failAccess("argument 2: read", keyAddr, uint64(o.keySize))
		return 0
	}
	if o.kind == kindScratch {
		i := loadBytes(key)
		if i >= uint64(o.entries) {
			return 0
		}
		return o.values + i*uint64(o.valueSize)
	}
	v := o.m.RefBytes(key)
	if m.p.Trace != nil && o.traced != 0 {
		m.p.Trace.Lookup(o.traced, o.endpoint, key, v)
	}
	if v == nil {
		return 0
	}
	return m.add(v)
}

func (m *machine) helpMapLookup(a, b, _, _, _ uint64) uint64 { return m.mapLookup(a, b) }

// mapUpdate is bpf_map_update_elem.
func (m *machine) mapUpdate(addr, keyAddr, valueAddr, flags, _ uint64) uint64 {
	o := m.mapObject(addr)
	if o == nil {
		return 0
	}
	key := m.arg(2, "read", keyAddr, uint64(o.keySize))
	value := m.arg(3, "read", valueAddr, uint64(o.valueSize))
	if key == nil || value == nil {
		return 0
	}
	if o.kind == kindScratch {
		i := loadBytes(key)
		switch {
		case flags > 2:
			return errEINVAL
		case i >= uint64(o.entries):
			return errE2BIG
		case flags == uint64(maps.NoExist):
			return errEEXIST
		}
		copy(m.write(o.values+i*uint64(o.valueSize), uint64(o.valueSize)), value)
		return 0
	}
	if m.fails(FailCTUpdate) && (o.traced == trace.MapCT4 || o.traced == trace.MapCTAny4) {
		return errENOMEM
	}
	err := o.m.Update(key, value, maps.UpdateFlag(flags))
	if m.p.Trace != nil && o.traced != 0 {
		kept := value
		if err != nil {
			kept = nil
		}
		m.p.Trace.Update(o.traced, key, kept)
	}
	return errnoOf(err)
}

// mapDelete is bpf_map_delete_elem.
func (m *machine) mapDelete(addr, keyAddr, _, _, _ uint64) uint64 {
	o := m.mapObject(addr)
	if o == nil {
		return 0
	}
	key := m.arg(2, "read", keyAddr, uint64(o.keySize))
	if key == nil {
		return 0
	}
	if o.kind == kindScratch {
		return errEINVAL
	}
	return errnoOf(o.m.Delete(key))
}

// errnoOf is a map operation's error as the kernel returns it.
func errnoOf(err error) uint64 {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, maps.ErrKeyExist):
		return errEEXIST
	case errors.Is(err, maps.ErrKeyNotExist):
		return errENOENT
	case errors.Is(err, maps.ErrNoSpace):
		return errENOSPC
	case errors.Is(err, maps.ErrFull):
		return errE2BIG
	}
	return errEINVAL
}

// tailCall finds where bpf_tail_call leads; nil is a miss, after which the caller goes on.
func (m *machine) tailCall(ctx, addr, slot uint64) *program {
	if !m.isContext(ctx) {
		return nil
	}
	o := m.object(2, addr, kindPrograms)
	if o == nil {
		return nil
	}
	id, ok := o.calls.Prog(uint32(slot))
	ok = ok && m.tailLeft > 0 && uint64(id) <= uint64(len(m.tails)) && m.tails[id-1] != nil
	if m.p.Trace != nil {
		m.p.Trace.TailCall(o.traced, uint32(slot), ok)
	}
	if !ok {
		return nil
	}
	m.tailLeft--
	return m.tails[id-1]
}

// Flags of perf_event_output (linux/bpf.h).
const (
	currentCPU  = 0xffffffff
	indexMask   = 0xffffffff
	ctxLenMask  = 0xfffff << 32
	ctxLenShift = 32
)

// perfEventOutput is bpf_perf_event_output: a notification of the program's own bytes and the packet's first.
func (m *machine) perfEventOutput(ctx, addr, flags, dataAddr, size uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	if id := addr >> 32; id < uint64(len(m.objects)) && m.objects[id].kind == kindSignals {
		return errENOENT
	}
	if m.object(2, addr, kindEvents) == nil {
		return 0
	}
	data := m.arg(4, "read", dataAddr, size)
	if m.fault != nil {
		return 0
	}
	captured := flags & ctxLenMask >> ctxLenShift
	switch {
	case flags&^(ctxLenMask|indexMask) != 0:
		return errEINVAL
	case captured > uint64(len(m.p.Data)):
		return errEFAULT
	case flags&indexMask != currentCPU && flags&indexMask != 0:
		return errENOENT // another CPU's ring, which nobody reads
	}
	if len(data) >= 2 && data[0] == trace.TypeDrop {
		m.verdict.Drop = code.Ret(-int32(data[1]))
	}
	if m.p.Events != nil {
		m.p.Events.Raw(data, m.p.Data[:captured])
	}
	return 0
}

// ringbufOutput is bpf_ringbuf_output.
func (m *machine) ringbufOutput(addr, dataAddr, size, flags, _ uint64) uint64 {
	if m.object(1, addr, kindRing) == nil {
		return 0
	}
	if flags&^ringWakeup != 0 {
		return errEINVAL
	}
	data := m.arg(2, "read", dataAddr, size)
	if m.fault == nil && m.p.Events != nil {
		m.p.Events.Raw(data, nil)
	}
	return 0
}

// ringWakeup are BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP.
const ringWakeup = 3

// ringbufReserve is bpf_ringbuf_reserve: memory for one record, one at a time.
func (m *machine) ringbufReserve(addr, size, flags, _, _ uint64) uint64 {
	if m.object(1, addr, kindRing) == nil {
		return 0
	}
	if flags != 0 || size > trace.MaxRecord || m.reserved != 0 {
		return 0
	}
	if m.record == nil {
		m.record = make([]byte, trace.MaxRecord)
	}
	m.reserved = m.add(m.record[:size])
	return m.reserved
}

// ringbufSubmit is bpf_ringbuf_submit.
func (m *machine) ringbufSubmit(addr, flags, _, _, _ uint64) uint64 {
	if b := m.release(addr); b != nil && flags&^ringWakeup == 0 && m.p.Events != nil {
		m.p.Events.Raw(b, nil)
	}
	return 0
}

// ringbufDiscard is bpf_ringbuf_discard.
func (m *machine) ringbufDiscard(addr, _, _, _, _ uint64) uint64 {
	m.release(addr)
	return 0
}

// release takes a reserved record back: the program cannot reach it any more.
func (m *machine) release(addr uint64) []byte {
	if addr == 0 || addr != m.reserved {
		m.fail("argument 1 is %#x, no reserved record", addr)
		return nil
	}
	g := &m.regions[addr>>32]
	b := m.record[:g.size]
	*g, m.reserved = region{}, 0
	return b
}
