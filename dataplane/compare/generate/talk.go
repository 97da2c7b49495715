package generate

import (
	"bytes"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/compare"
	"github.com/hooklab/hooklab/dataplane/header"
)

// talk is a conversation: two ends, a protocol, and how far it has come.
type talk struct {
	client, server [4]byte
	proto          uint8
	sport, dport   uint16
	id             uint16
	said           int // packets of the client
	heard          *compare.Outcome
	answered       bool
}

// protocols are what conversations use; 132 (SCTP), 47 (GRE), 50 (ESP), 2 (IGMP) and any
// other number are unknown to the datapath.
func (r *round) protocol() uint8 {
	switch r.pick("protocol", 8) {
	case 0, 1, 2:
		return header.ProtoTCP
	case 3, 4:
		return header.ProtoUDP
	case 5, 6:
		return header.ProtoICMP
	}
	return oneOf(r.maker, []uint8{header.ProtoSCTP, 47, 50, 2, uint8(r.Uint32())})
}

func (r *round) newTalk() *talk {
	t := &talk{
		client: r.sender(), server: r.receiver(), proto: r.protocol(),
		sport: uint16(1024 + r.IntN(64000)), dport: r.port(), id: uint16(r.IntN(4)),
	}
	if r.chance(50) {
		t.sport = uint16(40000 + r.IntN(3)) // so that conversations meet on a tuple
	}
	if f, ok := r.pool.frontend(t.server); ok && r.chance(70) {
		if t.dport = oneOf(r.maker, f.ports); t.proto == header.ProtoICMP {
			t.proto = header.ProtoTCP
		}
	}
	return t
}

// hear takes what became of the conversation's last packet.
func (t *talk) hear(o *compare.Outcome) {
	if o == nil {
		return
	}
	t.heard = &compare.Outcome{
		Verdict: o.Verdict, Frame: bytes.Clone(o.Frame), Mark: o.Mark, TCIndex: o.TCIndex, Tunnel: o.Tunnel, CB: o.CB,
	}
	t.answered = false
}

// speak is the conversation's next packet, with its fragments: the receiver's answer to
// the last one, an error about it, or one more of the client.
func (r *round) speak(t *talk) []compare.Step {
	if t.heard != nil && !t.answered {
		switch r.pick("turn", 4) {
		case 0, 1:
			if list := r.reply(t); list != nil {
				t.answered = true
				return list
			}
		case 2:
			if in := r.complaint(t); in != nil {
				return steps(in)
			}
		}
	}
	p := r.w.Party(t.client)
	f := compare.Frame{
		SrcMAC: p.MAC, DstMAC: p.Next, Src: t.client, Dst: t.server, Proto: t.proto, TTL: r.ttl(), TOS: r.tos(), ID: uint16(r.IntN(8)),
		SrcPort: t.sport, DstPort: t.dport, ICMPType: header.ICMPEcho, ICMPID: t.id, Flags: r.flags(t.said),
		NoChecksum: r.chance(10), DF: r.chance(30), Data: r.data(),
	}
	t.said++
	if t.proto == header.ProtoICMP && r.chance(15) {
		f.ICMPType, f.ICMPCode = uint8(r.IntN(20)), uint8(r.IntN(6))
	}
	if r.chance(5) {
		f.Options = append(bytes.Repeat([]byte{1}, 4*r.IntN(9)), 148, 4, 0, 0)
	}
	if r.pick("fragments", 8) == 0 {
		return r.fragments(&p, &f)
	}
	in := p.Input(f.Bytes())
	r.metadata(in)
	return steps(in)
}

func steps(list ...*compare.Input) []compare.Step {
	var out []compare.Step
	for _, in := range list {
		out = append(out, compare.Step{Packet: in})
	}
	return out
}

// reply is the receiver's answer to what reached it, with its fragments.
func (r *round) reply(t *talk) []compare.Step {
	p, ok := r.w.Receiver(t.heard)
	f, known := compare.Answer(t.heard.Frame)
	if !ok || !known {
		return nil
	}
	f.SrcMAC, f.DstMAC, f.TTL = p.MAC, p.Next, r.ttl()
	f.Flags, f.NoChecksum = r.answerFlags(), r.chance(10)
	if f.Proto != header.ProtoICMP {
		f.Data = r.data()
	}
	if r.pick("reply fragments", 8) == 0 {
		return r.fragments(&p, &f)
	}
	in := p.Input(f.Bytes())
	r.metadata(in)
	return steps(in)
}

// complaint is an ICMP error about the last packet: of its receiver or of a router.
func (r *round) complaint(t *talk) *compare.Input {
	p, ok := r.w.Receiver(t.heard)
	if !ok || r.chance(30) {
		p = r.w.Party(r.anybody())
	}
	kind := oneOf(r.maker, [][2]uint8{
		{header.ICMPUnreachable, 1},
		{header.ICMPUnreachable, 3},
		{header.ICMPUnreachable, header.ICMPFragNeeded},
		{header.ICMPTimeExceeded, 0},
		{header.ICMPParamProblem, 0},
		{5, 1},
		{4, 0},
	})
	f, known := compare.Complain(t.heard.Frame, p.IP, kind[0], kind[1])
	if !known {
		return nil
	}
	f.SrcMAC, f.DstMAC = p.MAC, p.Next
	in := p.Input(f.Bytes())
	r.metadata(in)
	return in
}

