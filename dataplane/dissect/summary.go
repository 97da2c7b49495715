package dissect

import (
	"fmt"
	"strings"

	"github.com/hooklab/hooklab/dataplane/header"
)

// Summary is an Ethernet frame in one line, in tcpdump's manner: addresses and
// ports, the protocol, what matters of its header, the length of the payload.
//
//	ARP, Request who-has 10.0.1.79 tell 10.0.1.178, length 28
//	IP 10.0.1.178.40000 > 10.0.1.79.80: Flags [S], seq 1, win 64240, options [mss 1460], length 0
//	IP 172.18.0.2.51000 > 172.18.0.3.8472: VXLAN vni 13789: IP 10.0.1.178 > 10.0.0.5: ICMP echo request, id 1, seq 2, length 64
//
// Of a frame that is cut off or malformed it says what can be read, and where it
// ends.
func Summary(frame []byte) string {
	s := summary{frame: frame, fields: map[string]Field{}}
	for _, f := range walk(frame) {
		s.fields[f.Name] = f.Field
	}
	if len(frame) == 0 {
		return "empty frame"
	}
	return s.ethernet("")
}

// summary writes a line from the fields of a frame. The methods take the prefix of
// the names ("inner.").
type summary struct {
	frame  []byte
	fields map[string]Field
}

// text is the value of a field, empty if the frame does not have it.
func (s *summary) text(name string) string { return s.fields[name].Value }

func (s *summary) has(name string) bool {
	_, ok := s.fields[name]
	return ok
}

// bytes is the field itself, empty if the frame does not have it.
func (s *summary) bytes(name string) []byte {
	f := s.fields[name]
	return s.frame[f.Offset : f.Offset+f.Len]
}

// number is a field of at most eight bytes as a number, 0 if the frame does not have it.
func (s *summary) number(name string) int { return int(number(s.bytes(name))) }

// cut says why a header's last field is not there, or nothing if it is.
func (s *summary) cut(p, layer, last string) string {
	if s.has(p + last) {
		return ""
	}
	if f, ok := s.fields[p+layer+".malformed"]; ok {
		return fmt.Sprintf(" [malformed header, %s]", f.Value)
	}
	start, end := len(s.frame), 0
	for name, f := range s.fields {
		if rest, ok := strings.CutPrefix(name, p+layer+"."); ok && !strings.Contains(rest, ".") {
			start, end = min(start, f.Offset), max(end, f.Offset+f.Len)
		}
	}
	return fmt.Sprintf(" [header cut off after %d bytes]", max(0, end-start))
}

func (s *summary) ethernet(p string) string {
	if !s.has(p + "eth.type") {
		return "Ethernet" + s.cut(p, "eth", "eth.type")
	}
	typ := s.number(p + "eth.type")
	line := ""
	if s.has(p + "vlan.type") {
		typ = s.number(p + "vlan.type")
		line = "vlan " + s.text(p+"vlan.tag") + ", "
	} else if typ == int(etherTypeVLAN) {
		return "802.1Q" + s.cut(p, "vlan", "vlan.type")
	}
	switch uint16(typ) {
	case header.EtherTypeARP:
		return line + s.arp(p)
	case header.EtherTypeIPv4:
		return line + s.ipv4(p)
	case header.EtherTypeIPv6:
		return line + s.ipv6(p)
	}
	kind := fmt.Sprintf("ethertype 0x%04x", typ)
	if typ < int(header.EtherTypeMin) {
		kind = "802.3"
	}
	return fmt.Sprintf("%s%s > %s, %s, length %d", line, s.text(p+"eth.src"), s.text(p+"eth.dst"), kind, s.fields[p+"data"].Len)
}

func (s *summary) arp(p string) string {
	if !s.has(p + "arp.target_ip") {
		return "ARP" + s.cut(p, "arp", "arp.target_ip")
	}
	switch uint16(s.number(p + "arp.op")) {
	case header.ARPRequest:
		return fmt.Sprintf("ARP, Request who-has %s tell %s, length %d", s.text(p+"arp.target_ip"), s.text(p+"arp.sender_ip"), header.ARPSize)
	case header.ARPReply:
		return fmt.Sprintf("ARP, Reply %s is-at %s, length %d", s.text(p+"arp.sender_ip"), s.text(p+"arp.sender_mac"), header.ARPSize)
	}
	return fmt.Sprintf("ARP, operation %s, length %d", s.text(p+"arp.op"), header.ARPSize)
}

func (s *summary) ipv4(p string) string {
	if !s.has(p + "ip.dst") {
		return "IP" + s.cut(p, "ip", "ip.dst")
	}
	start := s.fields[p+"ip.version"].Offset
	have := len(s.frame) - start
	total, hlen := s.number(p+"ip.len"), 4*(s.number(p+"ip.version")&0x0f)
	notes := ""
	switch {
	case total == 0:
		total = have
	case total < hlen:
		notes += fmt.Sprintf(" [ip length %d is less than the header's]", total)
		total = have
	case have < total:
		notes += fmt.Sprintf(" [cut off: %d of %d bytes]", have, total)
	}
	if h := s.frame[start:]; len(h) >= hlen && header.IPv4HeaderChecksum(header.IPv4(h[:hlen])) != header.IPv4(h).Checksum() {
		notes += " [ip checksum " + s.text(p+"ip.checksum") + " is wrong]"
	}
	frag := header.IPv4(s.frame[start:])
	var l4 string
	switch size := total - hlen; {
	case frag.IsFragment() && !frag.HasL4Header():
		l4 = fmt.Sprintf("%s > %s: %s fragment, id %s, offset %s, length %d", s.text(p+"ip.src"), s.text(p+"ip.dst"),
			protoName(s.text(p+"ip.proto")), s.text(p+"ip.id"), s.text(p+"ip.frag"), size)
	case frag.IsFragment():
		l4 = fmt.Sprintf("%s, first fragment, id %s", s.transport(p, "ip", uint8(s.number(p+"ip.proto")), size), s.text(p+"ip.id"))
	default:
		l4 = s.transport(p, "ip", uint8(s.number(p+"ip.proto")), size)
	}
	return "IP " + l4 + notes
}

func (s *summary) ipv6(p string) string {
	if !s.has(p + "ip6.dst") {
		return "IP6" + s.cut(p, "ip6", "ip6.dst")
	}
	const fixed = 40
	have := len(s.frame) - s.fields[p+"ip6.version"].Offset - fixed
	size, notes := s.number(p+"ip6.len"), ""
	switch {
	case size == 0:
		size = have
	case have < size:
		notes = fmt.Sprintf(" [cut off: %d of %d bytes]", fixed+have, fixed+size)
	}
	proto := uint8(s.number(p + "ip6.next"))
	if opts := s.bytes(p + "ip6.options"); len(opts) > 0 {
		proto = opts[0]
		size -= len(opts)
	}
	return "IP6 " + s.transport(p, "ip6", proto, size) + notes
}

// protoName is a protocol's name, or "protocol 89".
func protoName(text string) string {
	if strings.Trim(text, "0123456789") == "" {
		return "protocol " + text
	}
	return text
}
