package tunnel

import "encoding/binary"

// The values of the two ECN bits, RFC 3168.
const (
	notECT  = 0
	ect1    = 1
	ect0    = 2
	ce      = 3
	ecnMask = 3
)

// EncapTOS returns the TOS byte of the outer packet for an inner frame: DSCP 0,
// the inner packet's ECN bits, but ECT0 instead of CE. It is 0 for what is not
// IP or cut off.
//
// It corresponds to ip_tunnel_ecn_encap with TOS 0 (SPEC 8).
func EncapTOS(frame []byte) uint8 {
	ecn, ok := innerECN(frame)
	switch {
	case !ok:
		return 0
	case ecn == ce:
		return ect0
	}
	return ecn
}

// DecapTOS hands the ECN bits of the outer packet on to the inner frame, with
// its header checksum, as the table of SPEC 20.4 says. It returns ErrECN if the
// frame must be dropped instead. Frames that are not IP stay as they are.
//
// It corresponds to IP_ECN_decapsulate.
func DecapTOS(frame []byte, outer uint8) error {
	ecn, ok := innerECN(frame)
	if !ok {
		return nil
	}
	switch outer & ecnMask {
	case ce:
		if ecn == notECT {
			return ErrECN
		}
		setECN(frame, ce)
	case ect1:
		if ecn == ect0 {
			setECN(frame, ect1)
		}
	}
	return nil
}

// innerECN returns the ECN bits of an IPv4 or IPv6 frame.
func innerECN(frame []byte) (ecn uint8, ok bool) {
	if len(frame) < ethLen+ipv4Len {
		return 0, false
	}
	switch etherType(frame) {
	case etherIPv4:
		return frame[ethLen+1] & ecnMask, true
	case etherIPv6:
		if len(frame) < ethLen+ipv6Len {
			return 0, false
		}
		return frame[ethLen+1] >> 4 & ecnMask, true
	}
	return 0, false
}

// setECN writes the ECN bits of a frame for which innerECN was ok.
func setECN(frame []byte, ecn uint8) {
	ip := frame[ethLen:]
	if etherType(frame) == etherIPv6 {
		ip[1] = ip[1]&^(ecnMask<<4) | ecn<<4
		return
	}
	old := ip[1]
	ip[1] = old&^ecnMask | ecn
	// RFC 1624: the sum changes by the difference of the word that TOS is in.
	sum := uint32(^binary.BigEndian.Uint16(ip[10:])) + uint32(^uint16(old)) + uint32(ip[1])
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum))
}
