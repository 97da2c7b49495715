package journey

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
)

// ErrQuestion is wrapped by every refusal of a question that makes no sense.
var ErrQuestion = errors.New("bad question")

// Protocol is what is sent.
type Protocol string

// Protocols. The zero value is ICMP.
const (
	ICMP Protocol = "icmp"
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ARP  Protocol = "arp"
)

// Question is a packet that somebody might send.
type Question struct {
	// From is who sends: a pod (NAME, NAMESPACE/NAME), node/NAME, external/NAME or an
	// address. To may be svc/NAME and svc/NAMESPACE/NAME too.
	From string `json:"from"`
	To   string `json:"to"`

	Protocol     Protocol `json:"protocol"`
	Port         uint16   `json:"port,omitempty"`
	SourcePort   uint16   `json:"sourcePort,omitempty"` // of an echo request its id; 0: by chance
	Flags        string   `json:"flags,omitempty"`      // TCP; SYN by default
	TTL          uint8    `json:"ttl,omitempty"`        // 0: 64
	DontFragment bool     `json:"df,omitempty"`
	Size         int      `json:"size,omitempty"` // bytes of data; 0: what the protocol's client sends
	Conversation bool     `json:"conversation,omitempty"`
	Count        int      `json:"count,omitempty"` // packets, one a second; 0: 1

	// Packet is a frame instead of To and Protocol. Without Hook it begins at From, a
	// pod, or where its source address is at home.
	Packet Frame  `json:"packet,omitempty"`
	Origin string `json:"origin,omitempty"` // of Packet, in words: "packet 3 of web.pcap"
	// Hook is where the packet begins: "from-overlay@worker2", see ParseHook. It has
	// then what these fields say beside its bytes, else what is usual there.
	Hook   string  `json:"hook,omitempty"`
	Mark   *uint32 `json:"mark,omitempty"`
	VNI    *uint32 `json:"vni,omitempty"`    // cilium_vxlan
	Tunnel string  `json:"tunnel,omitempty"` // cilium_vxlan: the other node, or its address

	Backend int `json:"backend,omitempty"` // of a service, by slot from 1; 0: by chance

	// SetCT is what Cilium's conntrack knows of the packet's connection, whatever the
	// maps say; "" leaves them as they are. What it knows of services stays.
	SetCT CTState `json:"setCT,omitempty"`
}

// MaxCount is the most packets that a question may have.
const MaxCount = 1000

// MaxSize is the most data that a question may have.
const MaxSize = 65000

// Check says what is wrong with a question, whatever the cluster. The error is an
// ErrQuestion.
func (q *Question) Check() error {
	if q.Count < 0 || q.Count > MaxCount {
		return fmt.Errorf("%w: %d packets; from 1 to %d", ErrQuestion, q.Count, MaxCount)
	}
	if err := q.checkStart(); err != nil {
		return err
	}
	if err := q.checkCT(); err != nil {
		return err
	}
	if q.Packet != nil {
		return q.checkPacket()
	}
	switch {
	case q.From == "" || q.To == "":
		return fmt.Errorf("%w: it needs both ends", ErrQuestion)
	case !slices.Contains([]Protocol{"", ICMP, TCP, UDP, ARP}, q.Protocol):
		return fmt.Errorf("%w: protocol %q; allowed: icmp, tcp, udp, arp", ErrQuestion, q.Protocol)
	case q.Flags != "" && q.Protocol != TCP:
		return fmt.Errorf("%w: flags %s need tcp", ErrQuestion, q.Flags)
	case q.Conversation && q.Protocol != TCP:
		return fmt.Errorf("%w: a conversation needs tcp; %s is one packet and its answer", ErrQuestion, q.protocol())
	case q.Conversation && (q.Hook != "" || q.Count > 1):
		return fmt.Errorf("%w: a conversation begins at a socket and has the packets that it needs, so it has neither hook nor number", ErrQuestion)
	case q.Conversation && q.Flags != "":
		return fmt.Errorf("%w: flags %s are of one segment, not of a conversation", ErrQuestion, q.Flags)
	case q.SourcePort != 0 && q.Protocol == ARP:
		return fmt.Errorf("%w: an ARP request has no source port", ErrQuestion)
	case q.Protocol == ARP && (q.Size != 0 || q.TTL != 0 || q.DontFragment):
		return fmt.Errorf("%w: an ARP request has neither size, TTL nor DF", ErrQuestion)
	case q.DontFragment && q.Protocol == TCP:
		return fmt.Errorf("%w: TCP segments have DF set already", ErrQuestion)
	case q.Size < 0 || q.Size > MaxSize:
		return fmt.Errorf("%w: size %d is not between 0 and %d", ErrQuestion, q.Size, MaxSize)
	case (q.Protocol == TCP || q.Protocol == UDP) != (q.Port != 0):
		return fmt.Errorf("%w: a port between 1 and 65535 is for tcp and udp", ErrQuestion)
	}
	_, err := ParseFlags(q.Flags)
	return err
}

