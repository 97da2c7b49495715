package journey

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"iter"
	stdmaps "maps"
	"slices"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/maps"
)

// ErrEntry is wrapped when a map or an entry cannot be shown or changed.
var ErrEntry = errors.New("no such entry")

// nodesAtStart is up to how many nodes a cluster may have so that a Stepper sets all of
// them up before it begins. In larger ones a node's maps are there once a frame meets it.
const nodesAtStart = 64

// Stepper lets a question happen moment by moment, and back. Going back is exact: what
// happened is a function of the cluster, the question and the entries that were changed,
// so it happens again up to the moment before.
type Stepper struct {
	cluster  *cluster.Cluster
	opts     Options
	question Question

	world   *world
	next    func() (*Moment, bool)
	stop    func()
	now     *Moment
	past    hash.Hash // of all moments so far
	edits   []edit
	journey *Journey // when it has ended
	err     error
}

// edit is an entry that was changed at a moment; a nil value is one that was removed.
type edit struct {
	at         int
	node, name string
	key, value []byte
}

// NewStepper stops before the first moment. Not calling Close is an error. Errors are
// those of Ask.
func NewStepper(c *cluster.Cluster, o Options, q Question) (*Stepper, error) {
	a, err := NewAsker(c, o)
	if err != nil {
		return nil, err
	}
	if err := a.check(&q); err != nil {
		return nil, err
	}
	s := &Stepper{cluster: a.cluster, opts: o, question: q}
	return s, s.begin()
}

// begin starts the question from the beginning.
func (s *Stepper) begin() error {
	s.now, s.past, s.journey, s.err = &Moment{}, sha256.New(), nil, nil
	var yield func(*Moment) bool
	n := 0
	w, err := newWorld(s.cluster, &s.opts, func(m *Moment) {
		if yield == nil {
			return
		}
		n++
		m.N = n
		if !yield(m) {
			yield = nil // what is left happens unseen
		}
	})
	if err != nil {
		return err
	}
	if nodes := s.cluster.Nodes(); len(nodes) <= nodesAtStart {
		for _, node := range nodes {
			if _, err := w.sim.Node(node.Name); err != nil {
				return errors.Join(err, w.close())
			}
		}
	}
	s.world = w
	s.next, s.stop = iter.Pull(func(y func(*Moment) bool) {
		yield = y
		s.journey, s.err = w.answer(s.question, s.question.send)
	})
	return nil
}

// Close ends the stepper.
func (s *Stepper) Close() error {
	s.stop()
	return s.world.close()
}

// Now is the moment at which it stands: N is 0 before the first.
func (s *Stepper) Now() *Moment { return s.now }

// Journey is the whole journey once the end has come, else nil.
func (s *Stepper) Journey() *Journey { return s.journey }

// Next goes on to the next moment. It is false at the end.
func (s *Stepper) Next() (bool, error) {
	m, ok := s.next()
	if !ok {
		return false, s.err
	}
	s.now = m
	fmt.Fprintf(s.past, "%d %d %s %s %s %s %x %d\n", m.N, m.Packet, m.Place, m.Device, m.Program, m.Text, m.Frame, m.Mark)
	return true, nil
}

// Back goes back to the moment before, to the state that everything had then. Entries
// that were changed at the moment that it leaves are as they were before. It is false at
// the beginning.
func (s *Stepper) Back() (bool, error) {
	to := s.now.N - 1
	if s.journey != nil {
		to = s.now.N // the end is behind the last moment
	}
	if to < 0 {
		return false, nil
	}
	s.edits = slices.DeleteFunc(s.edits, func(e edit) bool { return e.at > to })
	if err := s.Close(); err != nil {
		return false, err
	}
	if err := s.begin(); err != nil {
		return false, err
	}
	edits := s.edits
	for {
		for len(edits) > 0 && edits[0].at == s.now.N {
			if err := s.apply(edits[0]); err != nil {
				return false, err
			}
			edits = edits[1:]
		}
		if s.now.N == to {
			return true, nil
		}
		if ok, err := s.Next(); !ok {
			return false, errors.Join(err, fmt.Errorf("moment %d did not come again", to)) // an engine that is not deterministic
		}
	}
}

// Nodes are the nodes whose maps can be looked at, sorted.
func (s *Stepper) Nodes() []string { return slices.Sorted(stdmaps.Keys(s.world.nodes)) }

// Hash is the hash of the whole state: all maps of all nodes, the packet, the virtual
// time, and all that has happened so far, on which the host stacks and sockets depend.
func (s *Stepper) Hash() [32]byte {
	h := sha256.New()
	h.Write(s.past.Sum(nil))
	fmt.Fprintf(h, "%d %d\n", s.now.N, s.world.sim.Now())
	for _, node := range s.Nodes() {
		set := s.world.nodes[node].set
		for _, name := range set.Names() {
			fmt.Fprintf(h, "%s %s\n", node, name)
			for _, e := range entriesOf(set, name) {
				h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(e[0]))))
				h.Write(e[0])
				h.Write(e[1])
			}
		}
	}
	return [32]byte(h.Sum(nil))
}

// entriesOf are the keys and values of a map, sorted by key.
func entriesOf(set *maps.Set, name string) [][2][]byte {
	var out [][2][]byte
	store, err := set.Lookup(name)
	if err != nil {
		return nil
	}
	var c maps.Cursor
	for !c.Done() {
		if err := store.Range(&c, 0, func(key, value []byte) bool {
			out = append(out, [2][]byte{clone(key), clone(value)})
			return true
		}); err != nil {
			return out
		}
	}
	slices.SortFunc(out, func(a, b [2][]byte) int { return slices.Compare(a[0], b[0]) })
	return out
}
