package sim

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/hooklab/hooklab/dataplane/header"
)

// fragment cuts a frame's packet into pieces of at most mtu bytes (ip_do_fragment).
// The packet is one without the DF flag, or one whose flag the caller ignores.
func (s *Sim) fragment(f *frame, mtu int) []*frame {
	ip := f.ip()
	n := ip.HeaderLen()
	room := (mtu - n) &^ 7
	if room <= 0 {
		return nil
	}
	field := binary.BigEndian.Uint16(ip[ipFragOff:])
	first, more := int(field&ipOffMask)*8, field&ipMF
	payload := ip[n:]
	var out []*frame
	for at := 0; at < len(payload); at += room {
		part := payload[at:min(at+room, len(payload))]
		b := make([]byte, header.EthernetSize+n+len(part))
		copy(b, f.data[:header.EthernetSize+n])
		h := header.IPv4(b[header.EthernetSize:])
		if first+at > 0 {
			blankOptions(h[header.IPv4MinSize:n])
		}
		flags := more
		if at+room < len(payload) {
			flags = ipMF
		}
		binary.BigEndian.PutUint16(h[ipTotalLen:], uint16(n+len(part)))
		binary.BigEndian.PutUint16(h[ipFragOff:], flags|uint16((first+at)/8))
		h.SetChecksum(header.IPv4HeaderChecksum(h[:n]))
		copy(h[n:], part)
		out = append(out, s.derive(f, Piece, b))
	}
	return out
}

// blankOptions replaces options that only the first fragment carries by NOPs
// (ip_options_fragment).
func blankOptions(o []byte) {
	const (
		end, nop = 0, 1
		copied   = 0x80
	)
	for len(o) > 0 && o[0] != end {
		if o[0] == nop {
			o = o[1:]
			continue
		}
		if len(o) < 2 || int(o[1]) < 2 || int(o[1]) > len(o) {
			return
		}
		n := int(o[1])
		if o[0]&copied == 0 {
			for i := range n {
				o[i] = nop
			}
		}
		o = o[n:]
	}
}

// Limits of reassembly. The time is the kernel's ipfrag_time.
const (
	fragmentTime = 30 * time.Second
	maxFragments = 64 // packets that wait for their fragments, in one stack
)

// fragKey names a packet in fragments.
type fragKey struct {
	src, dst [4]byte
	id       [2]byte
	proto    uint8
}

// fragQueue is a packet that is not complete yet.
type fragQueue struct {
	pieces  []*frame // by offset, without overlap
	end     int      // payload length, once the last fragment is there
	have    int      // bytes of payload
	longest int
	timer   *timer
}

// reassembly puts fragments together for one stack.
type reassembly struct {
	sim    *Sim
	at     Place
	queues map[fragKey]*fragQueue
}

// add takes a fragment. It returns the whole packet as a new frame once this is the
// last piece, else nil.
func (r *reassembly) add(f *frame, dev string) *frame {
	ip := f.ip()
	k := fragKey{ip.Src(), ip.Dst(), ip.ID(), ip.Protocol()}
	q := r.queues[k]
	if q == nil {
		if len(r.queues) >= maxFragments {
			r.sim.lose(f, r.at, dev, Overflow)
			return nil
		}
		if r.queues == nil {
			r.queues = make(map[fragKey]*fragQueue)
		}
		q = &fragQueue{}
		r.queues[k] = q
		q.timer = r.sim.after(fragmentTime, func() { r.expire(k, q, dev, FragmentTimeout) })
	}
	if !q.put(f) {
		r.sim.lose(f, r.at, dev, BadFragment)
		r.expire(k, q, dev, BadFragment)
		return nil
	}
	if q.end == 0 || q.have < q.end {
		r.sim.emit(f, r.at, dev, Event{Kind: Waiting})
		return nil
	}
	q.timer.stop()
	delete(r.queues, k)
	whole := r.join(q, f)
	if whole == nil {
		r.expire(k, q, dev, BadFragment)
		return nil
	}
	for _, p := range q.pieces {
		r.sim.emit(p, r.at, dev, Event{Kind: Joined})
	}
	r.sim.emit(whole, r.at, dev, Event{Kind: Reassembled})
	return whole
}

// expire gives a packet up.
func (r *reassembly) expire(k fragKey, q *fragQueue, dev string, why Reason) {
	q.timer.stop()
	delete(r.queues, k)
	for _, f := range q.pieces {
		r.sim.lose(f, r.at, dev, why)
	}
}

// span is the part of the payload that a fragment has.
func span(f *frame) (from, to int, last bool) {
	field := binary.BigEndian.Uint16(f.ip()[ipFragOff:])
	from = int(field&ipOffMask) * 8
	return from, from + len(f.l4()), field&ipMF == 0
}

// put adds a fragment. It is false if it cannot be part of the packet.
func (q *fragQueue) put(f *frame) bool {
	from, to, last := span(f)
	if to > maxPacket-header.IPv4MinSize || from == to || !last && (to-from)%8 != 0 {
		return false
	}
	if last && (q.end != 0 && q.end != to) || q.end != 0 && to > q.end {
		return false
	}
	at, _ := slices.BinarySearchFunc(q.pieces, from, func(p *frame, from int) int {
		pf, _, _ := span(p)
		return pf - from
	})
	if at > 0 {
		if _, before, _ := span(q.pieces[at-1]); before > from {
			return false
		}
	}
	if at < len(q.pieces) {
		if after, _, _ := span(q.pieces[at]); after < to {
			return false
		}
		if last {
			return false // what follows the last fragment is no part of it
		}
	}
	q.pieces = slices.Insert(q.pieces, at, f)
	q.have += to - from
	q.longest = max(q.longest, len(f.ip()))
	if last {
		q.end = to
	}
	return true
}

// join makes the whole packet, with the header of the first fragment; nil if it is
// too long for one.
func (r *reassembly) join(q *fragQueue, last *frame) *frame {
	first := q.pieces[0]
	n := first.ip().HeaderLen()
	if n+q.end > maxPacket {
		return nil
	}
	b := make([]byte, 0, header.EthernetSize+n+q.end)
	b = append(b, first.data[:header.EthernetSize+n]...)
	for _, f := range q.pieces {
		b = append(b, f.l4()...)
	}
	ip := header.IPv4(b[header.EthernetSize:])
	binary.BigEndian.PutUint16(ip[ipTotalLen:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[ipFragOff:], 0)
	ip.SetChecksum(header.IPv4HeaderChecksum(ip[:n]))
	whole := r.sim.derive(last, Whole, b)
	whole.fragMax = q.longest
	return whole
}
