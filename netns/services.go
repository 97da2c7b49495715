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

// Frontend is one port of a service, with the backends that new connections may go to.
type Frontend struct {
	Addr     netip.AddrPort // IPv4
	Proto    uint8          // unix.IPPROTO_TCP, unix.IPPROTO_UDP or unix.IPPROTO_SCTP
	Backends []netip.AddrPort
}

// Names of kube-proxy's iptables chains, in a table of their own.
const (
	proxyTable    = "kube-proxy"
	chainServices = "KUBE-SERVICES"
	chainRejects  = "KUBE-EXTERNAL-SERVICES"
)

var errFrontend = errors.New("want IPv4 addresses and ports")

// SetServices makes the namespace translate connections to services as kube-proxy
// does: new ones get one of the backends by chance, and those to a frontend without
// backends are refused with an ICMP error. It replaces what it has set before in one
// transaction; connections that exist keep their backend. No frontends remove all.
//
// Unlike kube-proxy with a cluster CIDR it masquerades nothing: where the source has
// to change, the agent's rules of SetFirewall do that.
func (n *NS) SetServices(frontends []Frontend) error {
	for _, f := range frontends {
		for _, a := range append([]netip.AddrPort{f.Addr}, f.Backends...) {
			if !a.Addr().Is4() || a.Port() == 0 {
				return fmt.Errorf("set services: %s: %w", a, errFrontend)
			}
		}
	}
	err := n.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		t := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: proxyTable}
		c.AddTable(t)
		c.DelTable(t)
		if len(frontends) > 0 {
			c.AddTable(t)
			proxy(c, t, frontends)
		}
		return c.Flush()
	})
	if err != nil {
		return fmt.Errorf("set %d services: %w", len(frontends), explain(err, needNetAdmin))
	}
	return nil
}

// proxy makes the chains and their rules.
func proxy(c *nftables.Conn, t *nftables.Table, frontends []Frontend) {
	services := c.AddChain(&nftables.Chain{Name: chainServices, Table: t})
	rejects := c.AddChain(&nftables.Chain{Name: chainRejects, Table: t})
	for _, hook := range []struct {
		name     string
		kind     nftables.ChainType
		num      *nftables.ChainHook
		priority *nftables.ChainPriority
		to       string
	}{
		{"PREROUTING_nat", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, chainServices},
		{"OUTPUT_nat", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, chainServices},
		{"FORWARD", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, chainRejects},
		{"OUTPUT", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter, chainRejects},
	} {
		base := c.AddChain(&nftables.Chain{Name: hook.name, Table: t, Type: hook.kind, Hooknum: hook.num, Priority: hook.priority})
		c.AddRule(&nftables.Rule{Table: t, Chain: base, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: hook.to}}})
	}
	for _, f := range frontends {
		match := matchFrontend(f)
		if len(f.Backends) == 0 {
			c.AddRule(&nftables.Rule{Table: t, Chain: rejects, Exprs: join(match, []expr.Any{
				&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: icmpPortUnreachable},
			})})
			continue
		}
		for i, b := range f.Backends {
			c.AddRule(&nftables.Rule{Table: t, Chain: services, Exprs: join(match, oneIn(len(f.Backends)-i), dnat(b))})
		}
	}
}

const icmpPortUnreachable = 3

func matchFrontend(f Frontend) []expr.Any {
	addr := f.Addr.Addr().As4()
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: dstOffset, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: addr[:]},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f.Proto}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, f.Addr.Port())},
	}
}

// oneIn matches one of n packets by chance, so that the rules of n backends in a row
// are as likely as each other.
func oneIn(n int) []expr.Any {
	if n == 1 {
		return nil
	}
	return []expr.Any{
		&expr.Numgen{Register: 1, Modulus: uint32(n), Type: unix.NFT_NG_RANDOM},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: native(0)},
	}
}

func dnat(to netip.AddrPort) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: to.Addr().AsSlice()},
		&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, to.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
	}
}
