package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// MAC is an Ethernet address, in the order in which it is on the wire.
type MAC [6]byte

// String returns the address as 02:00:00:00:00:01.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// Link describes a network device: what to make, or what was found.
type Link struct {
	Name  string
	Index int  // interface index; 0 lets the kernel choose
	MAC   MAC  // zero lets the kernel choose
	MTU   int  // bytes above the Ethernet header; 0 is the kernel's default
	Up    bool // administratively up
	NoARP bool // the kernel does not resolve neighbours on it
}

// VXLAN describes a kernel VXLAN device, which is not needed by the datapath
// itself but by kernel nodes and as the other end of tests.
type VXLAN struct {
	Port     uint16  // UDP port
	External bool    // collect-metadata mode: VNI and remote come with each packet
	VNI      uint32  // if not External
	Remote   [4]byte // if not External: where every frame goes
}

// AddVeth makes a veth pair: a in n, b in peer, or in n too if peer is nil.
// If it fails, neither end is left.
func (n *NS) AddVeth(a Link, peer *NS, b Link) error {
	if err := checkLinkName(b.Name); err != nil {
		return fmt.Errorf("add veth %s: peer: %w", a.Name, err)
	}
	if peer == nil {
		peer = n
	}
	bUp := b.Up
	b.Up = false // the kernel cannot bring up a peer that has no peer yet
	err := n.addLink("veth", a, func(data *nl.RtAttr) {
		p := data.AddRtAttr(nl.VETH_INFO_PEER, nil)
		b.fill(nl.NewIfInfomsgChild(p, unix.AF_UNSPEC), func(t int, v []byte) { p.AddRtAttr(t, v) })
		if peer != n {
			p.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(peer.FD())))
		}
	})
	if err != nil || !bUp {
		return err
	}
	if err := peer.SetUp(b.Name, true); err != nil {
		return errors.Join(err, n.DelLink(a.Name))
	}
	return nil
}

// AddBridge makes a learning bridge without spanning tree and multicast
// snooping: the wire that connects the namespaces of an underlay network.
func (n *NS) AddBridge(l Link) error {
	return n.addLink("bridge", l, func(data *nl.RtAttr) {
		data.AddRtAttr(nl.IFLA_BR_MCAST_SNOOPING, nl.Uint8Attr(0))
	})
}

// AddVXLAN makes a kernel VXLAN device that sends with UDP checksum 0.
func (n *NS) AddVXLAN(l Link, v VXLAN) error {
	return n.addLink("vxlan", l, func(data *nl.RtAttr) {
		data.AddRtAttr(nl.IFLA_VXLAN_PORT, binary.BigEndian.AppendUint16(nil, v.Port))
		data.AddRtAttr(nl.IFLA_VXLAN_UDP_CSUM, nl.Uint8Attr(0))
		if v.External {
			data.AddRtAttr(nl.IFLA_VXLAN_FLOWBASED, nl.Uint8Attr(1))
			return
		}
		data.AddRtAttr(nl.IFLA_VXLAN_ID, nl.Uint32Attr(v.VNI))
		data.AddRtAttr(nl.IFLA_VXLAN_GROUP, v.Remote[:])
		data.AddRtAttr(nl.IFLA_VXLAN_LEARNING, nl.Uint8Attr(0))
	})
}

// fill writes l into a link message and, by add, into its attributes.
func (l Link) fill(msg *nl.IfInfomsg, add func(attr int, value []byte)) {
	msg.Index = int32(l.Index)
	if l.Up {
		msg.Flags |= unix.IFF_UP
		msg.Change |= unix.IFF_UP
	}
	if l.NoARP {
		msg.Flags |= unix.IFF_NOARP
		msg.Change |= unix.IFF_NOARP
	}
	add(unix.IFLA_IFNAME, nl.ZeroTerminated(l.Name))
	if l.MAC != (MAC{}) {
		add(unix.IFLA_ADDRESS, l.MAC[:])
	}
	if l.MTU != 0 {
		add(unix.IFLA_MTU, nl.Uint32Attr(uint32(l.MTU)))
	}
}