// checkStart is Check for where the packet begins.
func (q *Question) checkStart() error {
	section, _, _ := strings.Cut(q.Hook, "@")
	overlay := section == dataplane.FromOverlay.String() || section == dataplane.ToOverlay.String()
	switch {
	case (q.VNI != nil || q.Tunnel != "") && !overlay:
		return fmt.Errorf("%w: VNI and tunnel are of hooks from-overlay and to-overlay only", ErrQuestion)
	case q.VNI != nil && *q.VNI >= 1<<24:
		return fmt.Errorf("%w: VNI %d has more than 24 bits", ErrQuestion, *q.VNI)
	case q.Mark != nil && (q.Hook == "" || section == dataplane.FromContainer.String() || section == dataplane.FromNetdev.String()):
		return fmt.Errorf("%w: a packet has no mark before it meets its first hook; a mark is for other hooks than from-container and from-netdev", ErrQuestion)
	}
	return nil
}

// checkCT is Check for the state of conntrack.
func (q *Question) checkCT() error {
	switch {
	case q.SetCT == "":
		return nil
	case !slices.Contains(CTStates(), string(q.SetCT)):
		return fmt.Errorf("%w: conntrack state %q; allowed: %s", ErrQuestion, q.SetCT, strings.Join(CTStates(), ", "))
	case q.Protocol == ARP:
		return fmt.Errorf("%w: conntrack does not know ARP", ErrQuestion)
	case q.Conversation:
		return fmt.Errorf("%w: a conversation makes its own connection, which is not %s before", ErrQuestion, q.SetCT)
	}
	return nil
}

// checkPacket is Check for a packet that is given in bytes.
func (q *Question) checkPacket() error {
	switch {
	case q.Protocol != "" || q.To != "" || q.Port != 0 || q.SourcePort != 0 || q.Flags != "" || q.TTL != 0 || q.DontFragment || q.Size != 0 || q.Conversation:
		return fmt.Errorf("%w: a packet in bytes has its own receiver, protocol, ports, flags, TTL, DF and size", ErrQuestion)
	case len(q.Packet) == 0:
		return fmt.Errorf("%w: the packet has no bytes", ErrQuestion)
	case q.Hook != "" && q.From != "":
		return fmt.Errorf("%w: the packet begins at %s or at hook %s, not at both", ErrQuestion, q.From, q.Hook)
	}
	return nil
}

func (q *Question) protocol() Protocol {
	if q.Protocol == "" {
		return ICMP
	}
	return q.Protocol
}

// String is the question in words.
func (q *Question) String() string {
	s := q.text()
	switch {
	case q.Hook != "":
		s += ", at " + q.Hook
	case q.Packet != nil && q.From != "":
		s += ", sent by " + q.From
	}
	if q.Count > 1 {
		s += fmt.Sprintf(", %d times", q.Count)
	}
	if q.SetCT != "" {
		s += fmt.Sprintf(", %s in conntrack", q.SetCT)
	}
	if q.Backend != 0 {
		s += fmt.Sprintf(", backend in slot %d", q.Backend)
	}
	return s
}

