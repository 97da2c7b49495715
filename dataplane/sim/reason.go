package sim

// Reason is why a frame ended outside of the datapath's programs.
type Reason uint8

// Reasons.
const (
	// InDatapath is a frame that ended inside a node's datapath; the node's event
	// says how.
	InDatapath       Reason = iota + 1
	EngineFailed            // the node's engine could not be made or run
	NotIP                   // neither IPv4 nor an ARP message for this host
	BadHeader               // a header that is cut off or contradicts the frame
	BadChecksum             // of the IP header
	BadL4Checksum           // of TCP, UDP or ICMP
	OtherHost               // another host's Ethernet address
	NotLocal                // another host's IP address, and this one does not forward
	Martian                 // an address that cannot come from there
	Broadcast               // forwarded by nobody
	NoRoute                 // the stack knows no way
	TTLExceeded             // at a hop
	TooBig                  // for the route, and must not be fragmented
	NoNeighbour             // nobody answers for the next hop's address
	PortClosed              // no socket listens
	ProtocolUnknown         // no such transport protocol here
	Rejected                // by a rule: a service without backends
	BadFragment             // fragments that overlap or exceed a packet
	FragmentTimeout         // the other fragments never came
	TunnelRefused           // cilium_vxlan would not take the outer packet
	NoStation               // nobody on the wire has the Ethernet address
	WireMTU                 // longer than the wire's MTU
	Unexpected              // fits no socket's state: a stray reply, a bad sequence number
	Endless                 // answers to answers without end
	NeighbourIgnored        // an ARP message that concerns nobody here
	NoSource                // no address to send from
	NoDevice                // the device is gone
	Overflow                // a queue or table is full
)

var reasonText = [...]string{
	InDatapath:       "ended in the datapath",
	EngineFailed:     "the node's engine failed",
	NotIP:            "neither IPv4 nor ARP",
	BadHeader:        "malformed header",
	BadChecksum:      "wrong IP header checksum",
	BadL4Checksum:    "wrong transport checksum",
	OtherHost:        "addressed to another host's MAC",
	NotLocal:         "not an address of this host, which does not forward",
	Martian:          "impossible address for this device",
	Broadcast:        "broadcast or multicast is not forwarded",
	NoRoute:          "no route",
	TTLExceeded:      "TTL exceeded",
	TooBig:           "longer than the route's MTU and must not be fragmented",
	NoNeighbour:      "next hop does not answer ARP",
	PortClosed:       "port is closed",
	ProtocolUnknown:  "transport protocol is unknown",
	Rejected:         "rejected: the service has no backend",
	BadFragment:      "fragments that do not fit together",
	FragmentTimeout:  "fragments are missing",
	TunnelRefused:    "refused by cilium_vxlan",
	NoStation:        "no station with this MAC on the wire",
	WireMTU:          "longer than the wire's MTU",
	Unexpected:       "no socket expects it",
	Endless:          "answers without end",
	NeighbourIgnored: "ARP for nobody here",
	NoSource:         "no source address",
	NoDevice:         "no such device",
	Overflow:         "queue is full",
}

// String is the reason in words.
func (r Reason) String() string { return word(reasonText[:], int(r)) }

// word is a table's text for a code, or "unknown".
func word(table []string, i int) string {
	if i < 0 || i >= len(table) || table[i] == "" {
		return "unknown"
	}
	return table[i]
}
