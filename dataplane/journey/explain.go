package journey

import (
	"fmt"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// explanation is a Drop with its reason in words.
type explanation struct {
	Drop
	because string
}

// explain says why a run dropped its frame: which entry was missing or denied, which
// would have let it pass, and where to look on a real cluster.
func (b *runBuilder) explain(e *node.Event) {
	x := &explanation{Drop: Drop{
		Code: b.run.Drop, Reason: code.Reason(b.run.Drop), Program: b.run.Program, Direction: b.dropDir.String(),
	}}
	x.Source = dropSource(e)
	b.run.explained = x
	switch code.Ret(-int32(b.run.Drop)) {
	case code.DropPolicy, code.DropPolicyDeny:
		b.explainPolicy(x)
	case code.DropInvalidSIP:
		b.explainSource(x, e)
	case code.DropUnroutable:
		b.explainUnroutable(x)
	case code.DropNoService:
		b.explainService(x)
	case code.DropMissedTailCall:
		b.explainTailCall(x)
	default:
		x.because = b.plainly(x)
	}
}

// dropSource is where in its C source a BPF object reported the drop: the scratch space of
// the packet still has it (SPEC 12.2). The emulation has no such lines.
func dropSource(e *node.Event) string {
	file, line := code.FileName(uint8(e.Packet.CB[4]>>8)), e.Packet.CB[4]>>16
	switch {
	case line == 0:
		return ""
	case uint8(e.Packet.CB[4]>>8) == code.FileUnknown && (e.Hook.Prog == dataplane.FromOverlay || e.Hook.Prog == dataplane.ToOverlay):
		file = "bpf_overlay.c" // is compiled without an id of its file (SPEC 12.4)
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// explainPolicy names the entries that were asked for, or the one that denied.
func (b *runBuilder) explainPolicy(x *explanation) {
	var tried []lookup
	for _, l := range b.run.lookups {
		if l.m == trace.MapPolicy {
			tried = append(tried, l)
		}
	}
	if len(tried) == 0 {
		x.because = "the policy check came to no entry"
		return
	}
	// A reply is checked in both directions; the last check is the one that dropped.
	last := tried[len(tried)-1]
	x.Map, x.Command = last.name, fmt.Sprintf("cilium bpf policy get %d", last.endpoint)
	who := b.node.endpoint(last.endpoint)
	if last.hit {
		x.Denied = last.text + " " + last.value
		x.because = fmt.Sprintf("the policy of endpoint %s denies it by %q", who, last.text)
		return
	}
	for _, l := range tried {
		if l.in[len(l.in)-1] == last.in[len(last.in)-1] && l.policy.Egress == last.policy.Egress && l.name == last.name {
			x.Missed = append(x.Missed, l.text)
		}
	}
	x.Needed = x.Missed[0]
	x.because = fmt.Sprintf("the policy of endpoint %s has none of the entries that would allow it, the nearest being %q", who, x.Needed)
	var there []string
	if m := b.node.set.Policy(last.endpoint); m != nil {
		for k := range m.All() {
			if k.Egress == last.policy.Egress {
				there = append(there, fmt.Sprintf("%q", k.String()))
			}
		}
	}
	if len(there) > 0 {
		x.because += "; there is only " + strings.Join(there, ", ")
	}
}

func (b *runBuilder) explainSource(x *explanation, e *node.Event) {
	x.Command = fmt.Sprintf("cilium endpoint get %d", e.Hook.Endpoint)
	src := "the source"
	if ip := ipOf(e.Packet.Data); ip != nil {
		src = ip4(ip.Src()).String()
	}
	own := "its own address"
	for _, ep := range b.node.cluster.Endpoints(b.node.name) {
		if ep.ID == e.Hook.Endpoint {
			own = ep.IP.String()
		}
	}
	x.Needed = "ip.src " + own
	x.because = fmt.Sprintf("%s is not the address of endpoint %s, which may send from %s only", src, b.node.endpoint(e.Hook.Endpoint), own)
}

func (b *runBuilder) explainUnroutable(x *explanation) {
	dst := b.destination()
	if dst == nil {
		x.because = b.plainly(x)
		return
	}
	x.Map, x.Missed = maps.NameIPCache, []string{dst.text}
	x.Needed = fmt.Sprintf("cilium_lxc %s:0, if it is a pod of this node; else cilium_ipcache %s with a tunnelendpoint", ip4(dst.ip), dst.text)
	x.Command = fmt.Sprintf("cilium bpf endpoint list; cilium bpf ipcache get %s", ip4(dst.ip))
	x.because = fmt.Sprintf("no endpoint of this node has %s, and cilium_ipcache knows it as identity %s only (by %s): the pod is gone or was never there",
		ip4(dst.ip), b.node.identity(dst.remote.SecLabel), orNothing(b.node.matched(dst.ip)))
}

func orNothing(s string) string {
	if s == "" {
		return "no entry"
	}
	return s
}

func (b *runBuilder) explainService(x *explanation) {
	front := b.frontend()
	x.Map, x.Command = maps.NameServices, "cilium bpf lb list"
	x.Missed = []string{front.String() + " slot 1"}
	x.Needed = x.Missed[0] + " with the id of a backend"
	x.because = fmt.Sprintf("service %s has no active backend", front)
}

func (b *runBuilder) explainTailCall(x *explanation) {
	for _, l := range b.run.Lines {
		if l.Kind == LineTailCall && l.Hit != nil && !*l.Hit {
			x.Map, x.Missed = l.Map, []string{fmt.Sprintf("slot %d", *l.Slot)}
			x.Command = "bpftool map dump name " + l.Map
			x.because = fmt.Sprintf("%s has nothing in slot %d (%s): the endpoint's programs are not loaded", l.Map, *l.Slot, l.Note)
		}
	}
	x.Needed = "the program in that slot"
}

// plainly is the reason of a drop that no entry decides.
func (b *runBuilder) plainly(x *explanation) string {
	ip := ipOf(b.frame)
	switch r := code.Ret(-int32(b.run.Drop)); {
	case r == code.DropInvalid && ip != nil && ip.TTL() <= 1:
		x.Needed = "ip.ttl 2"
		return fmt.Sprintf("TTL %d may not be decremented; Cilium sends no ICMP time exceeded", ip.TTL())
	case r == code.DropInvalid:
		return "the frame is shorter than the header that it should have"
	case r == code.DropInvalidIdentity:
		x.Needed = "a VNI other than 1"
		return "the VNI says identity 1 (host), which no other node may send"
	case r == code.DropNoTunnelKey:
		return "the frame came without a tunnel key"
	case r == code.DropEncapProhibited:
		return "a pod may not send to the tunnel's own UDP port"
	case r == code.DropUnknownL3:
		return "only IPv4 and ARP are supported"
	case r == code.DropUnsupportedL2:
		return "it is no Ethernet II frame"
	case r == code.DropFragNotFound:
		x.Map, x.Command = maps.NameFrags, "bpftool map dump name "+maps.NameFrags
		return "the first fragment with the ports has not been here"
	case r == code.DropInvalidTCBuffer:
		return "the destination 0.0.0.0 looks like an empty conntrack buffer"
	case r == code.DropWriteError:
		return "bpf_skb_store_bytes failed: the kernel could not make the packet writable, as when it is out of memory"
	case r == code.DropCsumL3:
		return "bpf_l3_csum_replace failed: the kernel could not correct the IP header's checksum"
	case r == code.DropCsumL4:
		return "bpf_l4_csum_replace failed: the kernel could not correct the transport checksum"
	case r == code.DropCTCreateFailed:
		x.Map, x.Command = maps.NameCT4, "cilium bpf ct list global; cilium bpf metrics list"
		return "the conntrack entry could not be written: the map takes no more, or the kernel has no memory for it"
	case r == code.DropUnknownCT:
		return "conntrack gave a state that the program does not know, which only a broken build does"
	case r == code.Fault:
		return "the transport header is too short for its ports"
	}
	return code.Reason(b.run.Drop)
}