// fragments cuts a packet in two or three, in order or not, some missing.
func (r *round) fragments(p *compare.Party, f *compare.Frame) []compare.Step {
	f.Data = append(f.Data, r.bytes(40)...)
	whole := *f
	whole.Offset, whole.MF = 0, true
	first := whole.Bytes()
	const keep = 24 // bytes of the first fragment's payload, a multiple of 8
	hlen := header.EthernetSize + header.IPv4MinSize + len(f.Options)
	if len(first) < hlen+keep {
		return steps(p.Input(first))
	}
	part := func(offset uint16, more bool, data []byte) *compare.Input {
		x := *f
		x.Offset, x.MF, x.Data = offset, more, data
		if offset == 0 {
			// The first one has the transport header, cut to a multiple of 8 bytes.
			cut := whole
			b := cut.Bytes()[:hlen+keep]
			fixLength(b)
			return p.Input(b)
		}
		return p.Input(x.Bytes())
	}
	list := []*compare.Input{part(0, true, nil), part(keep/8, r.chance(50), first[hlen+keep:]), part(keep/8+5, false, r.bytes(16))}
	if r.chance(30) {
		list[0], list[1] = list[1], list[0]
	}
	if r.chance(20) {
		list = list[1:]
	}
	for _, in := range list {
		r.metadata(in)
	}
	return steps(list[:1+r.IntN(len(list))]...)
}

// fixLength makes an IPv4 header right for the frame's length.
func fixLength(b []byte) {
	ip := header.IPv4(b[header.EthernetSize:])
	n := len(ip)
	ip[2], ip[3] = byte(n>>8), byte(n)
	ip.SetChecksum(header.IPv4HeaderChecksum(ip[:ip.HeaderLen()]))
}

func (r *round) ttl() uint8 {
	if r.chance(90) {
		return 64
	}
	return oneOf(r.maker, []uint8{0, 1, 2, 255, uint8(r.Uint32())})
}

func (r *round) tos() uint8 {
	if r.chance(85) {
		return 0
	}
	return uint8(r.Uint32())
}

func (r *round) data() []byte {
	switch r.IntN(6) {
	case 0, 1, 2:
		return nil
	case 3:
		return r.bytes(1 + r.IntN(40))
	case 4:
		return r.bytes(200)
	}
	return r.bytes(2 * r.IntN(30))
}

// flags are those of a client's segment: a connection's usual ones in its course, or any.
func (r *round) flags(said int) uint8 {
	if r.chance(80) {
		course := []uint8{
			header.TCPSYN, header.TCPACK, header.TCPPSH | header.TCPACK, header.TCPACK, header.TCPFIN | header.TCPACK, header.TCPACK,
		}
		return course[said%len(course)]
	}
	return r.anyFlags()
}

func (r *round) answerFlags() uint8 {
	if r.chance(70) {
		return oneOf(r.maker, []uint8{
			header.TCPSYN | header.TCPACK, header.TCPACK, header.TCPPSH | header.TCPACK, header.TCPFIN | header.TCPACK,
			header.TCPRST, header.TCPRST | header.TCPACK,
		})
	}
	return r.anyFlags()
}

func (r *round) anyFlags() uint8 {
	if r.chance(50) {
		return oneOf(r.maker, []uint8{header.TCPSYN, header.TCPRST, header.TCPFIN, 0, header.TCPSYN | header.TCPFIN})
	}
	return uint8(r.Uint32())
}

// metadata gives a frame what a hook may find beside it.
func (r *round) metadata(in *compare.Input) {
	in.Rand = r.Uint32()
	if r.pick("metadata", 6) != 0 {
		return
	}
	switch r.pick("metadata kind", 11) {
	case 0:
		in.Mark = oneOf(r.maker, []uint32{0x200, 0xa00, 0xb00, 0xc00, 0xd00, 0xe00, 0xf00}) | r.Uint32()&0xffff00ff
	case 1:
		in.Mark = r.Uint32()
	case 2:
		in.TCIndex = uint16(r.IntN(4))
	case 3:
		in.CB = r.scratch()
	case 4:
		if in.Prog == dataplane.FromOverlay {
			in.Tunnel.Present = r.chance(60)
			in.Tunnel.ID = r.identity() & 0xffffff
		}
	case 5:
		in.IngressIfindex = uint32(r.IntN(20))
	case 7:
		in.Hash = r.Uint32()
	case 8:
		in.QueueMapping = uint16(r.IntN(64))
	case 9:
		in.Partial = true
	case 10:
		in.Fail = compare.Failures(1 << r.IntN(3))
	case 6:
		if in.Prog == dataplane.FromOverlay {
			in.Tunnel.ID, in.Tunnel.TOS = uint32(r.IntN(10)), uint8(r.Uint32())
		}
	}
}

// scratch is what another program may have left in skb->cb.
func (r *round) scratch() [5]uint32 {
	cb := [5]uint32{r.identity(), uint32(r.IntN(20)), uint32(r.IntN(2)), uint32(r.IntN(2)), r.Uint32()}
	switch r.IntN(4) {
	case 0:
		cb[0] = 0x200 | r.Uint32()<<16
	case 1:
		cb[0] = 0xe00
	}
	return cb
}
