package maps

import (
	"encoding/binary"
	"unsafe"
)

// Keys that the datapath makes for each packet are put together in registers and stored a word at a time, because the
// lookup loads them as words right after. Parts that are stored one by one would have to leave the store buffer first, and
// waiting for that costs as much as the rest of the lookup.

// keyOf reads a key from words that hold its bytes. K must not be larger than W.
func keyOf[K, W any](w W) K { return *(*K)(unsafe.Pointer(&w)) }

// put stores a word over the bytes from p on. Larger keys are stored like this: a copy of them would load across words.
func put[T, W any](p *T, w W) { *(*W)(unsafe.Pointer(p)) = w }

func word4(b [4]byte) uint64 { return uint64(binary.LittleEndian.Uint32(b[:])) }
func word2(b [2]byte) uint64 { return uint64(binary.LittleEndian.Uint16(b[:])) }

// NewPolicyKey returns the key of an identity, a port in network order and a protocol; egress is 1 for what the endpoint
// sends.
func NewPolicyKey(id uint32, dport [2]byte, proto, egress uint8) PolicyKey {
	return keyOf[PolicyKey](uint64(id) | word2(dport)<<32 | uint64(proto)<<48 | uint64(egress)<<56)
}

// NewMetricsKey returns the key of a reason and a direction.
func NewMetricsKey(reason, dir uint8) MetricsKey {
	return keyOf[MetricsKey](uint64(reason) | uint64(dir)<<8)
}

// NewCTKey returns a tuple without ports and flags.
func NewCTKey(dst, src [4]byte, proto uint8) (k CTKey) {
	put(&k.DAddr, word4(dst)|word4(src)<<32)
	put(&k.DPort, uint32(0))
	put(&k.Proto, uint16(proto))
	return k
}

// SetPorts sets the ports as they stand in a packet: its source port becomes DPort.
func (k *CTKey) SetPorts(p FragPorts) {
	put(&k.DPort, *(*uint32)(unsafe.Pointer(&p)))
}

// Reverse makes the tuple that of the opposite direction: addresses and ports change places, TupleIn flips.
func (k *CTKey) Reverse() {
	addrs, ports := (*uint64)(unsafe.Pointer(&k.DAddr)), (*uint32)(unsafe.Pointer(&k.DPort))
	*addrs = *addrs<<32 | *addrs>>32
	*ports = *ports<<16 | *ports>>16
	k.Flags ^= TupleIn
}

// NewFragPorts returns the ports at the start of a TCP or UDP header.
func NewFragPorts(b [4]byte) FragPorts { return keyOf[FragPorts](b) }
