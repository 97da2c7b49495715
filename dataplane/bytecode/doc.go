// Package bytecode is the engine that runs BPF objects in this process, without
// privileges and without the kernel: a virtual machine for the programs that the
// kernel's verifier accepts.
//
// A program is decoded once, into instructions of fixed size whose jumps are
// resolved (decode.go, op.go), and then interpreted (exec.go). A register holds a
// number; an address is one too: a region in the upper half, an offset in the lower
// (memory.go). Every access is checked against its region, so that a program which no
// verifier has seen gets a Fault that names the instruction and the source line, and
// never reaches memory that is not its own. The context is a struct __sk_buff whose
// fields are those of a dataplane.Packet (ctx.go). Helpers stand in helper_*.go.
//
// Maps are those of package maps: a lookup gives the program the live entry.
//
// Unlike in the kernel: there is one CPU, and no verifier: what a program may not do is noticed when it
// does it.
package bytecode
