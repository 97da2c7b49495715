package journey

import (
	"time"

	"github.com/hooklab/hooklab/cluster"
)

// Schema names the form of a Journey as JSON. It changes when a field changes its
// meaning or goes; a new field changes nothing.
const Schema = "hooklab.io/trace/v1"

// Journey is the answer to a question.
type Journey struct {
	Schema   string    `json:"schema"`
	Cluster  string    `json:"cluster,omitempty"`
	Profile  string    `json:"profile"`
	Kernel   string    `json:"kernelVersion"`
	Question Question  `json:"question"`
	Assumed  []string  `json:"assumed,omitempty"` // what the cluster's description leaves open
	Packets  []*Packet `json:"packets"`           // in the order in which they get on their way
	Verdict  Verdict   `json:"verdict"`
	// State is set where maps were given or are kept.
	State *StateHash `json:"state,omitempty"`

	cluster *cluster.Cluster // that was asked about

	choices int // of kube-proxy: backends that it chose from
}

// backends is how many backends the question's first service might have chosen.
func (j *Journey) backends() int {
	for _, p := range j.Packets {
		for _, s := range p.Steps {
			if s.Run == nil {
				continue
			}
			for _, d := range s.Run.Decisions {
				if d.Topic == TopicService && d.Chosen != "" {
					return 1 + len(d.Alternatives)
				}
			}
		}
	}
	return j.choices
}

// Relation is what a packet is to another one.
type Relation string

// Relations.
const (
	Request Relation = "request" // the question's own
	Answer  Relation = "answer"  // to packet Of
	Failure Relation = "failure" // an ICMP error or reset because of packet Of
	Asking  Relation = "asking"  // ARP, so that packet Of can be sent
)

// Packet is what a socket or stack sent, through every form that it took until it
// ended.
type Packet struct {
	ID       int      `json:"id"` // from 1
	Relation Relation `json:"relation"`
	Of       int      `json:"of,omitempty"` // the packet that Relation is about
	Summary  string   `json:"summary"`      // as it was sent
	Steps    []*Step  `json:"steps"`
	Fate     Fate     `json:"fate"`

	brief     string   // the summary in short
	proto     string   // transport protocol
	ttl       uint8    // as it was sent
	length    int      // as it was sent
	sent      uint64   // identity in the simulation
	parent    uint64   // in the simulation
	ends      []*ended // of its frames, in order
	fragments int
	pieces    map[uint64]int // the number of the fragment that a frame is or carries
	undecided string         // what would have to be known to go on
	went      bool           // it has left the socket that waits for ARP
}

// Fate is how a packet ended.
type Fate struct {
	Outcome Outcome `json:"outcome"`
	Place   string  `json:"place"`
	Text    string  `json:"text"`

	refusal string // what keeps the receiver from taking it
}

// Outcome is what became of a packet.
type Outcome string

// Outcomes. Dropped is a decision; Lost is an end that nobody decided or reports.
const (
	Delivered Outcome = "DELIVERED"
	Dropped   Outcome = "DROPPED"
	ToStack   Outcome = "TO STACK" // passed to the host stack and out of the simulation
	Lost      Outcome = "LOST"
	Unknown   Outcome = "UNKNOWN"
)

// StepKind says what a step tells, and so which of its fields are set.
type StepKind string

// Kinds of steps, in the order in which a packet usually meets them.
const (
	StepSent     StepKind = "sent"     // a socket or stack made the packet
	StepTap      StepKind = "tap"      // a packet socket on the device sees it: Tap
	StepNoTap    StepKind = "no-tap"   // one would not, though it passes
	StepXDP      StepKind = "xdp"      // nothing is attached
	StepHook     StepKind = "hook"     // a program ran: Run
	StepStack    StepKind = "stack"    // the host stack did something
	StepWire     StepKind = "wire"     // encapsulated or decapsulated: Outer
	StepReceived StepKind = "received" // a socket or stack took it
	StepLeft     StepKind = "left"     // it went out of the simulation
	StepLost     StepKind = "lost"     // it ended
)

// Step is one thing that happened to a packet.
type Step struct {
	Kind    StepKind `json:"kind"`
	Place   string   `json:"place"` // "pod default/web", "node worker"
	Device  string   `json:"device,omitempty"`
	Actor   string   `json:"actor,omitempty"`    // who decided, if not the datapath's programs
	Piece   int      `json:"fragment,omitempty"` // of a packet that was fragmented, from 1
	Text    string   `json:"text"`
	Tap     *Tap     `json:"tap,omitempty"`
	Run     *Run     `json:"run,omitempty"`
	Outer   *Outer   `json:"outer,omitempty"`
	Changes []Change `json:"changes,omitempty"`

	at    time.Duration // since boot
	frame []byte        // as it is when the step is over
	mark  uint32        // the same
}

// Tap is a frame as tcpdump shows it on a device.
type Tap struct {
	Direction string `json:"direction"` // "In", "Out"; "P": in, but addressed to another host
	SrcMAC    string `json:"srcMAC"`
	DstMAC    string `json:"dstMAC"`
	Summary   string `json:"summary"` // tcpdump's line
	TTL       uint8  `json:"ttl,omitempty"`
	Length    int    `json:"length"`

	brief string
}

