package trace

import "strconv"

// Func is a function of the datapath, under the name that the C source has.
type Func uint8

// Functions, in the order of the C files and, within one, in the order in which
// a packet meets them.
const (
	HandleXgress Func = iota
	TailHandleARP
	LXCTailHandleIPv4
	TailHandleIPv4Inner
	TailIPv4CTEgress
	TailHandleIPv4Cont
	HandleIPv4FromLXC
	HandlePolicy
	TailIPv4CTIngressPolicyOnly
	TailIPv4Policy
	IPv4Policy
	HandleToContainer
	TailIPv4CTIngress
	TailIPv4ToEndpoint
	FromHost
	FromNetdev
	HandleNetdev
	DoNetdev
	ResolveSrcIDIPv4
	TailHandleIPv4FromHost
	TailHandleIPv4FromNetdev
	HostTailHandleIPv4
	HostHandleIPv4
	ToHost
	ToNetdev
	FromOverlay
	OverlayTailHandleIPv4
	OverlayHandleIPv4
	ToOverlay
	ARPValidate
	ARPRespond
	IPv4HandleFragmentation
	IPv4L3
	IPv4LocalDelivery
	L4ModifyPort
	LookupIP4Endpoint
	IPCacheLookup4
	InheritIdentityFromHost
	EncapAndRedirectLXC
	EncapAndRedirectNetdev
	EncapAndRedirectWithNodeID
	EncapAndRedirectWithNodeIDInner
	EncapWithNodeIDInner
	CTLookup4
	CTLookupInner
	CTCreate4
	LB4LookupService
	LB4Local
	LB4Xlate
	LB4RevNAT
	LB4RevNATInner
	PolicyCanEgress4
	PolicyCanAccessIngress
	PolicyCanAccessInner
	RedirectEP
	CtxRedirect
	CtxRedirectPeer
	CtxRedirectToProxy4
	CtxRedirectToProxyFirst
	CtxRedirectToProxyHairpinIPv4
	SendTraceNotify
	SendDropNotify
	SendDropNotifyInner
	SendPolicyVerdictNotify
	numFuncs
)

// Name is the C function, "handle_xgress".
func (f Func) Name() string { return f.lookup().name }

// File is the C file below bpf/, "bpf_lxc.c" or "lib/arp.h".
func (f Func) File() string { return f.lookup().file }

// String is the C function's name.
func (f Func) String() string { return f.Name() }

// Funcs are all functions that a Buffer can tell.
func Funcs() []Func {
	fs := make([]Func, numFuncs)
	for i := range fs {
		fs[i] = Func(i)
	}
	return fs
}

type cFunc struct{ name, file string }

func (f Func) lookup() cFunc {
	if f < numFuncs {
		return cFuncs[f]
	}
	return cFunc{name: "func(" + strconv.Itoa(int(f)) + ")"}
}

