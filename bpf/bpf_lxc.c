//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */

/*
 * The programs of a pod: from-container and to-container at the host side of its
 * wire, and the policy program that others tail call to deliver to it. Functions
 * stand in the order in which a packet meets them.
 */

#define IS_BPF_LXC
#define EVENT_SOURCE LXC_ID
#define MAGIC_FILE 8
#define LOCAL_DELIVERY_METRICS true
#define CALLS_MAP cilium_calls_65535
#define POLICY_MAP cilium_policy_65535

#include "lib/arp.h"
#include "lib/drop.h"
#include "lib/encap.h"
#include "lib/eth.h"
#include "lib/lb.h"
#include "lib/policy.h"
#include "lib/proxy.h"

/* A drop of what leaves the pod, and of what goes to it. */
#define egress_drop(ctx, dst_id, error)                                                            \
	send_drop_notify(ctx, .src = SECLABEL, .dst = dst_id, .reason = error,                     \
			 .exit = TC_ACT_SHOT, .dir = METRIC_EGRESS)
#define ingress_drop(ctx, src_id, error)                                                           \
	send_drop_notify(ctx, .src = src_id, .dst = SECLABEL, .dst_id = LXC_ID, .reason = error,   \
			 .exit = TC_ACT_SHOT, .dir = METRIC_INGRESS)

/* from-container: a frame has left the pod. */
SEC("from-container")
int handle_xgress(struct __sk_buff *ctx)
{
	__u16 proto;

	bpf_clear_meta(ctx);
	ctx->queue_mapping = 0;
	send_trace_notify(ctx, &(struct observation){
		.point = TRACE_FROM_LXC,
		.src = SECLABEL,
		.reason = TRACE_REASON_UNKNOWN,
		.monitor = TRACE_PAYLOAD_ALWAYS,
	});
	if (!validate_ethertype(ctx, &proto))
		return egress_drop(ctx, 0, DROP_UNSUPPORTED_L2);
	switch (proto) {
	case ETH_P_IP:
		ep_tail_call(ctx, CILIUM_CALL_IPV4_FROM_LXC);
		return egress_drop(ctx, 0, DROP_MISSED_TAIL_CALL);
	case ETH_P_ARP:
		ep_tail_call(ctx, CILIUM_CALL_ARP);
		return egress_drop(ctx, 0, DROP_MISSED_TAIL_CALL);
	}
	return egress_drop(ctx, 0, DROP_UNKNOWN_L3);
}

/*
 * tail_handle_arp answers the pod's ARP requests for any address but its own (SPEC
 * 2); all other ARP goes to the stack.
 */
SEC("2/6")
int tail_handle_arp(struct __sk_buff *ctx)
{
	struct macaddr mac = mac_load(NODE_MAC);
	__be32 target;

	if (!arp_validate(ctx, mac, &target))
		return TC_ACT_OK;
	if (target == LXC_IPV4)
		return TC_ACT_OK; /* duplicate address detection */
	return arp_respond(ctx, mac);
}

/*
 * __tail_handle_ipv4 checks the source address and translates services; the choice
 * goes on to the next programs in the scratch slots (SPEC 3.3).
 */
static __always_inline int __tail_handle_ipv4(struct __sk_buff *ctx)
{
	struct iphdr *ip4 = ctx_ip4(ctx);
	struct ct_state state = {};
	struct lb4_service *svc;
	struct lb4_key key = {};
	int ret;

	if (!ip4)
		return DROP_INVALID;
	if (ip4->saddr != LXC_IPV4)
		return DROP_INVALID_SIP;
	ret = lb4_extract_key(ctx, ip4, &key);
	if (ret < 0) {
		if (ret != DROP_NO_SERVICE && ret != DROP_UNKNOWN_L4)
			return ret;
		goto no_service;
	}
	svc = lb4_lookup_service(&key);
	if (svc) {
		ret = lb4_local(ctx, ip4, &key, svc, &state);
		if (ret < 0)
			return ret;
	}
no_service:
	lb4_ctx_store_state(ctx, &state);
	ep_tail_call(ctx, CILIUM_CALL_IPV4_CT_EGRESS);
	return DROP_MISSED_TAIL_CALL;
}

/* tail_handle_ipv4 begins the pod's IPv4 path. */
SEC("2/7")
int tail_handle_ipv4(struct __sk_buff *ctx)
{
	int ret = __tail_handle_ipv4(ctx);

	return ret < 0 ? egress_drop(ctx, 0, ret) : ret;
}

