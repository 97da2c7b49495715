package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/netns"
)

const (
	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
	protoGRE  = 47
	protoSCTP = 132
)

// realQuestion is a question whose packet can be sent for real.
type realQuestion struct {
	journey.Question
	send    func() error
	mine    func(frame []byte) bool // the packet, in whatever form
	answers func(frame []byte) bool
}

// packetTo is what a packet is, but for its sender. Its number stands in the IP header's
// identification, which nothing changes on its way, and as source port or echo id.
type packetTo struct {
	ip       netip.Addr
	proto    uint8
	port     uint16 // of the receiver
	ttl      uint8
	flags    uint8  // TCP
	size     int    // of the data
	fragment uint16 // flags and offset of the IP header
}

// draw draws a question: the kind is that of its number, so that all kinds have their
// turn, the rest is left to chance.
func (a *agreement) draw(r *rand.Rand, n int) *realQuestion {
	pick := func(names ...string) string { return names[r.IntN(len(names))] }
	from := pick("client", "same", "other")
	to := a.packet(r)
	switch n % 20 {
	case 0: // between pods, of one node and of two
		to.ip = a.pod(pick("client", "same", "other")).IP
	case 1, 2: // to a service: from the same node, from the other one, from its own backend
		to = a.service(r, pick("near", "far"))
	case 3:
		to = a.service(r, "empty")
	case 4: // what no service has, and what none answers
		to.ip, to.ttl = a.vip(pick("near", "far")), 64 // the gateway, which knows no way to it, does not look at the TTL
	case 5: // a pod's own node and another one
		to.ip = a.node(pick("a", "b")).IP
	case 6:
		to.ip = a.node(pick("a", "b")).Router
	case 7:
		to.ip = netip.MustParseAddr("172.18.255.1")
	case 8:
		to.ip = netip.MustParseAddr("8.8.8.8")
	case 9: // addresses of pods that are not there
		base := a.node(pick("a", "b")).PodCIDR.Addr().As4()
		base[3] = 254
		to.ip = netip.AddrFrom4(base)
	case 10: // to nodes' health endpoints
		to.ip = a.node(pick("a", "b")).Health.IP
	case 11: // protocols that conntrack does not know
		to.ip, to.proto = a.pod(pick("client", "same", "other")).IP, []uint8{protoSCTP, protoGRE}[r.IntN(2)]
	case 12: // fragments: one whose first was never seen, and a first one
		to.ip, to.proto, to.size = a.pod(pick("same", "other")).IP, protoUDP, 64
		to.fragment = []uint16{100, 0x2000}[r.IntN(2)]
	case 13: // what is never let through
		switch r.IntN(3) {
		case 0:
			to.ip = netip.IPv4Unspecified()
		case 1:
			to.ip, to.proto, to.port = a.pod(pick("same", "other")).IP, protoUDP, 8472
		default:
			to.ip = a.pod("other").IP
			return a.spoofed(from, to)
		}
	case 14:
		return a.arp(r, from)
	case 15:
		return a.odd(r, from)
	case 16, 17: // from a node
		return a.fromNode(r, pick("a", "b"))
	case 18, 19: // from outside
		return a.fromOutside(r)
	}
	return a.fromPod(from, to)
}

// packet draws protocol, port, flags, TTL and size.
func (a *agreement) packet(r *rand.Rand) packetTo {
	to := packetTo{
		proto: []uint8{protoICMP, protoTCP, protoUDP}[r.IntN(3)], port: []uint16{80, 9}[r.IntN(2)],
		ttl: []uint8{64, 64, 64, 1, 2, 3, 255}[r.IntN(7)], flags: []uint8{header.TCPSYN, header.TCPSYN, header.TCPACK, header.TCPRST, header.TCPFIN | header.TCPACK}[r.IntN(5)],
		size: []int{0, 56, 1000, 1400}[r.IntN(4)],
	}
	if to.proto == protoTCP {
		to.size = 0
	}
	return to
}

// service draws a packet to a service's port.
func (a *agreement) service(r *rand.Rand, name string) packetTo {
	to := a.packet(r)
	to.ip, to.proto, to.port = a.vip(name), protoTCP, 80
	if r.IntN(2) == 0 && name != "empty" {
		to.proto, to.port = protoUDP, 53
	} else {
		to.size = 0
	}
	return to
}

func (a *agreement) vip(name string) netip.Addr {
	s, err := a.cluster.Service(name)
	if err != nil {
		panic(err)
	}
	return s.ClusterIP
}

// next is the number of a new packet.
func (a *agreement) next() uint16 {
	a.number++
	return a.number
}

