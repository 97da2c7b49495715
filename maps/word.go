package maps

import (
	"encoding/binary"
	"unsafe"
)

// Keys that the datapath makes for each packet are put together in registers and stored a word at a time, in place, because
// the lookup loads them as words right after. Parts that are stored one by one would have to leave the store buffer first,
// and so would words of which a copy takes two at once: waiting for that costs as much as the rest of the lookup.

// keyOf reads a key from words that hold its bytes. K must not be larger than W.
func keyOf[K, W any](w W) K { return *(*K)(unsafe.Pointer(&w)) }

// put stores a word over the bytes from p on. Larger keys are stored like this: a copy of them would load across words.
func put[T, W any](p *T, w W) { *(*W)(unsafe.Pointer(p)) = w }

func word4(b [4]byte) uint64 { return uint64(binary.LittleEndian.Uint32(b[:])) }
func word2(b [2]byte) uint64 { return uint64(binary.LittleEndian.Uint16(b[:])) }

// NewMetricsKey returns the key of a reason and a direction.
func NewMetricsKey(reason, dir uint8) MetricsKey {
	return keyOf[MetricsKey](uint64(reason) | uint64(dir)<<8)
}

// Set makes the key that of an IPv4 address.
func (k *EndpointKey) Set(ip [4]byte) {
	put(&k.IP, word4(ip))
	put((*[8]byte)(k.Pad[4:]), uint64(0))
	put(&k.Family, uint32(FamilyIPv4))
}

// Set makes the key that of the IPv4 prefix ip/bits, bits being 0 to 32. It does not clear the bits beyond the prefix, which
// the trie ignores.
func (k *IPCacheKey) Set(ip [4]byte, bits uint8) {
	put(&k.PrefixLen, uint64(ipcacheStaticBits+uint32(bits))|uint64(FamilyIPv4)<<56)
	put(&k.IP, word4(ip))
	put((*[8]byte)(k.Pad3[4:]), uint64(0))
}

// Set makes the key that of the podCIDR with the base address ip&mask.
func (k *TunnelKey) Set(ip, mask [4]byte) {
	put(&k.IP, word4(ip)&word4(mask))
	put((*[8]byte)(k.Pad[4:]), uint64(0))
	put(&k.Family, uint32(FamilyIPv4))
}

// Set makes the key that of a frontend, for any protocol: an address and the destination port in p.
func (k *LB4Key) Set(ip [4]byte, p *FragPorts) {
	put(&k.Address, word4(ip)|uint64(*(*uint32)(unsafe.Pointer(p))>>16)<<32)
	put(&k.Proto, uint32(0))
}

// Tag is what stands for the key of a frontend in [Memos]: address, port and slot.
func (k *LB4Key) Tag() uint64 { return *(*uint64)(unsafe.Pointer(&k.Address)) }

// SetSlot makes the key that of a backend's slot, 0 being the frontend itself.
func (k *LB4Key) SetSlot(n uint16) {
	w := (*uint64)(unsafe.Pointer(&k.Address))
	*w = *w<<16>>16 | uint64(n)<<48
}

// Set makes the key a tuple without ports and flags.
func (k *CTKey) Set(dst, src [4]byte, proto uint8) {
	put(&k.DAddr, word4(dst)|word4(src)<<32)
	put(&k.DPort, uint32(0))
	put(&k.Proto, uint16(proto))
}

// SetFlags sets the flags.
func (k *CTKey) SetFlags(f uint8) { put(&k.Proto, uint16(k.Proto)|uint16(f)<<8) }

// CopyFrom makes the key that of another tuple.
func (k *CTKey) CopyFrom(t *CTKey) {
	put(&k.DAddr, *(*uint64)(unsafe.Pointer(&t.DAddr)))
	put(&k.DPort, *(*uint32)(unsafe.Pointer(&t.DPort)))
	put(&k.Proto, *(*uint16)(unsafe.Pointer(&t.Proto)))
}

// SetPorts sets the ports as they stand in a packet: its source port becomes DPort.
func (k *CTKey) SetPorts(p *FragPorts) {
	put(&k.DPort, *(*uint32)(unsafe.Pointer(p)))
}

// Reverse makes the tuple that of the opposite direction: addresses and ports change places, TupleIn flips.
func (k *CTKey) Reverse() {
	addrs, ports := (*uint64)(unsafe.Pointer(&k.DAddr)), (*uint32)(unsafe.Pointer(&k.DPort))
	*addrs = *addrs<<32 | *addrs>>32
	*ports = *ports<<16 | *ports>>16
	put(&k.Proto, *(*uint16)(unsafe.Pointer(&k.Proto))^TupleIn<<8)
}

// Set makes v the ports at the start of a TCP or UDP header.
func (v *FragPorts) Set(b [4]byte) { put(&v.SPort, uint32(word4(b))) }
