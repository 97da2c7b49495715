package journey

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hooklab/hooklab/dataplane"
	"github.com/hooklab/hooklab/dataplane/code"
	"github.com/hooklab/hooklab/dataplane/node"
	"github.com/hooklab/hooklab/dataplane/trace"
	"github.com/hooklab/hooklab/maps"
)

// decide reads the decisions of a run out of its lookups, in their order.
func (b *runBuilder) decide(e *node.Event) {
	if k := e.Packet.TunnelIn; e.Hook.Prog == dataplane.FromOverlay && k.Present {
		b.decided(TopicSource, "the sender's identity is the VNI, "+b.node.identity(k.ID))
	}
	b.decideLookups()
	b.route(e)
}

// decideLookups reads the decisions that lookups tell.
func (b *runBuilder) decideLookups() {
	ls := b.run.lookups
	for i := 0; i < len(ls); {
		n := together(ls[i:])
		switch group := ls[i : i+n]; group[0].m {
		case trace.MapServices, trace.MapBackends:
			b.service(group)
		case trace.MapCT4, trace.MapCTAny4:
			b.conntrack(group)
		case trace.MapPolicy:
			b.policy(group)
		case trace.MapLXC:
			b.endpoint(&group[0])
		case trace.MapRevNAT:
			b.reverseNAT(&group[0])
		case trace.MapIPCache, trace.MapTunnel, trace.MapFrags, trace.MapPolicyCall, trace.MapCalls:
		}
		i += n
	}
}

func (b *runBuilder) decided(t Topic, text string) {
	b.run.Decisions = append(b.run.Decisions, Decision{Topic: t, Text: text})
}

// together is how many lookups belong to one decision: those of one call of
// ct_lookup4, of one policy check, of one choice of a backend.
func together(ls []lookup) int {
	first := ls[0]
	n := 1
	for n < len(ls) && ls[n].m == first.m && first.m != trace.MapLXC && first.m != trace.MapServices && slices.Equal(ls[n].in, first.in) {
		n++
	}
	return n
}

// within says that a function was open.
func (l *lookup) within(funcs ...string) bool {
	return slices.ContainsFunc(funcs, func(f string) bool { return slices.Contains(l.in, f) })
}

// service is a frontend that was found, and the backend that was chosen.
func (b *runBuilder) service(ls []lookup) {
	l := &ls[0]
	switch {
	case l.m == trace.MapServices && l.front.BackendSlot == 0 && l.hit && l.within("lb4_lookup_service"):
		if l.service.Count == 0 {
			b.decided(TopicService, fmt.Sprintf("service %s has no backend", l.text))
		}
	case l.m == trace.MapBackends && l.hit:
		front := b.frontend()
		chosen := b.node.backend(l.id)
		d := Decision{Topic: TopicService, Chosen: chosen, Text: fmt.Sprintf("service %s goes to backend %s", front, chosen)}
		for _, other := range b.node.backends(front) {
			if other != chosen {
				d.Alternatives = append(d.Alternatives, other)
			}
		}
		b.run.Decisions = append(b.run.Decisions, d)
	}
}

// frontend is the service that was found last.
func (b *runBuilder) frontend() maps.LB4Key {
	for _, l := range slices.Backward(b.run.lookups) {
		if l.m == trace.MapServices && l.front.BackendSlot == 0 && l.hit {
			return l.front
		}
	}
	return maps.LB4Key{}
}

// conntrack is the outcome of ct_lookup4 (SPEC 5.2): the first lookup is for a reply,
// the second for the packet's own direction.
func (b *runBuilder) conntrack(ls []lookup) {
	dir := "ingress"
	switch l := &ls[0]; {
	case l.within("lb4_local"):
		dir = "service"
	case l.within("tail_ipv4_ct_egress"):
		dir = "egress"
	}
	state := code.CTNew
	for i := range ls {
		if !ls[i].hit {
			continue
		}
		closing := ls[i].ctEntry.Flags&(maps.CTRxClosing|maps.CTTxClosing) != 0
		switch {
		case dir == "service":
			b.decided(TopicConntrack, fmt.Sprintf("conntrack service: known, keeps backend %d", ls[i].ctEntry.RxBytes))
			return
		case i == 0 && ls[i].ct.Flags&maps.TupleRelated != 0:
			state = code.CTRelated
		case i == 0:
			state = code.CTReply
		case closing && b.cleared(&ls[i]):
			state = code.CTReopened
		default:
			state = code.CTEstablished
		}
		break
	}
	b.decided(TopicConntrack, fmt.Sprintf("conntrack %s: %s", dir, state))
}

