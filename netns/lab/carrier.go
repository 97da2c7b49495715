package lab

import (
	"errors"
	"fmt"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/gso"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/tunnel"
)

// The node's TAP device that takes VXLAN datagrams out of the kernel's hands before it
// looks whether they are for it, and the routing that leads there. The preferences are
// before those of the agent (SPEC 10.1) and of the local table.
const (
	tunnelDevice = "hooklab0"

	prefFromWire   = 7
	prefFromTunnel = 8
	tableTunnel    = 2006

	tunnelMTU = 65521 // the kernel shall cut nothing on the way to the TAP device

	// What the kernel's forwarding takes off again.
	tunnelTTL = 64 + 1
)

// Bounds of a batch: the kernel's UDP_MAX_SEGMENTS, and an IPv4 packet. What is longer
// than batchFrame gains nothing.
const (
	batchMax   = 64
	batchBytes = 60000
	batchFrame = 1514
)

// carrierTAP carries frames between nodes through a TAP device of the node's kernel:
// aggregates inside the tunnel stay whole, which a UDP socket cannot do, and small
// frames of one flow go together if more are waiting. It implements carrier.
type carrierTAP struct {
	port     *netns.Port
	dport    uint16 // UDP port of the tunnel
	receiver tunnel.Receiver
	outer    tunnel.Outer
	meta     netns.Meta
	batch    batch
	head     [tunnel.OuterLen]byte
	segment  [gso.MaxHeaders]byte
	buf      [frameRoom + 128]byte
}

// batch is datagrams with the same outer headers, each with a frame of the same length.
type batch struct {
	n     int
	bytes int // used of buf
	size  int // length of each frame
	outer tunnel.Outer
	buf   [tunnel.OuterLen + batchBytes + tunnel.HeaderLen + batchFrame]byte
}

// openCarrierTAP makes the device and the routing. The error wraps
// netns.ErrNotSupported if the kernel knows no aggregates in tunnels (before Linux 6.17).
func openCarrierTAP(ns *netns.NS, n *cluster.Node, cfg *dataplane.Config, mtu int) (*carrierTAP, error) {
	port, err := ns.OpenTAP(
		netns.Link{Name: tunnelDevice, Index: int(cfg.EncapIfindex), MTU: tunnelMTU, NoARP: true, Up: true},
		netns.TAPOptions{VNetHdr: true, Offload: netns.TAPOffloadAll | netns.TAPOffloadTunnel})
	if err != nil {
		return nil, err
	}
	err = inOrder([]func() error{
		func() error { return ns.SetSysctl("net/ipv4/conf/"+tunnelDevice+"/accept_local", "1") },
		func() error { return ns.SetSysctl("net/ipv4/conf/"+tunnelDevice+"/rp_filter", "0") },
		func() error {
			return ns.AddRoute(netns.Route{Dst: anywhere, Dev: tunnelDevice, Table: tableTunnel, Scope: netns.ScopeLink})
		},
		func() error {
			return ns.AddRule(netns.Rule{Pref: prefFromTunnel, IIF: tunnelDevice, Table: netns.TableMain})
		},
		func() error {
			return ns.AddRule(netns.Rule{Pref: prefFromWire, IIF: uplink, Proto: header.ProtoUDP, DPort: cfg.TunnelPort, Table: tableTunnel})
		},
	})
	if err != nil {
		return nil, errors.Join(err, port.Close())
	}
	return &carrierTAP{
		port: port, dport: cfg.TunnelPort,
		receiver: tunnel.Receiver{MAC: cfg.OverlayMAC, MTU: mtu - tunnel.Overhead},
		outer: tunnel.Outer{
			DstMAC: port.Link().MAC, SrcMAC: n.MAC, Src: n.IP.As4(), DstPort: cfg.TunnelPort, TTL: tunnelTTL,
		},
	}, nil
}

// FD is the descriptor to wait for before Recv.
func (c *carrierTAP) FD() int { return c.port.FD() }

// MaxAggregate is 0: what the kernel makes of TCP leaves whole.
func (c *carrierTAP) MaxAggregate() int { return 0 }

// Stats counts as tunnel.Underlay does.
func (c *carrierTAP) Stats() tunnel.Stats { return c.receiver.Stats }

