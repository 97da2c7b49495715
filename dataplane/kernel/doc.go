// Package kernel runs BPF objects of Cilium's datapath in the kernel: single packets by
// BPF_PROG_TEST_RUN, with the kernel's maps as [maps.Store].
//
// The kernel shows less of such a run than of a packet on the wire, and hooklab wants more:
// where a redirect leads, a clock and random numbers of its own choice, tunnel metadata before
// and after. So the calls of five helpers are replaced by instructions that read or write a
// page shared with us (record.go), and a harness program prepares the packet, enters the
// program by a tail call and looks at the packet afterwards (harness.go).
package kernel
