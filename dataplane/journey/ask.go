package journey

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/sim"
	"github.com/hooklab/hooklab/maps"
)

// Limits of one simulation.
const (
	maxEvents     = 200000
	stepsOfOneRun = 2000
)

// Engine makes the engine of a node around its maps.
type Engine func(*maps.Set) (dataplane.Runner, error)

// Options are how an Asker answers. Engine is required.
type Options struct {
	Engine Engine
	// Keep lets what a question has changed stay for the next one. Without it every
	// question meets the same cluster.
	Keep bool
	// State is what the maps of nodes are; nil is as their agents write them.
	State State
}

// Asker answers questions about a cluster. The cluster stays as it is. It is used by
// one goroutine.
type Asker struct {
	cluster *cluster.Cluster // with the endpoints that the state has
	opts    Options
	kept    *world // nil: nothing is kept yet
}

// NewAsker makes an asker. Not calling Close is an error. The error, for a state that
// does not fit the cluster, is cluster.ErrInput.
func NewAsker(c *cluster.Cluster, o Options) (*Asker, error) {
	c, err := withState(c, o.State)
	return &Asker{cluster: c, opts: o}, err
}

// Close ends what was kept.
func (a *Asker) Close() error {
	if a.kept == nil {
		return nil
	}
	err := a.kept.close()
	a.kept = nil
	return err
}

// Ask simulates a question: the cluster is as its agents make it, without connections
// or neighbours but those that questions before have left, if they are kept. Names that
// the cluster does not have are cluster.ErrInput or ErrQuestion; another error says
// that an engine failed.
func (a *Asker) Ask(q Question) (*Journey, error) {
	if err := a.check(&q); err != nil {
		return nil, err
	}
	return a.answer(q, func(w *world) error { return q.send(w) })
}

// check fills in a question's protocol and says what is wrong with it.
func (a *Asker) check(q *Question) error {
	if q.Packet == nil {
		q.Protocol = q.protocol()
	}
	if err := q.Check(); err != nil {
		return err
	}
	if q.SetCT != "" && a.opts.Keep {
		return fmt.Errorf("%w: conntrack that is %s because the question says so cannot be kept", ErrQuestion, q.SetCT)
	}
	for _, end := range []string{q.From, q.To} {
		if end == "" {
			continue
		}
		if err := CheckEnd(a.cluster, end); err != nil {
			return err
		}
	}
	return nil
}

// Undecided is the journey of a packet that cannot be simulated; why says so.
func (a *Asker) Undecided(q Question, why string) *Journey {
	j := newJourney(a.cluster, q)
	j.Verdict = Verdict{Outcome: Unknown, Text: "what becomes of it", Because: why}
	return j
}

// EachBackend answers a question once for each backend that it may be given, in the
// order of their slots: once only if it meets no service with several.
func (a *Asker) EachBackend(q Question) ([]*Journey, error) {
	var out []*Journey
	for n := 1; n == 1 || n <= out[0].backends(); n++ {
		q.Backend = n
		j, err := a.Ask(q)
		if err != nil {
			return nil, err
		}
		out = append(out, j)
	}
	return out, nil
}

// Wait lets virtual time pass for what is kept.
func (a *Asker) Wait(d time.Duration) error {
	if a.kept == nil {
		return nil
	}
	_, err := a.kept.sim.Run(a.kept.sim.Now() + d)
	return err
}

// answer lets a conversation happen and writes the journey.
func (a *Asker) answer(q Question, send func(*world) error) (j *Journey, err error) {
	w := a.kept
	if w == nil {
		if w, err = newWorld(a.cluster, &a.opts, nil); err != nil {
			return nil, err
		}
		if a.opts.Keep {
			a.kept = w
		} else {
			defer func() { err = errors.Join(err, w.close()) }()
		}
	}
	return w.answer(q, send)
}

// Ask answers one question; see Asker.Ask.
func Ask(c *cluster.Cluster, engine Engine, q Question) (*Journey, error) {
	a := &Asker{cluster: c, opts: Options{Engine: engine}} // keeps nothing, so there is nothing to close
	return a.Ask(q)
}

// Inject simulates a frame that appears at a point of the cluster. The question only
// says in words what it is.
func Inject(c *cluster.Cluster, engine Engine, q Question, at sim.Point, frame []byte) (*Journey, error) {
	a := &Asker{cluster: c, opts: Options{Engine: engine}}
	return a.answer(q, func(w *world) error { return w.inject(at, frame, 1) })
}

