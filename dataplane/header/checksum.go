package header

import "encoding/binary"

// Sum is a running one's complement sum (RFC 1071), 32 bits wide with end-around
// carry, as the kernel's __wsum. It is kept in network order: the result is the
// same, and so is which of the two zeroes comes out.
type Sum uint32

// Add is a + b with end-around carry (csum_add).
func (s Sum) Add(b Sum) Sum {
	r := s + b
	if r < b {
		r++
	}
	return r
}

// Fold reduces the sum to 16 bits and complements it (csum_fold).
func (s Sum) Fold() uint16 {
	f := uint32(s)
	f = f>>16 + f&0xffff
	f += f >> 16
	return ^uint16(f)
}

// Partial adds the bytes of b, taken as 16-bit words, to the sum (csum_partial).
// An odd last byte counts as the high half of a word.
func (s Sum) Partial(b []byte) Sum {
	sum := uint64(s)
	for len(b) >= 4 {
		sum += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	sum = sum>>32 + sum&0xffffffff
	sum += sum >> 32
	return Sum(sum)
}

// Diff4 is the difference that replacing the four bytes from by to makes to a
// sum (bpf_csum_diff).
func (s Sum) Diff4(from, to [4]byte) Sum {
	return s.Add(Sum(^binary.BigEndian.Uint32(from[:]))).Add(Sum(binary.BigEndian.Uint32(to[:])))
}

// ReplaceByDiff corrects a checksum field by a difference of sums
// (csum_replace_by_diff).
func ReplaceByDiff(check uint16, diff Sum) uint16 {
	return diff.Add(Sum(^uint32(check))).Fold()
}

// Replace2 corrects a checksum field for one changed 16-bit word, by RFC 1624
// equation 3 (csum_replace2).
func Replace2(check, from, to uint16) uint16 {
	return ^add16(add16(^check, ^from), to)
}

func add16(a, b uint16) uint16 {
	r := a + b
	if r < b {
		r++
	}
	return r
}

// IPv4HeaderChecksum computes the checksum of a header whose checksum field is
// taken as zero.
func IPv4HeaderChecksum(h IPv4) uint16 {
	return Sum(0).Partial(h[:IPv4Checksum]).Partial(h[IPv4Checksum+2:]).Fold()
}

// PseudoSum is the sum of the IPv4 pseudo header for an L4 segment of n bytes.
func PseudoSum(src, dst [4]byte, proto uint8, n int) Sum {
	return Sum(0).Partial(src[:]).Partial(dst[:]).Add(Sum(proto)).Add(Sum(n))
}
