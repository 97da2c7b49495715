package sim

import (
	"net/netip"
	"time"

	"github.com/hooklab/hooklab/dataplane/node"
)

// Kind is what happened to a frame.
type Kind uint8

// Kinds of events. A frame begins with Sent, Encapsulated, Decapsulated, Fragmented or
// Reassembled and ends with Received, Joined, Left, Lost, with a node's EventLost, or
// with the beginning of a frame that is another form of it.
const (
	// Sent is a frame made by a socket, or by a stack on nobody's behalf (ARP, echo
	// replies, ICMP errors, resets).
	Sent Kind = iota + 1
	// Out and In are a frame that a device outside of the datapath puts on a wire or
	// takes from it: eth0 of a pod, a node or an external host. The datapath's devices
	// say the same through NodeStep.
	Out
	In
	// Waiting is a frame that waits: for its next hop's Ethernet address, or a
	// fragment for the others.
	Waiting
	// NodeStep is a node.Event, in Node.
	NodeStep
	// Notified is a notification of the program that NodeStep tells the end of next:
	// raw bytes in Notification, which trace.DecodeNotification reads.
	Notified
	// Tracked is the host stack's connection tracking finding the state in Flow.
	Tracked
	// Routed is the host stack's choice of the way in Route.
	Routed
	// Resolved is the next hop's Ethernet address, in MAC.
	Resolved
	// Forwarded is a router's decrement, from TTL[0] to TTL[1].
	Forwarded
	// Marked is a rule that changes the mark from Marks[0] to Marks[1].
	Marked
	// Translated is an address translation, in NAT.
	Translated
	// Encapsulated is the outer packet around a parent, Decapsulated the inner frame
	// out of a parent; Outer has the outer header.
	Encapsulated
	Decapsulated
	// Fragmented is a piece of its parent. Joined is a piece whose packet is complete,
	// and Reassembled the whole, of which the parent was the last piece to come.
	Fragmented
	Joined
	Reassembled
	// Received is a frame that a socket took, or a stack for nobody in particular
	// (an echo request, an ARP message).
	Received
	// Left is a frame that went to an address outside of the simulation.
	Left
	// Lost is a frame that ended, for Reason.
	Lost
)

var kindText = [...]string{
	Sent: "sent", Out: "out", In: "in", Waiting: "waiting", NodeStep: "node", Notified: "notified", Tracked: "tracked",
	Routed: "routed", Resolved: "resolved", Forwarded: "forwarded", Marked: "marked", Translated: "translated",
	Encapsulated: "encapsulated", Decapsulated: "decapsulated", Fragmented: "fragmented", Joined: "joined", Reassembled: "reassembled",
	Received: "received", Left: "left", Lost: "lost",
}

// String is the kind in a word.
func (k Kind) String() string { return word(kindText[:], int(k)) }

// Relation is how a frame comes from its parent.
type Relation uint8

// Relations. The first three begin a packet of their own; the others are the same
// packet in another form.
const (
	Original Relation = iota // made by a conversation; no parent
	Answer                   // a socket or stack answers the parent
	Failure                  // an ICMP error or reset because of the parent
	Asking                   // ARP, so that the parent can be sent
	Outer                    // the parent is inside
	Inner                    // it was inside the parent
	Piece                    // a fragment of the parent
	Whole                    // reassembled; the parent came last
)

var relationText = [...]string{"original", "answer", "failure", "asking", "outer", "inner", "piece", "whole"}

// String is the relation in a word.
func (r Relation) String() string { return word(relationText[:], int(r)) }

// begins says that the frame is a packet of its own.
func (r Relation) begins() bool { return r <= Asking }

// PlaceKind says what a place is.
type PlaceKind uint8

// Kinds of places.
const (
	AtPod      PlaceKind = iota + 1 // name "namespace/name", or "health/node" for a health endpoint
	AtNode                          // the node's datapath and host stack
	AtGateway                       // the router between underlay and world
	AtExternal                      // a host outside; name or address
	AtUnderlay                      // the wire between the nodes
)

var placeText = [...]string{AtPod: "pod", AtNode: "node", AtGateway: "gateway", AtExternal: "external", AtUnderlay: "underlay"}

// String is the kind in a word.
func (k PlaceKind) String() string { return word(placeText[:], int(k)) }

// Place is where something happens.
type Place struct {
	Kind PlaceKind
	Name string
}

// String is kind and name, "pod default/web".
func (p Place) String() string {
	if p.Name == "" {
		return p.Kind.String()
	}
	return p.Kind.String() + " " + p.Name
}

// Actor is who decided.
type Actor uint8

// Actors beside the datapath's programs.
const (
	Kernel    Actor = iota // routing, forwarding, neighbours, sockets
	Agent                  // rules that the Cilium agent installs with iptables
	KubeProxy              // what stands for kube-proxy
)

var actorText = [...]string{"kernel", "cilium's rules", "kube-proxy"}

