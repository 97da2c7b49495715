package compare

import (
	"net/netip"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
)

// markFromHost is the mark of packets that the host itself sends (MARK_MAGIC_HOST).
const markFromHost = 0x0c00

// Party is somebody who may send: where its frames meet the node's datapath first.
type Party struct {
	IP       [4]byte
	MAC      [6]byte // of frames it sends, as they arrive
	Next     [6]byte // destination MAC of frames it sends
	Prog     dataplane.Prog
	Device   string
	Iif      uint32
	Mark     uint32
	Tunnel   dataplane.TunnelKey
	Identity uint32
}

// Input is a frame of the party at the hook that sees it first.
func (p *Party) Input(frame []byte) *Input {
	return &Input{Prog: p.Prog, Device: p.Device, Frame: frame, IngressIfindex: p.Iif, Mark: p.Mark, Tunnel: p.Tunnel}
}

// Party finds out how frames from an address reach the node's datapath: from a pod of
// the node through its device, from a pod or router of another node through the
// overlay, from the node itself, and from everybody else, through the host stack.
func (w *World) Party(ip [4]byte) Party {
	for i := range w.Devices {
		d := &w.Devices[i]
		if d.Config != nil && d.Config.IPv4 == ip {
			return w.localPod(d)
		}
	}
	addr := netip.AddrFrom4(ip)
	nodes := w.Cluster.Nodes()
	for i := range nodes {
		n := &nodes[i]
		if n.Name == w.Node.Name || !n.PodCIDR.Contains(addr) {
			continue
		}
		return w.remote(n, ip)
	}
	return w.throughHost(ip)
}

func (w *World) localPod(d *Device) Party {
	return Party{
		IP: d.Config.IPv4, MAC: d.Of.MAC, Next: d.MAC, Prog: dataplane.FromContainer, Device: d.Name, Iif: d.Ifindex,
		Identity: d.Config.Identity,
	}
}

// remote is an address in the pod network of another node. What it does not know there
// has the identity of no pod, so the world's is taken.
func (w *World) remote(n *cluster.Node, ip [4]byte) Party {
	p := Party{
		IP: ip, MAC: n.VXLANMAC, Next: w.Node.VXLANMAC, Prog: dataplane.FromOverlay, Device: "cilium_vxlan", Identity: code.IdentityWorld,
	}
	if d, err := w.device(p.Device); err == nil {
		p.Iif = d.Ifindex
	}
	if n.Router.As4() == ip {
		p.Identity = code.IdentityRemoteNode
	}
	for _, e := range w.Cluster.Endpoints(n.Name) {
		if e.IP.As4() == ip {
			p.Identity, p.MAC, p.Next = e.Identity, e.MAC, e.NodeMAC
		}
	}
	p.Tunnel = dataplane.TunnelKey{Present: true, ID: p.Identity, Remote: n.IP.As4(), TTL: 64}
	return p
}

// throughHost is the node itself, or what the host stack forwards.
func (w *World) throughHost(ip [4]byte) Party {
	p := Party{
		IP: ip, MAC: w.Node.HostMAC, Next: w.Node.NetMAC, Prog: dataplane.FromHost, Device: "cilium_host", Identity: code.IdentityWorld,
	}
	if ip == w.Node.Router.As4() || ip == w.Node.IP.As4() {
		p.Mark, p.Identity = markFromHost, code.IdentityHost
		return p
	}
	if d, err := w.device("eth0"); err == nil {
		p.Iif = d.Ifindex
	}
	return p
}

// Receiver is who gets a frame after a program's verdict, as far as it would answer:
// it is found by the frame's destination.
func (w *World) Receiver(o *Outcome) (Party, bool) {
	ip := ipv4Of(o.Frame)
	if ip == nil || o.Verdict.Kind() == dataplane.Dropped {
		return Party{}, false
	}
	return w.Party(ip.Dst()), true
}