// Close closes the device, which disappears with its routes. The rules stay.
func (c *carrierTAP) Close() error { return c.port.Close() }

// SendPacket encapsulates a frame and sends it, or keeps it for Flush.
func (c *carrierTAP) SendPacket(p *dataplane.Packet) error {
	o, hash := &c.outer, tunnel.FlowHash(p.Data)
	o.Dst, o.VNI = p.TunnelOut.Remote, p.TunnelOut.ID
	o.SrcPort, o.TOS = tunnel.SourcePort(hash), tunnel.EncapTOS(p.Data)
	if p.GSO.Size != 0 {
		return errors.Join(c.Flush(), c.sendAggregate(p))
	}
	if p.Csum.Partial && !gso.Complete(p.Data, p.Csum) {
		c.receiver.Stats.TxErrors++
		return fmt.Errorf("send to %v: %w", o.Dst, errChecksum)
	}
	if len(p.Data) > batchFrame {
		return errors.Join(c.Flush(), c.sendOne(p.Data))
	}
	if !c.batch.fits(o, len(p.Data)) {
		if err := c.Flush(); err != nil {
			return err
		}
	}
	c.batch.add(o, p.Data)
	return nil
}

// fits tells whether a frame can go with those that wait.
func (b *batch) fits(o *tunnel.Outer, size int) bool {
	if b.n == 0 {
		return true
	}
	first := &b.outer
	return size == b.size && o.Dst == first.Dst && o.SrcPort == first.SrcPort && o.TOS == first.TOS &&
		b.n < batchMax && b.bytes+tunnel.HeaderLen+size <= batchBytes
}

func (b *batch) add(o *tunnel.Outer, frame []byte) {
	if b.n == 0 {
		b.outer, b.size = *o, len(frame)
		b.bytes = tunnel.OuterLen - tunnel.HeaderLen
	}
	tunnel.Encap(b.buf[b.bytes:], o.VNI)
	b.bytes += tunnel.HeaderLen
	b.bytes += copy(b.buf[b.bytes:], frame)
	b.n++
}

// Flush sends what SendPacket has kept: one datagram as it is, several as an aggregate
// of UDP, which needs an outer checksum.
func (c *carrierTAP) Flush() error {
	b := &c.batch
	if b.n == 0 {
		return nil
	}
	n, size := b.n, b.size
	b.n = 0
	c.outer.ID += uint16(n)
	b.outer.ID = c.outer.ID - uint16(n) + 1
	frame := b.buf[:b.bytes]
	b.outer.Put(frame, size)
	c.meta.VNet = netns.VNetHdr{}
	if n > 1 {
		tunnel.SetBatch(frame, n*(tunnel.HeaderLen+size))
		c.meta.VNet = netns.VNetHdr{
			Flags: netns.VNetNeedsCsum, GSOType: netns.VNetGSOUDPL4,
			HdrLen: tunnel.OuterLen - tunnel.HeaderLen, GSOSize: uint16(tunnel.HeaderLen + size),
			CsumStart: tunnel.OuterUDP, CsumOffset: header.UDPChecksum,
		}
	}
	return c.sent(c.port.Write(frame, &c.meta), n, n*size)
}

// sendOne sends a complete frame.
func (c *carrierTAP) sendOne(frame []byte) error {
	if len(frame) > maxInner {
		return c.sent(errTooLong, 1, 0)
	}
	c.outer.ID++
	c.outer.Put(c.head[:], len(frame))
	c.meta.VNet = netns.VNetHdr{}
	return c.sent(c.port.WriteParts(c.head[:], frame, &c.meta), 1, len(frame))
}

// maxInner is the longest inner frame that fits an outer IPv4 packet.
const maxInner = 1<<16 - 1 - (tunnel.OuterLen - header.EthernetSize)

var errTooLong = errors.New("frame longer than the outer packet can be")

