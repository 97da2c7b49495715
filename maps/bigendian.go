//go:build armbe || arm64be || m68k || mips || mips64 || mips64p32 || ppc || ppc64 || s390 || s390x || shbe || sparc || sparc64

package maps

// Map entries are shown as the bytes of Go structs, which are Cilium's layouts on little endian machines only. The name
// is undefined on purpose: it stops the build here.
const _ = hooklabNeedsALittleEndianMachine
