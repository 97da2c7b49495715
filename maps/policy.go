package maps

import "fmt"

// policyPrefix begins the names of the policy maps, one for each endpoint.
const policyPrefix = "cilium_policy_"

// Values of PolicyKey.Egress.
const (
	PolicyIngress = 0
	PolicyEgress  = 1
)

// PolicyDeny is the bit of PolicyEntry.Deny.
const PolicyDeny = 1

// PolicyName returns the name of an endpoint's policy map, cilium_policy_%05d.
func PolicyName(endpoint uint16) string {
	return fmt.Sprintf("%s%05d", policyPrefix, endpoint)
}

// PolicyKey selects traffic by the identity of the other side, destination port, protocol and direction (8 bytes, struct
// policy_key; SPEC 13). Zero is a wildcard; for ICMP, DPort holds the type.
type PolicyKey struct {
	SecLabel      uint32
	DPort         [2]byte
	Proto, Egress uint8
}

// PolicyEntry is the decision and its counters (24 bytes, struct policy_entry; SPEC 13). ProxyPort is in network order.
type PolicyEntry struct {
	ProxyPort      [2]byte
	Deny, Pad      uint8
	Pad1, Pad2     uint16
	Packets, Bytes uint64
}
