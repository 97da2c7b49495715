package lab

import (
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/gso"
)

// gatherer lets datagrams of one flow enter a pod together, which then costs its kernel
// little more than one of them. They wait for each other only while more are known to wait
// in front of the worker, and no longer than the burst that they are read in.
type gatherer struct {
	on    bool    // others follow
	to    *outlet // of what waits
	train gso.Train
}

// take keeps a packet for flush. It is false if the packet has to be sent now; what has
// waited for the same port then has gone before it.
func (g *gatherer) take(o *outlet, p *dataplane.Packet) (bool, error) {
	if g.to == nil && !g.on {
		return false, nil
	}
	fits := g.on && p.GSO.Size == 0 && o.port.USO()
	if g.to == o {
		if fits && g.train.Add(p.Data, p.Csum) {
			return true, nil
		}
		if err := g.flush(); err != nil {
			return false, err
		}
	}
	if !fits {
		return false, nil
	}
	if g.to != nil {
		if err := g.flush(); err != nil {
			return false, err
		}
	}
	if !g.train.Add(p.Data, p.Csum) {
		return false, nil
	}
	g.to = o
	return true, nil
}

// flush sends what waits.
func (g *gatherer) flush() error {
	o := g.to
	if o == nil {
		return nil
	}
	g.to = nil
	var p dataplane.Packet
	p.Data, p.Csum, p.GSO = g.train.Take()
	return o.sendNow(&p)
}
