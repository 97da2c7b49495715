package netns

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// guardTable is beside the tables of SetFirewall, which knows nothing of it.
const guardTable = "hooklab_guard"

// GuardIngress keeps the namespace's stack from whatever a device receives; packet
// sockets still read it. It counts what it keeps, see Guarded. The guard goes with the
// device. A device that comes up with its guard in place never lets a frame through.
func (n *NS) GuardIngress(dev string) error {
	if _, err := n.Link(dev); err != nil {
		return fmt.Errorf("guard %s: %w", dev, err)
	}
	err := n.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyNetdev, Name: guardTable})
		chain := dropIngress(c, t, dev)
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: []expr.Any{
			&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop},
		}})
		return c.Flush()
	})
	if err != nil {
		return fmt.Errorf("guard %s: %w", dev, explain(err, needNetAdmin))
	}
	return nil
}

// Guarded is how many frames the guard of a device has kept from the stack.
func (n *NS) Guarded(dev string) (frames uint64, err error) {
	err = n.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		t := &nftables.Table{Family: nftables.TableFamilyNetdev, Name: guardTable}
		rules, err := c.GetRules(t, &nftables.Chain{Name: dev, Table: t})
		if err != nil {
			return err
		}
		for _, r := range rules {
			for _, e := range r.Exprs {
				if counter, ok := e.(*expr.Counter); ok {
					frames += counter.Packets
				}
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read guard of %s: %w", dev, explain(err, needNetAdmin))
	}
	return frames, nil
}
