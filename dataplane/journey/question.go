package journey

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster"
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
	Flags        string   `json:"flags,omitempty"` // TCP; SYN by default
	TTL          uint8    `json:"ttl,omitempty"`   // 0: 64
	DontFragment bool     `json:"df,omitempty"`
	Size         int      `json:"size,omitempty"` // bytes of data; 0: what the protocol's client sends
	Conversation bool     `json:"conversation,omitempty"`
}

// MaxSize is the most data that a question may have.
const MaxSize = 65000

// Check says what is wrong with a question, whatever the cluster. The error is an
// ErrQuestion.
func (q *Question) Check() error {
	switch {
	case q.From == "" || q.To == "":
		return fmt.Errorf("%w: it needs both ends", ErrQuestion)
	case !slices.Contains([]Protocol{"", ICMP, TCP, UDP, ARP}, q.Protocol):
		return fmt.Errorf("%w: protocol %q; allowed: icmp, tcp, udp, arp", ErrQuestion, q.Protocol)
	case q.Flags != "" && q.Protocol != TCP:
		return fmt.Errorf("%w: flags %s need tcp", ErrQuestion, q.Flags)
	case q.Conversation && q.Protocol != TCP:
		return fmt.Errorf("%w: a conversation needs tcp; %s is one packet and its answer", ErrQuestion, q.protocol())
	case q.Conversation && q.Flags != "":
		return fmt.Errorf("%w: flags %s are of one segment, not of a conversation", ErrQuestion, q.Flags)
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

func (q *Question) protocol() Protocol {
	if q.Protocol == "" {
		return ICMP
	}
	return q.Protocol
}

// String is the question in words.
func (q *Question) String() string {
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
