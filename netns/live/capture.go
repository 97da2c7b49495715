package live

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane/header"
	"github.com/hooklab/hooklab/netns"
	"github.com/hooklab/hooklab/netns/lab"
)

// device is what is captured on in each namespace: a pod's, a node's and an outside
// host's way out.
const device = "eth0"

// snapLen is how much of a frame is kept: all headers, and what an ICMP error quotes.
const snapLen = 256

// place is where frames are captured: the same ones on both sides.
type place struct {
	ref   string // of the namespace
	label string // for people
}

// places are all eth0 of a cluster: pods', health endpoints', and those on the underlay.
func places(c *cluster.Cluster) []place {
	var list []place
	for _, n := range c.Nodes() {
		for _, e := range c.Endpoints(n.Name) {
			if e.Pod == nil {
				list = append(list, place{"health/" + n.Name, "health/" + n.Name + " eth0"})
				continue
			}
			list = append(list, place{e.Pod.Ref(), ref(e.Pod) + " eth0"})
		}
		list = append(list, place{"node/" + n.Name, "node/" + n.Name + " eth0 (underlay)"})
	}
	for _, e := range c.Settings().External {
		list = append(list, place{"external/" + e.Name, "external/" + e.Name + " eth0 (underlay)"})
	}
	return list
}

// frame is one frame at a place, cut to snapLen.
type frame struct {
	place   int
	out     bool // sent there, not received
	attempt int  // what ran when it was seen
	data    []byte
}

// capture reads the frames of all places of a lab, on a goroutine of its own.
type capture struct {
	poll    *netns.Poller
	ports   []*netns.Port // nil: its device is gone
	attempt atomic.Int64
	untold  atomic.Int64 // frames that could not be read
	stop    context.CancelFunc
	done    chan struct{}
	err     error // once done is closed

	mu     sync.Mutex
	frames []frame
	last   time.Time     // of the newest
	idle   chan struct{} // closed once it is quiet; nil: nobody waits
	asked  time.Time     // when somebody began to wait
}

// openCapture opens all places of a lab and begins to read.
func openCapture(run lab.RunDir, name string, list []place) (c *capture, err error) {
	c = &capture{done: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.release())
		}
	}()
	if c.poll, err = netns.NewPoller(); err != nil {
		return nil, err
	}
	for i, p := range list {
		pin, err := run.Pin(name, p.ref)
		if err != nil {
			return nil, err
		}
		port, err := openPort(pin)
		if err != nil {
			return nil, fmt.Errorf("capture at %s: %w", p.label, err)
		}
		c.ports = append(c.ports, port)
		if err := c.poll.Add(port.FD(), uint32(i)); err != nil {
			return nil, err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	go func() {
		defer close(c.done)
		c.err = c.read(ctx)
	}()
	return c, nil
}

func openPort(pin string) (port *netns.Port, err error) {
	ns, err := netns.Open(pin)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	return ns.OpenPacket(device, netns.PacketOptions{Outgoing: true, VNetHdr: true})
}

// quietFor is how long no frame must come until what is under way has arrived.
const quietFor = 60 * time.Millisecond

// read reads until the context ends.
func (c *capture) read(ctx context.Context) error {
	buf := make([]byte, 1<<17)
	events := make([]netns.Event, 32)
	for ctx.Err() == nil {
		n, err := c.poll.Wait(events, quietFor/3)
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			if err := c.drain(int(e.Data), buf); err != nil {
				return err
			}
		}
		if n == 0 {
			c.tellIdle()
		}
	}
	return nil
}

// drain reads what waits at a place. A device that a command has removed is no error.
func (c *capture) drain(i int, buf []byte) error {
	port := c.ports[i]
	for {
		var m netns.Meta
		n, err := port.Read(buf, &m)
		switch {
		case errors.Is(err, netns.ErrClosed):
			err = errors.Join(c.poll.Remove(port.FD()), port.Close())
			return err
		case errors.Is(err, unix.EINVAL): // an aggregate that the virtio header cannot tell
			c.untold.Add(1)
			continue
		case err != nil:
			return err
		case n == 0:
			return nil
		}
		f := frame{place: i, out: m.PktType == netns.PacketOutgoing, attempt: int(c.attempt.Load())}
		c.mu.Lock()
		for _, b := range pieces(buf[:n], &m.VNet) {
			f.data = append([]byte(nil), b[:min(len(b), snapLen)]...)
			c.frames = append(c.frames, f)
		}
		c.last = time.Now()
		c.mu.Unlock()
	}
}

// pieces are the VXLAN packets of an aggregate that was sent at once (UDP_SEGMENT), as
// the wire would have them; of other frames the frame itself.
func pieces(b []byte, h *netns.VNetHdr) [][]byte {
	const head = header.EthernetSize + header.IPv4MinSize + header.UDPSize
	size := int(h.GSOSize)
	if h.GSOType != netns.VNetGSOUDPL4 || size < header.VXLANSize || len(b) <= head+size || b[header.EthernetSize] != 0x45 {
		return [][]byte{b}
	}
	var list [][]byte
	for rest := b[head:]; len(rest) > 0; rest = rest[min(size, len(rest)):] {
		// Otherwise it is the inner packet that is an aggregate.
		if len(rest) < header.VXLANSize || !bytes.Equal(rest[:header.VXLANSize], b[head:head+header.VXLANSize]) {
			return [][]byte{b}
		}
		p := slices.Concat(b[:head], rest[:min(size, len(rest))])
		binary.BigEndian.PutUint16(p[header.EthernetSize+2:], uint16(len(p)-header.EthernetSize))
		binary.BigEndian.PutUint16(p[header.EthernetSize+header.IPv4MinSize+4:], uint16(len(p)-header.EthernetSize-header.IPv4MinSize))
		list = append(list, p)
	}
	return list
}

// tellIdle tells who waits for it that nothing came for a while.
func (c *capture) tellIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle != nil && time.Since(c.last) >= quietFor && time.Since(c.asked) >= quietFor {
		close(c.idle)
		c.idle = nil
	}
}

// quiet waits until nothing came for a while, but not for ever: a lab may talk to itself.
func (c *capture) quiet(ctx context.Context) {
	const most = 2 * time.Second
	c.mu.Lock()
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.asked = time.Now()
	c.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	case <-c.done:
	case <-ctx.Done():
	}
}

// take returns the frames since the last call.
func (c *capture) take() []frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.frames
	c.frames = nil
	return list
}

// lost is how many frames the kernel could not keep for us at a place since the last
// call.
func (c *capture) lost(i int) int {
	if c.ports[i].FD() < 0 {
		return 0
	}
	s, err := unix.GetsockoptTpacketStats(c.ports[i].FD(), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return int(s.Drops)
}

// close ends the capture.
func (c *capture) close() error {
	c.stop()
	_ = c.poll.Wake() // else the wait ends by itself
	<-c.done
	return errors.Join(c.err, c.release())
}

func (c *capture) release() error {
	var errs []error
	for _, p := range c.ports {
		errs = append(errs, p.Close())
	}
	if c.poll != nil {
		errs = append(errs, c.poll.Close())
	}
	return errors.Join(errs...)
}