// cleared says that the entry is no longer closing.
func (b *runBuilder) cleared(l *lookup) bool {
	ct := b.node.set.CT4
	if l.m == trace.MapCTAny4 {
		ct = b.node.set.CTAny4
	}
	for k, v := range ct.All() {
		if *k == l.ct {
			return v.Flags&(maps.CTRxClosing|maps.CTTxClosing) == 0
		}
	}
	return false
}

// policy is the outcome of __policy_can_access (SPEC 13): the first entry that is
// there decides.
func (b *runBuilder) policy(ls []lookup) {
	dir := "ingress"
	if ls[0].policy.Egress != 0 {
		dir = "egress"
	}
	who := "of endpoint " + b.node.endpoint(ls[0].endpoint)
	last := &ls[len(ls)-1]
	switch {
	case !last.hit:
		b.decided(TopicPolicy, fmt.Sprintf("policy %s %s: no entry of %s matches", dir, who, last.name))
	case last.allow.Deny&maps.PolicyDeny != 0:
		b.decided(TopicPolicy, fmt.Sprintf("policy %s %s: denied by %q", dir, who, last.text))
	default:
		b.decided(TopicPolicy, fmt.Sprintf("policy %s %s: allowed by %q (%s)", dir, who, last.text, match(last.policy)))
	}
}

// match is how an entry matches, as `cilium monitor` prints it.
func match(k maps.PolicyKey) code.MatchType {
	port := k.DPort != [2]byte{} || k.Proto != 0
	switch {
	case k.SecLabel != 0 && port:
		return code.MatchL3L4
	case port:
		return code.MatchL4
	case k.SecLabel != 0:
		return code.MatchL3
	}
	return code.MatchAll
}

// endpoint is a local endpoint that was found for the destination.
func (b *runBuilder) endpoint(l *lookup) {
	switch {
	case !l.hit:
	case l.local.Flags&maps.EndpointHost != 0:
		b.decided(TopicRoute, fmt.Sprintf("cilium_lxc says that %s is this host", ip4(l.ip)))
	default:
		b.decided(TopicRoute, fmt.Sprintf("cilium_lxc has %s as local endpoint %s", ip4(l.ip), b.node.endpoint(l.local.LXCID)))
	}
}

func (b *runBuilder) reverseNAT(l *lookup) {
	if l.hit {
		b.decided(TopicNAT, fmt.Sprintf("reverse NAT %s makes the source %s again", l.text, l.value))
		return
	}
	b.decided(TopicNAT, fmt.Sprintf("reverse NAT %s is missing: the source stays as it is", l.text))
}

// route is where a packet goes that is for no local endpoint.
func (b *runBuilder) route(e *node.Event) {
	dst := b.destination()
	switch v := e.Verdict; {
	case v.Kind() == dataplane.Redirected && b.node.device(v.Ifindex) == node.VXLAN.String():
		b.decided(TopicRoute, b.tunnel(e.Packet.TunnelOut))
	case e.Hook.Prog != dataplane.FromContainer || v.Kind() != dataplane.Pass || dst == nil:
	case slices.ContainsFunc(b.run.Decisions, func(d Decision) bool { return strings.HasSuffix(d.Text, "is this host") }):
	case strings.HasPrefix(b.node.cluster.NameOf(ip4(dst.ip)), "service "):
		b.decided(TopicRoute, fmt.Sprintf("%s is the ClusterIP of %s, which has no such port and answers nothing else, so the host stack gets it",
			ip4(dst.ip), b.node.cluster.NameOf(ip4(dst.ip))))
	default:
		b.decided(TopicRoute, fmt.Sprintf("%s is neither a local endpoint nor behind a tunnel (cilium_ipcache: identity %s), so the host stack gets it",
			ip4(dst.ip), b.node.identity(dst.remote.SecLabel)))
	}
}

// destination is what cilium_ipcache knew of the packet's destination, or nil.
func (b *runBuilder) destination() *lookup {
	for i := range slices.Backward(b.run.lookups) {
		if l := &b.run.lookups[i]; l.m == trace.MapIPCache && !l.within("resolve_srcid_ipv4") {
			return l
		}
	}
	return nil
}

// tunnel says which entry chose the tunnel.
func (b *runBuilder) tunnel(k dataplane.TunnelKey) string {
	to := fmt.Sprintf("tunnel to %s with VNI %s", ip4(k.Remote), b.node.identity(k.ID))
	for i := range slices.Backward(b.run.lookups) {
		switch l := &b.run.lookups[i]; {
		case l.m == trace.MapTunnel && l.hit:
			return fmt.Sprintf("cilium_tunnel_map has %s: %s", l.text, to)
		case l.m == trace.MapIPCache && l.hit && l.remote.TunnelEndpoint == k.Remote:
			return fmt.Sprintf("cilium_ipcache has %s: %s", b.node.matched(l.ip), to)
		}
	}
	return to
}
