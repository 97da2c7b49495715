package main

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/hooklab/hooklab/netns"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// kernelPod makes a namespace with a veth pair to a node that routes to it, as a CNI
// plugin would: the pod's gateway is on no network, everybody has static neighbours.
func (b *bench) kernelPod(node *netns.NS, ip string, n byte, mtu int) (*netns.NS, error) {
	pod, err := b.space()
	if err != nil {
		return nil, err
	}
	lxc := fmt.Sprintf("lxc%d", n)
	outer, inner := netns.MAC{2, 0, 0, 0, 1, n}, netns.MAC{2, 0, 0, 0, 2, n}
	gateway := netip.MustParseAddr("169.254.1.1")
	addr := netip.MustParseAddr(ip)
	return pod, inOrder(
		func() error {
			return node.AddVeth(netns.Link{Name: lxc, MAC: outer, Up: true}, pod, netns.Link{Name: "eth0", MAC: inner, Up: true})
		},
		func() error { return pod.AddAddr("eth0", netip.PrefixFrom(addr, 32)) },
		func() error {
			return pod.AddRoute(netns.Route{Dst: netip.PrefixFrom(gateway, 32), Dev: "eth0", Scope: netns.ScopeLink})
		},
		func() error {
			return pod.AddRoute(netns.Route{Dst: prefix("0.0.0.0/0"), Via: gateway, Dev: "eth0", MTU: mtu})
		},
		func() error { return pod.AddNeigh("eth0", gateway, outer) },
		func() error {
			return node.AddRoute(netns.Route{Dst: netip.PrefixFrom(addr, 32), Dev: lxc, Scope: netns.ScopeLink})
		},
		func() error { return node.AddNeigh(lxc, addr, inner) },
	)
}

// kernelLocal is two pods of one node: routed, or redirected by a program at each lxc
// device into the other pod (K, what Cilium's fastest path costs at least).
func (b *bench) kernelLocal(s *subject, peer bool) error {
	node, err := b.space()
	if err != nil {
		return err
	}
	if err := node.SetSysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if s.client, err = b.kernelPod(node, "10.1.0.1", 1, 1450); err != nil {
		return err
	}
	s.addr = "10.1.0.2"
	if s.server, err = b.kernelPod(node, s.addr, 2, 1450); err != nil {
		return err
	}
	if !peer {
		return nil
	}
	for from, to := range map[string]string{"lxc1": "lxc2", "lxc2": "lxc1"} {
		if err := b.redirectPeer(node, from, to); err != nil {
			return err
		}
	}
	// Nothing rewrites addresses, so each pod sends to the other's.
	gateway := netip.MustParseAddr("169.254.1.1")
	return inOrder(
		func() error { return s.client.AddNeigh("eth0", gateway, netns.MAC{2, 0, 0, 0, 2, 2}) },
		func() error { return s.server.AddNeigh("eth0", gateway, netns.MAC{2, 0, 0, 0, 2, 1}) },
	)
}

// redirectPeer attaches a program to what a device receives.
func (b *bench) redirectPeer(node *netns.NS, from, to string) error {
	a, err := node.Link(from)
	if err != nil {
		return err
	}
	target, err := node.Link(to)
	if err != nil {
		return err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R1, int32(target.Index)),
			asm.Mov.Imm(asm.R2, 0),
			asm.FnRedirectPeer.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		return fmt.Errorf("load redirect_peer: %w", err)
	}
	b.later(prog.Close)
	return node.Do(func() error {
		l, err := link.AttachTCX(link.TCXOptions{Interface: a.Index, Program: prog, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return fmt.Errorf("attach to %s: %w", from, err)
		}
		b.later(l.Close)
		return nil
	})
}

// wire is a bridge between nodes, as a lab has one.
func (b *bench) wire() (*netns.NS, error) {
	ns, err := b.space()
	if err != nil {
		return nil, err
	}
	return ns, ns.AddBridge(netns.Link{Name: "br0", MTU: 1500, Up: true})
}

// onWire joins a node to the wire.
func onWire(wire, node *netns.NS, n byte) error {
	port := fmt.Sprintf("node%d", n)
	return inOrder(
		func() error {
			return wire.AddVeth(netns.Link{Name: port, Up: true}, node, netns.Link{Name: "eth0", MAC: netns.MAC{2, 0, 0, 0, 3, n}, Up: true})
		},
		func() error { return wire.SetBridge(port, "br0") },
	)
}

// kernelCross is KX: two nodes with kernel VXLAN devices and routing.
func (b *bench) kernelCross(s *subject) error {
	wire, err := b.wire()
	if err != nil {
		return err
	}
	for n := byte(1); n <= 2; n++ {
		node, err := b.space()
		if err != nil {
			return err
		}
		other := 3 - n
		mine, theirs := fmt.Sprintf("192.168.50.%d/24", n), [4]byte{192, 168, 50, other}
		vx := netns.MAC{2, 0, 0, 0, 4, n}
		gateway := netip.AddrFrom4([4]byte{10, 3, other, 254})
		err = inOrder(
			func() error { return node.SetSysctl("net/ipv4/ip_forward", "1") },
			func() error { return onWire(wire, node, n) },
			func() error { return node.AddAddr("eth0", prefix(mine)) },
			func() error {
				return node.AddVXLAN(netns.Link{Name: "vx0", MAC: vx, MTU: 1450, Up: true}, netns.VXLAN{Port: 8472, VNI: 7, Remote: theirs})
			},
			func() error {
				return node.AddRoute(netns.Route{
					Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 3, other, 0}), 24), Via: gateway, Dev: "vx0", OnLink: true,
				})
			},
			func() error { return node.AddNeigh("vx0", gateway, netns.MAC{2, 0, 0, 0, 4, other}) },
		)
		if err != nil {
			return err
		}
		pod, err := b.kernelPod(node, fmt.Sprintf("10.3.%d.1", n), n, 1450)
		if err != nil {
			return err
		}
		if n == 1 {
			s.client = pod
		} else {
			s.server = pod
		}
	}
	s.addr = "10.3.2.1"
	return nil
}
