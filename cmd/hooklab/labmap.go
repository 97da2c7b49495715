package main

import (
	"context"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/netns/lab"
)

// labNames resolves what a running lab's messages name by numbers. It asks the lab again
// when it meets something new.
type labNames struct {
	ctx     context.Context //nolint:containedctx // It lives as long as one command.
	client  *lab.Client
	devices map[lab.Device]cluster.Device
	unknown map[lab.Device]bool
}

func newLabNames(ctx context.Context, c *lab.Client) (*labNames, error) {
	n := &labNames{ctx: ctx, client: c, unknown: make(map[lab.Device]bool)}
	return n, n.refresh()
}

func (n *labNames) refresh() error {
	c, err := n.client.Cluster(n.ctx)
	if err != nil {
		return err
	}
	n.devices = make(map[lab.Device]cluster.Device)
	for _, node := range c.Nodes() {
		for _, d := range c.Devices(node.Name) {
			n.devices[lab.Device{Node: node.Name, Ifindex: d.Ifindex}] = d
		}
	}
	return nil
}

// device finds a device. It is false for one that the lab does not have any more.
func (n *labNames) device(node string, ifindex uint32) (cluster.Device, bool) {
	at := lab.Device{Node: node, Ifindex: ifindex}
	d, ok := n.devices[at]
	if !ok && !n.unknown[at] {
		n.unknown[at] = true
		if n.refresh() == nil {
			d, ok = n.devices[at]
		}
	}
	return d, ok
}