// send begins the question's conversation.
func (q *Question) send(w *world) error {
	switch {
	case q.Packet != nil:
		return q.sendFrame(w, q.Packet)
	case q.Hook != "":
		frame, err := q.compose(w)
		if err != nil {
			return err
		}
		return q.sendFrame(w, frame)
	}
	m, err := q.message()
	if err != nil {
		return err
	}
	s := w.sim
	switch q.Protocol {
	case TCP:
		_, err = s.TCP(q.From, q.To, q.Port, m)
	case UDP:
		_, err = s.UDP(q.From, q.To, q.Port, m)
	case ARP:
		return q.ask(w)
	default:
		_, err = s.Ping(q.From, q.To, m)
	}
	return err
}

// message is what the question's socket sends.
func (q *Question) message() (sim.Message, error) {
	m := sim.Message{TTL: q.TTL, SrcPort: q.SourcePort, DontFragment: q.DontFragment, Count: q.Count}
	if q.Size > 0 {
		m.Data = make([]byte, q.Size)
		for i := range m.Data {
			m.Data[i] = byte(i)
		}
	}
	var err error
	if q.Protocol == TCP && !q.Conversation {
		m.Flags, err = ParseFlags(q.flags())
	}
	return m, err
}

// compose makes the question's packet as bytes.
func (q *Question) compose(w *world) ([]byte, error) {
	if q.Protocol == ARP {
		return q.arp(w)
	}
	m, err := q.message()
	if err != nil {
		return nil, err
	}
	proto := map[Protocol]uint8{ICMP: header.ProtoICMP, TCP: header.ProtoTCP, UDP: header.ProtoUDP}[q.Protocol]
	return w.sim.Compose(q.From, q.To, proto, q.Port, m)
}

// sendFrame puts a frame in where the question says.
func (q *Question) sendFrame(w *world, frame []byte) error {
	e, err := q.entrance(w, frame)
	if err != nil {
		return err
	}
	if err := e.metadata(w.cluster, q, frame); err != nil {
		return err
	}
	w.rec.assumed = append(w.rec.assumed, e.assumed...)
	return w.inject(e.at, frame, max(q.Count, 1))
}

// entrance is where the question's frame begins.
func (q *Question) entrance(w *world, frame []byte) (entrance, error) {
	switch {
	case q.Hook != "":
		return parseHook(w.cluster, q.Hook)
	case q.From == "":
		return place(w.cluster, w.sim, frame)
	}
	if p, err := w.cluster.Pod(q.From); err == nil && !p.HostNetwork {
		return podHook(w.cluster, dataplane.FromContainer, q.From)
	}
	ip, err := w.sim.Resolve(q.From)
	if err != nil {
		return entrance{}, err
	}
	return placeOf(w.cluster, w.sim, ip)
}

// ask lets a pod ask for an address.
func (q *Question) ask(w *world) error {
	frame, err := q.arp(w)
	if err != nil {
		return err
	}
	return w.inject(sim.Point{Pod: q.From}, frame, max(q.Count, 1))
}

// arp is a pod's question for an address.
func (q *Question) arp(w *world) ([]byte, error) {
	p, err := w.cluster.Pod(q.From)
	if err != nil || p.HostNetwork {
		return nil, fmt.Errorf("%w: an ARP request is asked from a pod, which %s is not", ErrQuestion, q.From)
	}
	target, err := w.sim.Resolve(q.To)
	if err != nil {
		return nil, err
	}
	return arpRequest(p.MAC, p.IP, target), nil
}

// assume is what a simulated answer takes for granted.
func (r *recorder) assume() []string {
	out := slices.Clone(r.assumed)
	if r.setCT != "" {
		out = append(out, ctAssumed(r.setCT, r.ctSet))
	}
	if slices.ContainsFunc(r.packets, func(p *Packet) bool { return p.Fate.refusal != "" }) {
		out = append(out, "what listens is read from the backends of services, named ports and known servers in run")
	}
	known := map[netip.Addr]bool{}
	for _, p := range r.packets {
		for _, e := range p.ends {
			if len(e.data) == 0 || e.place == "" {
				continue
			}
			ip, err := netip.ParseAddr(trimPlace(e.place))
			if err == nil && !known[ip] && r.cluster.NameOf(ip) == "" {
				known[ip] = true
				out = append(out, fmt.Sprintf("%s is outside of the cluster and answers as a host would", ip))
			}
		}
	}
	return out
}
