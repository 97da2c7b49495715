package maps

// slotsPerEntry bounds how many empty slots a slice looks at for each entry it may return, so that a slice takes bounded
// time in a map that was full once and is empty now.
const slotsPerEntry = 16

// begin fixes the end of a listing on its first slice, so that later inserts cannot prolong it.
func (c *Cursor) begin(end uint32) {
	if !c.started {
		c.started, c.end = true, end
	}
	c.end = min(c.end, end)
}

// finish notes whether the listing has reached its end.
func (c *Cursor) finish() { c.done = c.next >= c.end }

// budget counts down what one slice of a listing may still do.
type budget struct {
	entries, slots int
	endless        bool
}

func newBudget(limit int) budget {
	return budget{entries: limit, slots: slotsPerEntry * limit, endless: limit <= 0}
}

// left says whether the slice may look at another slot.
func (b *budget) left() bool { return b.endless || b.entries > 0 && b.slots > 0 }

// spend charges one slot, and one entry if the slot holds one, which it returns.
func (b *budget) spend(entry bool) bool {
	b.slots--
	if entry {
		b.entries--
	}
	return entry
}
