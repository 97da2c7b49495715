// Package trace records what happens to a packet: the notifications that the
// datapath owes its users (Ring), and, when asked, the packet's way through the
// functions (Buffer). Records are of fixed size and hold codes, never text.
package trace

import "github.com/hooklab/hooklab/dataplane/code"

// Kind is what a Step tells.
type Kind uint8

// Kinds of steps.
const (
	KindEnter    Kind = iota + 1 // Func was entered
	KindLeave                    // Func returned Ret
	KindTailCall                 // slot Slot of a prog array was jumped to; Ret tells a miss
)

// Step is one thing that happened to a packet.
type Step struct {
	Kind  Kind
	Depth uint8 // calls that were open; a tail call opens none
	Func  Func
	Slot  uint32
	Ret   code.Ret
}

// Buffer records the steps of one run, in order. It belongs to one goroutine.
type Buffer struct {
	steps []Step
	depth uint8
	lost  int
}

// NewBuffer makes a buffer for n steps; what comes after them is counted as lost.
func NewBuffer(n int) *Buffer { return &Buffer{steps: make([]Step, 0, n)} }

// Reset forgets all steps and keeps the memory.
func (b *Buffer) Reset() { b.steps, b.depth, b.lost = b.steps[:0], 0, 0 }

// Steps are the recorded steps, valid until the next Reset.
func (b *Buffer) Steps() []Step { return b.steps }

// Lost is how many steps found no room.
func (b *Buffer) Lost() int { return b.lost }

// Enter records that f was entered and returns f for Leave.
func (b *Buffer) Enter(f Func) Func {
	b.add(Step{Kind: KindEnter, Depth: b.depth, Func: f})
	b.depth++
	return f
}

// Leave records that f returned. A nil ret is a function without a return code.
//
//	if p.Trace != nil {
//		defer p.Trace.Leave(p.Trace.Enter(trace.ARPRespond), &ret)
//	}
func (b *Buffer) Leave(f Func, ret *code.Ret) {
	b.depth--
	s := Step{Kind: KindLeave, Depth: b.depth, Func: f}
	if ret != nil {
		s.Ret = *ret
	}
	b.add(s)
}

// TailCall records a jump to a slot; hit is false if the slot was empty or the
// limit of tail calls reached.
func (b *Buffer) TailCall(slot uint32, hit bool) {
	s := Step{Kind: KindTailCall, Depth: b.depth, Slot: slot}
	if !hit {
		s.Ret = code.DropMissedTailCall
	}
	b.add(s)
}

func (b *Buffer) add(s Step) {
	if len(b.steps) == cap(b.steps) {
		b.lost++
		return
	}
	b.steps = append(b.steps, s)
}
