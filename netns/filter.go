package netns

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// filterPriority and filterHandle are those of an agent's filters (SPEC 1).
const (
	filterPriority = 1
	filterHandle   = 1
)

// AttachFilter attaches a BPF program of type SCHED_CLS to a device, as a filter in
// direct-action mode of a clsact qdisc, which it makes if there is none: the way before
// tcx. name is what `tc filter` shows. Closing detaches the program; the qdisc stays
// with the device.
func (n *NS) AttachFilter(dev string, egress bool, fd int, name string) (io.Closer, error) {
	wrap := func(err error) error {
		return fmt.Errorf("attach %s to %s: %w", name, dev, explain(err, needNetAdmin))
	}
	h, l, err := n.link(dev)
	if err != nil {
		return nil, err
	}
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := h.QdiscAdd(qdisc); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, wrap(err)
	}
	parent := uint32(netlink.HANDLE_MIN_INGRESS)
	if egress {
		parent = netlink.HANDLE_MIN_EGRESS
	}
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: l.Attrs().Index, Parent: parent,
			Handle: filterHandle, Priority: filterPriority, Protocol: unix.ETH_P_ALL,
		},
		Fd: fd, Name: name, DirectAction: true,
	}
	if err := h.FilterReplace(f); err != nil {
		return nil, wrap(err)
	}
	return &filter{ns: n, dev: dev, what: f}, nil
}

// Filter is a BPF program that is attached by clsact.
type Filter struct {
	Name    string // as `tc filter` shows it
	Program uint32 // the kernel's id
	Egress  bool
}

// Filters lists the BPF programs of a device that are attached by clsact.
func (n *NS) Filters(dev string) ([]Filter, error) {
	h, l, err := n.link(dev)
	if err != nil {
		return nil, err
	}
	var all []Filter
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		found, err := h.FilterList(l, parent)
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: there is no such qdisc
			return nil, fmt.Errorf("list filters of %s: %w", dev, explain(err, needNetAdmin))
		}
		for _, f := range found {
			if b, ok := f.(*netlink.BpfFilter); ok {
				all = append(all, Filter{Name: b.Name, Program: uint32(b.Id), Egress: parent == netlink.HANDLE_MIN_EGRESS})
			}
		}
	}
	return all, nil
}

// filter is an attached program.
type filter struct {
	ns   *NS
	dev  string
	what *netlink.BpfFilter
}

// Close detaches the program. It is not an error if the device is gone.
func (f *filter) Close() error {
	h, _, err := f.ns.link(f.dev)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := h.FilterDel(f.what); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("detach %s from %s: %w", f.what.Name, f.dev, explain(err, needNetAdmin))
	}
	return nil
}
