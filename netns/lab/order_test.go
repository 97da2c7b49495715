package lab_test

import (
	"encoding/binary"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/maps"
	"github.com/hooklab/hooklab/netns/lab"
)

const (
	orderCount = 20000
	orderPort  = 9
)

// TestPrivilegedOrder sends numbered datagrams of changing lengths as fast as they go:
// they leave a node in the order in which they entered it, whichever of them went
// together, and arrive so.
//
// They need not enter it in the order in which they were sent: frames that wait in a pod's
// kernel for the gateway's address are sent by who receives the answer, while the sender
// goes on. That is seen in the first burst only, which finds no neighbour. So what arrives
// is compared with the order in which the node has read it from the pod; that of the second
// burst also with that in which it was sent.
//
// A veth device queues what it receives for the CPU that its sender runs on. Since Linux 6.4
// the sender empties that queue before its system call ends, so the lab may go from one CPU
// to another between two frames; before, it could leave some to ksoftirqd, and the next frame
// could be faster on another CPU.
func TestPrivilegedOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ wire, underlay, ref, addr string }{
		{"tap", "", "default/pod1-2", "10.0.1.79:9"},
		{"veth", "", "default/pod1-2", "10.0.1.79:9"},
		{"tap", "", "default/pod2-1", "10.0.2.158:9"},
		{"tap", "socket", "default/pod2-1", "10.0.2.158:9"},
	} {
		w := upWith(t, article, func(o *lab.Options) { o.Underlay, o.Wire = tt.underlay, tt.wire })
		name := tt.wire + " " + tt.underlay + " " + tt.ref
		in, out := listenUDP(t, w.space(tt.ref), ":9"), dial(t, w.space("default/pod1-1"), "udp4", tt.addr)
		nodes := []string{"worker2", "worker"}
		if tt.ref == "default/pod1-2" {
			nodes = nodes[:1]
		}
		// The nodes know each other; the pod knows nobody.
		_, _, err := ping(w.space("node/worker2"), "172.18.0.5", 1)
		must(t, err)
		for burst := range uint32(2) {
			o := sendNumbered(t, w, nodes, burst, out, in)
			between := exchangesAgainst(o.left, o.entered)
			t.Logf("%s: %d of %d arrived, out of order: %d at the pod's wire, %d between nodes, %d at the receiver",
				name, len(o.got), orderCount, exchanges(o.sent), between, exchanges(o.got))
			if len(o.got) < 64 {
				t.Errorf("%s: only %d arrived", name, len(o.got))
			}
			if !keepsOrder(o.sent, o.left) || !keepsOrder(o.entered, o.got) {
				t.Errorf("%s: datagrams left a node in another order than they entered it", name)
			}
			if between > 0 {
				t.Errorf("%s: %d changed places between the nodes", name, between)
			}
			if burst > 0 && exchanges(o.got) > 0 {
				t.Errorf("%s: %d are out of order at the receiver", name, exchanges(o.got))
			}
		}
	}
}

// orders are the numbers of datagrams in the order in which they were seen: entering and
// leaving the sender's node, entering the receiver's node, at the receiver.
type orders struct{ sent, left, entered, got []uint32 }

