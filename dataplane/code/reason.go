package code

import "strconv"

// Metric reasons that are not drops (SPEC 12.1).
const (
	ReasonForwarded  uint8 = 0
	ReasonPlaintext  uint8 = 3
	ReasonFragPacket uint8 = 9
	ReasonFragUpdate uint8 = 10
)

// Reason is the text that `cilium monitor` and `cilium bpf metrics list` print
// for a drop or metric reason (SPEC 12.1). An unknown number n is "n, ext".
func Reason(n uint8) string {
	switch {
	case int(n) < len(forwardReasons) && forwardReasons[n] != "":
		return forwardReasons[n]
	case n >= firstDrop && int(n-firstDrop) < len(dropReasons) && dropReasons[n-firstDrop] != "":
		return dropReasons[n-firstDrop]
	}
	return strconv.Itoa(int(n)) + ", ext"
}

var forwardReasons = [...]string{
	0:  "Success",
	2:  "Invalid packet",
	3:  "Interface",
	4:  "Interface Decrypted",
	5:  "LB, sock cgroup: No backend slot entry found",
	6:  "LB, sock cgroup: No backend entry found",
	7:  "LB, sock cgroup: Reverse entry update failed",
	8:  "LB, sock cgroup: Reverse entry stale",
	9:  "Fragmented packet",
	10: "Fragmented packet entry update failed",
	11: "Missed tail call to custom program",
}

const firstDrop = 130

var dropReasons = [...]string{
	130 - firstDrop: "Invalid source mac",
	131 - firstDrop: "Invalid destination mac",
	132 - firstDrop: "Invalid source ip",
	133 - firstDrop: "Policy denied",
	134 - firstDrop: "Invalid packet",
	135 - firstDrop: "CT: Truncated or invalid header",
	136 - firstDrop: "Fragmentation needed",
	137 - firstDrop: "CT: Unknown L4 protocol",
	138 - firstDrop: "CT: Can't create entry from packet",
	139 - firstDrop: "Unsupported L3 protocol",
	140 - firstDrop: "Missed tail call",
	141 - firstDrop: "Error writing to packet",
	142 - firstDrop: "Unknown L4 protocol",
	143 - firstDrop: "Unknown ICMPv4 code",
	144 - firstDrop: "Unknown ICMPv4 type",
	145 - firstDrop: "Unknown ICMPv6 code",
	146 - firstDrop: "Unknown ICMPv6 type",
	147 - firstDrop: "Error retrieving tunnel key",
	148 - firstDrop: "Error retrieving tunnel options",
	149 - firstDrop: "Invalid Geneve option",
	150 - firstDrop: "Unknown L3 target address",
	151 - firstDrop: "Stale or unroutable IP",
	152 - firstDrop: "No matching local container found",
	153 - firstDrop: "Error while correcting L3 checksum",
	154 - firstDrop: "Error while correcting L4 checksum",
	155 - firstDrop: "CT: Map insertion failed",
	156 - firstDrop: "Invalid IPv6 extension header",
	157 - firstDrop: "IP fragmentation not supported",
	158 - firstDrop: "Service backend not found",
	160 - firstDrop: "No tunnel/encapsulation endpoint (datapath BUG!)",
	161 - firstDrop: "NAT 46/64 not enabled",
	162 - firstDrop: "Reached EDT rate-limiting drop horizon",
	163 - firstDrop: "Unknown connection tracking state",
	164 - firstDrop: "Local host is unreachable",
	165 - firstDrop: "No configuration available to perform policy decision",
	166 - firstDrop: "Unsupported L2 protocol",
	167 - firstDrop: "No mapping for NAT masquerade",
	168 - firstDrop: "Unsupported protocol for NAT masquerade",
	169 - firstDrop: "FIB lookup failed",
	170 - firstDrop: "Encapsulation traffic is prohibited",
	171 - firstDrop: "Invalid identity",
	172 - firstDrop: "Unknown sender",
	173 - firstDrop: "NAT not needed",
	174 - firstDrop: "Is a ClusterIP",
	175 - firstDrop: "First logical datagram fragment not found",
	176 - firstDrop: "Forbidden ICMPv6 message",
	177 - firstDrop: "Denied by LB src range check",
	178 - firstDrop: "Socket lookup failed",
	179 - firstDrop: "Socket assign failed",
	180 - firstDrop: "Proxy redirection not supported for protocol",
	181 - firstDrop: "Policy denied by denylist",
	182 - firstDrop: "VLAN traffic disallowed by VLAN filter",
	183 - firstDrop: "Incorrect VNI from VTEP",
	184 - firstDrop: "Failed to update or lookup TC buffer",
}