// text is the packet in words.
func (q *Question) text() string {
	if q.Packet != nil {
		what := q.Origin
		if what == "" {
			what = "packet"
		}
		return fmt.Sprintf("%s, %d bytes, %s", what, len(q.Packet), brief(q.Packet))
	}
	s := strings.ToUpper(string(q.protocol()))
	switch {
	case q.Protocol == ARP:
		return "ARP request for " + q.To + " from " + q.From
	case q.Conversation:
		s += fmt.Sprintf(" connection to port %d", q.Port)
	case q.Protocol == TCP:
		s += " " + q.flags() + fmt.Sprintf(" to port %d", q.Port)
	case q.Protocol == UDP:
		s += fmt.Sprintf(" to port %d", q.Port)
	default:
		s += " echo request"
	}
	if q.SourcePort != 0 {
		what := "from port"
		if q.protocol() == ICMP {
			what = "id"
		}
		s += fmt.Sprintf(", %s %d", what, q.SourcePort)
	}
	if q.TTL != 0 {
		s += fmt.Sprintf(", TTL %d", q.TTL)
	}
	if q.DontFragment {
		s += ", DF"
	}
	if q.Size != 0 {
		s += fmt.Sprintf(", %d bytes of data", q.Size)
	}
	return s + " from " + q.From + " to " + q.To
}

func (q *Question) flags() string {
	if q.Flags == "" {
		return "SYN"
	}
	return strings.ToUpper(q.Flags)
}

// ParseFlags reads TCP flags such as "SYN" or "syn,ack", and "" as none. The error is an ErrQuestion.
func ParseFlags(s string) (uint8, error) {
	var flags uint8
	if s == "" {
		return 0, nil
	}
	for word := range strings.SplitSeq(strings.ToUpper(s), ",") {
		bit := uint8(0)
		if i := slices.Index(flagNames(), word); i >= 0 {
			bit = 1 << i
		}
		if bit == 0 {
			return 0, fmt.Errorf("%w: TCP flag %q; allowed: %s", ErrQuestion, word, strings.Join(flagNames(), ", "))
		}
		flags |= bit
	}
	return flags, nil
}

// CheckEnd says what is wrong with an end of a question in this cluster: a name that
// nobody has is cluster.ErrInput, anything else ErrQuestion.
func CheckEnd(c *cluster.Cluster, name string) error {
	if ip, err := netip.ParseAddr(name); err == nil {
		if !ip.Is4() {
			return fmt.Errorf("%w: %s is not IPv4", ErrQuestion, name)
		}
		return nil
	}
	kind, rest, found := strings.Cut(name, "/")
	if found {
		switch kind {
		case "svc":
			_, err := c.Service(rest)
			return err
		case "node":
			_, err := c.Node(rest)
			return err
		case "external", "health":
			return nil // the simulation knows them
		case "pod":
			name = rest
		}
	}
	p, err := c.Pod(name)
	if err != nil {
		return anyEnd(c, name, err)
	}
	if !p.IP.IsValid() && !p.HostNetwork {
		return fmt.Errorf("%w: pod %s has no IP (it is %s)", ErrQuestion, p.Ref(), p.Phase)
	}
	return nil
}

// anyEnd is the error for a name that is no pod's, nil if it is a node or an external
// host.
func anyEnd(c *cluster.Cluster, name string, podErr error) error {
	if _, err := c.Node(name); err == nil {
		return nil
	}
	settings := c.Settings()
	for _, x := range settings.External {
		if x.Name == name {
			return nil
		}
	}
	return podErr
}

// arpRequest is the broadcast with which a pod asks for an address.
func arpRequest(mac [6]byte, ip, target netip.Addr) []byte {
	b := make([]byte, header.EthernetSize+header.ARPSize)
	eth := header.Ethernet(b)
	eth.SetDst(header.BroadcastMAC())
	eth.SetSrc(mac)
	eth.SetType(header.EtherTypeARP)
	a := header.ARP(b[header.EthernetSize:])
	copy(a, []byte{0, 1, 8, 0, 6, 4})
	a.SetOp(header.ARPRequest)
	a.SetSender(mac, ip.As4())
	a.SetTarget([6]byte{}, target.As4())
	return b
}
