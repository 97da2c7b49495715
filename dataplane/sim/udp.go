package sim

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane/header"
)

// udpInput gives a datagram to its socket, or sends it back from a port that is open.
func (st *stack) udpInput(f *frame) {
	l4 := f.l4()
	if len(l4) < header.UDPSize {
		st.lose(f, BadHeader)
		return
	}
	n := int(binary.BigEndian.Uint16(l4[udpLength:]))
	if n < header.UDPSize || n > len(l4) {
		st.lose(f, BadHeader)
		return
	}
	if binary.BigEndian.Uint16(l4[header.UDPChecksum:]) != 0 && !checksumOK(f) {
		st.lose(f, BadL4Checksum)
		return
	}
	k := keyOf(f)
	if x := st.sockets[k]; x != nil {
		x.input(f)
		return
	}
	if !st.out.listens(header.ProtoUDP, k.local, k.localPort) {
		st.lose(f, PortClosed)
		st.sendICMPError(f, header.ICMPUnreachable, codePort, 0)
		return
	}
	st.received(f, false)
	if !unicast(k.remote) || k.remotePort == 0 {
		return
	}
	st.send(nil, f, Answer, packet{
		src: k.local, dst: k.remote, proto: header.ProtoUDP,
		df:      header.IPv4MinSize+n <= st.pathMTU(k.remote),
		payload: buildUDP(k, l4[header.UDPSize:n]),
	})
}

const udpLength = 4 // offset of the length field

// buildUDP makes a datagram from a socket.
func buildUDP(k socketKey, data []byte) []byte {
	b := make([]byte, header.UDPSize+len(data))
	binary.BigEndian.PutUint16(b[header.SrcPort:], k.localPort)
	binary.BigEndian.PutUint16(b[header.DstPort:], k.remotePort)
	binary.BigEndian.PutUint16(b[udpLength:], uint16(len(b)))
	copy(b[header.UDPSize:], data)
	putChecksum(k.local, k.remote, header.ProtoUDP, b, header.UDPChecksum)
	return b
}