// fromPod is a packet in bytes that a pod's eth0 sends.
func (a *agreement) fromPod(name string, to packetTo) *realQuestion {
	return a.frame(name, a.pod(name).IP, to)
}

// spoofed has another sender than the pod.
func (a *agreement) spoofed(name string, to packetTo) *realQuestion {
	return a.frame(name, netip.MustParseAddr("10.0.0.253"), to)
}

func (a *agreement) frame(name string, src netip.Addr, to packetTo) *realQuestion {
	n, pod := a.next(), a.pod(name)
	frame := append(ethernet(pod.NodeMAC, pod.MAC, header.EtherTypeIPv4), to.packet(src, n)...)
	return &realQuestion{
		Question: journey.Question{From: pod.Ref(), Packet: frame, Origin: fmt.Sprintf("packet %d", n)},
		send:     func() error { return a.ports[name].Write(frame, &netns.Meta{}) },
		mine:     func(b []byte) bool { return numbered(b) == n }, answers: func(b []byte) bool { return answers(b) == n },
	}
}

func ethernet(dst, src [6]byte, kind uint16) []byte {
	b := make([]byte, header.EthernetSize)
	eth := header.Ethernet(b)
	eth.SetDst(dst)
	eth.SetSrc(src)
	eth.SetType(kind)
	return b
}

// packet is the packet's bytes from the IP header on, with all checksums.
func (to *packetTo) packet(src netip.Addr, n uint16) []byte {
	l4 := make([]byte, map[uint8]int{protoICMP: 8, protoTCP: 20, protoUDP: 8}[to.proto]+to.size)
	for i := range l4 {
		l4[i] = byte(i)
	}
	sum := -1 // where its checksum is
	switch to.proto {
	case protoICMP:
		copy(l4, []byte{8, 0, 0, 0, byte(n >> 8), byte(n), 0, 1})
		binary.BigEndian.PutUint16(l4[2:], header.Sum(0).Partial(l4).Fold())
	case protoTCP:
		copy(l4, []byte{byte(n >> 8), byte(n), byte(to.port >> 8), byte(to.port), 0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, to.flags, 0xfa, 0xf0, 0, 0, 0, 0})
		sum = 16
	case protoUDP:
		copy(l4, []byte{byte(n >> 8), byte(n), byte(to.port >> 8), byte(to.port), byte(len(l4) >> 8), byte(len(l4)), 0, 0})
		sum = 6
	}
	b := make([]byte, header.IPv4MinSize, header.IPv4MinSize+len(l4))
	length := header.IPv4MinSize + len(l4)
	copy(b, []byte{0x45, 0, byte(length >> 8), byte(length), byte(n >> 8), byte(n), byte(to.fragment >> 8), byte(to.fragment), to.ttl, to.proto})
	ip := header.IPv4(b)
	ip.SetSrc(src.As4())
	ip.SetDst(to.ip.As4())
	ip.SetChecksum(header.IPv4HeaderChecksum(ip))
	if sum >= 0 {
		binary.BigEndian.PutUint16(l4[sum:], header.PseudoSum(src.As4(), to.ip.As4(), to.proto, len(l4)).Partial(l4).Fold())
	}
	return append(b, l4...)
}

// numbered is a packet's number, 0 if it is none.
func numbered(frame []byte) uint16 {
	if len(frame) < header.EthernetSize+header.IPv4MinSize || header.Ethernet(frame).Type() != header.EtherTypeIPv4 {
		return 0
	}
	id := header.IPv4(frame[header.EthernetSize:]).ID()
	return binary.BigEndian.Uint16(id[:])
}

// answers is the number of the packet that a frame answers: by the port that it goes to,
// the echo's id, or the packet that an ICMP error quotes; 0 for others.
func answers(frame []byte) uint16 {
	const l4 = header.EthernetSize + header.IPv4MinSize
	if len(frame) < l4+8 || header.Ethernet(frame).Type() != header.EtherTypeIPv4 {
		return 0
	}
	switch b := frame[l4:]; header.IPv4(frame[header.EthernetSize:]).Protocol() {
	case protoTCP, protoUDP:
		return binary.BigEndian.Uint16(b[2:])
	case protoICMP:
		switch {
		case b[0] == 0:
			return binary.BigEndian.Uint16(b[4:])
		case b[0] != 8 && len(b) >= 8+header.IPv4MinSize:
			return binary.BigEndian.Uint16(b[8+4:])
		}
	}
	return 0
}

