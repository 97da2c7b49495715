package tunnel

import (
	"bytes"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/gso"
)

// Receiver does with received datagrams what vxlan_rcv and GRO do: it checks and
// counts them, takes the inner frames out and joins those that belong together. One
// goroutine at a time uses it.
type Receiver struct {
	MAC   [6]byte // of the tunnel device; its own frames are dropped when they come back; zero drops none
	MTU   int     // of the inner packets; 0 is DefaultMTU
	Stats Stats

	rest   []byte // datagrams that wait
	stride int    // length of each but the last
	meta   Meta   // of all of them
}

// DefaultMTU is that of inner packets on an underlay of Ethernet's 1500 bytes.
const DefaultMTU = 1500 - Overhead

// Put gives the receiver the UDP payload of one datagram, or of several with the same
// outer headers, each stride bytes long, the last perhaps shorter. It is borrowed
// until Next returns nil. m says what the outer headers say, and of a single datagram
// what is known of its offloads.
func (r *Receiver) Put(b []byte, stride int, m *Meta) {
	if stride <= 0 || stride > len(b) {
		stride = len(b)
	}
	r.rest, r.stride, r.meta = b, stride, *m
}

// Next returns the next inner frame, with its ECN bits as after decapsulation, and
// describes it in m. It is nil after the last one. Datagrams that the kernel's device
// would drop are counted and skipped.
func (r *Receiver) Next(m *Meta) []byte {
	for len(r.rest) > 0 {
		b := r.rest[:min(r.stride, len(r.rest))]
		*m = r.meta
		frame, err := r.accept(b, m)
		if err != nil {
			r.Drop(err)
			r.rest = r.rest[len(b):]
			continue
		}
		n := 1
		if len(b) < len(r.rest) && joinable(m.TOS) {
			frame, n, m.Csum, m.GSO = gso.Join(r.train(b), r.stride, HeaderLen)
		}
		r.rest = r.rest[min(n*r.stride, len(r.rest)):]
		m.More = len(r.rest) > 0
		r.guess(frame, m)
		r.Stats.RxPackets++
		r.Stats.RxBytes += uint64(len(frame))
		return frame
	}
	r.rest = nil
	return nil
}

// accept does what vxlan_rcv does with a datagram.
func (r *Receiver) accept(b []byte, m *Meta) ([]byte, error) {
	vni, frame, err := Decap(b)
	if err != nil {
		return nil, err
	}
	if r.MAC != [6]byte{} && [6]byte(frame[6:12]) == r.MAC {
		return nil, ErrOwnMAC
	}
	m.VNI = vni
	return frame, DecapTOS(frame, m.TOS)
}

// joinable tells an outer TOS that decapsulation hands on to no inner frame.
func joinable(tos uint8) bool { return tos&ecnMask == notECT || tos&ecnMask == ect0 }

// train is the waiting datagrams that have the VXLAN header of the first one.
func (r *Receiver) train(first []byte) []byte {
	n := len(first)
	for n+HeaderLen < len(r.rest) && bytes.Equal(r.rest[n:n+HeaderLen], first[:HeaderLen]) {
		n = min(n+r.stride, len(r.rest))
	}
	return r.rest[:n]
}

// guess finds out what nobody says: a kernel VXLAN device on a veth pair sends frames
// whose inner checksum is left to hardware, and TCP aggregates that were never cut,
// and a UDP socket does not tell. Their segments were at most as long as the MTU.
func (r *Receiver) guess(frame []byte, m *Meta) {
	if m.Csum.Partial || m.GSO.Size != 0 {
		return
	}
	c, ok := gso.Unfinished(frame)
	if !ok {
		return
	}
	m.Csum = c
	mtu := r.MTU
	if mtu == 0 {
		mtu = DefaultMTU
	}
	if len(frame) > ethLen+mtu && frame[ethLen+9] == protoTCP {
		hdr := int(c.Start) + int(frame[c.Start+12]>>4)*4
		m.GSO = dataplane.GSO{Type: dataplane.GSOTCPv4, Size: uint16(max(mtu+ethLen-hdr, 1)), HdrLen: uint16(hdr)}
	}
}
