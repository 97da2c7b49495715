package sim

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/hooklab/hooklab/dataplane/header"
)

// ICMP codes (RFC 792, RFC 1122).
const (
	codeNet      uint8 = 0
	codeHost     uint8 = 1
	codeProtocol uint8 = 2
	codePort     uint8 = 3

	icmpChecksum = 2
	icmpInfo     = 4 // id and sequence, or the next hop's MTU in the lower half
	icmpSeq      = 6
	icmpMTU      = 6

	maxError = 576 // of an ICMP error, IP header included
)

// ICMPError is an ICMP error that came back.
type ICMPError struct {
	Time          time.Duration
	Frame, Packet uint64
	From          netip.Addr // who reports it
	Type, Code    uint8
	MTU           int // of "fragmentation needed"
}

// isICMPError tells the types that quote the packet they are about.
func isICMPError(l4 []byte) bool {
	if len(l4) < header.ICMPSize {
		return false
	}
	switch l4[header.ICMPType] {
	case header.ICMPUnreachable, 4, 5, header.ICMPTimeExceeded, header.ICMPParamProblem:
		return true
	}
	return false
}

// mayReport says whether an ICMP error about the frame is allowed (RFC 1122 3.2.2):
// not about errors, later fragments, broadcasts and senders that nobody is.
func mayReport(f *frame) bool {
	ip := f.ip()
	if f.pktType != 0 || !unicast(ip.Src()) || !unicast(ip.Dst()) || !ip.HasL4Header() {
		return false
	}
	return ip.Protocol() != header.ProtoICMP || !isICMPError(f.l4())
}

// sendICMPError reports about a frame to its sender (icmp_send). The address that it
// comes from is the one that was addressed, if it is the stack's, else the route's.
func (st *stack) sendICMPError(about *frame, typ, code uint8, mtu int) {
	if !mayReport(about) {
		return
	}
	ip := about.ip()
	to := ip.Src()
	src := ip.Dst()
	if !st.out.owns(src) {
		var ok bool
		if src, ok = st.out.source(to); !ok {
			return
		}
	}
	quote := ip[:min(len(ip), maxError-header.IPv4MinSize-header.ICMPSize)]
	b := make([]byte, header.ICMPSize+len(quote))
	b[header.ICMPType], b[header.ICMPCode] = typ, code
	binary.BigEndian.PutUint16(b[icmpMTU:], uint16(mtu))
	copy(b[header.ICMPSize:], quote)
	putICMPChecksum(b)
	const internetControl = 0xc0 // the precedence of ICMP errors
	st.send(nil, about, Failure, packet{src: src, dst: to, proto: header.ProtoICMP, tos: ip.TOS()&0x1e | internetControl, payload: b})
}

func putICMPChecksum(b []byte) {
	binary.BigEndian.PutUint16(b[icmpChecksum:], 0)
	binary.BigEndian.PutUint16(b[icmpChecksum:], header.Sum(0).Partial(b).Fold())
}

// icmpInput answers echo requests and hands replies and errors to their sockets.
func (st *stack) icmpInput(f *frame) {
	b := f.l4()
	switch {
	case len(b) < header.ICMPSize:
		st.lose(f, BadHeader)
	case header.Sum(0).Partial(b).Fold() != 0:
		st.lose(f, BadL4Checksum)
	case isICMPError(b):
		st.icmpErrorInput(f)
	case b[header.ICMPType] == header.ICMPEcho:
		st.echo(f)
	case b[header.ICMPType] == header.ICMPEchoReply:
		ip := f.ip()
		k := socketKey{proto: header.ProtoICMP, local: ip.Dst(), remote: ip.Src(), localPort: binary.BigEndian.Uint16(b[icmpInfo:])}
		if x := st.sockets[k]; x != nil {
			x.input(f)
			return
		}
		st.lose(f, Unexpected)
	default:
		st.lose(f, Unexpected)
	}
}

// echo answers an echo request (icmp_echo).
func (st *stack) echo(f *frame) {
	ip := f.ip()
	st.received(f, false)
	if !unicast(ip.Src()) || !st.out.owns(ip.Dst()) {
		return
	}
	b := append([]byte(nil), f.l4()...)
	b[header.ICMPType] = header.ICMPEchoReply
	putICMPChecksum(b)
	st.send(nil, f, Answer, packet{src: ip.Dst(), dst: ip.Src(), proto: header.ProtoICMP, tos: ip.TOS(), payload: b})
}

// icmpErrorInput finds the socket whose packet is quoted.
func (st *stack) icmpErrorInput(f *frame) {
	b := f.l4()
	q, ok := quoted(b[header.ICMPSize:])
	if !ok {
		st.lose(f, BadHeader)
		return
	}
	e := ICMPError{
		Time: st.sim.now, Frame: f.id, Packet: f.packet, From: addr(f.ip().Src()),
		Type: b[header.ICMPType], Code: b[header.ICMPCode],
	}
	if e.Type == header.ICMPUnreachable && e.Code == header.ICMPFragNeeded {
		e.MTU = int(binary.BigEndian.Uint16(b[icmpMTU:]))
		st.learnMTU(q.remote, e.MTU)
	}
	x := st.sockets[q]
	if x == nil {
		st.lose(f, Unexpected)
		return
	}
	x.failed(f, e)
}

// learnMTU notes a path's MTU, within what the kernel believes (min_pmtu).
func (st *stack) learnMTU(dst [4]byte, mtu int) {
	const minPMTU, maxPaths = 552, 4096
	if mtu < 68 || len(st.pmtu) >= maxPaths {
		return
	}
	if st.pmtu == nil {
		st.pmtu = make(map[[4]byte]int)
	}
	st.pmtu[dst] = max(mtu, minPMTU)
}

// quoted is the socket that sent the packet which an ICMP error quotes.
func quoted(b []byte) (socketKey, bool) {
	if len(b) < header.IPv4MinSize {
		return socketKey{}, false
	}
	ip := header.IPv4(b)
	n := ip.HeaderLen()
	if n < header.IPv4MinSize || len(b) < n {
		return socketKey{}, false
	}
	k := socketKey{proto: ip.Protocol(), local: ip.Src(), remote: ip.Dst()}
	l4 := b[n:]
	switch k.proto {
	case header.ProtoTCP, header.ProtoUDP:
		if len(l4) < header.PortsSize {
			return k, false
		}
		k.localPort = binary.BigEndian.Uint16(l4[header.SrcPort:])
		k.remotePort = binary.BigEndian.Uint16(l4[header.DstPort:])
	case header.ProtoICMP:
		if len(l4) < header.ICMPSize {
			return k, false
		}
		k.localPort = binary.BigEndian.Uint16(l4[icmpInfo:])
	}
	return k, true
}
