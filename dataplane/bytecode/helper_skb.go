package bytecode

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// Flags of bpf_skb_store_bytes.
const (
	storeRecomputeCsum  = 1
	storeInvalidateHash = 2
)

// skbStoreBytes is bpf_skb_store_bytes.
func (m *machine) skbStoreBytes(ctx, off, fromAddr, n, flags uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	from := m.arg(3, "read", fromAddr, n)
	if m.fault != nil {
		return 0
	}
	if m.fails(FailStoreBytes) {
		return errENOMEM
	}
	if flags&^(storeRecomputeCsum|storeInvalidateHash) != 0 {
		return errEINVAL
	}
	off = uint64(uint32(off))
	if off > 0x7fffffff {
		return errEFAULT
	}
	dst := m.p.Load(int(off), int(n))
	if dst == nil {
		return errEFAULT
	}
	copy(dst, from)
	if flags&storeInvalidateHash != 0 {
		m.p.Hash = 0
	}
	return 0
}

// skbLoadBytes is bpf_skb_load_bytes.
func (m *machine) skbLoadBytes(ctx, off, toAddr, n, _ uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	return m.loadBytes(int(uint32(off)), m.arg(3, "write", toAddr, n))
}

func (m *machine) loadBytes(off int, to []byte) uint64 {
	if m.fault != nil {
		return 0
	}
	from := m.p.Load(off, len(to))
	if from == nil || off > 0x7fffffff {
		clear(to)
		return errEFAULT
	}
	copy(to, from)
	return 0
}

// loadBytesRelative is bpf_skb_load_bytes_relative: from the link header (0) or the network header (1).
func (m *machine) loadBytesRelative(ctx, off, toAddr, n, start uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	to := m.arg(3, "write", toAddr, n)
	if m.fault != nil {
		return 0
	}
	base := 0
	if start == 1 {
		base = m.meta.network
	}
	if uint32(off) > 0xffff || start > 1 {
		clear(to)
		return errEFAULT
	}
	return m.loadBytes(base+int(uint32(off)), to)
}

// pullData is bpf_skb_pull_data: a frame is always in one piece here.
func (m *machine) pullData(ctx, n, _, _, _ uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	if uint64(uint32(n)) > uint64(len(m.p.Data)) {
		return errENOMEM
	}
	return 0
}

// changeType is bpf_skb_change_type: among the types of frames that arrive.
func (m *machine) changeType(ctx, kind, _, _, _ uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	if uint32(kind) > uint32(dataplane.PacketOtherHost) || m.p.PktType > dataplane.PacketOtherHost {
		return errEINVAL
	}
	m.p.PktType = uint8(kind)
	return 0
}

// hashRecalc is bpf_get_hash_recalc: a hash of the flow, if the frame has none yet.
//
// Differs: the kernel's hash of a flow has a secret key; in engine bytecode it is a function of addresses and ports. No program
// of the datapath decides by it. Test: TestDifferencesOfHelpers.
func (m *machine) hashRecalc(ctx, _, _, _, _ uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	if m.p.Hash == 0 {
		h := uint32(2166136261)
		if ip := m.p.Load(header.EthernetSize, header.IPv4MinSize); ip != nil {
			for _, b := range ip[12:20] {
				h = (h ^ uint32(b)) * 16777619
			}
			h = (h ^ uint32(ip[9])) * 16777619
			for _, b := range m.p.Load(header.EthernetSize+4*int(ip[0]&0xf), 4) {
				h = (h ^ uint32(b)) * 16777619
			}
		}
		m.p.Hash = max(h, 1)
	}
	return uint64(m.p.Hash)
}

func (m *machine) hashInvalid(ctx, _, _, _, _ uint64) uint64 {
	if m.isContext(ctx) {
		m.p.Hash = 0
	}
	return 0
}

func (m *machine) setHash(ctx, hash, _, _, _ uint64) uint64 {
	if m.isContext(ctx) {
		m.p.Hash = uint32(hash)
	}
	return 0
}

// Results of helpers that redirect (linux/pkt_cls.h).
const (
	tcShot     = 2
	tcRedirect = 7

	redirectIngress = 1 // BPF_F_INGRESS
)

// redirect is bpf_redirect.
func (m *machine) redirect(ifindex, flags, _, _, _ uint64) uint64 {
	if flags&^redirectIngress != 0 {
		return tcShot
	}
	m.verdict.Ifindex, m.verdict.Flags = uint32(ifindex), 0
	if flags&redirectIngress != 0 {
		m.verdict.Flags = dataplane.RedirectIngress
	}
	return tcRedirect
}

