package journey

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	stdmaps "maps"
	"slices"
	"strings"
	"time"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// State is the maps of nodes by the nodes' names, instead of what their agents would
// write. Of a node that is not in it nothing is known, and a nil NodeState is as the
// agent writes it.
type State map[string]NodeState

// NodeState is the entries of a node's maps by the maps' names. Maps that are not in
// it are not known, but for those that decide nothing (cilium_metrics) and program
// arrays, which are then as an agent loads them. Of program arrays the slots that are
// in use count, not the programs' ids.
type NodeState map[string][]maps.Entry

// StateHash is the state of the maps of all nodes that a question met, before and
// after it.
type StateHash struct {
	Before string `json:"before"`
	After  string `json:"after"`
	Kept   bool   `json:"kept"` // after is what the next question meets
}

// withState is the cluster with the endpoints that a state has.
func withState(c *cluster.Cluster, st State) (*cluster.Cluster, error) {
	for _, n := range slices.Sorted(stdmaps.Keys(st)) {
		entries, ok := st[n][maps.NameLXC]
		if !ok {
			continue
		}
		lxc := make(map[[4]byte]maps.EndpointInfo)
		for _, e := range entries {
			if v := decode[maps.EndpointInfo](e.Value); v.Flags&maps.EndpointHost == 0 {
				lxc[decode[maps.EndpointKey](e.Key).IP] = v
			}
		}
		var err error
		if c, err = c.WithEndpoints(n, lxc); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// fill writes a node's state into its maps.
func (w *world) fill(name string, lookup func(string) (maps.Store, error)) (bool, error) {
	if w.state == nil {
		return false, nil
	}
	st, known := w.state[name]
	if known && st == nil {
		return false, nil
	}
	n := w.nodes[name]
	n.given, n.state = true, st
	for _, mapName := range slices.Sorted(stdmaps.Keys(st)) {
		m, err := lookup(mapName)
		if errors.Is(err, maps.ErrNotSupported) {
			continue // of an endpoint that the cluster does not have
		}
		if err != nil {
			return true, err
		}
		if m.Spec().Type == maps.TypeProgArray {
			err = mask(m, st[mapName])
		} else {
			err = load(m, st[mapName])
		}
		if err != nil {
			return true, fmt.Errorf("state of %s: %s: %w", name, mapName, err)
		}
	}
	return true, nil
}

// load makes a map have certain entries. They come in an order of their own, the
// last that comes being the one that an LRU map used last.
func load(m maps.Store, entries []maps.Entry) error {
	for _, e := range entries {
		if err := m.Update(e.Key, e.Value, maps.Any); err != nil {
			return fmt.Errorf("entry %x: %w", e.Key, err)
		}
	}
	return nil
}

// mask empties the slots of a program array that are empty in a state.
func mask(m maps.Store, entries []maps.Entry) error {
	loaded, err := maps.Entries(m)
	if err != nil {
		return err
	}
	for _, e := range loaded {
		if !slices.ContainsFunc(entries, func(x maps.Entry) bool { return string(x.Key) == string(e.Key) }) {
			if err := m.Delete(e.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// start is a time since boot at which a state can have been: not before its latest
// connection was refreshed.
func (st State) start(c *cluster.Cluster) time.Duration {
	settings := c.Settings()
	unit := time.Second
	if d := &settings.Datapath; d.Clock != 0 && d.KernelHz != 0 {
		unit = 256 * time.Second / time.Duration(d.KernelHz)
	}
	last := uint32(0)
	for _, n := range st {
		for _, name := range []string{maps.NameCT4, maps.NameCTAny4} {
			for _, e := range n[name] {
				last = max(last, decode[maps.CTEntry](e.Value).Lifetime)
			}
		}
	}
	longest := max(settings.Datapath.Lifetimes.TCP, settings.Datapath.Lifetimes.ServiceTCP)
	return max(time.Duration(last)*unit-time.Duration(longest)*time.Second, time.Hour)
}

// unknown says what of a state is missing for a lookup, or "".
func (n *nodeView) unknown(l *lookup) string {
	switch {
	case !n.given, l.m == trace.MapPolicyCall, l.m == trace.MapCalls:
		return ""
	case n.state == nil:
		return fmt.Sprintf("no state of node %s is given", n.name)
	}
	if _, ok := n.state[l.name]; ok {
		return ""
	}
	if n.ctForced && (l.m == trace.MapCT4 || l.m == trace.MapCTAny4) && l.ct.Flags&maps.TupleService == 0 {
		return ""
	}
	return fmt.Sprintf("the state of node %s has no %s, which is asked for %s", n.name, l.name, l.text)
}

// digest is the state of a node's maps as a hash.
func (n *nodeView) digest() ([sha256.Size]byte, error) {
	h := sha256.New()
	var size [8]byte
	put := func(b []byte) {
		binary.LittleEndian.PutUint64(size[:], uint64(len(b)))
		h.Write(size[:])
		h.Write(b)
	}
	for _, name := range n.set.Names() {
		entries, err := n.entries(name)
		if err != nil {
			return [sha256.Size]byte{}, err
		}
		put([]byte(name))
		for _, e := range entries {
			put(e.Key)
			put(e.Value)
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// entries are those of one map, none of the scratch space of programs.
func (n *nodeView) entries(name string) ([]maps.Entry, error) {
	if name == maps.NameTailCallBuffer {
		return nil, nil
	}
	m, err := n.set.Lookup(name)
	if err != nil {
		return nil, err
	}
	return maps.Entries(m)
}

// hashes are the states of the nodes that a question met.
type hashes map[string][sha256.Size]byte

// note notes a node's state before its first program runs.
func (h hashes) note(n *nodeView) {
	if _, ok := h[n.name]; ok {
		return
	}
	if d, err := n.digest(); err == nil { // fails for no map that a set has
		h[n.name] = d
	}
}

// String is a short form of all.
func (h hashes) String() string {
	sum := sha256.New()
	for _, name := range slices.Sorted(stdmaps.Keys(h)) {
		d := h[name]
		sum.Write([]byte(name))
		sum.Write(d[:])
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// stateHash compares the states before with those now.
func (w *world) stateHash(before hashes, kept bool) *StateHash {
	after := hashes{}
	for name := range before {
		after.note(w.nodes[name])
	}
	return &StateHash{Before: before.String(), After: after.String(), Kept: kept}
}

// State is what the maps are now, of the nodes that a frame has met, if questions are
// kept: for those that were given, the maps that were, else all but programs.
func (a *Asker) State() (State, error) {
	out := State{}
	if a.kept == nil {
		return out, nil
	}
	for name, n := range a.kept.nodes {
		st := NodeState{}
		for _, mapName := range n.set.Names() {
			given, ok := n.state[mapName]
			spec, known := maps.SpecOf(mapName)
			switch {
			case n.given && !ok, !known, mapName == maps.NameTailCallBuffer:
				continue
			case spec.Type == maps.TypeProgArray:
				if n.given {
					st[mapName] = given // programs' ids are the kernel's
				}
				continue
			}
			entries, err := n.entries(mapName)
			if err != nil {
				return nil, err
			}
			st[mapName] = entries
		}
		out[name] = st
	}
	return out, nil
}

// stateText is what a question takes for granted about maps.
func (w *world) stateText() []string {
	if w.state == nil {
		return []string{"every map is as the agents write it for this cluster; there are no connections before"}
	}
	var agents []string
	for name, n := range w.state {
		if n == nil {
			agents = append(agents, name)
		}
	}
	slices.Sort(agents)
	out := []string{"maps are as in the state that was given, and programs are loaded"}
	if len(agents) > 0 {
		out = append(out, "the maps of "+strings.Join(agents, ", ")+" are as the agent writes them, without connections")
	}
	return out
}
