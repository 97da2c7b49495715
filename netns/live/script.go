package live

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hooklab/hooklab/cluster"
)

// ErrInput is wrapped by what is wrong with a script.
var ErrInput = errors.New("bad script")

// Kind is what a step runs.
type Kind string

// Kinds of steps. TCP and UDP are clients of hooklab's own on the kernel's sockets; the
// others are programs of this machine.
const (
	Ping       Kind = "ping"
	TCP        Kind = "tcp"
	UDP        Kind = "udp"
	Traceroute Kind = "traceroute"
	Command    Kind = "run" // one program with arguments
	Shell      Kind = "sh"  // a line for sh -c
)

// Step is one program that is run on both sides.
type Step struct {
	Line int    // in the script, from 1 on
	Text string // as written
	Side string // "left" or "right" changes something there only; "" is both
	From string // a namespace of the lab, as `hooklab exec` names it
	Kind Kind

	To   netip.AddrPort // of Ping and Traceroute without a port
	Argv []string       // of Command and Shell

	Count, Size int           // of Ping: how many, bytes of each; of TCP and UDP: bytes
	TTL, Hops   int           // of Ping; of Traceroute
	DF          bool          // of Ping: do not fragment
	Closed      bool          // nobody is made to listen
	Timeout     time.Duration // how long to wait for an answer

	backends []cluster.Backend // of a service's port: who may answer
}

// Script is a list of steps.
type Script struct {
	Name  string
	Steps []Step
}

// defaultTimeout is how long a client waits; what does not come then counts as lost.
const defaultTimeout = 5 * time.Second

// Parse reads a script for a cluster, one statement a line; # begins a comment.
//
//	A > B ping [count=N] [size=N] [ttl=N] [df] [timeout=DURATION]
//	A > B[:PORT] tcp|udp [bytes=N] [closed] [timeout=DURATION]
//	A > B traceroute [hops=N]
//	A run PROGRAM [ARG]...
//	A sh LINE
//	left|right A run|sh …
//
// A is a namespace as `hooklab exec` names it: POD, NAMESPACE/POD, node/NAME,
// health/NODE, external/NAME, wire/underlay. B is one of those, svc/NAME or an address. For tcp and udp somebody listens at
// B, unless it says closed. What is for one side only is not compared: it changes
// something there.
//
// Errors satisfy errors.Is(err, ErrInput) and begin with name and line.
func Parse(name, text string, c *cluster.Cluster) (*Script, error) {
	s := &Script{Name: name}
	line, compared := 0, 0
	for l := range strings.Lines(text) {
		line++
		l, _, _ = strings.Cut(l, "#")
		if l = strings.TrimSpace(l); l == "" {
			continue
		}
		st, err := parseStep(l, c)
		if err != nil {
			return nil, fmt.Errorf("%w: %s:%d: %w", ErrInput, name, line, err)
		}
		st.Line = line
		if st.Side == "" {
			compared++
		}
		s.Steps = append(s.Steps, *st)
	}
	if compared == 0 {
		return nil, fmt.Errorf("%w: %s: no program: a step is 'POD > POD ping', 'POD > svc/NAME tcp', 'POD run PROGRAM'", ErrInput, name)
	}
	return s, nil
}

func parseStep(line string, c *cluster.Cluster) (*Step, error) {
	st := &Step{Text: line}
	if side, rest, ok := strings.Cut(line, " "); ok && (side == "left" || side == "right") {
		st.Side, line = side, strings.TrimSpace(rest)
	}
	words := strings.Fields(line)
	if len(words) < 3 {
		return nil, fmt.Errorf("%q: want 'A > B ping|tcp|udp|traceroute', 'A run PROGRAM' or 'A sh LINE'", line)
	}
	var err error
	if st.From, _, err = space(words[0], c); err != nil {
		return nil, err
	}
	switch words[1] {
	case ">":
		if len(words) < 4 {
			return nil, errors.New("want 'A > B ping|tcp|udp|traceroute'")
		}
		if st.Side != "" {
			return nil, fmt.Errorf("%s: only run and sh can be for one side", st.Side)
		}
		if err := st.target(words[2], Kind(words[3]), c); err != nil {
			return nil, err
		}
		return st, st.options(words[4:])
	case string(Command):
		st.Kind, st.Argv = Command, words[2:]
	case string(Shell):
		_, rest, _ := strings.Cut(line, " "+string(Shell)+" ")
		st.Kind, st.Argv = Shell, []string{"sh", "-c", strings.TrimSpace(rest)}
	default:
		return nil, fmt.Errorf("%q: allowed behind A: >, run, sh", words[1])
	}
	return st, nil
}

