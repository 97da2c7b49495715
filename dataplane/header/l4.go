package header

// TCP header (RFC 9293): offsets and flags.
const (
	TCPMinSize  = 20
	TCPFlags    = 13 // offset of the flags byte
	TCPChecksum = 16 // offset of the checksum

	TCPFIN uint8 = 0x01
	TCPSYN uint8 = 0x02
	TCPRST uint8 = 0x04
	TCPPSH uint8 = 0x08
	TCPACK uint8 = 0x10
)

// UDP header (RFC 768).
const (
	UDPSize     = 8
	UDPChecksum = 6 // offset of the checksum
)

// Port offsets are the same in TCP and UDP.
const (
	SrcPort   = 0
	DstPort   = 2
	PortsSize = 4
)

// ICMP header (RFC 792): offsets, types and the one code that matters.
const (
	ICMPSize = 8
	ICMPType = 0
	ICMPCode = 1
	ICMPID   = 4

	ICMPEchoReply    uint8 = 0
	ICMPUnreachable  uint8 = 3
	ICMPEcho         uint8 = 8
	ICMPTimeExceeded uint8 = 11
	ICMPParamProblem uint8 = 12

	ICMPFragNeeded uint8 = 4
)
