package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Firewall is what the agent's iptables rules do on a node, as nftables, and
// what keeps the stack away from frames that user space has taken. It lives in
// two tables named hooklab, families netdev and ip, with the agent's chain
// names. The ACCEPT rules of the agent's FORWARD and INPUT chains are left out,
// as a namespace of ours accepts by default, and so is what a proxy needs
// (SPEC 11).
type Firewall struct {
	// DropIngress lists devices whose received frames never reach the stack.
	// AF_PACKET ports still read them.
	DropIngress []string

	// MarkHost gives packets of the node's own processes the mark 0xc00/0xf00
	// if they have none that says where they come from (CILIUM_OUTPUT).
	MarkHost bool

	// PodCIDR is the IPv4 range of the node's pods: what leaves from there to
	// anywhere else gets the node's address (CILIUM_POST_nat). Router is the
	// address of cilium_host, which traffic gets that enters through it. Both
	// zero leaves all addresses alone.
	PodCIDR netip.Prefix
	Router  netip.Addr
}

const (
	nftTable  = "hooklab"
	chainOut  = "CILIUM_OUTPUT"
	chainPost = "CILIUM_POST_nat"

	hostDevice   = "cilium_host"
	devicePrefix = "cilium_"

	// Before everything else that may hook in at ingress.
	dropPriority = -500

	markMask = 0xf00
	markHost = 0xc00
)

var errFirewallAddr = errors.New("want an IPv4 pod range and an IPv4 router address, or neither")

// SetFirewall replaces the whole firewall of the namespace by f in one
// transaction. The zero Firewall removes it.
func (n *NS) SetFirewall(f Firewall) error {
	nat := f.PodCIDR.IsValid() || f.Router.IsValid()
	if nat && !(f.PodCIDR.IsValid() && f.PodCIDR.Addr().Is4() && f.Router.Is4()) {
		return fmt.Errorf("set firewall (pods %s, router %s): %w", f.PodCIDR, f.Router, errFirewallAddr)
	}
	for _, dev := range f.DropIngress {
		// Newer kernels take any name and wait for the device.
		if _, err := n.Link(dev); err != nil {
			return fmt.Errorf("set firewall: %w", err)
		}
	}
	err := n.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		netdev := replaceTable(c, nftables.TableFamilyNetdev, len(f.DropIngress) > 0)
		for _, dev := range f.DropIngress {
			dropIngress(c, netdev, dev)
		}
		ip := replaceTable(c, nftables.TableFamilyIPv4, f.MarkHost || nat)
		if f.MarkHost {
			markOutput(c, ip)
		}
		if nat {
			masquerade(c, ip, f.PodCIDR, f.Router)
		}
		return c.Flush()
	})
	if err != nil {
		return fmt.Errorf("set firewall %+v: %w", f, explain(err, needNetAdmin))
	}
	return nil
}

// replaceTable removes our table whether or not it exists, and adds it empty if
// it is wanted.
func replaceTable(c *nftables.Conn, family nftables.TableFamily, wanted bool) *nftables.Table {
	t := &nftables.Table{Family: family, Name: nftTable}
	c.AddTable(t)
	c.DelTable(t)
	if wanted {
		c.AddTable(t)
	}
	return t
}

func dropIngress(c *nftables.Conn, t *nftables.Table, dev string) *nftables.Chain {
	drop := nftables.ChainPolicyDrop
	return c.AddChain(&nftables.Chain{
		Name: dev, Table: t, Type: nftables.ChainTypeFilter, Device: dev,
		Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityRef(dropPriority), Policy: &drop,
	})
}

// markOutput is CILIUM_OUTPUT's last rule, "host->any mark as from host". Like
// there the filter hook does not route the packet again.
func markOutput(c *nftables.Conn, t *nftables.Table) {
	chain := c.AddChain(&nftables.Chain{
		Name: chainOut, Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter,
	})
	var e []expr.Any
	for _, known := range []struct{ value, mask uint32 }{
		{0xe00, 0xf00},
		{0xd00, 0xf00},
		{0xa00, 0xe00},
		{0x800, 0xe00},
		{0xf00, 0xf00},
	} {
		e = append(e, matchMark(expr.CmpOpNeq, known.value, known.mask)...)
	}
	e = append(e,
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(^uint32(markMask)), Xor: native(markHost)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1, SourceRegister: true},
	)
	c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: e})
}

// masquerade is CILIUM_POST_nat in its order.
func masquerade(c *nftables.Conn, t *nftables.Table, pods netip.Prefix, router netip.Addr) {
	chain := c.AddChain(&nftables.Chain{
		Name: chainPost, Table: t, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	loopback := netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 32)
	for _, e := range [][]expr.Any{
		// cilium masquerade non-cluster
		join(matchAddr(dstOffset, expr.CmpOpNeq, pods), matchAddr(srcOffset, expr.CmpOpEq, pods),
			matchOut(expr.CmpOpNeq, []byte(devicePrefix)), []expr.Any{&expr.Masq{}}),
		// proxy return traffic keeps its address
		join(matchMark(expr.CmpOpEq, 0xa00, 0xe00), []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}),
		// host->cluster
		join(matchAddr(srcOffset, expr.CmpOpNeq, pods), matchAddr(dstOffset, expr.CmpOpNeq, pods),
			matchOut(expr.CmpOpEq, ifname(hostDevice)), snat(router)),
		// host->cluster from 127.0.0.1
		join(matchAddr(srcOffset, expr.CmpOpEq, loopback), matchOut(expr.CmpOpEq, ifname(hostDevice)), snat(router)),
		// hairpin of what was DNATed from a pod
		join(matchMark(expr.CmpOpEq, 0xf00, 0xf00), matchOut(expr.CmpOpEq, ifname(hostDevice)), matchDNAT(), snat(router)),
	} {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: e})
	}
}

// Offsets of the addresses in an IPv4 header.
const (
	srcOffset = 12
	dstOffset = 16
)

func matchAddr(offset uint32, op expr.CmpOp, p netip.Prefix) []expr.Any {
	addr := p.Masked().Addr().As4()
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-p.Bits()))
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: 1, Data: addr[:]},
	}
}

func matchMark(op expr.CmpOp, value, mask uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(mask), Xor: native(0)},
		&expr.Cmp{Op: op, Register: 1, Data: native(value)},
	}
}

// matchOut compares as many bytes of the outgoing device's name as there are in
// name.
func matchOut(op expr.CmpOp, name []byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: name},
	}
}

func matchDNAT() []expr.Any {
	const ipsDstNAT = 1 << 5 // IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATUS, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(ipsDstNAT), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
	}
}

func snat(to netip.Addr) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: to.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	}
}

func join(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// native returns v as marks are in registers: in host byte order.
func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// ifname returns a device name as it is in registers: padded with zeros.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}
