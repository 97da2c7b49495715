package netns

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Feature is something that the kernel does for this user, or the reason why it does not.
type Feature struct {
	Name string
	Err  error // nil: it does
}

// Probe tries what namespaces and devices need, in a namespace that goes away with it.
func Probe() []Feature {
	found := []Feature{{"user namespaces", probeUserNS()}}
	n, err := New("")
	if err != nil {
		for _, p := range probes() {
			found = append(found, Feature{p.name, err})
		}
		return found
	}
	defer n.Close() //nolint:errcheck // nothing was asked of it
	for _, p := range probes() {
		found = append(found, Feature{p.name, p.try(n)})
	}
	return found
}

// probe is one thing to try in a namespace of its own.
type probe struct {
	name string
	try  func(n *NS) error
}

func probes() []probe {
	const dev = "probe"
	return []probe{
		{"veth pairs", func(n *NS) error { return n.AddVeth(Link{Name: dev}, nil, Link{Name: dev + "1"}) }},
		{"AF_PACKET", func(n *NS) error { return closePort(n.OpenPacket("lo", PacketOptions{VNetHdr: true})) }},
		{"TAP", func(n *NS) error { return closePort(n.OpenTAP(Link{Name: dev + "2"}, TAPOptions{})) }},
		{"vnet_hdr", func(n *NS) error {
			return closePort(n.OpenTAP(Link{Name: dev + "3"}, TAPOptions{VNetHdr: true, Offload: TAPOffloadAll}))
		}},
		{"tunnel offloads", func(n *NS) error {
			return closePort(n.OpenTAP(Link{Name: dev + "4"}, TAPOptions{VNetHdr: true, Offload: TAPOffloadAll | TAPOffloadTunnel}))
		}},
		{"nftables", func(n *NS) error { return n.SetFirewall(Firewall{MarkHost: true}) }},
		{"vxlan external", func(n *NS) error {
			return n.AddVXLAN(Link{Name: dev + "5"}, VXLAN{Port: 8472, External: true})
		}},
		{"clsact", func(n *NS) error { return n.addClsact("lo") }},
	}
}

func closePort(p *Port, err error) error {
	if err != nil {
		return err
	}
	return p.Close()
}

// addClsact makes the qdisc that programs are attached to before Linux 6.6.
func (n *NS) addClsact(dev string) error {
	h, l, err := n.link(dev)
	if err != nil {
		return err
	}
	err = h.QdiscAdd(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	})
	if err != nil {
		return fmt.Errorf("add qdisc clsact to %s: %w", dev, explain(err, needNetAdmin))
	}
	return nil
}

// probeUserNS starts a child in a new user namespace that finds nothing to execute.
func probeUserNS() error {
	const nothing = "/proc/self/hooklab-nothing"
	attr := &syscall.SysProcAttr{}
	UserNS(attr)
	p, err := os.StartProcess(nothing, []string{nothing}, &os.ProcAttr{Sys: attr})
	switch {
	case err == nil:
		_, err = p.Wait()
		return err
	case errors.Is(err, unix.ENOENT):
		return nil
	}
	return ExplainUserNS(err)
}