var cFuncs = [numFuncs]cFunc{
	HandleXgress:                    {"handle_xgress", "bpf_lxc.c"},
	TailHandleARP:                   {"tail_handle_arp", "bpf_lxc.c"},
	LXCTailHandleIPv4:               {"tail_handle_ipv4", "bpf_lxc.c"},
	TailHandleIPv4Inner:             {"__tail_handle_ipv4", "bpf_lxc.c"},
	TailIPv4CTEgress:                {"tail_ipv4_ct_egress", "bpf_lxc.c"},
	TailHandleIPv4Cont:              {"tail_handle_ipv4_cont", "bpf_lxc.c"},
	HandleIPv4FromLXC:               {"handle_ipv4_from_lxc", "bpf_lxc.c"},
	HandlePolicy:                    {"handle_policy", "bpf_lxc.c"},
	TailIPv4CTIngressPolicyOnly:     {"tail_ipv4_ct_ingress_policy_only", "bpf_lxc.c"},
	TailIPv4Policy:                  {"tail_ipv4_policy", "bpf_lxc.c"},
	IPv4Policy:                      {"ipv4_policy", "bpf_lxc.c"},
	HandleToContainer:               {"handle_to_container", "bpf_lxc.c"},
	TailIPv4CTIngress:               {"tail_ipv4_ct_ingress", "bpf_lxc.c"},
	TailIPv4ToEndpoint:              {"tail_ipv4_to_endpoint", "bpf_lxc.c"},
	FromHost:                        {"from_host", "bpf_host.c"},
	FromNetdev:                      {"from_netdev", "bpf_host.c"},
	HandleNetdev:                    {"handle_netdev", "bpf_host.c"},
	DoNetdev:                        {"do_netdev", "bpf_host.c"},
	ResolveSrcIDIPv4:                {"resolve_srcid_ipv4", "bpf_host.c"},
	TailHandleIPv4FromHost:          {"tail_handle_ipv4_from_host", "bpf_host.c"},
	TailHandleIPv4FromNetdev:        {"tail_handle_ipv4_from_netdev", "bpf_host.c"},
	HostTailHandleIPv4:              {"tail_handle_ipv4", "bpf_host.c"},
	HostHandleIPv4:                  {"handle_ipv4", "bpf_host.c"},
	ToHost:                          {"to_host", "bpf_host.c"},
	ToNetdev:                        {"to_netdev", "bpf_host.c"},
	FromOverlay:                     {"from_overlay", "bpf_overlay.c"},
	OverlayTailHandleIPv4:           {"tail_handle_ipv4", "bpf_overlay.c"},
	OverlayHandleIPv4:               {"handle_ipv4", "bpf_overlay.c"},
	ToOverlay:                       {"to_overlay", "bpf_overlay.c"},
	ARPValidate:                     {"arp_validate", "lib/arp.h"},
	ARPRespond:                      {"arp_respond", "lib/arp.h"},
	IPv4HandleFragmentation:         {"ipv4_handle_fragmentation", "lib/ipv4.h"},
	IPv4L3:                          {"ipv4_l3", "lib/l3.h"},
	IPv4LocalDelivery:               {"ipv4_local_delivery", "lib/l3.h"},
	L4ModifyPort:                    {"l4_modify_port", "lib/l4.h"},
	LookupIP4Endpoint:               {"lookup_ip4_endpoint", "lib/eps.h"},
	IPCacheLookup4:                  {"ipcache_lookup4", "lib/eps.h"},
	InheritIdentityFromHost:         {"inherit_identity_from_host", "lib/identity.h"},
	EncapAndRedirectLXC:             {"encap_and_redirect_lxc", "lib/encap.h"},
	EncapAndRedirectNetdev:          {"encap_and_redirect_netdev", "lib/encap.h"},
	EncapAndRedirectWithNodeID:      {"encap_and_redirect_with_nodeid", "lib/encap.h"},
	EncapAndRedirectWithNodeIDInner: {"__encap_and_redirect_with_nodeid", "lib/encap.h"},
	EncapWithNodeIDInner:            {"__encap_with_nodeid", "lib/encap.h"},
	CTLookup4:                       {"ct_lookup4", "lib/conntrack.h"},
	CTLookupInner:                   {"__ct_lookup", "lib/conntrack.h"},
	CTCreate4:                       {"ct_create4", "lib/conntrack.h"},
	LB4LookupService:                {"lb4_lookup_service", "lib/lb.h"},
	LB4Local:                        {"lb4_local", "lib/lb.h"},
	LB4Xlate:                        {"lb4_xlate", "lib/lb.h"},
	LB4RevNAT:                       {"lb4_rev_nat", "lib/lb.h"},
	LB4RevNATInner:                  {"__lb4_rev_nat", "lib/lb.h"},
	PolicyCanEgress4:                {"policy_can_egress4", "lib/policy.h"},
	PolicyCanAccessIngress:          {"policy_can_access_ingress", "lib/policy.h"},
	PolicyCanAccessInner:            {"__policy_can_access", "lib/policy.h"},
	RedirectEP:                      {"redirect_ep", "lib/common.h"},
	CtxRedirect:                     {"ctx_redirect", "lib/overloadable_skb.h"},
	CtxRedirectPeer:                 {"ctx_redirect_peer", "lib/overloadable_skb.h"},
	CtxRedirectToProxy4:             {"ctx_redirect_to_proxy4", "lib/proxy.h"},
	CtxRedirectToProxyFirst:         {"ctx_redirect_to_proxy_first", "lib/proxy.h"},
	CtxRedirectToProxyHairpinIPv4:   {"ctx_redirect_to_proxy_hairpin_ipv4", "lib/proxy.h"},
	SendTraceNotify:                 {"send_trace_notify", "lib/trace.h"},
	SendDropNotify:                  {"send_drop_notify", "lib/drop.h"},
	SendDropNotifyInner:             {"__send_drop_notify", "lib/drop.h"},
	SendPolicyVerdictNotify:         {"send_policy_verdict_notify", "lib/policy_log.h"},
}