/*
 * tail_ipv4_ct_egress looks up the packet's connection. Its errors go straight to the
 * kernel, which then passes the frame to the stack: no drop, no event, no metric
 * (SPEC 3.6).
 */
SEC("2/29")
int tail_ipv4_ct_egress(struct __sk_buff *ctx)
{
	int ret = ct_to_buffer(ctx, CT_EGRESS);

	if (ret < 0)
		return ret;
	ep_tail_call(ctx, CILIUM_CALL_IPV4_FROM_LXC_CONT);
	return DROP_MISSED_TAIL_CALL;
}

/* A packet that leaves the pod, on its way through handle_ipv4_from_lxc. */
struct egress {
	__u32 dst_id; /* identity of the destination */
	__be32 tunnel_endpoint; /* that the ipcache has for it, or 0 */
	struct ct_buffer4 *ct; /* the connection found */
	struct ct_state lb; /* chosen by the load balancer */
	int verdict;
	bool hairpin;
};

static __always_inline bool ct_is_reply(int status)
{
	return status == CT_REPLY || status == CT_RELATED;
}

/*
 * egress_policy asks the pod's policy, unless the packet goes back to the pod itself.
 * Replies are asked too, which counts them, but never refused.
 */
static __always_inline int egress_policy(struct __sk_buff *ctx, struct egress *e)
{
	int status = e->ct->ret;
	struct access a = {
		.remote = e->dst_id,
		.dport = e->ct->tuple.dport,
		.proto = e->ct->tuple.nexthdr,
		.egress = true,
	};
	enum policy_match match;

	if (e->hairpin)
		return 0;
	e->verdict = policy_can_egress4(ctx, &a, &match);
	if (ct_is_reply(status))
		return 0;
	if (e->verdict < 0 || status == CT_NEW || status == CT_REOPENED)
		send_policy_verdict_notify(ctx, &a, e->verdict, match);
	return e->verdict < 0 ? e->verdict : 0;
}

/*
 * egress_connection creates the packet's connection, or, for a reply of a service
 * backend, undoes the translation.
 */
static __always_inline int egress_connection(struct __sk_buff *ctx, struct egress *e)
{
	struct csum_offset csum;
	struct iphdr *ip4;

	switch (e->ct->ret) {
	case CT_REOPENED:
	case CT_ESTABLISHED:
		if (likely(e->ct->rev_nat_index == e->lb.rev_nat_index))
			return 0;
		/* The entry is that of another service, or of none: create it anew. */
		break;
	case CT_NEW:
		break;
	case CT_REPLY:
	case CT_RELATED:
		ctx_store_meta(ctx, CB_POLICY, 1);
		if (!e->ct->rev_nat_index)
			return 0;
		/*
		 * This takes a later fragment for one with an L4 header, and changes two
		 * bytes of its payload where the checksum would be: so does Cilium.
		 */
		csum = csum_l4_offset_and_flags(e->ct->tuple.nexthdr);
		ip4 = ctx_ip4(ctx);
		return ip4 ? lb4_rev_nat(ctx, ip4, e->ct, &csum) : DROP_INVALID;
	default:
		return DROP_UNKNOWN_CT;
	}
	e->lb.src_sec_id = SECLABEL;
	return ct_create4(ctx, &e->ct->tuple, CT_EGRESS, &e->lb, e->verdict > 0, true);
}

static __always_inline void egress_observe(struct __sk_buff *ctx, const struct egress *e,
					   enum trace_point point, __u32 dst, __u16 dst_id)
{
	send_trace_notify(ctx, &(struct observation){
		.point = point,
		.src = SECLABEL,
		.dst = dst,
		.dst_id = dst_id,
		.reason = e->ct->ret,
		.monitor = e->ct->monitor,
	});
}

/* pass_to_stack gives the packet to the host stack with the pod's identity in the mark. */
static __always_inline int pass_to_stack(struct __sk_buff *ctx, struct egress *e)
{
	if (ENABLE_ROUTING) {
		struct macaddr mac = mac_load(NODE_MAC);
		struct iphdr *ip4 = ctx_ip4(ctx);
		int ret = ip4 ? ipv4_l3(ip4, NULL, &mac) : DROP_INVALID;

		if (ret)
			return ret;
	}
	ctx->mark |= MARK_MAGIC_IDENTITY;
	set_identity_mark(ctx, SECLABEL);
	egress_observe(ctx, e, TRACE_TO_STACK, e->dst_id, 0);
	return TC_ACT_OK;
}

