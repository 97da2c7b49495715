package emu

import (
	"encoding/binary"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// Slots of skb->cb (SPEC 1). They survive tail calls and plain redirects.
const (
	cbSrcLabel  = 0 // also CB_PROXY_MAGIC
	cbIfindex   = 1
	cbPolicy    = 2 // also CB_BACKEND_ID
	cbFromHost  = 3
	cbCTState   = 4 // also CB_ENCRYPT_IDENTITY
	cbProxy     = cbSrcLabel
	cbBackendID = cbPolicy
	cbEncryptID = cbCTState
)

// Values in the mark's magic nibble (SPEC 7).
const (
	markMagicMask     uint32 = 0x0f00
	markMagicKeyMask  uint32 = 0xff00
	markToProxy       uint32 = 0x0200
	markProxyIngress  uint32 = 0x0a00
	markProxyEgress   uint32 = 0x0b00
	markHost          uint32 = 0x0c00
	markDecrypt       uint32 = 0x0d00
	markEncrypt       uint32 = 0x0e00
	markMagicIdentity uint32 = 0x0f00
)

// Bits of skb->tc_index.
const (
	tcSkipIngressProxy uint16 = 1
	tcSkipEgressProxy  uint16 = 2
)

// bpfClearMeta zeroes the scratch slots.
//
// C: bpf_clear_meta (lib/overloadable_skb.h).
func bpfClearMeta(p *dataplane.Packet) { p.CB = [5]uint32{} }

// ctxRedirect sends the frame out of a device.
//
// C: ctx_redirect (lib/overloadable_skb.h).
func (o *object) ctxRedirect(p *dataplane.Packet, ifindex uint32) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.CtxRedirect)
		return p.Trace.Leave(trace.CtxRedirect, o.ctxRedirect(p, ifindex))
	}
	o.e.verdict.Ifindex, o.e.verdict.Flags = ifindex, 0
	return code.Redirect
}

// ctxRedirectPeer receives the frame on the device's peer, in its namespace.
//
// C: ctx_redirect_peer (lib/overloadable_skb.h).
func (o *object) ctxRedirectPeer(p *dataplane.Packet, ifindex uint32) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.CtxRedirectPeer)
		return p.Trace.Leave(trace.CtxRedirectPeer, o.ctxRedirectPeer(p, ifindex))
	}
	o.e.verdict.Ifindex, o.e.verdict.Flags = ifindex, dataplane.RedirectPeer
	return code.Redirect
}

// store writes bytes into the frame (bpf_skb_store_bytes); false is -EFAULT.
func store(p *dataplane.Packet, off int, b []byte) bool {
	dst := p.Load(off, len(b))
	return copy(dst, b) == len(b)
}

// l3CsumReplaceDiff corrects the checksum at off by a difference of sums
// (bpf_l3_csum_replace with size 0); false is -EFAULT.
func l3CsumReplaceDiff(p *dataplane.Packet, off int, diff header.Sum) bool {
	b := p.Load(off, 2)
	if b == nil {
		return false
	}
	binary.BigEndian.PutUint16(b, header.ReplaceByDiff(binary.BigEndian.Uint16(b), diff))
	return true
}

// csumOffset is where an L4 protocol keeps its checksum, and whether zero means
// "none" there. The zero value is a protocol without one that NAT must correct.
//
// C: struct csum_offset (lib/csum.h).
type csumOffset struct {
	off        int
	mangleZero bool // BPF_F_MARK_MANGLED_0
}

// csumL4OffsetAndFlags finds a protocol's checksum.
//
// C: csum_l4_offset_and_flags (lib/csum.h).
func csumL4OffsetAndFlags(proto uint8) csumOffset {
	switch proto {
	case header.ProtoTCP:
		return csumOffset{off: header.TCPChecksum}
	case header.ProtoUDP:
		return csumOffset{off: header.UDPChecksum, mangleZero: true}
	}
	return csumOffset{}
}

// csumL4ReplaceDiff corrects an L4 checksum for a changed pseudo header
// (bpf_l4_csum_replace with size 0 and BPF_F_PSEUDO_HDR); false is -EFAULT.
// A checksum that is still to be completed holds the sum of the pseudo header
// alone, not complemented.
func csumL4ReplaceDiff(p *dataplane.Packet, l4 int, c csumOffset, diff header.Sum) bool {
	return csumL4(p, l4, c, func(check uint16) uint16 {
		if p.Csum.Partial {
			return ^diff.Add(header.Sum(check)).Fold()
		}
		return header.ReplaceByDiff(check, diff)
	})
}

// csumL4Replace2 corrects an L4 checksum for a changed 16-bit word of the segment
// (bpf_l4_csum_replace with size 2); false is -EFAULT. Completion covers the
// segment, so a checksum that is still to be completed stays.
func csumL4Replace2(p *dataplane.Packet, l4 int, c csumOffset, from, to [2]byte) bool {
	return csumL4(p, l4, c, func(check uint16) uint16 {
		if p.Csum.Partial {
			return check
		}
		return replace4(check, binary.BigEndian.Uint16(from[:]), binary.BigEndian.Uint16(to[:]))
	})
}

// replace4 is csum_replace4 with 16-bit operands, as inet_proto_csum_replace2
// calls it.
func replace4(check, from, to uint16) uint16 {
	return header.Sum(^uint32(check)).Add(header.Sum(^uint32(from))).Add(header.Sum(to)).Fold()
}

func csumL4(p *dataplane.Packet, l4 int, c csumOffset, replace func(uint16) uint16) bool {
	b := p.Load(l4+c.off, 2)
	if b == nil {
		return false
	}
	check := binary.BigEndian.Uint16(b)
	if c.mangleZero && check == 0 {
		return true
	}
	check = replace(check)
	if c.mangleZero && check == 0 {
		check = 0xffff // CSUM_MANGLED_0
	}
	binary.BigEndian.PutUint16(b, check)
	return true
}
