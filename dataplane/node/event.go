package node

import "github.com/hooklab/hooklab/dataplane"

// EventKind is what happened to a frame in the node.
type EventKind uint8

// Events, in the order in which a frame meets them.
const (
	// EventIn is a frame received by a device, before its program: what a packet
	// socket shows as incoming.
	EventIn EventKind = iota + 1
	// EventBefore is a frame about to be given to a program.
	EventBefore
	// EventAfter is the same frame after the program, with its verdict.
	EventAfter
	// EventOut is a frame that a device transmits, after its program: what a packet
	// socket shows as outgoing. A redirect to the peer is not transmitted.
	EventOut
	// EventToPod, EventToStack and EventToUnderlay are frames that left the node.
	EventToPod
	EventToStack
	EventToUnderlay
	// EventLost is a frame that ended for the reason in Loss.
	EventLost
)

// Loss is why a frame ended in the node.
type Loss uint8

// Losses. Only the first is a program's will and known to Cilium; the others are
// Linux's and leave no trace there.
const (
	LossVerdict   Loss = iota + 1 // dropped by a program
	LossOtherHost                 // given to the stack with another host's address
	LossMTU                       // too long for the device
	LossNoDevice                  // redirected to a device that does not exist
	LossNoKey                     // sent to cilium_vxlan without a tunnel key
	LossLoop                      // redirected too often
	LossIO                        // refused by wire, stack or underlay
	LossEngine                    // the engine failed
)

// String is the loss in words.
func (l Loss) String() string {
	names := [...]string{
		"", "dropped by the program", "addressed to another host", "longer than the MTU", "no such device",
		"no tunnel key", "redirected in a circle", "refused outside of the node", "engine failure",
	}
	if int(l) < len(names) {
		return names[l]
	}
	return "unknown"
}

// Event is one thing that happened to a frame. It and its packet are borrowed:
// valid until the observer returns.
type Event struct {
	Kind    EventKind
	Device  *Device // nil for EventToUnderlay and for a device that does not exist
	Packet  *dataplane.Packet
	Hook    *dataplane.Hook   // EventBefore, EventAfter
	Verdict dataplane.Verdict // EventAfter
	Loss    Loss              // EventLost
}

// observe tells the observer, if there is one.
func (n *Node) observe(kind EventKind, d *Device, p *dataplane.Packet) {
	if n.look != nil {
		n.look(&Event{Kind: kind, Device: d, Packet: p})
	}
}

// lose ends a frame.
func (n *Node) lose(l Loss, d *Device, p *dataplane.Packet) {
	n.stats.Lost[l]++
	if n.look != nil {
		n.look(&Event{Kind: EventLost, Device: d, Packet: p, Loss: l})
	}
}