// space is the full name of a namespace and its address.
func space(ref string, c *cluster.Cluster) (string, netip.Addr, error) {
	kind, name, ok := strings.Cut(ref, "/")
	if !ok {
		kind = ""
	}
	switch kind {
	case "node":
		n, err := c.Node(name)
		return ref, n.IP, err
	case "health":
		n, err := c.Node(name)
		if err == nil && !n.Health.IP.IsValid() {
			err = fmt.Errorf("node %s has no health endpoint", name)
		}
		return ref, n.Health.IP, err
	case "external":
		for _, e := range c.Settings().External {
			if e.Name == name {
				return ref, e.IP, nil
			}
		}
		return "", netip.Addr{}, fmt.Errorf("no host outside of the cluster is called %q", name)
	case "wire":
		if name != "underlay" {
			return "", netip.Addr{}, fmt.Errorf("%q: want wire/underlay", ref)
		}
		s := c.Settings()
		return ref, s.Gateway(), nil
	}
	p, err := c.Pod(ref)
	if err != nil {
		return "", netip.Addr{}, err
	}
	if p.HostNetwork {
		return "node/" + p.Node, p.IP, nil
	}
	return p.Ref(), p.IP, nil
}

// target finds whom the step talks to.
func (st *Step) target(ref string, kind Kind, c *cluster.Cluster) error {
	switch kind {
	case Ping, TCP, UDP, Traceroute:
	default:
		return fmt.Errorf("%q: allowed: ping, tcp, udp, traceroute", kind)
	}
	st.Kind = kind
	ports := kind == TCP || kind == UDP
	host, text, hasPort := strings.Cut(ref, ":")
	port := uint64(80)
	if hasPort {
		var err error
		if port, err = strconv.ParseUint(text, 10, 16); err != nil || port == 0 || !ports {
			return fmt.Errorf("%q: want a port of 1 to 65535, with tcp and udp only", ref)
		}
	}
	name, isService := strings.CutPrefix(host, "svc/")
	if !isService {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			if _, addr, err = space(host, c); err != nil {
				return err
			}
		}
		if !addr.Is4() {
			return fmt.Errorf("%s has no IPv4 address", host)
		}
		st.To = netip.AddrPortFrom(addr, uint16(port))
		return nil
	}
	svc, err := c.Service(name)
	if err != nil {
		return err
	}
	if !svc.ClusterIP.IsValid() || len(svc.Ports) == 0 {
		return fmt.Errorf("service %s has no cluster IP or no port", svc.Ref())
	}
	at := &svc.Ports[0]
	if hasPort {
		at = nil
		for i := range svc.Ports {
			if svc.Ports[i].Port == uint16(port) {
				at = &svc.Ports[i]
				break
			}
		}
		if at == nil {
			return fmt.Errorf("service %s has no port %d", svc.Ref(), port)
		}
	}
	st.To = netip.AddrPortFrom(svc.ClusterIP, at.Port)
	for _, b := range at.Backends {
		if !b.Terminating {
			st.backends = append(st.backends, b)
		}
	}
	return nil
}

// options reads KEY=VALUE and single words.
func (st *Step) options(words []string) error {
	st.Count, st.Size, st.Hops, st.Timeout = 2, 56, 8, defaultTimeout
	if st.Kind != Ping {
		st.Size = 100
	}
	allowed := map[Kind][]string{
		Ping: {"count", "size", "ttl", "df", "timeout"}, Traceroute: {"hops"},
		TCP: {"bytes", "closed", "timeout"}, UDP: {"bytes", "closed", "timeout"},
	}[st.Kind]
	for _, w := range words {
		key, value, has := strings.Cut(w, "=")
		limits := map[string]struct {
			into     *int
			min, max int
		}{
			"count": {&st.Count, 1, 100}, "size": {&st.Size, 0, 65507}, "ttl": {&st.TTL, 1, 255},
			"bytes": {&st.Size, 1, 1 << 24}, "hops": {&st.Hops, 1, 30},
		}
		ok := false
		for _, a := range allowed {
			ok = ok || a == key
		}
		if !ok || has == (key == "df" || key == "closed") {
			return fmt.Errorf("%q: allowed with %s: %s", w, st.Kind, strings.Join(allowed, ", "))
		}
		switch key {
		case "df":
			st.DF = true
		case "closed":
			st.Closed = true
		case "timeout":
			d, err := time.ParseDuration(value)
			if err != nil || d < 100*time.Millisecond || d > time.Minute {
				return fmt.Errorf("%q: want a duration of 100ms to 1m", w)
			}
			st.Timeout = d
		default:
			l := limits[key]
			n, err := strconv.Atoi(value)
			if err != nil || n < l.min || n > l.max {
				return fmt.Errorf("%q: want %d to %d", w, l.min, l.max)
			}
			*l.into = n
		}
	}
	if st.Kind == UDP && st.Size > 65507 {
		return fmt.Errorf("bytes=%d: a datagram has at most 65507", st.Size)
	}
	return nil
}
