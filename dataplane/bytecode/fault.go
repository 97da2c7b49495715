package bytecode

import (
	"errors"
	"fmt"
)

// ErrFault is what every Fault is, for errors.Is.
var ErrFault = errors.New("program fault")

// ErrHelper is wrapped by the refusal of a program that calls what the machine does not have.
var ErrHelper = errors.New("helper not supported")

// Fault says that a program did what a verifier would not have let it: reached outside its
// memory, ran on for too long, handed a helper what it does not take. It names the
// instruction as `llvm-objdump -d` counts them and, if the object has line information,
// where that is in the source.
type Fault struct {
	Program string // function
	PC      int    // raw instruction, from the program's start
	Source  string // "lib/arp.h:27", or ""
	Reason  string
}

// Error is the fault on one line.
func (f *Fault) Error() string {
	at := ""
	if f.Source != "" {
		at = " (" + f.Source + ")"
	}
	return fmt.Sprintf("program %s, instruction %d%s: %s", f.Program, f.PC, at, f.Reason)
}

// Is makes errors.Is(err, ErrFault) true.
func (f *Fault) Is(target error) bool { return target == ErrFault }

// fail stops the run. The first reason counts.
func (m *machine) fail(format string, args ...any) {
	if m.fault == nil {
		m.fault = &Fault{Reason: fmt.Sprintf(format, args...)}
	}
}

func (m *machine) failAccess(how string, addr, n uint64) {
	region, off := addr>>32, int64(addr&0xffffffff)
	if off >= 1<<31 { // below the start of the next region
		region, off = region+1, off-1<<32
	}
	var what string
	switch {
	case region == 0:
		m.fail("%s of %d bytes at %#x, which is no address", how, n, addr)
		return
	case region == regionContext:
		m.fail("%s of %d bytes at offset %d of the context", how, n, off)
		return
	case region == regionPacket:
		what = "packet"
	case region == regionStack:
		what = "stack"
		off -= int64(m.depth+1) * stackSize
	case region < uint64(len(m.objects)) && m.objects[region].name != "":
		what = m.objects[region].name
	case region < uint64(len(m.regions)):
		what = "map value"
	default:
		m.fail("%s of %d bytes at %#x, which is no address", how, n, addr)
		return
	}
	size := uint32(0)
	if region < uint64(len(m.regions)) {
		size = m.regions[region].size
		if how == "write" {
			size = m.regions[region].writable
		}
	}
	if region == regionStack {
		m.fail("%s of %d bytes at offset %d of the stack, which has %d below its frame pointer", how, n, off, stackSize)
		return
	}
	m.fail("%s of %d bytes at offset %d of %s, where %d may be", how, n, off, what, size)
}
