package compare

import (
	"encoding/binary"
	"io"
	"strings"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/header"
)

// Place is a hook by names, "from-container@pod1-1".
type Place struct {
	Prog   dataplane.Prog
	Device string
}

// FromCapture makes a scenario of a pcap or pcapng file: each frame enters the datapath
// where its sender's frames do (see [World.Party]), VXLAN packets decapsulated at
// from-overlay, or all at one place if that is given. The clock goes as the capture's.
func FromCapture(name string, r io.Reader, given []cluster.Source, node string, at *Place) (*Scenario, error) {
	s := &Scenario{Name: name, Cluster: given, Node: node}
	w, err := s.Build()
	if err != nil {
		return nil, err
	}
	interfaces, records, err := dissect.ReadAll(r)
	if err != nil {
		return nil, inputErrorf(name, 0, "%w", err)
	}
	if len(records) == 0 {
		return nil, inputErrorf(name, 0, "no packets in it")
	}
	now := startTime
	var before time.Time
	for i := range records {
		rec := &records[i]
		if i > 0 && rec.Time.After(before) {
			now += rec.Time.Sub(before)
		}
		before = rec.Time
		frame, err := dissect.EthernetFrame(interfaces[rec.Interface].LinkType, rec.Data)
		if err != nil {
			return nil, inputErrorf(name, 0, "packet %d: %w", i+1, err)
		}
		if len(rec.Data) < rec.OrigLen {
			return nil, inputErrorf(name, 0, "packet %d has only %d of its %d bytes: capture whole packets (tcpdump -s 0)", i+1, len(rec.Data), rec.OrigLen)
		}
		in := w.captured(frame)
		if at != nil {
			in = &Input{Prog: at.Prog, Device: at.Device, Frame: frame}
		}
		if _, _, err := w.hook(in); err != nil {
			return nil, inputErrorf(name, 0, "packet %d: %w", i+1, err)
		}
		s.Steps = append(s.Steps, Step{At: now, Packet: in})
	}
	return s, nil
}

// captured is a frame at the hook where it meets the datapath first.
func (w *World) captured(frame []byte) *Input {
	if inner, key, ok := w.decapsulated(frame); ok {
		p := w.remote(&w.Node, [4]byte{})
		p.Tunnel = key
		return p.Input(inner)
	}
	if ip := ipv4Of(frame); ip != nil {
		p := w.Party(ip.Src())
		return p.Input(frame)
	}
	if len(frame) >= header.EthernetSize {
		for i := range w.Devices {
			if d := &w.Devices[i]; d.Of != nil && d.Of.MAC == cluster.MAC(header.Ethernet(frame).Src()) {
				p := w.localPod(d)
				return p.Input(frame)
			}
		}
	}
	p := w.throughHost([4]byte{})
	return p.Input(frame)
}

// decapsulated is the frame inside a VXLAN packet for this node.
func (w *World) decapsulated(frame []byte) ([]byte, dataplane.TunnelKey, bool) {
	ip := ipv4Of(frame)
	if ip == nil || ip.Protocol() != header.ProtoUDP || ip.Dst() != w.Node.IP.As4() || ip.IsFragment() {
		return nil, dataplane.TunnelKey{}, false
	}
	udp := ip[ip.HeaderLen():]
	const headers = header.UDPSize + header.VXLANSize
	if len(udp) < headers || binary.BigEndian.Uint16(udp[header.DstPort:]) != w.config.TunnelPort {
		return nil, dataplane.TunnelKey{}, false
	}
	key := dataplane.TunnelKey{Present: true, ID: header.VXLAN(udp[header.UDPSize:]).VNI(), Remote: ip.Src(), TTL: ip.TTL(), TOS: ip.TOS()}
	return udp[headers:], key, true
}

// ParsePlace reads PROG@DEVICE.
func ParsePlace(text string) (*Place, error) {
	name, device, ok := strings.Cut(text, "@")
	if !ok {
		return nil, inputErrorf("", 0, "%q: want PROG@DEVICE, such as from-container@pod1-1", text)
	}
	prog, ok := dataplane.ParseProg(name)
	if !ok {
		return nil, inputErrorf("", 0, "%s: no such program", name)
	}
	return &Place{prog, device}, nil
}
