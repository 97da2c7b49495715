//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */

/*
 * The programs of cilium_vxlan. Functions stand in the order in which a packet meets
 * them.
 */

#define EVENT_SOURCE 0
#define MAGIC_FILE 0 /* an agent compiles its bpf_overlay without a file id (SPEC 12.4) */
#define LOCAL_DELIVERY_METRICS false
#define CALLS_MAP cilium_calls_overlay_2

#include "lib/drop.h"
#include "lib/eth.h"
#include "lib/l3.h"

#define overlay_drop(ctx, src_id, error)                                                           \
	send_drop_notify(ctx, .src = src_id, .reason = error, .exit = TC_ACT_SHOT,                 \
			 .dir = METRIC_INGRESS)

/* decrypted tells a packet that IPsec has put back into the stack. */
static __always_inline bool decrypted(struct __sk_buff *ctx)
{
	return (ctx->mark & MARK_MAGIC_HOST_MASK) == MARK_MAGIC_DECRYPT;
}

/* from-overlay: a frame has been decapsulated (SPEC 9). */
SEC("from-overlay")
int from_overlay(struct __sk_buff *ctx)
{
	__u16 proto;

	bpf_clear_meta(ctx);
	ctx->queue_mapping = 0;
	if (!validate_ethertype(ctx, &proto))
		return TC_ACT_OK;
	send_trace_notify(ctx, &(struct observation){
		.point = decrypted(ctx) ? TRACE_FROM_STACK : TRACE_FROM_OVERLAY,
		.ifindex = ctx->ingress_ifindex,
		.reason = TRACE_REASON_UNKNOWN,
		.monitor = TRACE_PAYLOAD_ALWAYS,
	});
	switch (proto) {
	case ETH_P_IPV6:
		return overlay_drop(ctx, 0, DROP_UNKNOWN_L3);
	case ETH_P_IP:
		ep_tail_call(ctx, CILIUM_CALL_IPV4_FROM_LXC);
		return overlay_drop(ctx, 0, DROP_MISSED_TAIL_CALL);
	}
	return TC_ACT_OK;
}

/*
 * source_identity finds out who sent the packet: the VNI, or, for a remote node, what the
 * ipcache knows. As in Cilium the ipcache is asked first, whether its answer is needed or
 * not.
 */
static __always_inline int source_identity(struct __sk_buff *ctx, __be32 saddr, __u32 *identity)
{
	struct remote_endpoint_info *info = ipcache_lookup4(saddr);
	struct bpf_tunnel_key key = {};

	if (!decrypted(ctx)) {
		if (bpf_skb_get_tunnel_key(ctx, &key, sizeof(key), 0) < 0)
			return DROP_NO_TUNNEL_KEY;
		*identity = key.tunnel_id;
		if (*identity == HOST_ID)
			return DROP_INVALID_IDENTITY;
		if (!identity_is_remote_node(*identity))
			return 0;
	}
	if (info)
		*identity = info->sec_label;
	return 0;
}

/* handle_ipv4 delivers the packet to its pod; what has none here goes to the host. */
static __always_inline int handle_ipv4(struct __sk_buff *ctx, __u32 *identity)
{
	struct iphdr *ip4 = ctx_ip4(ctx);
	struct macaddr node_mac, host_mac;
	struct endpoint_info *ep;
	int ret;

	if (!ip4)
		return DROP_INVALID;
	ret = source_identity(ctx, ip4->saddr, identity);
	if (ret < 0)
		return ret;
	ep = lookup_ip4_endpoint(ip4->daddr);
	if (ep && !(ep->flags & ENDPOINT_F_HOST))
		return ipv4_local_delivery(ctx, ip4, ep, *identity, METRIC_INGRESS, false, false);
	node_mac = mac_load(NODE_MAC);
	host_mac = mac_load(HOST_IFINDEX_MAC);
	ret = ipv4_l3(ip4, &node_mac, &host_mac);
	return ret ? ret : ctx_redirect(HOST_IFINDEX);
}

/* tail_handle_ipv4 turns errors into drops, by the identity found so far. */
SEC("2/7")
int tail_handle_ipv4(struct __sk_buff *ctx)
{
	__u32 identity = 0;
	int ret = handle_ipv4(ctx, &identity);

	return ret < 0 ? overlay_drop(ctx, identity, ret) : ret;
}

/* to-overlay does nothing in this configuration. */
SEC("to-overlay")
int to_overlay(struct __sk_buff *ctx)
{
	(void)ctx;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
