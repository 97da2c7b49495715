package kernel

import (
	"errors"
	"fmt"
	"math"

	"github.com/hooklab/hooklab/netns"
)

// devices are a private namespace with stand-ins for the devices that packets are said to be on: BPF_PROG_TEST_RUN takes
// only interface indexes that exist. Nothing is ever sent there. Runs happen on a thread that stays inside.
type devices struct {
	ns, peers *netns.NS // the other ends, so that they take no index
	there     map[uint32]bool
	work      chan func()
	done      chan error
}

const loopbackIfindex = 1

func newDevices() (*devices, error) {
	d := &devices{there: map[uint32]bool{loopbackIfindex: true}, work: make(chan func()), done: make(chan error, 1)}
	var err error
	if d.ns, err = netns.New(""); err != nil {
		return nil, err
	}
	if d.peers, err = netns.New(""); err != nil {
		return nil, errors.Join(err, d.ns.Close())
	}
	go func() {
		d.done <- d.ns.Do(func() error {
			for f := range d.work {
				f()
			}
			return nil
		})
	}()
	return d, nil
}

// do runs f on the thread inside the namespace.
func (d *devices) do(f func()) error {
	ready := make(chan struct{})
	select {
	case d.work <- func() { f(); close(ready) }:
		<-ready
		return nil
	case err := <-d.done:
		d.done <- err
		return fmt.Errorf("the thread of the engine's namespace has ended: %w", err)
	}
}

// ensure makes a stand-in for an interface index if there is none yet.
func (d *devices) ensure(ifindex uint32) error {
	if d.there[ifindex] {
		return nil
	}
	if ifindex == 0 || ifindex > math.MaxInt32 {
		return fmt.Errorf("ifindex %d: want 1 to %d", ifindex, math.MaxInt32)
	}
	name := fmt.Sprintf("if%d", ifindex)
	if err := d.ns.AddVeth(netns.Link{Name: name, Index: int(ifindex)}, d.peers, netns.Link{Name: name}); err != nil {
		return err
	}
	d.there[ifindex] = true
	return nil
}

func (d *devices) close() error {
	close(d.work)
	err := <-d.done
	return errors.Join(err, d.ns.Close(), d.peers.Close())
}