// sendNumbered sends numbered datagrams from a pod of the first node to one of the last.
func sendNumbered(t *testing.T, w *world, nodes []string, burst uint32, out, in net.Conn) *orders {
	t.Helper()
	o := &orders{}
	// Each list belongs to its node's goroutine until that has stopped to look.
	for i, name := range nodes {
		look(t, w, name, func(e *node.Event) {
			n, ok := numberOf(e.Packet.Data)
			switch {
			case !ok:
			case e.Kind == node.EventIn && i == 0:
				o.sent = append(o.sent, n)
			case e.Kind == node.EventIn:
				o.entered = append(o.entered, n)
			case i == 0 && (e.Kind == node.EventToUnderlay || e.Kind == node.EventToPod):
				o.left = append(o.left, n)
			}
		})
	}
	arrived := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		b := make([]byte, 1200)
		for i := range uint32(orderCount) {
			binary.BigEndian.PutUint32(b, i)
			if _, err := out.Write(b[:18+i/7%5*200]); err != nil {
				failed <- err
				return
			}
		}
		// What tells the end may be lost as all else.
		for binary.BigEndian.PutUint32(b, orderCount+burst); ; {
			if _, err := out.Write(b[:18]); err != nil {
				failed <- err
				return
			}
			select {
			case <-arrived:
				failed <- nil
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	must(t, in.SetReadDeadline(time.Now().Add(patience)))
	for b := make([]byte, 2000); ; {
		_, err := in.Read(b)
		must(t, err)
		n := binary.BigEndian.Uint32(b)
		if n == orderCount+burst {
			break
		}
		if n < orderCount {
			o.got = append(o.got, n)
		}
	}
	close(arrived)
	must(t, <-failed)
	for _, name := range nodes {
		look(t, w, name, nil)
	}
	if len(nodes) == 1 {
		o.entered = o.left
	}
	return o
}

// look lets f see what happens in a node.
func look(t *testing.T, w *world, name string, f func(*node.Event)) {
	t.Helper()
	must(t, w.Do(t.Context(), name, func(n *node.Node, _ *maps.Set) { n.SetObserver(f) }))
}

// numberOf is the number in a datagram of sendNumbered that is not the end.
func numberOf(frame []byte) (uint32, bool) {
	const at = header.EthernetSize + header.IPv4MinSize + header.UDPSize
	if len(frame) < at+4 || frame[23] != header.ProtoUDP || binary.BigEndian.Uint16(frame[36:]) != orderPort {
		return 0, false
	}
	n := binary.BigEndian.Uint32(frame[at:])
	return n, n < orderCount
}

// exchanges counts the numbers that come after a greater one.
func exchanges(list []uint32) int {
	wrong, last := 0, int64(-1)
	for _, n := range list {
		if int64(n) < last {
			wrong++
		}
		last = max(last, int64(n))
	}
	return wrong
}

// exchangesAgainst counts the numbers of got that come after one that is behind them in
// want.
func exchangesAgainst(want, got []uint32) int {
	place := make(map[uint32]uint32, len(want))
	for i, n := range want {
		place[n] = uint32(i)
	}
	places := make([]uint32, 0, len(got))
	for _, n := range got {
		places = append(places, place[n])
	}
	return exchanges(places)
}

// keepsOrder says whether all that is in later is in earlier, in the same order.
func keepsOrder(earlier, later []uint32) bool {
	for _, n := range later {
		i := slices.Index(earlier, n)
		if i < 0 {
			return false
		}
		earlier = earlier[i+1:]
	}
	return true
}

// TestKeepsOrder: the checks above can fail.
func TestKeepsOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		earlier, later []uint32
		keeps          bool
		exchanged      int
	}{
		{[]uint32{1, 2, 3, 4}, []uint32{1, 2, 4}, true, 0},
		{[]uint32{3, 1, 2, 4}, []uint32{3, 1, 2}, true, 0},
		{[]uint32{3, 1, 2, 4}, []uint32{1, 2, 3}, false, 1},
		{[]uint32{1, 2, 3, 4}, []uint32{1, 2, 2}, false, 0},
		{[]uint32{1, 2, 3, 4}, []uint32{4, 1, 2, 3}, false, 3},
		{[]uint32{1, 2}, []uint32{1, 5}, false, 0},
	} {
		if got := keepsOrder(tt.earlier, tt.later); got != tt.keeps {
			t.Errorf("%v after %v: keeps order %v, want %v", tt.later, tt.earlier, got, tt.keeps)
		}
		if got := exchangesAgainst(tt.earlier, tt.later); got != tt.exchanged {
			t.Errorf("%v after %v: %d exchanges, want %d", tt.later, tt.earlier, got, tt.exchanged)
		}
	}
}
