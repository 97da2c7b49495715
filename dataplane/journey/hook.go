package journey

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/cluster"
	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/sim"
)

// markHost is the mark of a node's own packets (MARK_MAGIC_HOST, SPEC 11).
const markHost = 0xc00

// hookNames are the hooks at which a packet can begin.
func hookNames() []string {
	var names []string
	for p := dataplane.FromContainer; p <= dataplane.ToOverlay; p++ {
		names = append(names, p.String())
	}
	return names
}

// entrance is where a packet begins, and what was taken for granted about it.
type entrance struct {
	prog    dataplane.Prog
	at      sim.Point
	node    string
	assumed []string
}

// ParseHook finds a hook, "from-container@POD" or "from-overlay@NODE". An unknown name
// is ErrQuestion or cluster.ErrInput.
func ParseHook(c *cluster.Cluster, hook string) (sim.Point, error) {
	e, err := parseHook(c, hook)
	return e.at, err
}

func parseHook(c *cluster.Cluster, hook string) (entrance, error) {
	section, where, found := strings.Cut(hook, "@")
	prog, known := dataplane.ParseProg(section)
	if !known || prog > dataplane.ToOverlay {
		return entrance{}, fmt.Errorf("%w: hook %q; allowed: %s, followed by @ and a pod for *-container, a node for the others",
			ErrQuestion, section, strings.Join(hookNames(), ", "))
	}
	if !found || where == "" {
		return entrance{}, fmt.Errorf("%w: hook %s is of no pod or node: say %s@NAME", ErrQuestion, section, section)
	}
	if prog == dataplane.FromContainer || prog == dataplane.ToContainer {
		return podHook(c, prog, where)
	}
	n, err := c.Node(strings.TrimPrefix(where, "node/"))
	if err != nil {
		return entrance{}, err
	}
	e := entrance{prog: prog, node: n.Name, at: sim.Point{Node: n.Name, Egress: prog.Egress()}}
	switch prog {
	case dataplane.FromNetdev, dataplane.ToNetdev:
		e.at.Device = "eth0"
		e.assumed = append(e.assumed, fmt.Sprintf("%s is not attached to eth0, as in the article's configuration", section))
	case dataplane.FromOverlay, dataplane.ToOverlay:
		e.at.Device = node.VXLAN.String()
	default:
		e.at.Device = node.Host.String()
	}
	return e, nil
}

// podHook finds a program of a pod's device.
func podHook(c *cluster.Cluster, prog dataplane.Prog, where string) (entrance, error) {
	p, err := c.Pod(strings.TrimPrefix(where, "pod/"))
	switch {
	case err != nil:
		return entrance{}, err
	case p.HostNetwork || !p.IP.IsValid():
		return entrance{}, fmt.Errorf("%w: pod %s has no device of its own", ErrQuestion, p.Ref())
	}
	e := entrance{prog: prog, node: p.Node, at: sim.Point{Pod: p.Ref()}}
	if prog == dataplane.ToContainer {
		e.at = sim.Point{Node: p.Node, Device: p.Device, Egress: true}
	}
	return e, nil
}

// metadata gives the entrance what a frame has beside its bytes: as the question says,
// else as it would be there.
func (e *entrance) metadata(c *cluster.Cluster, q *Question, frame []byte) error {
	var src, dst netip.Addr
	if ip := ipOf(frame); ip != nil {
		src, dst = ip4(ip.Src()), ip4(ip.Dst())
	}
	if e.at.Node != "" && e.at.Device != "eth0" {
		if q.Mark != nil {
			e.at.Mark = *q.Mark
		} else if e.prog == dataplane.FromHost && isNode(c, src) {
			e.at.Mark = markHost
			e.assumed = append(e.assumed, fmt.Sprintf("the mark is 0x%x, as cilium's rules set it on a node's own packets", markHost))
		}
	}
	if e.at.Device != node.VXLAN.String() {
		return nil
	}
	end, what := src, "tunnel source"
	key := dataplane.TunnelKey{Present: true, TTL: 64}
	if e.prog == dataplane.ToOverlay {
		end, what = dst, "tunnel destination"
	}
	remote, err := e.peer(c, q, end, what)
	if err != nil {
		return err
	}
	key.Remote = remote.As4()
	if q.VNI != nil {
		key.ID = *q.VNI
	} else {
		key.ID = identityOf(c, src)
		e.assumed = append(e.assumed, fmt.Sprintf("the VNI is the sender's identity, %d", key.ID))
	}
	e.at.Tunnel = key
	return nil
}

// peer is the other node of the tunnel.
func (e *entrance) peer(c *cluster.Cluster, q *Question, end netip.Addr, what string) (netip.Addr, error) {
	if q.Tunnel != "" {
		if ip, err := netip.ParseAddr(q.Tunnel); err == nil && ip.Is4() {
			return ip, nil
		}
		n, err := c.Node(strings.TrimPrefix(q.Tunnel, "node/"))
		return n.IP, err
	}
	for _, n := range c.Nodes() {
		if n.Name != e.node && (n.IP == end || n.Router == end || n.PodCIDR.Contains(end)) {
			e.assumed = append(e.assumed, fmt.Sprintf("the %s is %s, the node of %s", what, n.IP, end))
			return n.IP, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: %s is of no other node, so the %s has to be given", ErrQuestion, end, what)
}

// isNode says that an address is a node's.
func isNode(c *cluster.Cluster, ip netip.Addr) bool {
	return slices.ContainsFunc(c.Nodes(), func(n cluster.Node) bool { return n.IP == ip || n.Router == ip })
}

// identityOf is the identity that an address has for other nodes.
func identityOf(c *cluster.Cluster, ip netip.Addr) uint32 {
	for _, n := range c.Nodes() {
		for _, e := range c.Endpoints(n.Name) {
			if e.IP == ip {
				return e.Identity
			}
		}
		if n.IP == ip || n.Router == ip {
			cfg, err := c.NodeConfig(n.Name)
			if err == nil {
				return cfg.LocalNodeID
			}
		}
	}
	return code.IdentityWorld
}