// addLink asks the kernel for a device of the kind. The request is built here
// as netlink.Veth knows neither index nor flags of the peer.
func (n *NS) addLink(kind string, l Link, fill func(data *nl.RtAttr)) error {
	if err := checkLinkName(l.Name); err != nil {
		return fmt.Errorf("add %s: %w", kind, err)
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	req.AddData(msg)
	l.fill(msg, func(t int, v []byte) { req.AddData(nl.NewRtAttr(t, v)) })
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	fill(info.AddRtAttr(nl.IFLA_INFO_DATA, nil))
	req.AddData(info)
	err := n.Do(func() error {
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("add %s %s (index %d, mtu %d): %w", kind, l.Name, l.Index, l.MTU, explain(err, needNetAdmin))
	}
	return nil
}

// checkLinkName refuses what the kernel would refuse or, worse, cut.
func checkLinkName(name string) error {
	if name == "" || len(name) >= unix.IFNAMSIZ || name == "." || name == ".." {
		return fmt.Errorf("link %q: %w: want 1 to %d bytes", name, ErrName, unix.IFNAMSIZ-1)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == '/' || c == ':' {
			return fmt.Errorf("link %q: %w: contains %q", name, ErrName, c)
		}
	}
	return nil
}

// Link returns the device with that name. The error wraps fs.ErrNotExist if
// there is none.
func (n *NS) Link(name string) (Link, error) {
	_, l, err := n.link(name)
	if err != nil {
		return Link{}, err
	}
	return newLink(l.Attrs()), nil
}

// Links returns all devices of the namespace, in the order of their indexes.
func (n *NS) Links() ([]Link, error) {
	h, err := n.route()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	found, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	links := make([]Link, len(found))
	for i, l := range found {
		links[i] = newLink(l.Attrs())
	}
	return links, nil
}

func newLink(a *netlink.LinkAttrs) Link {
	l := Link{
		Name:  a.Name,
		Index: a.Index,
		MTU:   a.MTU,
		Up:    a.RawFlags&unix.IFF_UP != 0,
		NoARP: a.RawFlags&unix.IFF_NOARP != 0,
	}
	copy(l.MAC[:], a.HardwareAddr)
	return l
}

func (n *NS) link(name string) (*netlink.Handle, netlink.Link, error) {
	h, err := n.route()
	if err != nil {
		return nil, nil, fmt.Errorf("link %q: %w", name, err)
	}
	l, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil, fmt.Errorf("link %q: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("link %q: %w", name, err)
	}
	return h, l, nil
}

// SetUp brings a device up or down. "lo" is down in a new namespace.
func (n *NS) SetUp(name string, up bool) error {
	h, l, err := n.link(name)
	if err != nil {
		return err
	}
	set := h.LinkSetDown
	if up {
		set = h.LinkSetUp
	}
	if err := set(l); err != nil {
		return fmt.Errorf("set %s up=%t: %w", name, up, explain(err, needNetAdmin))
	}
	return nil
}

// SetGSOMax bounds the aggregates that the kernel makes for a device, headers included, to
// size bytes. Old kernels do not know it, and do nothing.
func (n *NS) SetGSOMax(name string, size int) error {
	h, l, err := n.link(name)
	if err != nil {
		return err
	}
	if err := h.LinkSetGSOMaxSize(l, size); err != nil {
		return fmt.Errorf("set %s gso_max_size=%d: %w", name, size, explain(err, needNetAdmin))
	}
	return nil
}

// SetBridge makes a device a port of the bridge.
func (n *NS) SetBridge(name, bridge string) error {
	h, l, err := n.link(name)
	if err != nil {
		return err
	}
	_, b, err := n.link(bridge)
	if err != nil {
		return err
	}
	if err := h.LinkSetMaster(l, b); err != nil {
		return fmt.Errorf("set %s to bridge %s: %w", name, bridge, explain(err, needNetAdmin))
	}
	return nil
}

// DelLink removes a device, and its peer if it is one end of a veth pair. A
// device that does not exist is not an error.
func (n *NS) DelLink(name string) error {
	h, l, err := n.link(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := h.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, explain(err, needNetAdmin))
	}
	return nil
}
