package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/journey"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns"
)

// happening is an event of a node's datapath, with a copy of the frame.
type happening struct {
	node   string
	event  node.Event
	device string
	hook   dataplane.Hook
	packet dataplane.Packet
}

// watch collects what happens in all nodes, and what comes to hosts outside.
type watch struct {
	mu    sync.Mutex
	list  []happening
	more  chan struct{}
	pods  map[string]string // by node and device
	hosts map[string]*netns.Port
	came  map[string][][]byte // frames by host
}

func newWatch(t *testing.T, a *agreement) *watch {
	t.Helper()
	w := &watch{more: make(chan struct{}, 1), pods: map[string]string{}, hosts: map[string]*netns.Port{}, came: map[string][][]byte{}}
	for _, n := range a.cluster.Nodes() {
		for _, e := range a.cluster.Endpoints(n.Name) {
			w.pods[n.Name+" "+e.Device] = "health/" + n.Name
			if e.Pod != nil {
				w.pods[n.Name+" "+e.Device] = e.Pod.Ref()
			}
		}
		must(t, a.lab.Do(t.Context(), n.Name, func(m *node.Node, _ *maps.Set) {
			m.SetObserver(func(e *node.Event) { w.see(n.Name, e) })
		}))
	}
	for _, host := range []string{"neighbour", "world"} {
		p, err := a.spaces["external/"+host].OpenPacket("eth0", netns.PacketOptions{})
		must(t, err)
		t.Cleanup(func() { must(t, p.Close()) })
		w.hosts[host] = p
	}
	return w
}

