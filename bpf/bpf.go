// Package bpf has our own twin of Cilium's datapath as compiled BPF objects:
// bpf_lxc, bpf_host and bpf_overlay, written in C beside this file.
//
// The objects are committed, so that building hooklab needs no C compiler; `make
// bpf` compiles them anew. Each is an ELF file for the kernel's loader or for a
// virtual machine, little endian, with BTF and line information. The constants
// of lib/config.h, in section .rodata, are to be set before it is loaded.
package bpf

//go:generate go tool bpf2go -target bpfel -no-global-types lxc bpf_lxc.c -- -mcpu=v3 -O2 -Wall -Wextra -Werror -fno-strict-aliasing
//go:generate go tool bpf2go -target bpfel -no-global-types host bpf_host.c -- -mcpu=v3 -O2 -Wall -Wextra -Werror -fno-strict-aliasing
//go:generate go tool bpf2go -target bpfel -no-global-types overlay bpf_overlay.c -- -mcpu=v3 -O2 -Wall -Wextra -Werror -fno-strict-aliasing

// LXC is bpf_lxc.o, the programs of a pod: from-container, to-container and the
// policy program. The caller must not change it.
func LXC() []byte { return _LxcBytes }

// Host is bpf_host.o, the programs of cilium_host, cilium_net and uplinks:
// from-host, to-host, from-netdev and to-netdev. The caller must not change it.
func Host() []byte { return _HostBytes }

// Overlay is bpf_overlay.o, the programs of cilium_vxlan: from-overlay and
// to-overlay. The caller must not change it.
func Overlay() []byte { return _OverlayBytes }
