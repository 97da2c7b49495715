package journey

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
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

// Ask simulates a question: the cluster is as its agents make it, without connections
// or neighbours, and stays as it is. Names that the cluster does not have are
// cluster.ErrInput or ErrQuestion; another error says that an engine failed.
func Ask(c *cluster.Cluster, engine Engine, q Question) (*Journey, error) {
	q.Protocol = q.protocol()
	if err := q.Check(); err != nil {
		return nil, err
	}
	for _, end := range []string{q.From, q.To} {
		if err := CheckEnd(c, end); err != nil {
			return nil, err
		}
	}
	return simulate(c, engine, q, func(s *sim.Sim) (*sim.Conversation, error) { return q.send(c, s) })
}

// Inject simulates a frame that appears at a point of the cluster. The question only
// says in words what it is.
func Inject(c *cluster.Cluster, engine Engine, q Question, at sim.Point, frame []byte) (*Journey, error) {
	return simulate(c, engine, q, func(s *sim.Sim) (*sim.Conversation, error) { return s.Inject(at, frame) })
}

// simulate lets a conversation happen and writes the journey.
func simulate(c *cluster.Cluster, engine Engine, q Question, send func(*sim.Sim) (*sim.Conversation, error)) (*Journey, error) {
	r := newRecorder(c)
	settings := c.Settings()
	s, err := sim.New(c, sim.Options{
		Engine: func(m *maps.Set) (dataplane.Runner, error) {
			r.made = m
			return engine(m)
		},
		// A node's chance is asked for when its engine has been made.
		Rand: func(node string) func() uint32 {
			r.nodeMade(node)
			h := fnv.New64a()
			h.Write([]byte(node))
			return rand.New(rand.NewPCG(settings.Seed, h.Sum64())).Uint32
		},
		Observer: r.see, TraceSteps: stepsOfOneRun, AnswerWorld: true, RoutePods: true,
	})
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	defer s.Close() //nolint:errcheck // an engine in memory; nothing can be lost
	if _, err := send(s); err != nil {
		if errors.Is(err, sim.ErrName) || errors.Is(err, sim.ErrMessage) {
			return nil, fmt.Errorf("%w: %w", ErrQuestion, err)
		}
		return nil, err
	}
	_, err = s.RunUntilIdle(maxEvents)
	if err != nil && !errors.Is(err, sim.ErrBusy) && !errors.Is(err, sim.ErrEngine) {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	j := &Journey{
		Schema: Schema, Cluster: settings.Name, Profile: string(settings.Profile), Kernel: settings.Kernel.String(),
		Question: q, Packets: r.finish(), Assumed: assumed(c, r),
	}
	j.judge(err)
	return j, nil
}

// send begins the question's conversation.
func (q *Question) send(c *cluster.Cluster, s *sim.Sim) (*sim.Conversation, error) {
	m := sim.Message{TTL: q.TTL, DontFragment: q.DontFragment}
	if q.Size > 0 {
		m.Data = make([]byte, q.Size)
		for i := range m.Data {
			m.Data[i] = byte(i)
		}
	}
	switch q.Protocol {
	case TCP:
		if !q.Conversation {
			flags, err := ParseFlags(q.flags())
			if err != nil {
				return nil, err
			}
			m.Flags = flags
		}
		return s.TCP(q.From, q.To, q.Port, m)
	case UDP:
		return s.UDP(q.From, q.To, q.Port, m)
	case ARP:
		return q.ask(c, s)
	default:
		return s.Ping(q.From, q.To, m)
	}
}

// ask lets a pod ask for an address.
func (q *Question) ask(c *cluster.Cluster, s *sim.Sim) (*sim.Conversation, error) {
	p, err := c.Pod(q.From)
	if err != nil || p.HostNetwork {
		return nil, fmt.Errorf("%w: an ARP request is asked from a pod, which %s is not", ErrQuestion, q.From)
	}
	target, err := s.Resolve(q.To)
	if err != nil {
		return nil, err
	}
	return s.Inject(sim.Point{Pod: p.Ref()}, arpRequest(p.MAC, p.IP, target))
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

// assumed is what a simulated answer takes for granted.
func assumed(c *cluster.Cluster, r *recorder) []string {
	out := []string{"every map is as the agents write it for this cluster; there are no connections before"}
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
			if err == nil && !known[ip] && c.NameOf(ip) == "" {
				known[ip] = true
				out = append(out, fmt.Sprintf("%s is outside of the cluster and answers as a host would", ip))
			}
		}
	}
	return out
}
