package trace

// MaxRecord is the size of the largest notification: a trace header and the
// longest capture.
const MaxRecord = TraceSize + MaxCapture

// MaxCapture is the most packet bytes in a notification (TRACE_PAYLOAD_LEN).
const MaxCapture = 128

type slot struct {
	n    int
	data [MaxRecord]byte
}

// Ring is a node's cilium_events: raw notifications, oldest first. When it is
// full, new notifications are lost and counted, as in a perf ring. It belongs to
// one goroutine, the node's.
type Ring struct {
	slots       []slot
	first, used int
	lost        uint64
}

// NewRing makes a ring for n notifications.
func NewRing(n int) *Ring { return &Ring{slots: make([]slot, n)} }

// Lost is how many notifications found the ring full.
func (r *Ring) Lost() uint64 { return r.lost }

// Len is how many notifications wait.
func (r *Ring) Len() int { return r.used }

// Next takes the oldest notification: header, then captured bytes. The bytes are
// valid until the ring is written again.
func (r *Ring) Next() ([]byte, bool) {
	if r.used == 0 {
		return nil, false
	}
	s := &r.slots[r.first]
	r.first = (r.first + 1) % len(r.slots)
	r.used--
	return s.data[:s.n], true
}

// put reserves a notification of header bytes and a capture of the packet's first
// bytes; the caller fills the header. It is nil if the ring is full.
func (r *Ring) put(header int, capture []byte) []byte {
	if r.used == len(r.slots) {
		r.lost++
		return nil
	}
	s := &r.slots[(r.first+r.used)%len(r.slots)]
	r.used++
	s.n = header + copy(s.data[header:header+MaxCapture], capture)
	clear(s.data[:header])
	return s.data[:header]
}

// Raw appends a notification that a program has written itself: its header, and the packet's first
// bytes. What is longer than MaxRecord is cut off at the end; a header alone may be as long.
func (r *Ring) Raw(header, capture []byte) {
	if r.used == len(r.slots) {
		r.lost++
		return
	}
	s := &r.slots[(r.first+r.used)%len(r.slots)]
	r.used++
	s.n = copy(s.data[:], header)
	s.n += copy(s.data[s.n:], capture)
}
