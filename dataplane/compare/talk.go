package compare

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hooklab/hooklab/dataplane/header"
)

// talk is a packet as a person writes it: who, to whom, and what.
type talk struct {
	from, to string // empty: the answer to the packet before
	words    []string
}

// icmpKinds are the ICMP messages that talk knows, with type and code.
func icmpKinds() map[string][2]uint8 {
	return map[string][2]uint8{
		"echo": {header.ICMPEcho, 0}, "reply": {header.ICMPEchoReply, 0}, "unreachable": {header.ICMPUnreachable, 1},
		"frag-needed": {header.ICMPUnreachable, header.ICMPFragNeeded}, "time-exceeded": {header.ICMPTimeExceeded, 0},
		"param-problem": {header.ICMPParamProblem, 0},
	}
}

// Ports of a talk that does not name them.
const (
	defaultClientPort = 40000
	defaultServerPort = 80
	defaultEchoID     = 1
)

// resolve makes the packet of a talk. last is what came of the packet before, nil where
// there was none.
func (t *talk) resolve(w *World, last *Outcome) (*Input, error) {
	if t.from == "" {
		return t.answer(w, last)
	}
	src, _, err := w.address(t.from)
	if err != nil {
		return nil, err
	}
	dst, port, err := w.address(t.to)
	if err != nil {
		return nil, err
	}
	party := w.Party(src)
	f := Frame{
		SrcMAC: party.MAC, DstMAC: party.Next, Src: src, Dst: dst, TTL: 64,
		SrcPort: defaultClientPort, DstPort: port, ICMPID: defaultEchoID, ICMPType: header.ICMPEcho,
	}
	return t.finish(&party, &f)
}

func (t *talk) answer(w *World, last *Outcome) (*Input, error) {
	if last == nil {
		return nil, errors.New("reply: no packet before it")
	}
	party, ok := w.Receiver(last)
	f, known := Answer(last.Frame)
	if !ok || !known {
		return nil, errors.New("reply: nobody would answer the packet before: it was dropped, or has no ports and is no echo request")
	}
	f.SrcMAC, f.DstMAC = party.MAC, party.Next
	return t.finish(&party, &f)
}

// finish reads the words behind the two ends.
func (t *talk) finish(party *Party, f *Frame) (*Input, error) {
	words := t.words
	if len(words) > 0 && !strings.Contains(words[0], "=") {
		var err error
		if words, err = protocol(f, party, words); err != nil {
			return nil, err
		}
	} else if f.Proto == 0 {
		return nil, errors.New("what is sent? one of tcp FLAGS, udp, icmp KIND, arp, proto NUMBER")
	}
	in := party.Input(nil)
	for _, word := range words {
		if err := option(f, in, word); err != nil {
			return nil, err
		}
	}
	if in.Frame == nil && f.Proto != protoARP {
		in.Frame = f.Bytes()
	} else if f.Proto == protoARP {
		in.Frame = ARPRequest(party.MAC, f.Src, f.Dst)
	}
	return in, nil
}

// protoARP stands for ARP in the place of an IP protocol, of which 255 is reserved.
const protoARP = 255

// protocol reads the protocol and what belongs to it, and returns the words behind.
func protocol(f *Frame, party *Party, words []string) ([]string, error) {
	arg, rest := "", words[1:]
	if len(rest) > 0 && !strings.Contains(rest[0], "=") {
		arg, rest = rest[0], rest[1:]
	}
	switch words[0] {
	case "tcp":
		f.Proto, f.Flags = header.ProtoTCP, header.TCPSYN
		if arg != "" {
			flags, err := parseFlags(arg)
			if err != nil {
				return nil, err
			}
			f.Flags = flags
		}
		return rest, nil
	case "udp":
		f.Proto = header.ProtoUDP
	case "arp":
		f.Proto = protoARP
		if party.Device == "" {
			return nil, errors.New("arp: nobody there")
		}
	case "icmp":
		f.Proto = header.ProtoICMP
		if arg != "" {
			kind, ok := icmpKinds()[arg]
			if !ok {
				return nil, fmt.Errorf("icmp %s: allowed: echo, reply, unreachable, frag-needed, time-exceeded, param-problem", arg)
			}
			f.ICMPType, f.ICMPCode = kind[0], kind[1]
		}
		return rest, nil
	case "proto":
		n, err := strconv.ParseUint(arg, 0, 8)
		if err != nil || n == protoARP {
			return nil, fmt.Errorf("proto %q: allowed: 0 to 254", arg)
		}
		f.Proto = uint8(n)
		return rest, nil
	default:
		return nil, fmt.Errorf("%s: allowed: tcp, udp, icmp, arp, proto", words[0])
	}
	if arg != "" {
		return nil, fmt.Errorf("%s %s: what is %s?", words[0], arg, arg)
	}
	return rest, nil
}

