//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */

/*
 * The programs of cilium_host, cilium_net and uplinks. Functions stand in the order
 * in which a packet meets them.
 */

#define EVENT_SOURCE HOST_EP_ID
#define MAGIC_FILE 3
#define LOCAL_DELIVERY_METRICS true
#define CALLS_MAP cilium_calls_hostns_65535

#include "lib/drop.h"
#include "lib/encap.h"
#include "lib/eth.h"
#include "lib/l3.h"
#include "lib/proxy.h"

/*
 * resolve_srcid_ipv4 is the sender's identity. A frame that is too short for an IPv4
 * header has the error code in its place, as in Cilium.
 */
static __always_inline __u32 resolve_srcid_ipv4(struct __sk_buff *ctx, __u32 identity,
						bool from_host)
{
	struct iphdr *ip4 = ctx_ip4(ctx);

	if (!ip4)
		return DROP_INVALID;
	if (!from_host)
		return WORLD_ID; /* SECCTX_FROM_IPCACHE is off */
	return resolve_identity(identity, ip4->saddr);
}

/* do_netdev finds out who sent the packet and starts the IPv4 path (SPEC 10.2). */
static __always_inline int do_netdev(struct __sk_buff *ctx, __u16 proto, bool from_host)
{
	struct observation o = {
		.point = TRACE_FROM_NETWORK,
		.ifindex = ctx->ingress_ifindex,
		.reason = TRACE_REASON_UNKNOWN,
		.monitor = TRACE_PAYLOAD_ALWAYS,
	};
	__u32 identity = 0;

	if (from_host) {
		__u32 magic = inherit_identity_from_host(ctx, &identity);

		o.point = magic_is_proxy(magic) ? TRACE_FROM_PROXY : TRACE_FROM_HOST;
		o.src = identity;
	}
	send_trace_notify(ctx, &o);
	bpf_clear_meta(ctx);
	if (proto != ETH_P_IP)
		return TC_ACT_OK;
	identity = resolve_srcid_ipv4(ctx, identity, from_host);
	ctx_store_meta(ctx, CB_SRC_LABEL, identity);
	ep_tail_call(ctx, from_host ? CILIUM_CALL_IPV4_FROM_HOST : CILIUM_CALL_IPV4_FROM_LXC);
	/* Traffic to the stack must go on even if the maps are gone. */
	return send_drop_notify(ctx, .src = identity, .reason = DROP_MISSED_TAIL_CALL,
				.exit = TC_ACT_OK, .dir = METRIC_INGRESS);
}

/* handle_netdev passes frames without an ether type to the stack. */
static __always_inline int handle_netdev(struct __sk_buff *ctx, bool from_host)
{
	__u16 proto;

	if (!validate_ethertype(ctx, &proto)) {
		send_trace_notify(ctx, &(struct observation){
			.point = TRACE_TO_STACK,
			.src = HOST_ID,
			.reason = TRACE_REASON_UNKNOWN,
		});
		return TC_ACT_OK;
	}
	return do_netdev(ctx, proto, from_host);
}

/* from-host: the host stack sends a frame through cilium_host. */
SEC("from-host")
int from_host(struct __sk_buff *ctx)
{
	return handle_netdev(ctx, true);
}

/* from-netdev: a frame has come in from an uplink. */
SEC("from-netdev")
int from_netdev(struct __sk_buff *ctx)
{
	return handle_netdev(ctx, false);
}

/*
 * handle_ipv4 sends the host's packet to a local pod or to another node; what is neither,
 * and not known as a cluster address, is dropped (SPEC 10.2). A packet of the network
 * goes to a local pod only with host routing, and to the stack else.
 */
static __always_inline int handle_ipv4(struct __sk_buff *ctx, __u32 identity, bool from_host)
{
	struct iphdr *ip4 = ctx_ip4(ctx);
	struct remote_endpoint_info *info;
	struct endpoint_info *ep;
	int ret;

	if (!ip4)
		return DROP_INVALID;
	if (!from_host && !ENABLE_HOST_ROUTING)
		return TC_ACT_OK; /* NO_REDIRECT: iptables must see it */
	if (from_host)
		mac_store(ip4_eth(ip4)->h_dest, mac_load(CILIUM_NET_MAC));
	ep = lookup_ip4_endpoint(ip4->daddr);
	if (ep) {
		if (ep->flags & ENDPOINT_F_HOST)
			return TC_ACT_OK;
		return ipv4_local_delivery(ctx, ip4, ep, identity, METRIC_INGRESS, from_host,
					   false);
	}
	if (!from_host)
		return TC_ACT_OK;
	info = ipcache_lookup4(ip4->daddr);
	ret = encap_and_redirect_netdev(ctx, info ? info->tunnel_endpoint : 0, ip4->daddr,
					identity);
	if (ret != DROP_NO_TUNNEL_ENDPOINT)
		return ret;
	if (!info || info->sec_label == WORLD_ID)
		return DROP_UNROUTABLE;
	return TC_ACT_OK;
}

/* tail_handle_ipv4 turns errors into drops. */
static __always_inline int tail_handle_ipv4(struct __sk_buff *ctx, bool from_host)
{
	__u32 identity = ctx_load_meta(ctx, CB_SRC_LABEL);
	int ret;

	ctx_store_meta(ctx, CB_SRC_LABEL, 0);
	ret = handle_ipv4(ctx, identity, from_host);
	if (ret < 0)
		return send_drop_notify(ctx, .src = identity, .reason = ret, .exit = TC_ACT_SHOT,
					.dir = METRIC_INGRESS);
	return ret;
}

/* tail_handle_ipv4_from_host is the IPv4 path of from-host. */
SEC("2/22")
int tail_handle_ipv4_from_host(struct __sk_buff *ctx)
{
	return tail_handle_ipv4(ctx, true);
}

/* tail_handle_ipv4_from_netdev is the IPv4 path of from-netdev. */
SEC("2/7")
int tail_handle_ipv4_from_netdev(struct __sk_buff *ctx)
{
	return tail_handle_ipv4(ctx, false);
}

/* to-host: a frame enters the host through cilium_host or cilium_net (SPEC 10.3). */
SEC("to-host")
int to_host(struct __sk_buff *ctx)
{
	struct observation o = {
		.point = TRACE_TO_STACK,
		.ifindex = CILIUM_IFINDEX,
		.reason = TRACE_REASON_UNKNOWN,
	};
	__u32 magic = ctx_load_meta(ctx, CB_PROXY_MAGIC);

	if ((magic & MARK_MAGIC_HOST_MASK) == MARK_MAGIC_ENCRYPT) {
		ctx->mark = magic;
		o.src = ctx_load_meta(ctx, CB_ENCRYPT_IDENTITY);
	} else if ((magic & 0xffff) == MARK_MAGIC_TO_PROXY) {
		ctx_store_meta(ctx, CB_PROXY_MAGIC, 0);
		return ctx_redirect_to_proxy4(ctx, magic >> 16); /* traced by its sender */
	}
	send_trace_notify(ctx, &o);
	return TC_ACT_OK;
}

/* to-netdev: a frame leaves through an uplink. */
SEC("to-netdev")
int to_netdev(struct __sk_buff *ctx)
{
	send_trace_notify(ctx, &(struct observation){
		.point = TRACE_TO_NETWORK,
		.reason = TRACE_REASON_UNKNOWN,
	});
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