/* egress_route sends the packet to a local pod, another node or the stack. */
static __always_inline int egress_route(struct __sk_buff *ctx, struct egress *e)
{
	struct iphdr *ip4 = ctx_ip4(ctx);
	int ret;

	if (!ip4)
		return DROP_INVALID;
	/*
	 * A hairpin packet is delivered even without routing, whoever it is for: the
	 * stack would not send it out of the device it came from.
	 */
	if (ENABLE_ROUTING || e->hairpin) {
		struct endpoint_info *ep = lookup_ip4_endpoint(ip4->daddr);

		if (ep) {
			if (ENABLE_ROUTING && ep->flags & ENDPOINT_F_HOST)
				return pass_to_stack(ctx, e);
			ctx_store_meta(ctx, CB_POLICY, 0);
			return ipv4_local_delivery(ctx, ip4, ep, SECLABEL, METRIC_EGRESS, false,
						   e->hairpin);
		}
	}
	ret = encap_and_redirect_lxc(ctx, e->tunnel_endpoint, ip4->daddr, SECLABEL, e->ct->ret,
				     e->ct->monitor);
	return ret == DROP_NO_TUNNEL_ENDPOINT ? pass_to_stack(ctx, e) : ret;
}

/*
 * handle_ipv4_from_lxc decides the packet's way: policy, connection, then local pod,
 * other node or the stack (SPEC 3.5). dst_id is set to the destination's identity.
 */
static __always_inline int handle_ipv4_from_lxc(struct __sk_buff *ctx, __u32 *dst_id)
{
	struct iphdr *ip4 = ctx_ip4(ctx);
	struct remote_endpoint_info *info;
	struct egress e = {};
	int ret, status;

	if (!ip4)
		return DROP_INVALID;
	info = ipcache_lookup4(ip4->daddr);
	if (info && info->sec_label != UNKNOWN_ID) {
		*dst_id = info->sec_label;
		e.tunnel_endpoint = info->tunnel_endpoint;
	}
	e.dst_id = *dst_id;
	lb4_ctx_restore_state(ctx, &e.lb, ip4->daddr);
	e.hairpin = e.lb.flags & CT_F_LB_LOOPBACK;
	e.ct = ct_take_buffer();
	if (!e.ct)
		return DROP_INVALID_TC_BUFFER;
	status = e.ct->ret;
	if (ct_is_reply(status) && e.ct->flags & CT_F_PROXY_REDIRECT)
		return ctx_redirect_to_proxy4(ctx, 0);
	ret = egress_policy(ctx, &e);
	if (ret < 0)
		return ret;
	ret = egress_connection(ctx, &e);
	if (ret < 0)
		return ret;
	if (e.ct->flags & CT_F_LB_LOOPBACK)
		e.hairpin = true;
	if (redirect_to_proxy(e.verdict, status)) {
		egress_observe(ctx, &e, TRACE_TO_PROXY, 0, bpf_ntohs(e.verdict));
		return ctx_redirect_to_proxy4(ctx, e.verdict);
	}
	return egress_route(ctx, &e);
}

/* tail_handle_ipv4_cont ends the pod's IPv4 path. */
SEC("2/25")
int tail_handle_ipv4_cont(struct __sk_buff *ctx)
{
	__u32 dst_id = WORLD_ID;
	int ret = handle_ipv4_from_lxc(ctx, &dst_id);

	return ret < 0 ? egress_drop(ctx, dst_id, ret) : ret;
}

/* A packet that goes to the pod, on its way through ipv4_policy. */
struct ingress {
	__u32 src_id; /* identity of the sender */
	__u32 ifindex; /* device to deliver to; 0: the hook's own, by returning OK */
	bool from_host;
	__be16 proxy_port; /* where POLICY_ACT_PROXY_REDIRECT leads */

	__be32 orig_sip;
	struct ct_buffer4 *ct; /* the connection found */
	int verdict;
};

static __always_inline void ingress_observe(struct __sk_buff *ctx, const struct ingress *i,
					    enum trace_point point, __u16 dst_id)
{
	send_trace_notify(ctx, &(struct observation){
		.point = point,
		.src = i->src_id,
		.dst = SECLABEL,
		.dst_id = dst_id,
		.ifindex = i->ifindex,
		.reason = i->ct->ret,
		.monitor = i->ct->monitor,
		.orig_ip4 = i->orig_sip,
	});
}

/*
 * ingress_policy asks the pod's policy, unless the packet is the pod's own. Replies are
 * asked too, which counts them, but never refused.
 */
