package sim

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane/header"
)

// outlet is what a stack's packets go through: a pod's eth0, a node's output path, an
// external host's wire.
type outlet interface {
	place() Place
	// source is the address that a packet to dst gets, by the route.
	source(dst [4]byte) ([4]byte, bool)
	// mtu is the route's MTU.
	mtu(dst [4]byte) int
	owns(ip [4]byte) bool
	// listens says that a server waits on the port of one of the outlet's addresses.
	listens(proto uint8, ip [4]byte, port uint16) bool
	output(f *frame)
}

// stack is the sockets of one network namespace and what answers without any: the
// part of a kernel above IP.
type stack struct {
	sim     *Sim
	out     outlet
	sockets map[socketKey]socket
	nextID  uint16
	pmtu    map[[4]byte]int // learned from "fragmentation needed"
}

// socketKey names a socket. The ports of ICMP are the echo's id and 0.
type socketKey struct {
	proto                 uint8
	local, remote         [4]byte
	localPort, remotePort uint16
}

// socket takes packets that were sent to its key.
type socket interface {
	// input takes a packet whose checksums are right.
	input(f *frame)
	// failed says that a packet of the socket met an ICMP error.
	failed(f *frame, e ICMPError)
}

// maxSockets bounds a stack's table.
const maxSockets = 1 << 16

// bind enters a socket. It is false if the table is full.
func (st *stack) bind(k socketKey, x socket) bool {
	if len(st.sockets) >= maxSockets {
		return false
	}
	if st.sockets == nil {
		st.sockets = make(map[socketKey]socket)
	}
	st.sockets[k] = x
	return true
}

func (st *stack) unbind(k socketKey) { delete(st.sockets, k) }

// Local ports are the kernel's default ip_local_port_range.
const (
	portMin   = 32768
	portCount = 60999 - portMin + 1
)

// freePort chooses a local port that makes the key unique.
func (st *stack) freePort(k socketKey) uint16 {
	start := st.sim.rand.IntN(portCount)
	for i := range portCount {
		k.localPort = uint16(portMin + (start+i)%portCount)
		if _, taken := st.sockets[k]; !taken {
			return k.localPort
		}
	}
	return 0
}

// packet is what a socket or the stack itself wants to send.
type packet struct {
	src, dst [4]byte
	proto    uint8
	ttl, tos uint8 // ttl 0: the default
	df       bool
	payload  []byte
	mark     uint32
}

// send makes a packet and hands it to the outlet. The parent is nil for Original.
func (st *stack) send(conv *Conversation, parent *frame, how Relation, p packet) {
	st.nextID++
	ttl := p.ttl
	if ttl == 0 {
		ttl = defaultTTL
	}
	f := st.sim.derive(parent, how, buildIPv4(ipHeader{
		src: p.src, dst: p.dst, proto: p.proto, ttl: ttl, tos: p.tos, df: p.df, id: st.nextID,
	}, p.payload))
	if conv != nil {
		f.conv = conv
		conv.result.Sent++
	}
	f.mark = p.mark
	st.sim.emit(f, st.out.place(), "", Event{Kind: Sent})
	if f.depth > maxDepth {
		st.lose(f, Endless)
		return
	}
	st.out.output(f)
}

func (st *stack) lose(f *frame, r Reason) { st.sim.lose(f, st.out.place(), "", r) }

// received notes that the packet has arrived; conv's own sockets are told apart
// from servers by reply.
func (st *stack) received(f *frame, reply bool) {
	if f.conv != nil {
		f.conv.received(st, f, reply)
	}
	st.sim.emit(f, st.out.place(), "", Event{Kind: Received})
}

// reported notes that an ICMP error has reached the socket that it is about.
func (st *stack) reported(f *frame) { st.sim.emit(f, st.out.place(), "", Event{Kind: Received}) }

// pathMTU is the longest packet to dst.
func (st *stack) pathMTU(dst [4]byte) int {
	m := st.out.mtu(dst)
	if learned, ok := st.pmtu[dst]; ok {
		m = min(m, learned)
	}
	return m
}

// input takes a whole packet that is addressed to the stack.
func (st *stack) input(f *frame) {
	switch ip := f.ip(); ip.Protocol() {
	case header.ProtoICMP:
		st.icmpInput(f)
	case header.ProtoTCP:
		st.tcpInput(f)
	case header.ProtoUDP:
		st.udpInput(f)
	default:
		if x := st.sockets[socketKey{proto: ip.Protocol(), local: ip.Dst(), remote: ip.Src()}]; x != nil {
			x.input(f)
			return
		}
		st.lose(f, ProtocolUnknown)
		st.sendICMPError(f, header.ICMPUnreachable, codeProtocol, 0)
	}
}

// keyOf is the socket that a TCP or UDP packet is for.
func keyOf(f *frame) socketKey {
	ip, l4 := f.ip(), f.l4()
	return socketKey{
		proto: ip.Protocol(), local: ip.Dst(), remote: ip.Src(),
		localPort: binary.BigEndian.Uint16(l4[header.DstPort:]), remotePort: binary.BigEndian.Uint16(l4[header.SrcPort:]),
	}
}

// checksumOK verifies the transport checksum over the pseudo header.
func checksumOK(f *frame) bool {
	ip, l4 := f.ip(), f.l4()
	return header.PseudoSum(ip.Src(), ip.Dst(), ip.Protocol(), len(l4)).Partial(l4).Fold() == 0
}

// putChecksum writes the transport checksum of a segment, given its offset.
func putChecksum(src, dst [4]byte, proto uint8, segment []byte, at int) {
	binary.BigEndian.PutUint16(segment[at:], 0)
	sum := header.PseudoSum(src, dst, proto, len(segment)).Partial(segment).Fold()
	if sum == 0 && proto == header.ProtoUDP {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(segment[at:], sum)
}