// Outer is the header of a VXLAN packet.
type Outer struct {
	Src string `json:"src"`
	Dst string `json:"dst"`
	TTL uint8  `json:"ttl"`
	TOS uint8  `json:"tos"`
	VNI uint32 `json:"vni"` // the sender's security identity
}

// Change is a field of the packet, or its mark, that has another value now.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Run is one run of a program.
type Run struct {
	Program   string        `json:"program"`   // section, "from-container"
	Direction string        `json:"direction"` // of the device: "ingress", "egress"
	Lines     []Line        `json:"lines"`
	Decisions []Decision    `json:"decisions,omitempty"`
	Entries   []EntryChange `json:"entries,omitempty"`
	Action    int32         `json:"action"`         // what the program returned
	Drop      uint8         `json:"drop,omitempty"` // the drop reason's number
	Result    string        `json:"result"`

	before     []byte // the frame as it came to the program
	markBefore uint32

	lookups   []lookup
	explained *explanation // of a drop
	unknown   string       // what would have to be known to go on
}

// LineKind says what a line tells, and so which of its fields are set.
type LineKind string

// Kinds of lines.
const (
	LineCall     LineKind = "call"      // Func in File was called; Result if it failed
	LineTailCall LineKind = "tail-call" // Slot of Map was jumped to
	LineLookup   LineKind = "lookup"    // Map was asked for Key
	LineUpdate   LineKind = "update"    // an entry of Map was written
	LineRewrite  LineKind = "rewrite"   // fields or the mark changed
	LineHelper   LineKind = "helper"    // a BPF object called a helper: Func with its arguments, Result
)

// Line is one thing that a program did, in order.
type Line struct {
	Kind   LineKind `json:"kind"`
	Depth  int      `json:"depth"` // calls that were open; a tail call opens none
	Func   string   `json:"func,omitempty"`
	File   string   `json:"file,omitempty"`
	Slot   *uint32  `json:"slot,omitempty"`
	Map    string   `json:"map,omitempty"`
	Key    string   `json:"key,omitempty"`
	Value  string   `json:"value,omitempty"` // in Cilium's words
	Hit    *bool    `json:"hit,omitempty"`   // lookup, tail call
	Note   string   `json:"note,omitempty"`
	Result string   `json:"result,omitempty"`
	Source string   `json:"source,omitempty"` // of a BPF object: file:line of its C source

	Changes []Change `json:"changes,omitempty"`

	frame []byte // rewrite: as it is then; nil if only the mark changed
}

// Topic is what a decision is about.
type Topic string

// Topics.
const (
	TopicSource    Topic = "source"
	TopicService   Topic = "service"
	TopicConntrack Topic = "conntrack"
	TopicPolicy    Topic = "policy"
	TopicRoute     Topic = "route" // where the packet goes
	TopicNAT       Topic = "nat"
)

// Decision is what a program made of what it found.
type Decision struct {
	Topic        Topic    `json:"topic"`
	Text         string   `json:"text"`
	Chosen       string   `json:"chosen,omitempty"`       // service: the backend
	Alternatives []string `json:"alternatives,omitempty"` // service: the other backends
}

// EntryChange is a map entry that a run wrote. Before is empty for a new entry, After
// for one that went.
type EntryChange struct {
	Map    string `json:"map"`
	Key    string `json:"key"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Verdict is the end of the question's packet, or of the first packet of a conversation
// that did not arrive, and the reasons.
type Verdict struct {
	Outcome Outcome  `json:"outcome"`
	Packet  int      `json:"packet,omitempty"` // that it is about; missing if none was sent
	Place   string   `json:"place"`            // where the packet ended
	Text    string   `json:"text"`
	Because string   `json:"because"`
	Reasons []string `json:"reasons,omitempty"` // all decisions, in order
	Answer  string   `json:"answer,omitempty"`  // what came of the answer
	Drop    *Drop    `json:"drop,omitempty"`
	Fields  []string `json:"fields"`  // of the header, on which it depended
	Entries []string `json:"entries"` // of the maps, on which it depended; "no" entries too
	Path    []string `json:"path"`
}

// Drop explains a drop by a program.
type Drop struct {
	Code      uint8    `json:"code"`
	Reason    string   `json:"reason"`    // as `cilium monitor` prints it
	Direction string   `json:"direction"` // as `cilium bpf metrics list` prints it
	Program   string   `json:"program"`
	Source    string   `json:"source,omitempty"` // of a BPF object: file:line of the C source that reported it
	Map       string   `json:"map,omitempty"`
	Missed    []string `json:"missed,omitempty"` // keys that were asked for in vain
	Denied    string   `json:"denied,omitempty"` // the entry that denied
	Needed    string   `json:"needed,omitempty"` // the nearest that would have let it pass
	Command   string   `json:"command,omitempty"`
}
