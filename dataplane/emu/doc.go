// Package emu is the emulated engine: Cilium 1.12's bpf_lxc, bpf_host and
// bpf_overlay in Go.
//
// One Go file stands for one C file, one Go function for one C function, in the
// order in which a packet meets them; each such function ends its comment with
// its C name. Programs are objects, as in C: functions of lib/ run with the
// configuration, calls map and event source of the object that includes them.
//
// Nothing here allocates, locks or logs once an engine is warm, and nothing is
// kept of a packet after Run.
package emu