// arp is a pod's question for an address that nobody else asks for.
func (a *agreement) arp(r *rand.Rand, name string) *realQuestion {
	pod, target := a.pod(name), [4]byte{10, 200, byte(r.IntN(256)), byte(r.IntN(256))}
	frame := append(ethernet(header.BroadcastMAC(), pod.MAC, header.EtherTypeARP), make([]byte, header.ARPSize)...)
	arp := header.ARP(frame[header.EthernetSize:])
	copy(arp, []byte{0, 1, 8, 0, 6, 4})
	arp.SetOp(header.ARPRequest)
	arp.SetSender(pod.MAC, pod.IP.As4())
	arp.SetTarget([6]byte{}, target)
	return a.bytes(name, frame, func(b []byte) bool {
		if len(b) < len(frame) || header.Ethernet(b).Type() != header.EtherTypeARP {
			return false
		}
		arp := header.ARP(b[header.EthernetSize:])
		return arp.TargetIP() == target || arp.SenderIP() == target
	})
}

// odd is a frame that is no IPv4 packet: IPv6, something unknown, or cut off.
func (a *agreement) odd(r *rand.Rand, name string) *realQuestion {
	pod, n := a.pod(name), a.next()
	kind := []uint16{header.EtherTypeIPv6, 0x88b5, header.EtherTypeIPv4, 0x0100}[r.IntN(4)]
	frame := append(ethernet(pod.NodeMAC, pod.MAC, kind), 0x45, 'o', 'd', 'd', byte(n>>8), byte(n))
	frame = append(frame, make([]byte, r.IntN(13))...)
	return a.bytes(name, frame, func(b []byte) bool { return bytes.Equal(b, frame) })
}

func (a *agreement) bytes(name string, frame []byte, mine func([]byte) bool) *realQuestion {
	return &realQuestion{
		Question: journey.Question{From: a.pod(name).Ref(), Packet: frame},
		send:     func() error { return a.ports[name].Write(frame, &netns.Meta{}) },
		mine:     mine, answers: func([]byte) bool { return false },
	}
}

// fromNode is a packet of a node's own.
func (a *agreement) fromNode(r *rand.Rand, name string) *realQuestion {
	to := a.packet(r)
	switch r.IntN(5) {
	case 0, 1:
		to.ip = a.pod([]string{"client", "same", "other"}[r.IntN(3)]).IP
	case 2:
		to = a.service(r, []string{"near", "far", "empty"}[r.IntN(3)])
	case 3:
		to.ip = a.node(map[string]string{"a": "b", "b": "a"}[name]).Router
	default:
		to.ip = netip.MustParseAddr("172.18.255.1")
	}
	return a.fromHost("node/"+name, to)
}

// fromOutside is a packet that a host outside sends to a pod or node without being asked.
func (a *agreement) fromOutside(r *rand.Rand) *realQuestion {
	to := a.packet(r)
	if to.ip = a.pod([]string{"client", "same", "other"}[r.IntN(3)]).IP; r.IntN(4) == 0 {
		to.ip = a.node("b").IP
	}
	return a.fromHost("external/"+[]string{"neighbour", "world"}[r.IntN(2)], to)
}

// fromHost is a packet that a host's own kernel sends, by its routes and rules.
func (a *agreement) fromHost(ref string, to packetTo) *realQuestion {
	n := a.next()
	q := journey.Question{From: ref, To: to.ip.String(), TTL: to.ttl, SourcePort: n, Size: to.size}
	switch to.proto {
	case protoTCP:
		q.Protocol, q.Port, q.Flags = journey.TCP, to.port, map[uint8]string{
			header.TCPSYN: "SYN", header.TCPACK: "ACK", header.TCPRST: "RST", header.TCPFIN | header.TCPACK: "FIN,ACK",
		}[to.flags]
	case protoUDP:
		q.Protocol, q.Port = journey.UDP, to.port
	default:
		q.Protocol = journey.ICMP
		if to.size == 0 {
			to.size = 56
		}
	}
	return &realQuestion{
		Question: q,
		send:     func() error { return sendRaw(a.spaces[ref], to, n) },
		mine:     func(b []byte) bool { return numbered(b) == n }, answers: func(b []byte) bool { return answers(b) == n },
	}
}

// sendRaw sends a packet with a header of our own.
func sendRaw(ns *netns.NS, to packetTo, n uint16) error {
	return ns.Do(func() error {
		// The kernel chooses the source as for anybody.
		conn, err := net.Dial("udp4", netip.AddrPortFrom(to.ip, 9).String())
		if err != nil {
			return err
		}
		src := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap() //nolint:forcetypeassert // of a UDP socket
		if err := conn.Close(); err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, to.packet(src, n), 0, &unix.SockaddrInet4{Addr: to.ip.As4()})
	})
}