// see is the observer of a node, on the node's goroutine.
func (w *watch) see(name string, e *node.Event) {
	if e.Kind == node.EventBefore {
		return
	}
	h := happening{node: name, event: *e, packet: *e.Packet}
	h.packet.Data = bytes.Clone(e.Packet.Data)
	if e.Device != nil {
		h.device = e.Device.Name
	}
	if e.Hook != nil {
		h.hook = *e.Hook
	}
	w.mu.Lock()
	w.list = append(w.list, h)
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// forget begins anew.
func (w *watch) forget() {
	w.mu.Lock()
	w.list = nil
	w.mu.Unlock()
	clear(w.came)
}

// wait waits until something happens in a node, at most for some time.
func (w *watch) wait(at time.Duration) {
	select {
	case <-w.more:
	case <-time.After(at):
	}
}

// way is what became of a packet and of the first answer to it, a line for each thing
// that happened.
type way struct {
	request, answer []string
	outside         []string // what came to hosts outside
	verdict         string

	last *happening // of the request
}

func (w way) text() []string {
	return slices.Concat(w.request, []string{"--- outside"}, w.outside, []string{"--- answer"}, w.answer, []string{"--- " + w.verdict})
}

func (w way) equal(x way) bool {
	return slices.Equal(w.request, x.request) && slices.Equal(w.outside, x.outside) && slices.Equal(w.answer, x.answer)
}

// begins says that all of w is in x so far.
func (w way) begins(x way) bool {
	prefix := func(a, b []string) bool { return len(a) <= len(b) && slices.Equal(a, b[:len(a)]) }
	return prefix(w.request, x.request) && prefix(w.outside, x.outside) && prefix(w.answer, x.answer)
}

// seen is the way of a question's packet as far as it has happened.
func (w *watch) seen(q *realQuestion) way {
	w.mu.Lock()
	list := slices.Clone(w.list)
	w.mu.Unlock()
	var out way
	for i := range list {
		h := &list[i]
		switch {
		case q.mine(h.packet.Data):
			out.request = append(out.request, w.lines(h, false)...)
			out.last = h
		case q.answers(h.packet.Data):
			out.answer = append(out.answer, w.lines(h, true)...)
		}
	}
	for _, host := range []string{"neighbour", "world"} {
		w.drain(host)
		for _, frame := range w.came[host] {
			if q.mine(frame) {
				out.outside = append(out.outside, outsideLine(host, dissect.Summary(frame), header.IPv4(frame[header.EthernetSize:]).TTL()))
			}
		}
	}
	return out
}

// drain takes over what has come to a host outside.
func (w *watch) drain(host string) {
	buf := make([]byte, 1<<16)
	for {
		var m netns.Meta
		n, err := w.hosts[host].Read(buf, &m)
		if err != nil {
			panic(err)
		}
		if n == 0 {
			return
		}
		if n >= header.EthernetSize+header.IPv4MinSize && header.Ethernet(buf).Type() == header.EtherTypeIPv4 {
			w.came[host] = append(w.came[host], bytes.Clone(buf[:n]))
		}
	}
}

// lines are a happening in words.
func (w *watch) lines(h *happening, answer bool) []string {
	p := &h.packet
	frame := func(dir string) string {
		return h.node + " " + tapLine(h.device, dir, dissect.Summary(p.Data), ttlOf(p.Data), macs(p.Data), answer)
	}
	switch h.event.Kind {
	case node.EventIn:
		dir := "In"
		switch {
		case p.PktType == dataplane.PacketOtherHost:
			dir = "P"
		case len(p.Data) >= header.EthernetSize && p.Eth().Dst() == header.BroadcastMAC():
			dir = "B"
		}
		if k := p.TunnelIn; k.Present && h.device == node.VXLAN.String() {
			return []string{fmt.Sprintf("%s decapsulates from %s, VNI %d", h.node, netip.AddrFrom4(k.Remote), k.ID), frame(dir)}
		}
		return []string{frame(dir)}
	case node.EventOut:
		return []string{frame("Out")}
	case node.EventAfter:
		drop := uint8(0)
		if h.event.Verdict.Action == code.Drop {
			drop = h.event.Verdict.Drop.Reason()
		}
		return []string{hookLine(h.node, h.hook.Prog.String(), h.device, int32(h.event.Verdict.Action), drop)}
	case node.EventToPod:
		return []string{"pod " + w.pods[h.node+" "+h.device] + " " + tapLine("eth0", "In", dissect.Summary(p.Data), ttlOf(p.Data), macs(p.Data), answer)}
	case node.EventToStack:
		return []string{h.node + " the host stack receives it from " + h.device}
	case node.EventToUnderlay:
		k := p.TunnelOut
		return []string{fmt.Sprintf("%s encapsulates to %s, VNI %d", h.node, netip.AddrFrom4(k.Remote), k.ID)}
	case node.EventLost:
		return []string{h.node + " lost: " + h.event.Loss.String()}
	case node.EventBefore:
	}
	return nil
}

// judge is the verdict as far as a lab shows it. What ends in a host's or pod's stack may
// be taken or lost there, of which an answer or its absence tells: then it is the verdict
// that is claimed.
func (w way) judge(claimed string) string {
	switch {
	case len(w.outside) > 0:
		return string(journey.Delivered)
	case w.last == nil || w.last.event.Kind == node.EventToStack:
		return claimed
	case w.last.event.Kind == node.EventToPod && (claimed == string(journey.Delivered) || claimed == string(journey.Lost)):
		return claimed
	case w.last.event.Kind == node.EventToPod:
		return string(journey.Delivered)
	case w.last.event.Kind == node.EventLost && w.last.event.Loss == node.LossVerdict:
		return string(journey.Dropped)
	}
	return string(journey.Lost)
}

// told is a journey as a lab would show it: without what happens in sockets, host stacks
// and wires.
func told(j *journey.Journey) way {
	out := way{verdict: string(j.Verdict.Outcome)}
	asked := j.Asked()
	if asked == nil {
		return out
	}
	for _, s := range asked.Steps {
		if host, ok := strings.CutPrefix(s.Place, "external "); ok && s.Kind == journey.StepTap && s.Tap.Direction == "In" {
			out.outside = append(out.outside, outsideLine(host, s.Tap.Summary, s.Tap.TTL))
			continue
		}
		out.request = append(out.request, stepLine(s, false)...)
	}
	for _, p := range j.Packets {
		if p.Of != asked.ID || p.Relation != journey.Answer && p.Relation != journey.Failure {
			continue
		}
		for _, s := range p.Steps {
			out.answer = append(out.answer, stepLine(s, true)...)
		}
		break
	}
	return out
}

// stepLine is a step in the words of watch.lines, none if a lab does not show it.
func stepLine(s *journey.Step, answer bool) []string {
	name, atNode := strings.CutPrefix(s.Place, "node ")
	switch {
	case s.Kind == journey.StepTap && strings.HasPrefix(s.Place, "pod ") && s.Device == "eth0" && s.Tap.Direction != "Out":
		return []string{s.Place + " " + tapLine("eth0", "In", s.Tap.Summary, s.Tap.TTL, s.Tap.SrcMAC+" > "+s.Tap.DstMAC, answer)}
	case !atNode:
	case s.Kind == journey.StepTap && s.Device != "eth0":
		return []string{name + " " + tapLine(s.Device, s.Tap.Direction, s.Tap.Summary, s.Tap.TTL, s.Tap.SrcMAC+" > "+s.Tap.DstMAC, answer)}
	case s.Kind == journey.StepHook:
		return []string{hookLine(name, s.Run.Program, s.Device, s.Run.Action, s.Run.Drop)}
	case s.Kind == journey.StepWire && strings.Contains(s.Text, " encapsulates: "):
		return []string{fmt.Sprintf("%s encapsulates to %s, VNI %d", name, s.Outer.Dst, s.Outer.VNI)}
	case s.Kind == journey.StepWire:
		return []string{fmt.Sprintf("%s decapsulates from %s, VNI %d", name, s.Outer.Src, s.Outer.VNI)}
	case s.Kind == journey.StepStack && strings.HasPrefix(s.Text, "the host stack receives it from "):
		return []string{name + " " + s.Text}
	case s.Kind == journey.StepLost:
		for l := node.LossVerdict; l <= node.LossEngine; l++ {
			if s.Text == l.String() || l == node.LossOtherHost && strings.Contains(s.Text, "another host's MAC") {
				return []string{name + " lost: " + l.String()}
			}
		}
	}
	return nil
}

func hookLine(name, program, device string, action int32, drop uint8) string {
	return fmt.Sprintf("%s %s@%s returns %d, drop reason %d", name, program, device, action, drop)
}

// plain is a frame without what a sender's TCP chooses, and of an answer, which kernel
// and simulation write in their own ways, without its length.
func plain(summary string, answer bool) string {
	summary = regexp.MustCompile(`, (seq|ack|win) [0-9:]+|, options \[[^\]]*\]`).ReplaceAllString(summary, "")
	if answer {
		summary = regexp.MustCompile(`, length [0-9]+`).ReplaceAllString(summary, "")
	}
	return summary
}

// tapLine is a frame on a device.
func tapLine(device, dir, summary string, ttl uint8, macs string, answer bool) string {
	return fmt.Sprintf("%s %s TTL %d %s %s", device, dir, ttl, macs, plain(summary, answer))
}

// outsideLine is a frame that came to a host outside, without the source port, which
// the masquerade chooses.
func outsideLine(host, summary string, ttl uint8) string {
	summary = regexp.MustCompile(`^(IP (?:\d+\.){3}\d+)\.\d+ >`).ReplaceAllString(summary, "$1 >")
	return fmt.Sprintf("%s TTL %d %s", host, ttl, plain(summary, false))
}

func macs(frame []byte) string {
	if len(frame) < header.EthernetSize {
		return " > "
	}
	eth := header.Ethernet(frame)
	return cluster.MAC(eth.Src()).String() + " > " + cluster.MAC(eth.Dst()).String()
}

func ttlOf(frame []byte) uint8 {
	if len(frame) < header.EthernetSize+header.IPv4MinSize || header.Ethernet(frame).Type() != header.EtherTypeIPv4 {
		return 0
	}
	return header.IPv4(frame[header.EthernetSize:]).TTL()
}
