package journey

import (
	"fmt"
	"slices"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/dissect"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/maps"
)

// nodeView is a node with its maps as they are now.
type nodeView struct {
	name    string
	cluster *cluster.Cluster
	set     *maps.Set
	runner  dataplane.Runner
	chance  *chance
	opt     maps.TextOptions
	devices map[uint32]string

	hostEndpoint uint16

	given    bool      // its maps are those of state, not of its agent
	state    NodeState // nil: nothing is known
	ctForced bool      // conntrack is as the question says
}

// device is a device's name.
func (n *nodeView) device(ifindex uint32) string {
	if name := n.devices[ifindex]; name != "" {
		return name
	}
	return fmt.Sprintf("ifindex %d, which does not exist", ifindex)
}

// recorder makes packets of a simulation's events.
type recorder struct {
	cluster *cluster.Cluster
	nodes   map[string]*nodeView
	assumed []string // beyond what every answer takes for granted
	setCT   CTState  // of the question's packets; "": as the maps have it
	ctSet   []string // what that took, in words
	clock   func() (ktime, jiffies uint64)
	hashed  bool               // before is wanted
	before  hashes             // states of the nodes met, before the question
	choices int                // of kube-proxy: backends that it chose from
	packets []*Packet          // in the order in which they got on their way
	all     map[uint64]*Packet // by Event.Packet
	frames  map[uint64]*Packet // by Event.Frame
	place   map[*Packet]string // where it was last
	run     *running
	pause   func(*Moment) // nil: nobody steps
	live    *liveRun
}

func newRecorder(w *world) *recorder {
	return &recorder{
		pause: w.pause, cluster: w.cluster, nodes: w.nodes, before: hashes{}, hashed: w.hashed,
		all: map[uint64]*Packet{}, frames: map[uint64]*Packet{}, place: map[*Packet]string{},
	}
}

// ended is the end of one of a packet's frames.
type ended struct {
	frame uint64
	place string
	kind  sim.Kind
	cause sim.Reason
	loss  node.Loss
	run   *Run // that dropped it
	by    sim.Actor
	data  []byte
}

// see is the simulation's observer.
func (r *recorder) see(e *sim.Event) {
	p := r.packet(e)
	if p.undecided != "" {
		return
	}
	if !p.went && e.Kind != sim.Sent && e.Kind != sim.Waiting {
		p.went = true
		r.packets = append(r.packets, p)
	}
	where := e.Place.String()
	seen := len(p.Steps)
	switch e.Kind {
	case sim.Sent:
		p.add(e, StepSent, "sends "+p.Summary)
	case sim.Out:
		r.tap(p, e, "Out")
	case sim.In:
		r.arrival(p, e)
		r.tap(p, e, direction(e, e.Data))
	case sim.NodeStep:
		r.nodeStep(p, e)
	case sim.Encapsulated, sim.Decapsulated:
		r.wire(p, e)
	case sim.Received:
		p.add(e, StepReceived, "takes "+brief(e.Data))
		p.ends = append(p.ends, &ended{frame: e.Frame, place: where, kind: e.Kind, data: clone(e.Data)})
	case sim.Left:
		p.add(e, StepLeft, "leaves the cluster as "+brief(e.Data))
		p.ends = append(p.ends, &ended{frame: e.Frame, place: where, kind: e.Kind, data: clone(e.Data)})
	case sim.Lost:
		p.add(e, StepLost, e.Reason.String())
		p.ends = append(p.ends, &ended{frame: e.Frame, place: where, kind: e.Kind, cause: e.Reason, by: e.Actor, data: clone(e.Data)})
	case sim.Waiting, sim.Notified:
	default:
		r.stack(p, e)
	}
	r.place[p] = where
	if r.pause != nil {
		r.pauseAfter(p, p.Steps[seen:])
	}
}

// packet is the packet that an event is about.
func (r *recorder) packet(e *sim.Event) *Packet {
	p := r.all[e.Packet]
	if p == nil {
		p = &Packet{Summary: dissect.Summary(e.Data), brief: brief(e.Data), proto: transport(e.Data), ttl: ttl(e.Data), length: len(e.Data), sent: e.Packet, parent: e.Parent, Relation: relation(e.Relation)}
		r.all[e.Packet] = p
		if of := r.frames[e.Parent]; of != nil {
			p.undecided = of.undecided
		}
	}
	r.frames[e.Frame] = p
	p.count(e)
	return p
}

func relation(r sim.Relation) Relation {
	switch r {
	case sim.Answer:
		return Answer
	case sim.Failure:
		return Failure
	case sim.Asking:
		return Asking
	default:
		return Request
	}
}

