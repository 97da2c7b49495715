// Package trace records what happens to a packet: the notifications that the
// datapath owes its users (Ring), and, when asked, the packet's way through the
// functions (Buffer). Records are of fixed size and hold codes, never text.
package trace

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane/code"
)

// Kind is what a Step tells.
type Kind uint8

// Kinds of steps.
const (
	KindEnter    Kind = iota + 1 // Func was entered
	KindLeave                    // Func returned Ret
	KindTailCall                 // slot Slot of prog array Map was jumped to; Ret tells a miss
	KindLookup                   // Map was asked for a key; an empty value is a miss
	KindUpdate                   // an entry of Map was created or replaced; an empty value is a refusal
	KindRewrite                  // packet bytes from offset Slot changed: Key was, Value is
	KindMark                     // the packet's mark changed: Key was, Value is, little endian
	KindHelper                   // a BPF helper was called: Key is the call as text, Value its result, 8 bytes little endian
)

// Step is one thing that happened to a packet.
type Step struct {
	Kind     Kind
	Depth    uint8 // calls that were open; a tail call opens none
	Func     Func  // KindEnter, KindLeave
	Map      Map   // KindTailCall, KindLookup, KindUpdate
	Endpoint uint16
	Slot     uint32
	Ret      code.Ret
	Source   *Source // where in the C source, if the engine knows

	key, value span
}

// Source is a position in the C source of a program, from its object's line information.
type Source struct {
	File string // as it was compiled: "bpf/lib/arp.h"
	Line uint32
	Text string // the line
}

// span is a stretch of the buffer's bytes.
type span struct{ off, n uint32 }

// watched is how much of a packet's head is compared to find what was rewritten:
// Ethernet, the longest IPv4 header and the L4 header.
const watched = 128

// Buffer records the steps of one run, in order. It belongs to one goroutine.
type Buffer struct {
	steps []Step
	bytes []byte
	depth uint8
	again bool // the function that was entered calls itself next
	lost  int

	frame  []byte // the packet that is watched
	mark   *uint32
	head   [watched]byte // its bytes as last seen
	was    uint32        // its mark as last seen
	source *Source       // where the program is

	onStep, onPlace func()
}

// NewBuffer makes a buffer for n steps; what comes after them is counted as lost.
func NewBuffer(n int) *Buffer {
	return &Buffer{steps: make([]Step, 0, n), bytes: make([]byte, 0, 64*n)}
}

// Reset forgets all steps and keeps the memory.
func (b *Buffer) Reset() {
	b.steps, b.bytes, b.depth, b.lost = b.steps[:0], b.bytes[:0], 0, 0
	b.again, b.frame, b.mark, b.source = false, nil, nil, nil
}

// SetSource says where in its source the program is; nil: unknown. What has changed in the packet until then belongs to the place
// before.
func (b *Buffer) SetSource(s *Source) {
	b.look()
	if b.onPlace != nil {
		b.onPlace()
	}
	b.source = s
}

// Helper records a call of a BPF helper, as text, and its result.
func (b *Buffer) Helper(call []byte, result uint64) {
	b.addBytes(Step{Kind: KindHelper, Depth: b.depth}, call, binary.LittleEndian.AppendUint64(nil, result))
}

// OnStep makes the buffer call f whenever it has recorded a step; nil ends that. The
// program waits meanwhile, so that f may look at it, and at what it has done so far.
func (b *Buffer) OnStep(f func()) { b.onStep = f }

// OnPlace makes the buffer call f before the place in the program's source changes, if the
// engine tells places; nil ends that. Place is where it is until then.
func (b *Buffer) OnPlace(f func()) { b.onPlace = f }

// Place is where in its source the program is; nil: unknown.
func (b *Buffer) Place() *Source { return b.source }

// Watch makes the buffer record what changes in a packet and its mark. Both are
// borrowed until the next Watch or Reset.
func (b *Buffer) Watch(frame []byte, mark *uint32) {
	b.frame, b.mark, b.was = frame, mark, *mark
	copy(b.head[:], frame)
}

// Steps are the recorded steps, valid until the next Reset.
func (b *Buffer) Steps() []Step { return b.steps }

