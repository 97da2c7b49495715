package dissect

import (
	"fmt"

	"github.com/hooklab/hooklab/dataplane/header"
)

// transport is the line of what an IP packet carries, from the addresses on; n is
// the length of its payload as the IP header says.
func (s *summary) transport(p, ip string, proto uint8, n int) string {
	src, dst := s.text(p+ip+".src"), s.text(p+ip+".dst")
	switch proto {
	case header.ProtoTCP:
		return s.ports(p, "tcp", src, dst) + s.tcp(p, n)
	case header.ProtoUDP:
		return s.ports(p, "udp", src, dst) + s.udp(p)
	case header.ProtoICMP:
		return src + " > " + dst + ": " + s.icmp(p, n)
	case protoICMPv6:
		line := src + " > " + dst + ": ICMP6"
		if !s.has(p + "icmp6.checksum") {
			return line + s.cut(p, "icmp6", "icmp6.checksum")
		}
		return fmt.Sprintf("%s, %s, length %d", line, typeName(s.text(p+"icmp6.type")), n)
	}
	return fmt.Sprintf("%s > %s: %s, length %d", src, dst, protoName(protoText([]byte{proto})), n)
}

// typeName is the name of an ICMP type, or "type 42".
func typeName(text string) string {
	if text != "" && text[0] >= '0' && text[0] <= '9' {
		return "type " + text
	}
	return text
}

// ports are the addresses with the ports behind them, if they are there.
func (s *summary) ports(p, layer, src, dst string) string {
	if !s.has(p + layer + ".dport") {
		return src + " > " + dst + ": "
	}
	return fmt.Sprintf("%s.%s > %s.%s: ", src, s.text(p+layer+".sport"), dst, s.text(p+layer+".dport"))
}

func (s *summary) tcp(p string, n int) string {
	if !s.has(p + "tcp.urgent") {
		return "TCP" + s.cut(p, "tcp", "tcp.urgent")
	}
	word := s.number(p + "tcp.flags")
	hlen := word >> 12 * 4
	seq, size := s.number(p+"tcp.seq"), n-hlen
	bad := hlen < header.TCPMinSize || size < 0
	line := fmt.Sprintf("Flags [%s], seq %d", tcpFlagLetters(word), seq)
	if size > 0 && !bad {
		line += fmt.Sprintf(":%d", uint32(seq+size))
	}
	if word&int(header.TCPACK) != 0 {
		line += ", ack " + s.text(p+"tcp.ack")
	}
	line += ", win " + s.text(p+"tcp.window")
	if s.has(p + "tcp.options") {
		line += ", options [" + s.text(p+"tcp.options") + "]"
	}
	if bad {
		return line + fmt.Sprintf(" [bad tcp header length %d]", hlen)
	}
	return line + fmt.Sprintf(", length %d", size)
}

// tcpFlagLetters are tcpdump's: a dot is ACK.
func tcpFlagLetters(bits int) string {
	const letters = "FSRP.UEWe"
	var out []byte
	for i := range len(letters) {
		if bits>>i&1 != 0 {
			out = append(out, letters[i])
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return string(out)
}

func (s *summary) udp(p string) string {
	switch {
	case !s.has(p + "udp.checksum"):
		return "UDP" + s.cut(p, "udp", "udp.checksum")
	case s.has(p + "vxlan.reserved2"):
		return s.vxlan(p)
	case s.has(p + "vxlan.flags"):
		return "VXLAN" + s.cut(p, "vxlan", "vxlan.reserved2")
	}
	n := s.number(p + "udp.len")
	if n == 0 { // a GSO packet
		return fmt.Sprintf("UDP, length %d", s.fields[p+"data"].Len)
	}
	if n < header.UDPSize {
		return fmt.Sprintf("UDP [bad udp length %d]", n)
	}
	return fmt.Sprintf("UDP, length %d", n-header.UDPSize)
}

func (s *summary) vxlan(p string) string {
	line := "VXLAN vni " + s.text(p+"vxlan.vni")
	if s.number(p+"vxlan.flags")&int(header.VXLANFlagI) == 0 {
		line = fmt.Sprintf("VXLAN without a vni [flags %s]", s.text(p+"vxlan.flags"))
	}
	if f, ok := s.fields[p+"data"]; ok { // too deep to go on
		return fmt.Sprintf("%s, length %d", line, f.Len)
	}
	if !s.has(p+innerPrefix+"eth.dst") && !s.has(p+innerPrefix+"eth.cut") {
		return line + ": empty frame"
	}
	return line + ": " + s.ethernet(p+innerPrefix)
}

func (s *summary) icmp(p string, n int) string {
	typ, code := uint8(s.number(p+"icmp.type")), s.number(p+"icmp.code")
	last := "icmp.checksum"
	switch typ {
	case header.ICMPEcho, header.ICMPEchoReply:
		last = "icmp.seq"
	case header.ICMPUnreachable:
		last = "icmp.mtu"
	case header.ICMPTimeExceeded, header.ICMPParamProblem, icmpSourceQuench, icmpRedirect:
		last = "icmp.rest"
	}
	if cut := s.cut(p, "icmp", last); cut != "" {
		return "ICMP" + cut
	}
	line := "ICMP " + typeName(s.text(p+"icmp.type"))
	switch typ {
	case header.ICMPEcho, header.ICMPEchoReply:
		return fmt.Sprintf("%s, id %s, seq %s, length %d", line, s.text(p+"icmp.id"), s.text(p+"icmp.seq"), n)
	case header.ICMPUnreachable:
		line = "ICMP " + unreachable(code)
		if code == int(header.ICMPFragNeeded) {
			line += " (mtu " + s.text(p+"icmp.mtu") + ")"
		}
	case header.ICMPTimeExceeded:
		line += map[int]string{0: " in-transit", 1: " at reassembly"}[code]
	}
	return fmt.Sprintf("%s, length %d%s", line, n, s.quoted(p+"orig."))
}

// unreachable is the meaning of the codes of ICMP type 3.
func unreachable(code int) string {
	switch code {
	case 0:
		return "net unreachable"
	case 1:
		return "host unreachable"
	case 2:
		return "protocol unreachable"
	case 3:
		return "port unreachable"
	case int(header.ICMPFragNeeded):
		return "unreachable - fragmentation needed"
	case 9, 10, 13:
		return "unreachable - administratively prohibited"
	}
	return fmt.Sprintf("unreachable, code %d", code)
}

// quoted is the packet that an ICMP error is about.
func (s *summary) quoted(p string) string {
	if !s.has(p + "ip.dst") {
		return ""
	}
	src, dst, proto := s.text(p+"ip.src"), s.text(p+"ip.dst"), s.text(p+"ip.proto")
	for _, layer := range []string{"tcp", "udp"} {
		if s.has(p + layer + ".dport") {
			src += "." + s.text(p+layer+".sport")
			dst += "." + s.text(p+layer+".dport")
		}
	}
	if t := s.text(p + "icmp.type"); t != "" {
		proto += " " + typeName(t)
	}
	return fmt.Sprintf(", about %s > %s %s", src, dst, protoName(proto))
}
