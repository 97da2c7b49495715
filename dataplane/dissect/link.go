package dissect

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hooklab/hooklab/dataplane/header"
)

// Offsets in the headers that Linux puts before packets of "any" device
// (LINKTYPE_LINUX_SLL and LINKTYPE_LINUX_SLL2).
const (
	sllSize     = 16
	sllAddrLen  = 4
	sllAddr     = 6
	sllProtocol = 14

	sll2Size     = 20
	sll2Protocol = 0
	sll2AddrLen  = 11
	sll2Addr     = 12
)

// EthernetFrame makes an Ethernet frame of captured data, given the link type of
// its interface. Data of LinkEthernet is returned as it is. What tcpdump -i any
// captures (LinkSLL, LinkSLL2) has the sender's MAC only, and LinkRaw has none: the
// others are zero in the frame. Further link types give an error that wraps
// errors.ErrUnsupported, data that is too short one that wraps ErrFormat.
func EthernetFrame(link uint16, data []byte) ([]byte, error) {
	switch link {
	case LinkEthernet:
		return data, nil
	case LinkRaw:
		if len(data) == 0 {
			return nil, fmt.Errorf("%w: empty IP packet", ErrFormat)
		}
		typ := header.EtherTypeIPv4
		if data[0]>>4 == 6 {
			typ = header.EtherTypeIPv6
		}
		return framed([6]byte{}, typ, data), nil
	case LinkSLL:
		if len(data) < sllSize {
			return nil, fmt.Errorf("%w: Linux cooked header of %d bytes, want %d", ErrFormat, len(data), sllSize)
		}
		src := cookedAddr(binary.BigEndian.Uint16(data[sllAddrLen:]), data[sllAddr:])
		return framed(src, binary.BigEndian.Uint16(data[sllProtocol:]), data[sllSize:]), nil
	case LinkSLL2:
		if len(data) < sll2Size {
			return nil, fmt.Errorf("%w: Linux cooked header of %d bytes, want %d", ErrFormat, len(data), sll2Size)
		}
		src := cookedAddr(uint16(data[sll2AddrLen]), data[sll2Addr:])
		return framed(src, binary.BigEndian.Uint16(data[sll2Protocol:]), data[sll2Size:]), nil
	}
	return nil, fmt.Errorf("link type %d (%d is Ethernet): %w", link, LinkEthernet, errors.ErrUnsupported)
}

// cookedAddr is the address in a cooked header, zero if it is no MAC.
func cookedAddr(n uint16, b []byte) [6]byte {
	if n != 6 {
		return [6]byte{}
	}
	return [6]byte(b[:6])
}

func framed(src [6]byte, typ uint16, packet []byte) []byte {
	frame := make([]byte, header.EthernetSize, header.EthernetSize+len(packet))
	header.Ethernet(frame).SetSrc(src)
	header.Ethernet(frame).SetType(typ)
	return append(frame, packet...)
}
