/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/*
 * Packets for an L7 proxy. Ports are in network order, as policy entries hold them,
 * and shift as native numbers.
 */

#include "l3.h"

/* A policy verdict that is a proxy; it never leaves a program. */
#define POLICY_ACT_PROXY_REDIRECT (1 << 16)

/*
 * redirect_to_proxy tells whether a policy verdict sends a packet of this state to a
 * proxy: replies are never redirected anew.
 */
static __always_inline bool redirect_to_proxy(int verdict, int status)
{
	return verdict > 0 && (status == CT_NEW || status == CT_ESTABLISHED ||
			       status == CT_REOPENED);
}

/* ctx_redirect_to_proxy4 passes the packet to the stack with the mark that a TPROXY rule takes it by. */
static __always_inline int ctx_redirect_to_proxy4(struct __sk_buff *ctx, __be16 port)
{
	ctx->mark = MARK_MAGIC_TO_PROXY | (__u32)port << 16;
	bpf_skb_change_type(ctx, PACKET_HOST);
	return TC_ACT_OK;
}

/*
 * ctx_redirect_to_proxy_hairpin_ipv4 sends a packet that is on its way to a pod back
 * into the host, for its proxy (SPEC 10.5).
 */
static __always_inline int ctx_redirect_to_proxy_hairpin_ipv4(struct __sk_buff *ctx, __be16 port)
{
	struct macaddr node_mac = mac_load(NODE_MAC), host_mac = mac_load(HOST_IFINDEX_MAC);
	struct iphdr *ip4;
	int ret;

	ctx_store_meta(ctx, CB_PROXY_MAGIC, MARK_MAGIC_TO_PROXY | (__u32)port << 16);
	ip4 = ctx_ip4(ctx);
	if (!ip4)
		return DROP_INVALID;
	ret = ipv4_l3(ip4, &node_mac, &host_mac);
	if (ret)
		return ret;
	return ctx_redirect(HOST_IFINDEX);
}