// sendAggregate sends an aggregate whole, or its segments if it would be too long for
// the outer packet.
func (c *carrierTAP) sendAggregate(p *dataplane.Packet) error {
	if len(p.Data) > maxInner || !p.Csum.Partial {
		return c.cut(p)
	}
	c.outer.ID++
	c.outer.Put(c.head[:], len(p.Data))
	v := vnetOf(p)
	v.GSOType |= netns.VNetGSOUDPTunnel
	v.HdrLen += tunnel.OuterLen
	v.CsumStart += tunnel.OuterLen
	v.OuterTransport, v.InnerNetwork = tunnel.OuterUDP, tunnel.OuterLen+header.EthernetSize
	c.meta.VNet = v
	// Its segments take their identifications from this one on.
	c.outer.ID += uint16(len(p.Data) / int(p.GSO.Size))
	return c.sent(c.port.WriteParts(c.head[:], p.Data, &c.meta), 1, len(p.Data))
}

func (c *carrierTAP) cut(p *dataplane.Packet) error {
	cut, ok := gso.Cut(p.Data, p.GSO)
	if !ok {
		c.receiver.Stats.TxErrors++
		return fmt.Errorf("send to %v: %w", c.outer.Dst, errAggregate)
	}
	c.meta.VNet = netns.VNetHdr{}
	buf := c.batch.buf[:] // nothing waits there
	for {
		n, payload := cut.Next(c.segment[:])
		if payload == nil {
			return nil
		}
		c.outer.ID++
		c.outer.Put(buf, n+len(payload))
		at := tunnel.OuterLen + copy(buf[tunnel.OuterLen:], c.segment[:n])
		if err := c.sent(c.port.WriteParts(buf[:at], payload, &c.meta), 1, n+len(payload)); err != nil {
			return err
		}
	}
}

func (c *carrierTAP) sent(err error, n, size int) error {
	s := &c.receiver.Stats
	if err != nil {
		s.TxErrors++
		return err
	}
	s.TxPackets += uint64(n)
	s.TxBytes += uint64(size)
	return nil
}

// Recv returns the next inner frame that the node receives, or nil.
func (c *carrierTAP) Recv(m *tunnel.Meta) ([]byte, error) {
	for range readBudget {
		if frame := c.receiver.Next(m); frame != nil {
			return frame, nil
		}
		n, err := c.port.Read(c.buf[:], &c.meta)
		if n == 0 || err != nil {
			return nil, err
		}
		c.take(c.buf[:n])
	}
	return nil, nil
}

// take gives the receiver what is in a frame with outer headers.
func (c *carrierTAP) take(frame []byte) {
	v := &c.meta.VNet
	var m tunnel.Meta
	payload, at, ok := tunnel.ParseOuter(frame, c.dport, &m)
	if !ok {
		c.receiver.Drop(tunnel.ErrOuter)
		return
	}
	inner := uint16(at + udpHeader + tunnel.HeaderLen)
	stride := 0
	switch {
	case v.CsumStart >= inner:
		if v.Flags&netns.VNetNeedsCsum != 0 {
			m.Csum = dataplane.Csum{Partial: true, Start: v.CsumStart - inner, Off: v.CsumOffset}
		}
		if v.GSOType != netns.VNetGSONone {
			m.GSO = dataplane.GSO{Type: v.GSOType &^ (netns.VNetGSOUDPTunnel | 0x40), Size: v.GSOSize, HdrLen: max(v.HdrLen, inner) - inner}
		}
	case v.GSOType == netns.VNetGSOUDPL4:
		stride = int(v.GSOSize)
	case v.Flags&(netns.VNetNeedsCsum|netns.VNetDataValid) == 0 && !outerChecksum(frame, at):
		c.receiver.Drop(tunnel.ErrOuter)
		return
	}
	c.receiver.Put(payload, stride, &m)
}

const udpHeader = header.UDPSize

// outerChecksum tells whether the outer UDP checksum is right or absent, which the
// kernel has not looked at on its way here.
func outerChecksum(frame []byte, at int) bool {
	ip, udp := header.IPv4(frame[header.EthernetSize:]), frame[at:]
	if udp[header.UDPChecksum] == 0 && udp[header.UDPChecksum+1] == 0 {
		return true
	}
	n := int(udp[4])<<8 | int(udp[5])
	return header.PseudoSum(ip.Src(), ip.Dst(), header.ProtoUDP, n).Add(gso.Sum(udp[:n])).Fold() == 0
}
