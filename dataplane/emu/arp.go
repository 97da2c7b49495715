package emu

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// arpQuery is what the responder needs of a request.
type arpQuery struct {
	srcMAC           [6]byte // of the Ethernet header, not of the ARP body
	senderIP, target [4]byte
}

// arpValidate accepts an ARP request that is broadcast or addressed to mac.
// Protocol type and address lengths are not looked at (SPEC 2).
//
// C: arp_validate (lib/arp.h).
func (o *object) arpValidate(p *dataplane.Packet, mac [6]byte) (q arpQuery, ok bool) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.ARPValidate)
		q, ok = o.arpValidate(p, mac)
		p.Trace.Leave(trace.ARPValidate, code.OK)
		return q, ok
	}
	body := header.ARP(p.Load(header.EthernetSize, header.ARPSize))
	if body == nil {
		return q, false
	}
	eth := p.Eth()
	if body.Op() != header.ARPRequest || body.Hardware() != header.ARPHardwareEthernet {
		return q, false
	}
	if dst := eth.Dst(); dst != header.BroadcastMAC() && dst != mac {
		return q, false
	}
	return arpQuery{srcMAC: eth.Src(), senderIP: body.SenderIP(), target: body.TargetIP()}, true
}

// arpRespond turns the request into its reply, in place, and sends it back out of
// the device it came from. The target hardware address is the request's Ethernet
// source, whatever its body says.
//
// C: arp_respond (lib/arp.h).
func (o *object) arpRespond(p *dataplane.Packet, mac [6]byte, q arpQuery) (ret code.Ret) {
	if p.Trace != nil && p.Trace.First() {
		p.Trace.Enter(trace.ARPRespond)
		return p.Trace.Leave(trace.ARPRespond, o.arpRespond(p, mac, q))
	}
	eth, body := p.Eth(), header.ARP(p.Load(header.EthernetSize, header.ARPSize))
	eth.SetSrc(mac)
	eth.SetDst(q.srcMAC)
	body.SetOp(header.ARPReply)
	body.SetSender(mac, q.target)
	body.SetTarget(q.srcMAC, q.senderIP)
	return o.ctxRedirect(p, p.Ifindex)
}