// redirectPeer is bpf_redirect_peer.
func (m *machine) redirectPeer(ifindex, flags, _, _, _ uint64) uint64 {
	if flags != 0 {
		return tcShot
	}
	m.verdict.Ifindex, m.verdict.Flags = uint32(ifindex), dataplane.RedirectPeer
	return tcRedirect
}

// struct bpf_tunnel_key, and the sizes that it had in older kernels.
const (
	keyRemote = 4
	keyTOS    = 20
	keyTTL    = 21
	keyExt    = 22
	keyLabel  = 24
	keyLocal  = 28
	keySize   = 44
	keySize1  = 8

	tunnelIPv6      = 1  // BPF_F_TUNINFO_IPV6
	tunnelFlags     = 16 // BPF_F_TUNINFO_FLAGS
	tunnelSetFlags  = 0x2f
	errTunnelFamily = errEPROTO
)

func tunnelKeySize(n uint64) bool {
	return n == keySize || n == keyLocal || n == keyLabel || n == keyExt || n == keySize1
}

// getTunnelKey is bpf_skb_get_tunnel_key: of the frame as it was decapsulated, or, where the program has set one, of
// that, whose peer is the destination and not the source.
func (m *machine) getTunnelKey(ctx, toAddr, size, flags, _ uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	to := m.arg(2, "write", toAddr, size)
	if m.fault != nil {
		return 0
	}
	clear(to)
	in, out := &m.p.TunnelIn, &m.p.TunnelOut
	switch {
	case flags&^(tunnelIPv6|tunnelFlags) != 0, !in.Present && !out.Present:
		return errEINVAL
	case flags&tunnelIPv6 != 0:
		return errTunnelFamily
	case !tunnelKeySize(size):
		return errEINVAL
	}
	var key [keySize]byte
	k := in
	if out.Present {
		k = out
		binary.LittleEndian.PutUint32(key[keyLocal:], binary.BigEndian.Uint32(k.Remote[:]))
	} else {
		binary.LittleEndian.PutUint32(key[keyRemote:], binary.BigEndian.Uint32(k.Remote[:]))
	}
	binary.LittleEndian.PutUint32(key[0:], k.ID)
	key[keyTOS], key[keyTTL] = k.TOS, k.TTL
	copy(to, key[:])
	return 0
}

// setTunnelKey is bpf_skb_set_tunnel_key.
//
// Differs: in engine bytecode the underlay is IPv4, so a tunnel key for IPv6 is refused with EINVAL; flags about the outer header
// (checksum, DF) are taken and change nothing, and a local address is ignored. Test: TestDifferencesOfHelpers.
func (m *machine) setTunnelKey(ctx, fromAddr, size, flags, _ uint64) uint64 {
	if !m.isContext(ctx) {
		return 0
	}
	from := m.arg(2, "read", fromAddr, size)
	if m.fault != nil {
		return 0
	}
	if flags&^tunnelSetFlags != 0 || !tunnelKeySize(size) {
		return errEINVAL
	}
	var key [keySize]byte
	copy(key[:], from)
	label, ext := binary.LittleEndian.Uint32(key[keyLabel:]), binary.LittleEndian.Uint16(key[keyExt:])
	if label != 0 || ext != 0 || flags&tunnelIPv6 != 0 {
		return errEINVAL
	}
	k := &m.p.TunnelOut
	k.Present = true
	k.ID = binary.LittleEndian.Uint32(key[0:])
	binary.BigEndian.PutUint32(k.Remote[:], binary.LittleEndian.Uint32(key[keyRemote:]))
	k.TOS, k.TTL = key[keyTOS], key[keyTTL]
	return 0
}

// fibLookup is bpf_fib_lookup. What routes a node has is behind the engine, so the answer is always that the packet is
// not forwarded (BPF_FIB_LKUP_RET_NOT_FWDED), and programs leave it to the stack.
//
// Differs: in engine bytecode bpf_fib_lookup never finds a route. Test: TestDifferencesOfHelpers.
func (m *machine) fibLookup(ctx, params, size, flags, _ uint64) uint64 {
	const paramsSize, knownFlags, notForwarded = 64, 0x3f, 4
	if !m.isContext(ctx) || m.arg(2, "write", params, size) == nil {
		return errEINVAL
	}
	if size < paramsSize || flags&^knownFlags != 0 {
		return errEINVAL
	}
	return notForwarded
}