// Key is the key that a step's map was asked for, or what was there before; valid
// until the next Reset.
func (b *Buffer) Key(s *Step) []byte { return b.bytes[s.key.off:][:s.key.n] }

// Value is the value that a step's map had, or what is there now; valid until the
// next Reset.
func (b *Buffer) Value(s *Step) []byte { return b.bytes[s.value.off:][:s.value.n] }

// Lost is how many steps found no room.
func (b *Buffer) Lost() int { return b.lost }

// Enter records that f was entered.
func (b *Buffer) Enter(f Func) {
	b.look()
	b.add(Step{Kind: KindEnter, Depth: b.depth, Func: f})
	b.depth++
}

// First is how a function brackets itself without a defer, which would cost each call something even when nothing is
// recorded: true says that the function is to call itself, which then finds false, between Enter and Leave. It calls
// nothing, so that arguments stay in registers where nothing is recorded.
//
//	if p.Trace != nil && p.Trace.First() {
//		p.Trace.Enter(trace.ARPRespond)
//		return p.Trace.Leave(trace.ARPRespond, o.arpRespond(p, mac, q))
//	}
func (b *Buffer) First() bool {
	b.again = !b.again
	return b.again
}

// Leave records that f returned, and returns ret; a function without a return code passes code.OK.
func (b *Buffer) Leave(f Func, ret code.Ret) code.Ret {
	b.look()
	b.depth--
	b.add(Step{Kind: KindLeave, Depth: b.depth, Func: f, Ret: ret})
	return ret
}

// TailCall records a jump to a slot of a prog array; hit is false if the slot was
// empty or the limit of tail calls reached.
func (b *Buffer) TailCall(m Map, slot uint32, hit bool) {
	b.look()
	s := Step{Kind: KindTailCall, Depth: b.depth, Map: m, Slot: slot}
	if !hit {
		s.Ret = code.DropMissedTailCall
	}
	b.add(s)
}

// Lookup records that a map was asked for a key; a nil value is a miss. endpoint
// names the endpoint of a map that there is one of for each, and is 0 otherwise.
func (b *Buffer) Lookup(m Map, endpoint uint16, key, value []byte) {
	b.addBytes(Step{Kind: KindLookup, Depth: b.depth, Map: m, Endpoint: endpoint}, key, value)
}

// Update records that an entry was created or replaced; a nil value says that the
// map refused.
func (b *Buffer) Update(m Map, key, value []byte) {
	b.addBytes(Step{Kind: KindUpdate, Depth: b.depth, Map: m}, key, value)
}

// look records what has changed in the watched packet.
func (b *Buffer) look() {
	if b.mark == nil {
		return
	}
	head := b.frame[:min(len(b.frame), watched)]
	for i := 0; i < len(head); {
		if head[i] == b.head[i] {
			i++
			continue
		}
		end := i + 1
		for end < len(head) && head[end] != b.head[end] {
			end++
		}
		b.addBytes(Step{Kind: KindRewrite, Depth: b.depth, Slot: uint32(i)}, b.head[i:end], head[i:end])
		copy(b.head[i:end], head[i:end])
		i = end
	}
	if *b.mark != b.was {
		var was, is [4]byte
		binary.LittleEndian.PutUint32(was[:], b.was)
		binary.LittleEndian.PutUint32(is[:], *b.mark)
		b.addBytes(Step{Kind: KindMark, Depth: b.depth}, was[:], is[:])
		b.was = *b.mark
	}
}

// addBytes adds a step with copies of its bytes; it is lost if there is no room for
// them.
func (b *Buffer) addBytes(s Step, key, value []byte) {
	if len(b.bytes)+len(key)+len(value) > cap(b.bytes) {
		b.lost++
		return
	}
	s.key, s.value = b.keep(key), b.keep(value)
	b.add(s)
}

func (b *Buffer) keep(p []byte) span {
	s := span{uint32(len(b.bytes)), uint32(len(p))}
	b.bytes = append(b.bytes, p...)
	return s
}

func (b *Buffer) add(s Step) {
	if len(b.steps) == cap(b.steps) {
		b.lost++
		return
	}
	s.Source = b.source
	b.steps = append(b.steps, s)
	if b.onStep != nil {
		b.onStep()
	}
}
