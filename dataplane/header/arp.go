package header

import "encoding/binary"

// ARP for IPv4 over Ethernet (RFC 826): offsets from the ARP header's start.
const (
	ARPSize = 28

	arpHardware = 0
	arpOp       = 6
	arpSHA      = 8
	arpSPA      = 14
	arpTHA      = 18
	arpTPA      = 24

	ARPHardwareEthernet uint16 = 1
	ARPRequest          uint16 = 1
	ARPReply            uint16 = 2
)

// ARP is a view of an ARP message of ARPSize bytes.
type ARP []byte

// Hardware is the hardware type in host order.
func (a ARP) Hardware() uint16 { return binary.BigEndian.Uint16(a[arpHardware:]) }

// Op is the operation in host order.
func (a ARP) Op() uint16 { return binary.BigEndian.Uint16(a[arpOp:]) }

// SenderMAC is the sender hardware address.
func (a ARP) SenderMAC() [6]byte { return [6]byte(a[arpSHA : arpSHA+6]) }

// SenderIP is the sender protocol address.
func (a ARP) SenderIP() [4]byte { return [4]byte(a[arpSPA : arpSPA+4]) }

// TargetMAC is the target hardware address.
func (a ARP) TargetMAC() [6]byte { return [6]byte(a[arpTHA : arpTHA+6]) }

// TargetIP is the target protocol address.
func (a ARP) TargetIP() [4]byte { return [4]byte(a[arpTPA : arpTPA+4]) }

// SetOp writes the operation, given in host order.
func (a ARP) SetOp(op uint16) { binary.BigEndian.PutUint16(a[arpOp:], op) }

// SetSender writes the sender's hardware and protocol address.
func (a ARP) SetSender(mac [6]byte, ip [4]byte) {
	copy(a[arpSHA:arpSHA+6], mac[:])
	copy(a[arpSPA:arpSPA+4], ip[:])
}

// SetTarget writes the target's hardware and protocol address.
func (a ARP) SetTarget(mac [6]byte, ip [4]byte) {
	copy(a[arpTHA:arpTHA+6], mac[:])
	copy(a[arpTPA:arpTPA+4], ip[:])
}
