package maps

import "unsafe"

// PolicyWord is a policy key in one register, as it lies in memory.
type PolicyWord uint64

// The parts of a policy key's word.
const (
	policyIdentity    PolicyWord = 0xffffffff
	policyL4          PolicyWord = 0xffffff << 32
	policyEgressShift            = 56
)

// NewPolicyKey returns the key of an identity, a port in network order and a protocol; egress is 1 for what the endpoint
// sends.
func NewPolicyKey(id uint32, dport [2]byte, proto, egress uint8) PolicyKey {
	return NewPolicyWord(id, dport, proto, egress).Key()
}

// NewPolicyWord is NewPolicyKey in a word.
func NewPolicyWord(id uint32, dport [2]byte, proto, egress uint8) PolicyWord {
	return PolicyWord(id) | PolicyWord(word2(dport))<<32 | PolicyWord(proto)<<48 | PolicyWord(egress)<<policyEgressShift
}

// Key returns the key.
func (w PolicyWord) Key() PolicyKey { return keyOf[PolicyKey](w) }

// AnyIdentity returns the key without its identity.
func (w PolicyWord) AnyIdentity() PolicyWord { return w &^ policyIdentity }

// AnyPort returns the key without port and protocol.
func (w PolicyWord) AnyPort() PolicyWord { return w &^ policyL4 }

// PolicyClass tells keys apart by what they leave open, and by direction: there are eight. The policy map of a pod has few
// classes of keys, and programs ask for four of them one after the other: [Hash.HasClass] spares those searches that cannot
// find anything.
type PolicyClass uint8

// Class returns the key's class.
func (w PolicyWord) Class() PolicyClass {
	c := PolicyClass(w >> policyEgressShift & 1)
	if w&policyIdentity != 0 {
		c |= 2
	}
	if w&policyL4 != 0 {
		c |= 4
	}
	return c
}

// classOf is the class of a key in memory.
func classOf(k *PolicyKey) uint8 { return uint8(load[PolicyWord](unsafe.Pointer(k), 0).Class()) }
