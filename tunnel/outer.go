package tunnel

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane/header"
)

// OuterLen is the length of the outer headers without options: Ethernet, IPv4, UDP and
// VXLAN.
const OuterLen = ethLen + ipv4Len + udpLen + HeaderLen

// Where the outer headers are in such a frame.
const (
	OuterIP  = ethLen
	OuterUDP = ethLen + ipv4Len
)

// Outer is what the outer headers of one frame say.
type Outer struct {
	DstMAC, SrcMAC   [6]byte
	Src, Dst         [4]byte
	SrcPort, DstPort uint16
	TOS, TTL         uint8
	ID               uint16
	VNI              uint32
}

// Put writes the headers in front of an inner frame of n bytes: those of SPEC 8, with
// DF clear and UDP checksum 0.
func (o *Outer) Put(b []byte, n int) {
	_ = b[OuterLen-1]
	copy(b, o.DstMAC[:])
	copy(b[6:], o.SrcMAC[:])
	binary.BigEndian.PutUint16(b[12:], etherIPv4)
	ip := b[OuterIP:OuterUDP]
	ip[0], ip[1] = 0x45, o.TOS
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Len+udpLen+HeaderLen+n))
	binary.BigEndian.PutUint16(ip[4:], o.ID)
	binary.BigEndian.PutUint16(ip[6:], 0)
	ip[8], ip[9] = o.TTL, protoUDP
	copy(ip[12:], o.Src[:])
	copy(ip[16:], o.Dst[:])
	header.IPv4(ip).SetChecksum(header.IPv4HeaderChecksum(ip))
	udp := b[OuterUDP:]
	binary.BigEndian.PutUint16(udp, o.SrcPort)
	binary.BigEndian.PutUint16(udp[2:], o.DstPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(udpLen+HeaderLen+n))
	binary.BigEndian.PutUint16(udp[6:], 0)
	Encap(udp[udpLen:], o.VNI)
}

// SetBatch makes the headers those of several datagrams with a payload of n bytes in
// all, to be cut by whoever sends them: lengths of the whole, and the sum of the
// pseudo header in the checksum field.
func SetBatch(b []byte, n int) {
	ip, udp := header.IPv4(b[OuterIP:OuterUDP]), b[OuterUDP:]
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Len+udpLen+n))
	ip.SetChecksum(header.IPv4HeaderChecksum(ip))
	binary.BigEndian.PutUint16(udp[4:], uint16(udpLen+n))
	binary.BigEndian.PutUint16(udp[6:], ^header.PseudoSum(ip.Src(), ip.Dst(), protoUDP, udpLen+n).Fold())
}

// ParseOuter finds the UDP payload of a frame with outer headers, to the given port,
// and says in m what the headers say. It is false for everything else, fragments too.
// at is where the UDP header starts.
func ParseOuter(b []byte, port uint16, m *Meta) (payload []byte, at int, ok bool) {
	if len(b) < OuterUDP+udpLen || etherType(b) != etherIPv4 {
		return nil, 0, false
	}
	ip := header.IPv4(b[ethLen:])
	at = ethLen + ip.HeaderLen()
	end := ethLen + int(ip.TotalLen())
	if ip.Version() != 4 || at < OuterUDP || end > len(b) || at+udpLen > end || ip.Protocol() != protoUDP || ip.IsFragment() {
		return nil, 0, false
	}
	udp := b[at:end]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp[2:]) != port || length < udpLen || length > len(udp) {
		return nil, 0, false
	}
	*m = Meta{Remote: ip.Src(), SrcPort: binary.BigEndian.Uint16(udp), TOS: ip.TOS(), TTL: ip.TTL()}
	return udp[udpLen:length], at, true
}
