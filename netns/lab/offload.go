package lab

import (
	"errors"
	"fmt"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/gso"
	"github.com/hooklab/hooklab/netns"
)

var (
	errChecksum  = errors.New("partial checksum outside of the frame")
	errAggregate = errors.New("aggregate of a kind that cannot be cut")
)

// describe tells the packet what a port says about a frame's offloads.
func describe(p *dataplane.Packet, v *netns.VNetHdr) {
	if v.Flags&netns.VNetNeedsCsum != 0 {
		p.Csum = dataplane.Csum{Partial: true, Start: v.CsumStart, Off: v.CsumOffset}
	}
	if v.GSOType != netns.VNetGSONone {
		p.GSO = dataplane.GSO{Type: v.GSOType, Size: v.GSOSize, HdrLen: v.HdrLen}
	}
}

// vnetOf is the virtio header of a packet.
func vnetOf(p *dataplane.Packet) netns.VNetHdr {
	var v netns.VNetHdr
	if p.Csum.Partial {
		v.Flags, v.CsumStart, v.CsumOffset = netns.VNetNeedsCsum, p.Csum.Start, p.Csum.Off
	}
	if p.GSO.Size != 0 {
		v.GSOType, v.GSOSize, v.HdrLen = p.GSO.Type, p.GSO.Size, p.GSO.HdrLen
	}
	return v
}

// outlet sends packets on a port: as they are if it has a virtio header, else
// completed and cut, which is what the device behind it would have to do.
type outlet struct {
	port   *netns.Port
	gather *gatherer // nil: every packet goes at once
	meta   netns.Meta
	hdr    [gso.MaxHeaders]byte
}

func (o *outlet) send(p *dataplane.Packet) error {
	if o.gather != nil {
		if done, err := o.gather.take(o, p); done || err != nil {
			return err
		}
	}
	return o.sendNow(p)
}

func (o *outlet) sendNow(p *dataplane.Packet) error {
	switch {
	case o.port.VNetHdr():
		o.meta.VNet = vnetOf(p)
	case p.GSO.Size != 0:
		return o.cut(p)
	case p.Csum.Partial && !gso.Complete(p.Data, p.Csum):
		return fmt.Errorf("send on %s: %w", o.port.Link().Name, errChecksum)
	}
	return o.port.Write(p.Data, &o.meta)
}

// cut sends an aggregate's segments.
func (o *outlet) cut(p *dataplane.Packet) error {
	cut, ok := gso.Cut(p.Data, p.GSO)
	if !ok {
		return fmt.Errorf("send on %s: %w", o.port.Link().Name, errAggregate)
	}
	for {
		n, payload := cut.Next(o.hdr[:])
		if payload == nil {
			return nil
		}
		if err := o.port.WriteParts(o.hdr[:n], payload, &o.meta); err != nil {
			return err
		}
	}
}
