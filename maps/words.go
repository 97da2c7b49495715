package maps

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
)

// The functions in this file write the parts that the texts of several maps share.

func addr4(ip [4]byte) netip.Addr { return netip.AddrFrom4(ip) }

func be16(b [2]byte) uint16 { return binary.BigEndian.Uint16(b[:]) }

// addrPort writes ip:port.
func addrPort(ip [4]byte, port [2]byte) string {
	return netip.AddrPortFrom(addr4(ip), be16(port)).String()
}

// either returns the address of a key that holds IPv4 or IPv6, the first four bytes and the rest.
func either(family uint8, ip [4]byte, rest [12]byte) (netip.Addr, bool) {
	switch family {
	case FamilyIPv4:
		return addr4(ip), true
	case FamilyIPv6:
		var b [16]byte
		copy(b[:], ip[:])
		copy(b[4:], rest[:])
		return netip.AddrFrom16(b), true
	}
	return netip.Addr{}, false
}

// protoText writes an IP protocol as Cilium does.
func protoText(p uint8) string {
	switch p {
	case 0:
		return "ANY"
	case 1:
		return "ICMP"
	case 6:
		return "TCP"
	case 17:
		return "UDP"
	case 58:
		return "ICMPv6"
	}
	return strconv.Itoa(int(p))
}

// byKey compares entries by the bytes of their keys, which is the order of the addresses and ports in network order.
func byKey[K, V any](a, b *item[K, V]) int { return bytes.Compare(view(&a.k), view(&b.k)) }
