package generate

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/header"
)

// minFrame is the shortest frame that is made: shorter ones reach no hook, because a
// device drops what has no Ethernet header.
const minFrame = header.EthernetSize

// strange is a packet of no conversation: at any hook, of any kind, often broken.
func (r *round) strange() *compare.Input {
	switch r.pick("strange", 6) {
	case 0:
		return r.arp()
	case 1:
		in := r.anywhere(r.ipv4())
		for range 1 + r.IntN(2) {
			r.spoil(in)
		}
		return in
	case 2:
		return r.anywhere(r.ethernet())
	case 3:
		in := r.anywhere(r.ipv4())
		return in
	case 4:
		p := r.w.Party(r.sender())
		in := p.Input(r.ipv4())
		r.metadata(in)
		return in
	}
	in := r.policyEntry(r.ipv4())
	return in
}

// ipv4 is a well-formed packet of anybody for anybody.
func (r *round) ipv4() []byte {
	src, dst := r.anybody(), r.receiver()
	p, q := r.w.Party(src), r.w.Party(dst)
	f := compare.Frame{
		SrcMAC: p.MAC, DstMAC: p.Next, Src: src, Dst: dst, Proto: r.protocol(), TTL: r.ttl(), TOS: r.tos(), ID: uint16(r.IntN(8)),
		SrcPort: r.port(), DstPort: r.port(), ICMPType: header.ICMPEcho, ICMPID: uint16(r.IntN(4)), Flags: r.anyFlags(), Data: r.data(),
	}
	if r.chance(10) {
		f.DstMAC = q.MAC
	}
	if r.chance(10) {
		f.Offset, f.MF = uint16(r.IntN(10)), r.chance(50)
	}
	if f.Proto == header.ProtoICMP && r.chance(50) {
		f.ICMPType, f.ICMPCode = uint8(r.IntN(20)), uint8(r.IntN(6))
	}
	return f.Bytes()
}

// ethernet is a frame of another ether type, or an 802.3 length.
func (r *round) ethernet() []byte {
	types := []uint16{header.EtherTypeIPv6, 0x8100, 0x88cc, 46, 0x05ff, 0x0600, header.EtherTypeIPv4, header.EtherTypeARP, uint16(r.Uint32())}
	b := append(r.bytes(12), 0, 0)
	header.Ethernet(b).SetType(oneOf(r.maker, types))
	return append(b, r.bytes(r.IntN(80))...)
}

// arp is a request, mostly one that is answered.
func (r *round) arp() *compare.Input {
	p := r.w.Party(oneOf(r.maker, r.pool.local))
	b := compare.ARPRequest(p.MAC, p.IP, r.anybody())
	a := header.ARP(b[header.EthernetSize:])
	switch r.pick("arp", 9) {
	case 0:
		header.Ethernet(b).SetDst(p.Next)
	case 1:
		header.Ethernet(b).SetDst([6]byte(r.bytes(6)))
	case 2:
		a.SetOp(uint16(r.IntN(4)))
	case 3:
		a[1] = uint8(r.IntN(3)) // hardware type
	case 4:
		a.SetTarget([6]byte{}, p.IP)
	case 5:
		b = b[:minFrame+r.IntN(header.ARPSize)]
	case 6:
		a.SetSender([6]byte(r.bytes(6)), r.anybody())
	case 7:
		return r.anywhere(b)
	}
	in := p.Input(append(b, make([]byte, r.IntN(3))...))
	r.metadata(in)
	return in
}

// anywhere puts a frame at any hook.
func (r *round) anywhere(b []byte) *compare.Input {
	d := oneOf(r.maker, r.w.Devices)
	progs := d.Programs()
	in := &compare.Input{Prog: progs[r.pick("program "+kindOf(&d), len(progs))], Device: d.Name, Frame: b, IngressIfindex: d.Ifindex}
	if in.Prog.Egress() {
		in.IngressIfindex = uint32(r.IntN(20))
	}
	if in.Prog == dataplane.FromOverlay {
		in.Tunnel = dataplane.TunnelKey{Present: r.chance(90), ID: r.identity() & 0xffffff, Remote: oneOf(r.maker, r.pool.hosts), TTL: 64}
	}
	if in.Prog == dataplane.PolicyProg || in.Prog == dataplane.ToHost {
		in.CB = r.scratch()
	}
	r.metadata(in)
	return in
}

// kindOf is a device's name, "lxc" for all pods.
func kindOf(d *compare.Device) string {
	if d.Endpoint != 0 {
		return "lxc"
	}
	return d.Name
}

// policyEntry puts a frame at a pod's policy program, which others reach by a tail call.
func (r *round) policyEntry(b []byte) *compare.Input {
	p := r.w.Party(oneOf(r.maker, r.pool.local))
	in := &compare.Input{Prog: dataplane.PolicyProg, Device: p.Device, Frame: b, IngressIfindex: p.Iif, CB: r.scratch()}
	if r.chance(70) && len(b) >= header.EthernetSize+header.IPv4MinSize {
		header.IPv4(b[header.EthernetSize:]).SetDst(p.IP)
	}
	r.metadata(in)
	return in
}

// spoil changes a packet a little, which may break it.
func (r *round) spoil(in *compare.Input) {
	b := in.Frame
	const ip = header.EthernetSize
	if len(b) < ip+header.IPv4MinSize {
		if len(b) > minFrame {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		return
	}
	switch r.pick("spoil", 14) {
	case 0:
		in.Frame = b[:minFrame+r.IntN(len(b)-minFrame)]
	case 1:
		b[ip] = b[ip]&0xf0 | byte(r.IntN(16)) // header length
	case 2:
		b[ip] = b[ip]&0x0f | byte(r.IntN(16))<<4 // version
	case 3:
		b[ip+2], b[ip+3] = byte(r.Uint32()), byte(r.Uint32()) // total length
	case 4:
		b[ip+6], b[ip+7] = byte(r.Uint32()), byte(r.Uint32()) // fragment
	case 5:
		b[ip+8] = byte(r.IntN(3)) // TTL
	case 6:
		b[ip+9] = r.protocol()
	case 7:
		header.IPv4(b[ip:]).SetSrc(r.anybody())
	case 8:
		header.IPv4(b[ip:]).SetDst(r.anybody())
	case 9:
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	case 10:
		header.Ethernet(b).SetType(oneOf(r.maker, []uint16{header.EtherTypeARP, header.EtherTypeIPv6, 0x100, 0x8100}))
	case 11:
		r.spoilTransport(in)
	case 12:
		r.metadata(in)
	case 13:
		in.CB, in.Mark, in.TCIndex = r.scratch(), r.Uint32()&0xff00, uint16(r.IntN(4))
	}
}

// spoilTransport changes bytes of the transport header: ports, flags, types, or where
// the frame ends in it.
func (r *round) spoilTransport(in *compare.Input) {
	b := in.Frame
	at := header.EthernetSize + header.IPv4(b[header.EthernetSize:]).HeaderLen()
	if at+2 >= len(b) {
		return
	}
	switch r.IntN(4) {
	case 0:
		in.Frame = b[:min(len(b), at+r.IntN(20))]
	case 1:
		p := r.port()
		b[at], b[at+1] = byte(p>>8), byte(p)
	case 2:
		if at+4 <= len(b) {
			p := r.port()
			b[at+2], b[at+3] = byte(p>>8), byte(p)
		}
	case 3:
		b[min(len(b)-1, at+r.IntN(20))] = byte(r.Uint32())
	}
}
