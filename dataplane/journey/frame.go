package journey

import (
	"net/netip"
	"strings"

	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/header"
)

// brief is a frame's content as `cilium monitor` names a connection; without IP it is
// tcpdump's line.
func brief(b []byte) string {
	if ipOf(b) == nil {
		return dissect.Summary(b)
	}
	return dissect.Connection(b)
}

// ipOf is a frame's IPv4 header, or nil.
func ipOf(b []byte) header.IPv4 {
	if len(b) < header.EthernetSize+header.IPv4MinSize || header.Ethernet(b).Type() != header.EtherTypeIPv4 {
		return nil
	}
	return header.IPv4(b[header.EthernetSize:])
}

// ttl is a frame's TTL, 0 if it has none.
func ttl(b []byte) uint8 {
	if ip := ipOf(b); ip != nil {
		return ip.TTL()
	}
	return 0
}

// transport is the first word of a frame's transport fields: "tcp", "udp", "icmp" or
// "" for others.
func transport(b []byte) string {
	ip := ipOf(b)
	if ip == nil {
		return ""
	}
	return map[uint8]string{header.ProtoTCP: "tcp", header.ProtoUDP: "udp", header.ProtoICMP: "icmp"}[ip.Protocol()]
}

// flagNames are the TCP flags from the lowest bit on.
func flagNames() []string { return []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} }

// changes are the fields in which two states of a frame differ.
func changes(before, after []byte) []Change {
	var out []Change
	for _, c := range dissect.Diff(before, after) {
		out = append(out, Change{Field: c.Field, Before: c.Before, After: c.After})
	}
	return out
}

// trimPlace is a place's name without its kind, the kind if it has no name.
func trimPlace(s string) string {
	kind, name, found := strings.Cut(s, " ")
	if !found {
		return kind
	}
	return name
}

func ip4(a [4]byte) netip.Addr { return netip.AddrFrom4(a) }
