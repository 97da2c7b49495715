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

// class tells keys apart by what they leave open, and by direction: there are eight classes.
func (w PolicyWord) class() uint8 {
	c := uint8(w >> policyEgressShift & 1)
	if w&policyIdentity != 0 {
		c |= 2
	}
	if w&policyL4 != 0 {
		c |= 4
	}
	return c
}

// policyClass is the class of a key in memory.
func policyClass(k *PolicyKey) uint8 { return load[PolicyWord](unsafe.Pointer(k), 0).class() }

// PolicyClasses are the classes of keys that a policy map has. The map of a pod has few, and programs ask for keys of four
// classes one after the other: it spares those searches that cannot find anything.
type PolicyClasses uint8

// AllPolicyClasses may have any key.
const AllPolicyClasses PolicyClasses = 0xff

// PolicyClassesOf returns the classes in a policy map of [Set.AddPolicy].
func PolicyClassesOf(m *Hash[PolicyKey, PolicyEntry]) PolicyClasses {
	return PolicyClasses(m.classes.present)
}

// Have says whether there may be a key, which is so if there is one of its class.
func (c PolicyClasses) Have(w PolicyWord) bool { return c>>(w.class()&7)&1 != 0 }