func (p *Packet) add(e *sim.Event, kind StepKind, text string) *Step {
	s := &Step{
		Kind: kind, Place: e.Place.String(), Device: e.Device, Piece: p.pieces[e.Frame], Text: text,
		at: e.Time, frame: clone(e.Data), mark: e.Mark,
	}
	if e.Actor != sim.Kernel {
		s.Actor = e.Actor.String()
	}
	p.Steps = append(p.Steps, s)
	return s
}

// arrival says that a node has no XDP program, once where a packet enters it.
func (r *recorder) arrival(p *Packet, e *sim.Event) {
	if e.Place.Kind == sim.AtNode && r.place[p] != e.Place.String() {
		p.add(e, StepXDP, "XDP: none attached")
	}
}

// direction is tcpdump's word for a frame that comes in.
func direction(e *sim.Event, b []byte) string {
	switch {
	case e.Node != nil && e.Node.Packet.PktType == dataplane.PacketOtherHost:
		return "P"
	case len(b) >= header.EthernetSize && header.Ethernet(b).Dst() == header.BroadcastMAC():
		return "B"
	}
	return "In"
}

// tap is a frame that a packet socket sees.
func (r *recorder) tap(p *Packet, e *sim.Event, dir string) {
	t := &Tap{Direction: dir, Length: len(e.Data), TTL: ttl(e.Data), Summary: dissect.Summary(e.Data), brief: brief(e.Data)}
	if len(e.Data) >= header.EthernetSize {
		eth := header.Ethernet(e.Data)
		t.SrcMAC, t.DstMAC = cluster.MAC(eth.Src()).String(), cluster.MAC(eth.Dst()).String()
	}
	p.add(e, StepTap, fmt.Sprintf("tcpdump -i %s: %s", e.Device, dir)).Tap = t
}

// nodeStep is a step inside a node's datapath.
func (r *recorder) nodeStep(p *Packet, e *sim.Event) {
	n, step := r.nodes[e.Place.Name], e.Node
	switch step.Kind {
	case node.EventIn:
		r.arrival(p, e)
		r.tap(p, e, direction(e, e.Data))
	case node.EventOut:
		r.tap(p, e, "Out")
	case node.EventBefore:
		r.force(p, n, step)
		if r.hashed {
			r.before.note(n)
		}
		r.run = n.begin(step)
		if r.pause != nil {
			r.pauseBefore(p, e, n)
		}
	case node.EventAfter:
		run := n.end(r.run, step)
		p.add(e, StepHook, run.Program+" at "+run.Direction+" of "+e.Device).Run = run
		if run.unknown != "" {
			p.undecided = run.unknown
			return
		}
		r.untapped(p, e, n, run)
	case node.EventToStack:
		p.add(e, StepStack, "the host stack receives it from "+e.Device)
	case node.EventLost:
		p.add(e, StepLost, lossText(step.Loss))
		end := &ended{frame: e.Frame, place: e.Place.String(), kind: e.Kind, loss: step.Loss, data: clone(e.Data)}
		if step.Loss == node.LossVerdict {
			end.run = p.lastRun()
		}
		p.ends = append(p.ends, end)
	case node.EventToPod, node.EventToUnderlay:
	}
}

// force makes conntrack know the question's packets as the question wants it.
func (r *recorder) force(p *Packet, n *nodeView, step *node.Event) {
	if r.setCT == "" || p.Relation != Request {
		return
	}
	ktime, jiffies := r.clock()
	done, err := n.force(r.setCT, step, ktime, jiffies)
	r.ctSet = append(r.ctSet, done...)
	if err != nil {
		p.undecided = fmt.Sprintf("conntrack of node %s cannot be set: %s", n.name, err)
	}
}

func lossText(l node.Loss) string {
	if l == node.LossOtherHost {
		return "the host stack ignores it: the frame has another host's MAC"
	}
	return l.String()
}

// untapped says on which device nobody sees the packet although it comes by there
// (SPEC 20.1).
func (r *recorder) untapped(p *Packet, e *sim.Event, n *nodeView, run *Run) {
	v := e.Node.Verdict
	kind := v.Kind()
	if e.Node.Hook.Prog.Egress() && (kind == dataplane.Redirected || kind == dataplane.Dropped) {
		p.add(e, StepNoTap, fmt.Sprintf("tcpdump -i %s does not show it: %s takes the frame before", e.Device, run.Program))
	}
	if kind == dataplane.Redirected && v.Flags&dataplane.RedirectPeer != 0 {
		dev := n.device(v.Ifindex)
		s := p.add(e, StepNoTap, fmt.Sprintf("tcpdump -i %s does not show it: redirect_peer goes past the device", dev))
		s.Device = dev
	}
}

func (p *Packet) lastRun() *Run {
	for _, s := range slices.Backward(p.Steps) {
		if s.Run != nil {
			return s.Run
		}
	}
	return nil
}

