package gso

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// MaxHeaders is the most that a Cutter writes for one segment: Ethernet, IPv4 and TCP
// with all options.
const MaxHeaders = header.EthernetSize + 60 + 60

const (
	ipTotalLen = 2
	ipID       = 4
	tcpSeq     = 4
	tcpAck     = 8
	tcpDataOff = 12
	tcpWindow  = 14
	udpLength  = 4
	tcpCWR     = 0x80
)

// Cutter cuts an aggregate into segments (tcp_gso_segment, __udp_gso_segment,
// inet_gso_segment). Its frame is borrowed until the last segment.
type Cutter struct {
	frame []byte
	parts parts
	size  int // payload bytes of a segment
	next  int // where the next payload starts
	n     uint16
}

// Cut starts to cut a frame. It is false if this is no aggregate that the package
// knows, or if its headers do not fit the frame.
func Cut(frame []byte, g dataplane.GSO) (Cutter, bool) {
	s, ok := split(frame)
	switch {
	case !ok || g.Size == 0 || s.payload == s.end:
		return Cutter{}, false
	case g.Type&^dataplane.GSOECN == dataplane.GSOTCPv4 && s.proto == header.ProtoTCP:
	case g.Type == dataplane.GSOUDP && s.proto == header.ProtoUDP:
	default:
		return Cutter{}, false
	}
	return Cutter{frame: frame, parts: s, size: int(g.Size), next: s.payload}, true
}

// Next writes the complete headers of the next segment to hdr, which has room for
// MaxHeaders, and returns their length and the payload, which is part of the frame.
// After the last segment the payload is nil.
func (c *Cutter) Next(hdr []byte) (n int, payload []byte) {
	s := &c.parts
	if c.next >= s.end {
		return 0, nil
	}
	end := min(c.next+c.size, s.end)
	payload = c.frame[c.next:end:end]
	n = copy(hdr, c.frame[:s.payload])
	l4 := hdr[s.l4:n]
	ip := header.IPv4(hdr[header.EthernetSize:s.l4])
	size := len(l4) + len(payload)
	binary.BigEndian.PutUint16(ip[ipTotalLen:], uint16(len(ip)+size))
	binary.BigEndian.PutUint16(ip[ipID:], binary.BigEndian.Uint16(ip[ipID:])+c.n)
	ip.SetChecksum(header.IPv4HeaderChecksum(ip))
	at := header.UDPChecksum
	if s.proto == header.ProtoTCP {
		at = header.TCPChecksum
		seq := binary.BigEndian.Uint32(l4[tcpSeq:])
		binary.BigEndian.PutUint32(l4[tcpSeq:], seq+uint32(c.next-s.payload))
		if end < s.end {
			l4[header.TCPFlags] &^= header.TCPFIN | header.TCPPSH
		}
		if c.n > 0 {
			l4[header.TCPFlags] &^= tcpCWR
		}
	} else {
		binary.BigEndian.PutUint16(l4[udpLength:], uint16(size))
	}
	binary.BigEndian.PutUint16(l4[at:], 0)
	sum := header.PseudoSum(ip.Src(), ip.Dst(), s.proto, size).Add(Sum(l4)).Add(Sum(payload)).Fold()
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(l4[at:], sum)
	c.next = end
	c.n++
	return n, payload
}
