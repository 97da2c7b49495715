package sim

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/tunnel"
)

// enter lets the datapath work on a frame. What leaves the datapath is taken over by
// hostStack, podWire or vxlanDevice; what does not has ended there.
func (m *machine) enter(f *frame, in func(p *dataplane.Packet) error) {
	p := &m.packet
	p.Trace, p.Events = m.sim.trace, m.sim.ring
	p.Reset(f.data)
	p.Mark, p.IngressIfindex, p.Hash = f.mark, f.iif, tunnel.FlowHash(f.data)
	m.current = f
	err := in(p)
	if m.current == f && err != nil {
		m.lose(f, "", NoDevice)
	}
	m.current = nil
}

// take is the frame that leaves the datapath, with the bytes that it has now.
func (m *machine) take(b []byte) *frame {
	f := m.current
	if f != nil {
		f.data = b
	}
	return f
}

// fromPod receives a frame on a pod's host-side device.
func (m *machine) fromPod(p *pod, f *frame) {
	f.mark, f.iif = 0, 0
	if !m.ready(f) {
		return
	}
	m.enter(f, func(q *dataplane.Packet) error { return m.node.Receive(p.endpoint.Ifindex, q) })
}

// hostStack is the way from the datapath into the host stack.
type hostStack struct{ m *machine }

// Deliver implements node.Stack.
func (h hostStack) Deliver(d *node.Device, p *dataplane.Packet) error {
	f := h.m.take(p.Data)
	if f == nil {
		return nil
	}
	f.mark, f.iif, f.pktType, f.flow = p.Mark, p.IngressIfindex, p.PktType, nil
	h.m.sim.after(0, func() { h.m.receive(d, f) })
	return nil
}

// observe reports the datapath's events, with the notifications of a program before
// its end, and keeps a conversation's losses.
func (m *machine) observe(e *node.Event) {
	f := m.current
	if f == nil {
		return
	}
	f.data, f.mark = e.Packet.Data, e.Packet.Mark
	dev := ""
	if e.Device != nil {
		dev = e.Device.Name
	}
	switch e.Kind {
	case node.EventBefore:
		if m.sim.trace != nil {
			m.sim.trace.Reset()
		}
	case node.EventAfter:
		m.sim.lastHook, m.sim.lastVerdict = *e.Hook, e.Verdict
		m.notify(f, dev)
	case node.EventLost:
		if f.conv != nil {
			l := Loss{Time: m.sim.now, Frame: f.id, Packet: f.packet, Place: m.at, Device: dev, Reason: InDatapath, Node: e.Loss}
			if e.Loss == node.LossVerdict {
				l.Prog, l.Verdict = m.sim.lastHook.Prog, m.sim.lastVerdict
			}
			f.conv.lost(l)
		}
	default:
	}
	m.sim.emit(f, m.at, dev, Event{Kind: NodeStep, Node: e})
}

// notify reports the notifications of the program that has just run.
func (m *machine) notify(f *frame, dev string) {
	if m.sim.ring == nil {
		return
	}
	for {
		b, ok := m.sim.ring.Next()
		if !ok {
			return
		}
		m.sim.emit(f, m.at, dev, Event{Kind: Notified, Notification: b})
	}
}
