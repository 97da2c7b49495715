package journey

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// Frame is the bytes of a packet, from the Ethernet header on. As text it is hex.
type Frame []byte

// MarshalText writes the frame in hex.
func (f Frame) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, f), nil }

// UnmarshalText reads what MarshalText writes.
func (f *Frame) UnmarshalText(b []byte) (err error) {
	*f, err = hex.AppendDecode(nil, b)
	return err
}

// ParsePacket reads a packet in hex, as tcpdump -xx, tshark -x, xxd, hexdump -C and
// Wireshark print it: blanks, colons, line breaks and "0x" are left out, and so are
// offsets at the beginning of lines and the same as text behind them. An IP packet
// without Ethernet header gets one with addresses of zero. The error is an ErrQuestion.
func ParsePacket(s string) (Frame, error) {
	var digits strings.Builder
	for line := range strings.Lines(s) {
		line = dumped(strings.TrimSpace(line))
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ' ' || r == '\t' || r == ':' || r == ',' }) {
			digits.WriteString(strings.TrimPrefix(strings.TrimPrefix(word, "0x"), "0X"))
		}
	}
	text := digits.String()
	if i := strings.IndexFunc(text, func(r rune) bool { return !isHex(r) }); i >= 0 {
		return nil, fmt.Errorf("%w: packet: %q at digit %d is no hex digit", ErrQuestion, []rune(text[i:])[0], i+1)
	}
	switch {
	case text == "":
		return nil, fmt.Errorf("%w: packet: no bytes", ErrQuestion)
	case len(text)%2 != 0:
		return nil, fmt.Errorf("%w: packet: %d hex digits, which is no number of whole bytes", ErrQuestion, len(text))
	case len(text)/2 > header.EthernetSize+65535:
		return nil, fmt.Errorf("%w: packet: %d bytes, at most %d", ErrQuestion, len(text)/2, header.EthernetSize+65535)
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: packet: %w", ErrQuestion, err)
	}
	return ethernet(b), nil
}

// dumped is the bytes in a line of a hex dump: without an offset in front, which a
// colon or two blanks follow, and without the text behind. Other lines are bytes only.
func dumped(line string) string {
	i := 0
	for i < len(line) && (isHex(rune(line[i])) || line[i] == 'x') {
		i++
	}
	rest := line[i:]
	if i < 4 || !strings.HasPrefix(rest, ": ") && !strings.HasPrefix(rest, ":\t") && !strings.HasPrefix(rest, "  ") {
		return line
	}
	rest = strings.TrimSpace(rest[1:])
	if left, found := strings.CutSuffix(rest, "|"); found {
		left, _, _ = strings.Cut(left, "|")
		return left
	}
	left, _, _ := strings.Cut(rest, "  ")
	return left
}

func isHex(r rune) bool { return strings.ContainsRune("0123456789abcdefABCDEF", r) }

// ethernet puts an Ethernet header before a bare IPv4 packet: one whose header says
// that it is as long as the bytes and has the right checksum. As an Ethernet frame
// that would be one to a group address that nobody has.
func ethernet(b []byte) Frame {
	if len(b) < header.IPv4MinSize || b[0] != 0x45 {
		return b
	}
	ip := header.IPv4(b)
	if int(ip.TotalLen()) != len(b) || header.IPv4HeaderChecksum(ip[:header.IPv4MinSize]) != ip.Checksum() {
		return b
	}
	f, err := dissect.EthernetFrame(dissect.LinkRaw, b)
	if err != nil {
		return b
	}
	return f
}

// place finds where a frame begins its way by its sender: the pod, node or external
// host whose address is its source. The error is an ErrQuestion.
func place(c *cluster.Cluster, s *sim.Sim, frame []byte) (entrance, error) {
	ip := ipOf(frame)
	if ip == nil {
		for _, n := range c.Nodes() {
			for _, e := range c.Endpoints(n.Name) {
				if len(frame) >= header.EthernetSize && [6]byte(e.MAC) == header.Ethernet(frame).Src() {
					return podEntrance(e, n.Name), nil
				}
			}
		}
		return entrance{}, unplaced(fmt.Sprintf("nobody has the sender's MAC (%s)", dissect.Summary(frame)))
	}
	src := ip4(ip.Src())
	if isTunnel(ip) && isNode(c, ip4(ip.Dst())) && isNode(c, src) {
		for _, n := range c.Nodes() {
			if n.IP == ip4(ip.Dst()) {
				return entrance{node: n.Name, at: sim.Point{Node: n.Name, Device: "eth0"}}, nil
			}
		}
	}
	return placeOf(c, s, src)
}

// ErrPlace is wrapped when it cannot be told where a frame begins its way. It is an
// ErrQuestion.
var ErrPlace = fmt.Errorf("%w: nowhere to begin", ErrQuestion)

// unplaced is the error for a frame that nobody here sends.
func unplaced(why string) error {
	return fmt.Errorf("%w: %s; --from or --hook says where the packet begins", ErrPlace, why)
}

// placeOf finds where the packets of an address begin their way.
func placeOf(c *cluster.Cluster, s *sim.Sim, src netip.Addr) (entrance, error) {
	for _, n := range c.Nodes() {
		for _, e := range c.Endpoints(n.Name) {
			if e.IP == src {
				return podEntrance(e, n.Name), nil
			}
		}
		if n.IP == src || n.Router == src {
			return parseHook(c, "from-host@"+n.Name)
		}
	}
	settings := c.Settings()
	at, known := s.OwnerOf(src)
	switch {
	case known && at.Kind == sim.AtExternal && settings.Underlay.Contains(src):
		return entrance{at: sim.Point{External: at.Name}}, nil
	case settings.PodPool.Contains(src), settings.ServiceCIDR.Contains(src), !known && settings.Underlay.Contains(src), !src.IsGlobalUnicast():
		return entrance{}, unplaced(fmt.Sprintf("nobody here sends from %s", src))
	}
	return entrance{
		at:      sim.Point{External: "gateway"},
		assumed: []string{fmt.Sprintf("%s is outside of the cluster, so the gateway sends the packet", src)},
	}, nil
}

func podEntrance(e cluster.NodeEndpoint, nodeName string) entrance {
	name := "health/" + nodeName
	if e.Pod != nil {
		name = e.Pod.Ref()
	}
	return entrance{node: nodeName, at: sim.Point{Pod: name}}
}

// isTunnel tells an outer VXLAN packet.
func isTunnel(ip header.IPv4) bool {
	n := ip.HeaderLen()
	return ip.Protocol() == header.ProtoUDP && ip.HasL4Header() && n >= header.IPv4MinSize && len(ip) >= n+header.UDPSize &&
		uint16(ip[n+header.DstPort])<<8|uint16(ip[n+header.DstPort+1]) == dataplane.DefaultConfig().TunnelPort
}
