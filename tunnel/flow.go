package tunnel

import "encoding/binary"

// The default of ip_local_port_range, which the kernel's device takes source
// ports from.
const (
	portMin = 32768
	portMax = 60999
)

// SourcePort scales a flow hash into the range of UDP source ports, as
// udp_flow_src_port does (SPEC 8).
func SourcePort(hash uint32) uint16 {
	hash ^= hash << 16
	return uint16(uint64(hash)*(portMax-portMin)>>32) + portMin
}

// FlowHash returns a hash that is the same for all packets of one flow, and
// never 0: of addresses, protocol and ports of IPv4; without ports for fragments;
// of the Ethernet header for everything else.
func FlowHash(frame []byte) uint32 {
	h := uint64(0xcbf29ce484222325) // FNV-1a over words
	mix := func(v uint32) {
		h = (h ^ uint64(v)) * 0x100000001b3
	}
	switch {
	case len(frame) < ethLen:
	case etherType(frame) != etherIPv4 || len(frame) < ethLen+ipv4Len:
		mix(binary.BigEndian.Uint32(frame))
		mix(binary.BigEndian.Uint32(frame[4:]))
		mix(binary.BigEndian.Uint32(frame[8:]))
		mix(uint32(etherType(frame)))
	default:
		ip := frame[ethLen:]
		mix(binary.BigEndian.Uint32(ip[12:]))
		mix(binary.BigEndian.Uint32(ip[16:]))
		mix(uint32(ip[9]))
		if l4, _, ok := transport(frame); ok && len(l4) >= 4 {
			mix(binary.BigEndian.Uint32(l4))
		}
	}
	// FNV's high bits depend on all of the input, its low ones do not.
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return max(uint32(h>>32), 1)
}
