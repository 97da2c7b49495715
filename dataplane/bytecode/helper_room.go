package bytecode

import "github.com/hooklab/hooklab/dataplane/header"

// maxFrame is the longest frame that a program may make (BPF_SKB_MAX_LEN is a little more).
const maxFrame = 65535 + header.EthernetSize

// resize makes the frame n bytes longer (or shorter) at offset at; new bytes are zero. The frame stays in its buffer if
// that has room behind it, and moves to the engine's own, valid until the next run, if not.
func (m *machine) resize(at, n int) {
	old := m.p.Data
	if n <= 0 {
		copy(old[at:], old[at-n:])
		m.p.Data = old[:len(old)+n]
		m.moved()
		return
	}
	var grown []byte
	if cap(old)-len(old) >= n {
		grown = old[:len(old)+n]
	} else {
		if m.scratch == nil {
			m.scratch = make([]byte, maxFrame)
		}
		grown = m.scratch[: len(old)+n : len(old)+n]
		copy(grown, old[:at])
	}
	copy(grown[at+n:], old[at:])
	clear(grown[at : at+n])
	m.p.Data = grown
	m.moved()
}

// changeTail is bpf_skb_change_tail.
func (m *machine) changeTail(ctx, size, flags, _, _ uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	p := m.p
	n, least := int(uint32(size)), m.meta.network
	if p.Csum.Partial {
		least = int(p.Csum.Start) + int(p.Csum.Off) + 2
	}
	switch {
	case flags != 0, n > maxFrame, n < least:
		return errEINVAL
	case p.GSO.Type != 0:
		return errENOTSUPP
	}
	at := len(p.Data)
	m.resize(min(n, at), n-at)
	return 0
}

// changeHead is bpf_skb_change_head: room in front of the frame, for a link header.
func (m *machine) changeHead(ctx, room, flags, _, _ uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	n := int(uint32(room))
	if flags != 0 || n > maxFrame-len(m.p.Data) {
		return errEINVAL
	}
	m.resize(0, n)
	m.meta.network += n
	return 0
}

// Modes and flags of bpf_skb_adjust_room (linux/bpf.h).
const (
	roomNet   = 0
	roomMAC   = 1
	roomFlags = 0x1ff | 0xff<<56
)

// adjustRoom is bpf_skb_adjust_room: room between link and network header, or behind the network header.
func (m *machine) adjustRoom(ctx, diff, mode, flags, _ uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	n := int(int32(uint32(diff)))
	if flags&^roomFlags != 0 || mode > roomMAC && flags != 0 {
		return errEINVAL
	}
	if n > 0xfff || n < -0xfff {
		return errEFAULT
	}
	var base int
	switch m.meta.protocol {
	case 0x0008: // ETH_P_IP, in network order
		base = 20
	case 0xdd86: // ETH_P_IPV6
		base = 40
	default:
		return errENOTSUPP
	}
	at := m.meta.network
	switch mode {
	case roomNet:
		at += base
	case roomMAC:
	default:
		return errENOTSUPP
	}
	have := len(m.p.Data) - m.meta.network
	if n < 0 && (-n >= have || have+n < base) || n > 0 && len(m.p.Data)+n > maxFrame || at > len(m.p.Data) {
		return errENOTSUPP
	}
	m.resize(at, n)
	return 0
}