// option reads one KEY=VALUE of a talk.
func option(f *Frame, in *Input, word string) error {
	key, text, ok := strings.Cut(word, "=")
	if !ok {
		return fmt.Errorf("%s: want KEY=VALUE", word)
	}
	if key == "fail" {
		return in.set(key, text)
	}
	bits := map[string]int{
		"sport": 16, "dport": 16, "ttl": 8, "tos": 8, "id": 16, "echo": 16, "frag": 13, "more": 1, "df": 1, "len": 16,
		"mark": 32, "tc_index": 16, "vni": 24, "rand": 32,
	}[key]
	if bits == 0 {
		return fmt.Errorf("%s: allowed: sport, dport, ttl, tos, id, echo, frag, more, df, len, mark, tc_index, vni, rand, fail", key)
	}
	n, err := strconv.ParseUint(text, 0, bits)
	if err != nil {
		return fmt.Errorf("%s=%s: not a number below 2^%d", key, text, bits)
	}
	switch key {
	case "sport":
		f.SrcPort = uint16(n)
	case "dport":
		f.DstPort = uint16(n)
	case "ttl":
		f.TTL = uint8(n)
	case "tos":
		f.TOS = uint8(n)
	case "id":
		f.ID = uint16(n)
	case "echo":
		f.ICMPID = uint16(n)
	case "frag":
		f.Offset = uint16(n)
	case "more":
		f.MF = n == 1
	case "df":
		f.DF = n == 1
	case "len":
		if n > maxData {
			return fmt.Errorf("len=%d: allowed: 0 to %d", n, maxData)
		}
		f.Data = make([]byte, n)
	case "mark":
		in.Mark = uint32(n)
	case "tc_index":
		in.TCIndex = uint16(n)
	case "vni":
		in.Tunnel.Present, in.Tunnel.ID = true, uint32(n)
	case "rand":
		in.Rand = uint32(n)
	}
	return nil
}

// maxData is the most data that a talk's packet carries: what fits the MTU.
const maxData = 1400

// address finds who is meant: a pod, node/NAME, svc/NAME with its first port, health, or
// an IPv4 address, with :PORT behind it for another port.
func (w *World) address(name string) (ip [4]byte, port uint16, err error) {
	port = defaultServerPort
	who, text, given := strings.Cut(name, ":")
	if given {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return ip, 0, fmt.Errorf("%s: port %q is not between 0 and 65535", name, text)
		}
		port = uint16(n)
	}
	if a, err := netip.ParseAddr(who); err == nil {
		if !a.Is4() {
			return ip, 0, fmt.Errorf("%s is not IPv4", who)
		}
		return a.As4(), port, nil
	}
	switch kind, rest, _ := strings.Cut(who, "/"); {
	case kind == "svc":
		s, err := w.Cluster.Service(rest)
		if err != nil {
			return ip, 0, err
		}
		if s.Headless {
			return ip, 0, fmt.Errorf("service %s is headless: it has no address", s.Ref())
		}
		if !given && len(s.Ports) > 0 {
			port = s.Ports[0].Port
		}
		return s.ClusterIP.As4(), port, nil
	case kind == "node":
		n, err := w.Cluster.Node(rest)
		if err != nil {
			return ip, 0, err
		}
		return n.Router.As4(), port, nil
	case who == healthDevice:
		if d, err := w.device(healthDevice); err == nil {
			return d.Config.IPv4, port, nil
		}
	}
	p, err := w.Cluster.Pod(who)
	if err != nil {
		return ip, 0, err
	}
	if !p.IP.IsValid() {
		return ip, 0, fmt.Errorf("pod %s has no address", p.Ref())
	}
	return p.IP.As4(), port, nil
}

func tcpFlagNames() []string { return []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"} }

// parseFlags reads TCP flags such as SYN,ACK; none is no flag at all.
func parseFlags(s string) (uint8, error) {
	if s == textNone {
		return 0, nil
	}
	var flags uint8
	for word := range strings.SplitSeq(strings.ToUpper(s), ",") {
		i := slices.Index(tcpFlagNames(), word)
		if i < 0 {
			return 0, fmt.Errorf("TCP flag %q: allowed: %s", word, strings.Join(tcpFlagNames(), ", "))
		}
		flags |= 1 << i
	}
	return flags, nil
}
