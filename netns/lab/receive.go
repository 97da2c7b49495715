package lab

import (
	"errors"
	"fmt"
	"time"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/netns"
)

// The functions in this file run on the loop's goroutine, in the order in which a frame
// meets them.

// drain reads what waits at a source, up to its burst, and sends what the frames have
// left waiting for each other. A source that has one frame at a time is asked once each time,
// as the question whether there is another costs as much as to wait for it; if it is ready
// again and again, the burst grows.
func (w *worker) drain(s *source) {
	w.gather.on = s.burst > 1
	for n := 1; ; n++ {
		more, err := s.next()
		if err != nil {
			w.broken(s, err)
			break
		}
		if !more {
			if n <= 2 { // there was one at most
				s.burst, s.full = 1, 0
			}
			break
		}
		w.count()
		if n >= s.burst {
			if s.full++; s.full >= patience {
				s.burst = min(2*s.burst, readBudget)
			}
			break
		}
	}
	w.gather.on = false
	if err := w.gather.flush(); err != nil {
		w.broken(s, err)
	}
	if err := w.tunnel.Flush(); err != nil {
		w.broken(w.sources[0], err)
	}
	w.count()
}

// fromPod is a frame that a pod sends: received by its lxc device.
func (w *worker) fromPod(port *netns.Port, ifindex uint32) func() (bool, error) {
	return func() (bool, error) {
		n, err := port.Read(w.loop.buf, &w.meta)
		if n == 0 || err != nil {
			return false, err
		}
		w.packet.Reset(w.loop.buf[:n])
		describe(&w.packet, &w.meta.VNet)
		return true, w.node.Receive(ifindex, &w.packet)
	}
}

// fromHost is a frame that the node's kernel sends on cilium_host.
//
// Differs: ingress_ifindex is 0 for what the kernel forwards, as for its own packets:
// a frame on cilium_net does not tell where it came from. Only notifications of
// to-container show it (TestPrivilegedForwarded).
func (w *worker) fromHost(ifindex uint32) func() (bool, error) {
	return func() (bool, error) {
		n, err := w.host.Read(w.loop.buf, &w.meta)
		if n == 0 || err != nil {
			return false, err
		}
		w.packet.Reset(w.loop.buf[:n])
		describe(&w.packet, &w.meta.VNet)
		w.packet.Mark = w.meta.Mark
		return true, w.node.Transmit(ifindex, &w.packet)
	}
}

// fromUnderlay is a datagram of another node: received by cilium_vxlan. All that have come
// together are read, as the descriptor does not tell that some are left.
func (w *worker) fromUnderlay(ifindex uint32) func() (bool, error) {
	return func() (bool, error) {
		for n := 0; ; n++ {
			frame, err := w.tunnel.Recv(&w.outer)
			if frame == nil || err != nil {
				return n > 0, err
			}
			w.packet.Reset(frame)
			w.packet.Csum, w.packet.GSO = w.outer.Csum, w.outer.GSO
			w.packet.TunnelIn = dataplane.TunnelKey{
				Present: true, ID: w.outer.VNI, Remote: w.outer.Remote, TTL: w.outer.TTL, TOS: w.outer.TOS,
			}
			w.gather.on = w.gather.on || w.outer.More
			if err := w.node.Receive(ifindex, &w.packet); err != nil || !w.outer.More {
				return true, err
			}
			w.count()
		}
	}
}

// broken counts a source's error. A device that is gone, such as a pod's eth0 that
// somebody has deleted, is no longer watched.
func (w *worker) broken(s *source, err error) {
	s.errors++
	if errors.Is(err, netns.ErrClosed) {
		err = errors.Join(err, w.loop.poll.Remove(s.fd))
		s.gone = true
		w.log.Warn("port is gone", "node", w.name, "port", s.name, "err", err)
		return
	}
	if s.errors == 1 {
		w.log.Warn("port has an error; further ones are only counted", "node", w.name, "port", s.name, "err", err)
	}
}

// count takes the notifications out of the ring.
func (w *worker) count() {
	for {
		record, ok := w.ring.Next()
		if !ok {
			break
		}
		if len(w.followers) > 0 {
			w.tell(record)
		}
		switch record[0] {
		case trace.TypeDrop:
			w.counts.Drop++
		case trace.TypeTrace:
			w.counts.Trace++
		case trace.TypeVerdict:
			w.counts.Verdict++
		}
	}
	w.counts.Lost = w.lost + w.ring.Lost()
}

// collect does a slice of garbage collection if it is due, and returns how long the
// loop may wait for frames.
func (w *worker) collect() time.Duration {
	next, idle, err := w.gc.Step(w.clock.units(), gcBudget)
	if err != nil {
		w.log.Warn("conntrack", "node", w.name, "err", err)
	}
	if !idle {
		return 0
	}
	return max(w.clock.until(next), time.Millisecond)
}

// end is the last that a worker does.
func (w *worker) end() error {
	w.node.Stop()
	err := w.close()
	close(w.ended)
	if err != nil {
		return fmt.Errorf("node %s: %w", w.name, err)
	}
	return nil
}
