package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/maps"
)

// Offsets in conntrack keys and values (SPEC 5.1).
const (
	ctDAddr    = 0
	ctSAddr    = 4
	ctLifetime = 32
)

// scrub deletes every conntrack entry of the given addresses from both maps, so that
// no connection of an address's former owner is taken for one of the new (SPEC 5.7).
func (a *Agent) scrub(ips map[[4]byte]bool) error {
	if len(ips) == 0 {
		return nil
	}
	for _, name := range []string{maps.NameCT4, maps.NameCTAny4} {
		store, err := a.maps.Lookup(name)
		if err != nil {
			return fmt.Errorf("scrub conntrack: %w", err)
		}
		old := func(key, _ []byte) bool {
			return ips[[4]byte(key[ctDAddr:ctDAddr+4])] || ips[[4]byte(key[ctSAddr:ctSAddr+4])]
		}
		for c := (maps.Cursor{}); !c.Done(); {
			if _, err := deleteWhere(store, &c, 0, old); err != nil {
				return fmt.Errorf("scrub conntrack: %w", err)
			}
		}
	}
	return nil
}

// deleteWhere looks at up to limit entries from the cursor on (0: all) and deletes
// those that doomed chooses. Entries are deleted after the slice has been read,
// because a kernel map does not like its cursor's key to vanish.
func deleteWhere(store maps.Store, c *maps.Cursor, limit int, doomed func(key, value []byte) bool) (deleted int, err error) {
	var keys []byte
	size := int(store.Spec().KeySize)
	if err := store.Range(c, limit, func(key, value []byte) bool {
		if doomed(key, value) {
			keys = append(keys, key...)
		}
		return true
	}); err != nil {
		return 0, fmt.Errorf("read map %s: %w", store.Spec().Name, err)
	}
	for ; len(keys) >= size && size > 0; keys = keys[size:] {
		switch err := store.Delete(keys[:size]); {
		case err == nil:
			deleted++
		case !errors.Is(err, maps.ErrKeyNotExist):
			return deleted, fmt.Errorf("delete from %s: %w", store.Spec().Name, err)
		}
	}
	return deleted, nil
}

// Intervals of the conntrack garbage collection, in seconds (SPEC 5.7).
const (
	gcFirst = 5 * 60
	gcMin   = 10
	gcMax   = 12 * 3600
)

// GC is the conntrack garbage collection of one node. It deletes entries whose
// lifetime has passed, from time to time and a slice at a time, so that it may run in
// the node's goroutine between packets. Only that goroutine uses it.
type GC struct {
	stores   []maps.Store
	units    func(seconds uint32) uint32 // into the datapath's clock
	interval uint32                      // seconds
	fixed    bool                        // interval does not adapt
	next     uint32                      // datapath's clock
	running  bool
	at       int // store in work
	cursor   maps.Cursor
	now      uint32 // when this pass began
	deleted  int    // from the store in work, in this pass
	ratio    float64
}

// NewGC makes the garbage collection of a node's two conntrack maps. The first pass
// is due at once, as at an agent's start. cfg tells the clock.
func NewGC(cfg dataplane.Config, tcp, other maps.Store) *GC {
	units := func(s uint32) uint32 { return s }
	if cfg.Clock == dataplane.ClockJiffies {
		units = func(s uint32) uint32 { return uint32(uint64(s) * uint64(cfg.KernelHz) >> 8) }
	}
	return &GC{stores: []maps.Store{tcp, other}, units: units, interval: gcFirst}
}

// Every fixes the interval to some seconds, as the agent's option conntrack-gc-interval
// does; 0 lets it adapt, as it does from the start.
func (g *GC) Every(seconds uint32) {
	if g.fixed = seconds != 0; g.fixed {
		g.interval = seconds
	}
}

// Interval is the time between the last two passes, or to the next, in seconds.
func (g *GC) Interval() uint32 { return g.interval }

// Step does the next slice of work, looking at budget entries at most; budget is
// positive. now is the time of the datapath's clock: seconds, or jiffies >> 8. It
// returns whether there is nothing to do before next; if not, call it again soon.
func (g *GC) Step(now uint32, budget int) (next uint32, idle bool, err error) {
	if !g.running {
		if now < g.next {
			return g.next, true, nil
		}
		g.running, g.at, g.cursor, g.now, g.deleted, g.ratio = true, 0, maps.Cursor{}, now, 0, 0
	}
	store := g.stores[g.at]
	n, err := deleteWhere(store, &g.cursor, max(budget, 1), func(_, value []byte) bool {
		return binary.LittleEndian.Uint32(value[ctLifetime:]) < g.now
	})
	g.deleted += n
	if err != nil {
		// The pass is given up; the next one is due after the interval.
		g.running, g.next = false, now+g.units(g.interval)
		return g.next, true, fmt.Errorf("conntrack garbage collection: %w", err)
	}
	if !g.cursor.Done() {
		return now, false, nil
	}
	g.ratio = max(g.ratio, float64(g.deleted)/float64(max(store.Spec().MaxEntries, 1)))
	g.at, g.cursor, g.deleted = g.at+1, maps.Cursor{}, 0
	if g.at < len(g.stores) {
		return now, false, nil
	}
	g.running = false
	if !g.fixed {
		g.interval = nextInterval(g.interval, g.ratio)
	}
	g.next = now + g.units(g.interval)
	return g.next, true, nil
}

// nextInterval adapts the interval to how much of the fuller map was deleted, as a
// part of its max_entries. A pass that deleted nothing says nothing.
func nextInterval(interval uint32, ratio float64) uint32 {
	round := func(f float64) uint32 { return uint32(f + 0.5) }
	switch {
	case ratio > 0.25:
		return max(round(float64(interval)*(1-min(ratio, 0.9))), gcMin)
	case ratio > 0 && ratio < 0.05:
		return min(round(float64(interval)*1.5), gcMax)
	}
	return interval
}