// wire is the way into or out of the tunnel.
func (r *recorder) wire(p *Packet, e *sim.Event) {
	o := e.Outer
	if o == nil {
		return
	}
	verb := "encapsulates"
	if e.Kind == sim.Decapsulated {
		verb = "decapsulates"
	}
	n := &nodeView{cluster: r.cluster}
	s := p.add(e, StepWire, fmt.Sprintf("cilium_vxlan %s: %s > %s, UDP %d, TTL %d, VNI %s",
		verb, o.Src, o.Dst, o.DstPort, o.TTL, n.identity(o.VNI)))
	s.Outer = &Outer{Src: o.Src.String(), Dst: o.Dst.String(), TTL: o.TTL, TOS: o.TOS, VNI: o.VNI}
}

// stack is something that a host stack did.
func (r *recorder) stack(p *Packet, e *sim.Event) {
	switch e.Kind {
	case sim.Tracked:
		p.add(e, StepStack, "nf_conntrack: "+e.Flow.String())
	case sim.Routed:
		p.add(e, StepStack, routeText(e.Route))
	case sim.Resolved:
		p.add(e, StepStack, "next hop's MAC is "+cluster.MAC(e.MAC).String())
	case sim.Forwarded:
		s := p.add(e, StepStack, "forwards it")
		s.Changes = []Change{{"ip.ttl", fmt.Sprint(e.TTL[0]), fmt.Sprint(e.TTL[1])}}
	case sim.Marked:
		s := p.add(e, StepStack, "sets the mark")
		s.Changes = []Change{{"mark", fmt.Sprintf("0x%x", e.Marks[0]), fmt.Sprintf("0x%x", e.Marks[1])}}
	case sim.Translated:
		side := "destination"
		if e.NAT.Source {
			side = "source"
		}
		what := "translates the " + side
		if e.NAT.Reply {
			what = "translates the " + side + " back"
		}
		s := p.add(e, StepStack, what+" ("+e.NAT.Rule.String()+")")
		s.Changes = translation(e.NAT)
	case sim.Fragmented:
		p.add(e, StepStack, fmt.Sprintf("cuts off fragment %d: %s", p.pieces[e.Frame], dissect.Summary(e.Data)))
	case sim.Joined:
		p.add(e, StepStack, "keeps the fragment until all are there")
	case sim.Reassembled:
		p.add(e, StepStack, "puts the fragments together: "+brief(e.Data))
	default:
		p.add(e, StepStack, e.Kind.String())
	}
}

// count gives a new frame the number of its fragment: a fragment the next one, what
// comes of it in another form the same.
func (p *Packet) count(e *sim.Event) {
	if p.pieces == nil {
		p.pieces = map[uint64]int{}
	}
	switch _, known := p.pieces[e.Frame]; {
	case known:
	case e.Kind == sim.Fragmented:
		p.fragments++
		p.pieces[e.Frame] = p.fragments
	case e.Kind == sim.Encapsulated, e.Kind == sim.Decapsulated:
		p.pieces[e.Frame] = p.pieces[e.Parent]
	default:
		p.pieces[e.Frame] = 0
	}
}

// sorted puts the steps of each fragment together.
func (p *Packet) sorted() {
	for from := 0; from < len(p.Steps); from++ {
		to := from
		for to < len(p.Steps) && p.Steps[to].Piece != 0 {
			to++
		}
		slices.SortStableFunc(p.Steps[from:to], func(a, b *Step) int { return a.Piece - b.Piece })
		from = to
	}
}

func routeText(r *sim.Route) string {
	if r.Table == "local" {
		return "routes it to itself (table local)"
	}
	s := "routes it by " + r.Dst.String()
	if r.Via.IsValid() {
		s += " via " + r.Via.String()
	}
	s += " dev " + r.Device
	if r.Table != "main" {
		s += " table " + r.Table
	}
	return s
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// translation is what an address translation changes; the port of an ICMP message is
// its id.
func translation(n *sim.Translation) []Change {
	c := Change{"ip.dst", n.From.Addr().String(), n.To.Addr().String()}
	if n.Source {
		c.Field = "ip.src"
	}
	if n.From.Port() == n.To.Port() {
		return []Change{c}
	}
	return []Change{c, {"port or id", fmt.Sprint(n.From.Port()), fmt.Sprint(n.To.Port())}}
}

// finish gives the packets their numbers and ends.
func (r *recorder) finish() []*Packet {
	for i, p := range r.packets {
		p.ID = i + 1
	}
	for _, p := range r.packets {
		if of := r.frames[p.parent]; of != nil && of != p {
			p.Of = of.ID
		}
		p.sorted()
		p.Fate = fateOf(p)
	}
	return r.packets
}