static __always_inline int ingress_policy(struct __sk_buff *ctx, struct ingress *i)
{
	int status = i->ct->ret;
	struct access a = {
		.remote = i->src_id,
		.dport = i->ct->tuple.dport,
		.proto = i->ct->tuple.nexthdr,
	};
	enum policy_match match;

	if (i->ct->flags & CT_F_LB_LOOPBACK)
		return 0;
	i->verdict = policy_can_access_ingress(ctx, &a, &match);
	if (i->verdict < 0) {
		if (ct_is_reply(status))
			return 0;
		send_policy_verdict_notify(ctx, &a, i->verdict, match);
		return i->verdict;
	}
	if (ctx->tc_index & TC_INDEX_F_SKIP_INGRESS_PROXY) {
		i->verdict = 0; /* it comes from that proxy, whose connection was reported */
		return 0;
	}
	if (status == CT_NEW || status == CT_REOPENED)
		send_policy_verdict_notify(ctx, &a, i->verdict, match);
	return 0;
}

/* ingress_rev_nat undoes service translation where the pod was the client. */
static __always_inline int ingress_rev_nat(struct __sk_buff *ctx, struct iphdr *ip4,
					   struct ingress *i)
{
	struct csum_offset csum = {};

	if (i->ct->ret != CT_REPLY || !i->ct->rev_nat_index || i->ct->flags & CT_F_LB_LOOPBACK)
		return 0;
	if (ipv4_has_l4_header(ip4)) /* a later fragment has no checksum */
		csum = csum_l4_offset_and_flags(i->ct->tuple.nexthdr);
	return lb4_rev_nat(ctx, ip4, i->ct, &csum);
}

/* ingress_deliver sends the packet into the pod. */
static __always_inline int ingress_deliver(struct __sk_buff *ctx, const struct ingress *i)
{
	if (ENABLE_ENDPOINT_ROUTES) {
		/* The frame has the pod's MAC already: the stack would take it for another's. */
		bpf_skb_change_type(ctx, PACKET_HOST);
		return TC_ACT_OK;
	}
	return i->ifindex ? redirect_ep(ctx, i->ifindex, i->from_host) : TC_ACT_OK;
}

/*
 * ipv4_policy undoes service translation, asks the pod's policy, creates the connection
 * and delivers (SPEC 4).
 */
static __always_inline int ipv4_policy(struct __sk_buff *ctx, struct ingress *i)
{
	struct iphdr *ip4 = ctx_ip4(ctx);
	int ret, status;

	if (!ip4)
		return DROP_INVALID;
	ctx_store_meta(ctx, CB_POLICY, 0);
	i->orig_sip = ip4->saddr;
	i->ct = ct_take_buffer();
	if (!i->ct)
		return DROP_INVALID_TC_BUFFER;
	status = i->ct->ret;
	if (ct_is_reply(status) && i->ct->flags & CT_F_PROXY_REDIRECT &&
	    !(ctx->tc_index & TC_INDEX_F_SKIP_EGRESS_PROXY)) {
		ingress_observe(ctx, i, TRACE_TO_PROXY, 0);
		i->proxy_port = 0;
		return POLICY_ACT_PROXY_REDIRECT;
	}
	ret = ingress_rev_nat(ctx, ip4, i);
	if (ret < 0)
		return ret;
	ret = ingress_policy(ctx, i);
	if (ret < 0)
		return ret;
	if (status == CT_NEW) {
		struct ct_state state = { .src_sec_id = i->src_id };

		ret = ct_create4(ctx, &i->ct->tuple, CT_INGRESS, &state, i->verdict > 0, true);
		if (ret < 0)
			return ret;
	}
	if (redirect_to_proxy(i->verdict, status)) {
		i->proxy_port = i->verdict;
		ingress_observe(ctx, i, TRACE_TO_PROXY, bpf_ntohs(i->proxy_port));
		return POLICY_ACT_PROXY_REDIRECT;
	}
	ingress_observe(ctx, i, TRACE_TO_LXC, LXC_ID);
	return ingress_deliver(ctx, i);
}

/* tail_ipv4_policy applies the pod's ingress policy and delivers. */
static __always_inline int tail_ipv4_policy(struct __sk_buff *ctx)
{
	struct ingress i = {
		.src_id = ctx_load_meta(ctx, CB_SRC_LABEL),
		.ifindex = ctx_load_meta(ctx, CB_IFINDEX),
		.from_host = ctx_load_meta(ctx, CB_FROM_HOST),
	};
	int ret;

	ctx_store_meta(ctx, CB_SRC_LABEL, 0);
	ctx_store_meta(ctx, CB_FROM_HOST, 0);
	ret = ipv4_policy(ctx, &i);
	if (ret == POLICY_ACT_PROXY_REDIRECT)
		ret = ctx_redirect_to_proxy4(ctx, i.proxy_port);
	if (ret < 0)
		return ingress_drop(ctx, i.src_id, ret);
	ctx_store_meta(ctx, CB_PROXY_MAGIC, ctx->mark); /* to-host looks here for a proxy's packet */
	return ret;
}