// String is the actor's name.
func (a Actor) String() string { return word(actorText[:], int(a)) }

// Event is one thing that happened to a frame. The event and all that it points to
// are borrowed: valid until the observer returns.
type Event struct {
	Seq          uint64        // from 1, without gaps
	Time         time.Duration // virtual time since boot
	Conversation uint64        // of which the frame is part

	// Frame is the frame's identity: it stays through every rewrite, and is new when
	// the frame is encapsulated, decapsulated, fragmented or reassembled. Parent is the
	// frame from which it came, in the way that Relation says; 0 for none. Packet is
	// the frame that the sender's socket made of which this one is a form: the same for
	// all that belongs in one tree. A tree's first frame has Frame == Packet, and
	// Parent is then what it answers.
	Frame, Parent, Packet uint64
	Relation              Relation

	Place  Place
	Device string // where it applies: "eth0", "lxc…", "cilium_host", "lo"
	Kind   Kind
	Actor  Actor
	Data   []byte // from the Ethernet header on, whose addresses are zero until a device is chosen
	Mark   uint32

	Node         *node.Event  // NodeStep
	Notification []byte       // Notified
	Flow         FlowState    // Tracked
	Route        *Route       // Routed
	MAC          [6]byte      // Resolved
	TTL          [2]uint8     // Forwarded
	Marks        [2]uint32    // Marked
	NAT          *Translation // Translated
	Outer        *OuterHeader // Encapsulated, Decapsulated; Out and In of a VXLAN packet
	Reason       Reason       // Lost
}

// Route is the host stack's choice.
type Route struct {
	Table  string       // "local", "main", "2004", "2005"
	Dst    netip.Prefix // 0.0.0.0/0 for the default route
	Via    netip.Addr   // the next hop; invalid for a neighbour and for local
	Device string
	Src    netip.Addr // of packets without a source; invalid: the device's
	MTU    int        // of the route, or of the device if it has none
}

// Translation is a change of addresses by connection tracking.
type Translation struct {
	Rule     Rule
	From, To netip.AddrPort // of the source or the destination
	Source   bool           // the source was changed, else the destination
	Reply    bool           // the packet goes against the connection
	Related  bool           // it is an ICMP error about the connection
}

// Rule is why a connection is translated.
type Rule uint8

// Rules of CILIUM_POST_nat in their order (SPEC 11), and kube-proxy's.
const (
	Masquerade    Rule = iota + 1 // "cilium masquerade non-cluster"
	HostToCluster                 // "cilium host->cluster masquerade"
	LoopbackSNAT                  // from 127.0.0.1 to the cluster
	HairpinSNAT                   // back into the node after kube-proxy's translation
	ServiceDNAT                   // ClusterIP to backend
)

var ruleText = [...]string{
	Masquerade: "masquerade non-cluster", HostToCluster: "host->cluster", LoopbackSNAT: "loopback",
	HairpinSNAT: "hairpin", ServiceDNAT: "ClusterIP",
}

// String is the rule in words.
func (r Rule) String() string { return word(ruleText[:], int(r)) }

// FlowState is what the host stack's connection tracking knows of a packet.
type FlowState uint8

// States, as nf_conntrack has them.
const (
	FlowNew FlowState = iota + 1
	FlowEstablished
	FlowReply
	FlowRelated
	FlowInvalid
)

var flowText = [...]string{
	FlowNew: "new", FlowEstablished: "established", FlowReply: "reply", FlowRelated: "related", FlowInvalid: "invalid",
}

// String is the state in a word.
func (f FlowState) String() string { return word(flowText[:], int(f)) }

// OuterHeader is a VXLAN packet's header (SPEC 8).
type OuterHeader struct {
	Src, Dst netip.Addr
	TTL, TOS uint8
	ID       uint16
	SrcPort  uint16
	DstPort  uint16
	VNI      uint32
}

// emit tells the observer, if there is one.
func (s *Sim) emit(f *frame, at Place, dev string, e Event) {
	if s.opts.Observer == nil {
		return
	}
	s.events++
	e.Seq, e.Time = s.events, s.now
	e.Frame, e.Parent, e.Packet, e.Relation = f.id, f.parent, f.packet, f.relation
	if f.conv != nil {
		e.Conversation = f.conv.id
	}
	e.Place, e.Device = at, dev
	e.Data, e.Mark = f.data, f.mark
	s.opts.Observer(&e)
}

// lose ends a frame.
func (s *Sim) lose(f *frame, at Place, dev string, r Reason) {
	if f.conv != nil {
		f.conv.lost(Loss{Time: s.now, Frame: f.id, Packet: f.packet, Place: at, Device: dev, Reason: r})
	}
	e := Event{Kind: Lost, Reason: r}
	if r == Rejected {
		e.Actor = KubeProxy
	}
	s.emit(f, at, dev, e)
}
