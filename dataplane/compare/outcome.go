package compare

import (
	"bytes"
	"fmt"
	"time"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/trace"
)

// Outcome is all that came of one packet on one side.
type Outcome struct {
	Verdict        dataplane.Verdict
	Frame          []byte
	Mark           uint32
	TCIndex        uint16
	QueueMapping   uint16
	PktType        uint8
	CB             [5]uint32
	Tunnel         dataplane.TunnelKey // what the frame carries afterwards
	Draws          int                 // random numbers asked for
	Changes        []Change
	changesUnknown bool     // this side cannot tell what it changed; Changes answers the other's
	Events         [][]byte // raw notifications
	LostEvents     uint64

	trace *trace.Buffer // valid until the side's next packet; nil: not traced
}

// env is time and chance of a step.
func env(at time.Duration, hz, value uint32) *dataplane.Env {
	ns := uint64(at)
	return &dataplane.Env{
		KtimeNS: ns,
		Jiffies: ns/1e9*uint64(hz) + ns%1e9*uint64(hz)/1e9,
		Rand:    func() uint32 { return value },
	}
}

// packet is the input as the hook's program meets it.
func (in *Input) packet(d *Device) *dataplane.Packet {
	p := &dataplane.Packet{
		Data: bytes.Clone(in.Frame), Ifindex: d.Ifindex, IngressIfindex: in.IngressIfindex,
		Mark: in.Mark, Hash: in.Hash, TCIndex: in.TCIndex, QueueMapping: in.QueueMapping, CB: in.CB, TunnelIn: in.Tunnel,
	}
	if in.Partial {
		p.Csum = partialCsum(p.Data)
	}
	if len(p.Data) >= 6 {
		p.PktType = packetType([6]byte(p.Data[:6]), d.MAC)
	}
	return p
}

// partialCsum says where the L4 checksum of a frame is, by its IPv4 header.
func partialCsum(b []byte) dataplane.Csum {
	c := dataplane.Csum{Partial: true, Start: header.EthernetSize + header.IPv4MinSize, Off: header.TCPChecksum}
	if ip := ipv4Of(b); ip != nil {
		c.Start = uint16(header.EthernetSize + ip.HeaderLen())
		if ip.Protocol() == header.ProtoUDP {
			c.Off = header.UDPChecksum
		}
	}
	return c
}

// packetType is what the stack derives from the destination MAC (eth_type_trans).
func packetType(dst, device [6]byte) uint8 {
	switch {
	case dst == device:
		return dataplane.PacketHost
	case dst == [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}:
		return dataplane.PacketBroadcast
	case dst[0]&1 != 0:
		return dataplane.PacketMulticast
	}
	return dataplane.PacketOtherHost
}

// run sends a step's packet through one side. Map changes are known only to a side with
// a journal; others answer for those of the other side (see tracked).
func (s *side) run(w *World, st *Step) (*Outcome, error) {
	h, d, err := w.hook(st.Packet)
	if err != nil {
		return nil, err
	}
	if f := st.Packet.Fail; f != 0 {
		s.fail(s.runner, f)
		defer s.fail(s.runner, 0)
	}
	o, err := s.pass(h, st.Packet.packet(d), env(st.At, w.config.KernelHz, st.Packet.Rand))
	if err != nil {
		return nil, fmt.Errorf("%s: %s on %s: %w", s.runner.Name(), h.Prog, st.Packet.Device, err)
	}
	return o, nil
}

// pass runs a packet and takes all that came of it.
func (s *side) pass(h dataplane.Hook, p *dataplane.Packet, e *dataplane.Env) (o *Outcome, err error) {
	p.Events = s.ring
	if s.steps != nil {
		s.steps.Reset()
		p.Trace = s.steps
	}
	o = &Outcome{trace: s.steps}
	lost := s.ring.Lost()
	if err := s.maps.begin(); err != nil {
		return nil, err
	}
	if s.watch != nil {
		s.watch.begin(s, p, e)
	}
	if o.Verdict, err = s.runner.Run(h, p, e); err != nil {
		return nil, err
	}
	if s.watch != nil {
		o.Events = s.watch.end(&o.Verdict)
	}
	o.Draws = e.Drawn
	var known bool
	if o.Changes, known, err = s.maps.changes(); err != nil {
		return nil, err
	}
	o.changesUnknown = !known
	o.Frame, o.Mark, o.TCIndex, o.QueueMapping, o.PktType, o.CB = p.Data, p.Mark, p.TCIndex, p.QueueMapping, p.PktType, p.CB
	if o.Tunnel = p.TunnelOut; !o.Tunnel.Present {
		o.Tunnel = p.TunnelIn
	}
	for {
		b, ok := s.ring.Next()
		if !ok {
			break
		}
		o.Events = append(o.Events, bytes.Clone(b))
	}
	o.LostEvents = s.ring.Lost() - lost
	return o, nil
}