/*
 * handle_policy is the pod's policy program, run in the sender's hook. The scratch slots
 * say who sends (0), to which device (1) and whether it is the host (3). The lookup of
 * the connection and what follows it are tail calls in a build with IPv6; here, as in
 * any IPv4-only build, they are part of it. Errors of the lookup go straight to the
 * kernel (SPEC 3.6).
 */
SEC("1/65535")
int handle_policy(struct __sk_buff *ctx)
{
	__u16 proto;
	int ret;

	if (!validate_ethertype(ctx, &proto))
		return ingress_drop(ctx, ctx_load_meta(ctx, CB_SRC_LABEL), DROP_UNSUPPORTED_L2);
	if (proto != ETH_P_IP)
		return ingress_drop(ctx, ctx_load_meta(ctx, CB_SRC_LABEL), DROP_UNKNOWN_L3);
	ret = ct_to_buffer(ctx, CT_INGRESS);
	return ret < 0 ? ret : tail_ipv4_policy(ctx);
}

/*
 * to-container: a frame is about to enter the pod through the egress of its device (SPEC
 * 10.5).
 */
SEC("to-container")
int handle_to_container(struct __sk_buff *ctx)
{
	__u32 identity, magic;
	__u16 proto;

	if (!validate_ethertype(ctx, &proto))
		return ingress_drop(ctx, 0, DROP_UNSUPPORTED_L2);
	bpf_clear_meta(ctx);
	magic = inherit_identity_from_host(ctx, &identity);
	send_trace_notify(ctx, &(struct observation){
		.point = magic_is_proxy(magic) ? TRACE_FROM_PROXY : TRACE_FROM_STACK,
		.src = identity,
		.ifindex = ctx->ingress_ifindex,
		.reason = TRACE_REASON_UNKNOWN,
		.monitor = TRACE_PAYLOAD_ALWAYS,
	});
	ctx_store_meta(ctx, CB_SRC_LABEL, identity);
	switch (proto) {
	case ETH_P_ARP:
		return TC_ACT_OK;
	case ETH_P_IP:
		ep_tail_call(ctx, CILIUM_CALL_IPV4_CT_INGRESS);
		return ingress_drop(ctx, identity, DROP_MISSED_TAIL_CALL);
	}
	return ingress_drop(ctx, identity, DROP_UNKNOWN_L3);
}

/*
 * tail_ipv4_ct_ingress looks up the connection of a packet that to-container has. Its
 * errors go straight to the kernel: at egress the frame then reaches the pod.
 */
SEC("2/27")
int tail_ipv4_ct_ingress(struct __sk_buff *ctx)
{
	int ret = ct_to_buffer(ctx, CT_INGRESS);

	if (ret < 0)
		return ret;
	ep_tail_call(ctx, CILIUM_CALL_IPV4_TO_ENDPOINT);
	return DROP_MISSED_TAIL_CALL;
}

/*
 * tail_ipv4_to_endpoint applies the pod's ingress policy to a packet that is on the
 * pod's own device already.
 */
SEC("2/13")
int tail_ipv4_to_endpoint(struct __sk_buff *ctx)
{
	struct ingress i = { .src_id = ctx_load_meta(ctx, CB_SRC_LABEL), .from_host = true };
	struct iphdr *ip4 = ctx_ip4(ctx);
	int ret;

	if (!ip4)
		return ingress_drop(ctx, i.src_id, DROP_INVALID);
	i.src_id = resolve_identity(i.src_id, ip4->saddr);
	update_metrics(ctx, METRIC_INGRESS, REASON_FORWARDED);
	ctx_store_meta(ctx, CB_SRC_LABEL, 0);
	ret = ipv4_policy(ctx, &i);
	if (ret == POLICY_ACT_PROXY_REDIRECT)
		ret = ctx_redirect_to_proxy_hairpin_ipv4(ctx, i.proxy_port);
	return ret < 0 ? ingress_drop(ctx, i.src_id, ret) : ret;
}

char _license[] SEC("license") = "Dual BSD/GPL";
