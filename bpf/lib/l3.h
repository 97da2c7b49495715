/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Routing and local delivery (SPEC 3.7, 4, 16). */

#include "csum.h"
#include "identity.h"
#include "metrics.h"

/*
 * ipv4_l3 does a router's work on the frame: TTL, then source MAC (unless NULL),
 * then destination MAC. A TTL of 1 or less is DROP_INVALID; nobody sends an ICMP
 * error.
 */
static __always_inline int ipv4_l3(struct iphdr *ip4, const struct macaddr *smac,
				   const struct macaddr *dmac)
{
	__u8 ttl = ip4->ttl;

	if (ttl <= 1)
		return DROP_INVALID;
	/* The TTL is the first byte of its word in the frame. */
	ip4->check = csum_replace2(ip4->check, ttl, ttl - 1);
	ip4->ttl = ttl - 1;
	if (smac)
		mac_store(ip4_eth(ip4)->h_source, *smac);
	mac_store(ip4_eth(ip4)->h_dest, *dmac);
	return 0;
}

/*
 * redirect_ep sends the frame to a pod: out of its lxc device, or straight into the
 * pod where host routing is on and the frame is not the host's.
 */
static __always_inline int redirect_ep(struct __sk_buff *ctx, __u32 ifindex, bool from_host)
{
	if (!ENABLE_HOST_ROUTING || from_host)
		return ctx_redirect(ifindex);
	/* From the overlay: the pod's stack would not take a frame for another host. */
	bpf_skb_change_type(ctx, PACKET_HOST);
	return ctx_redirect_peer(ifindex);
}

/*
 * ipv4_local_delivery hands the packet to a pod of this node: by a tail call to the
 * pod's policy program, or as the configuration says. dir counts it; hairpin goes
 * back to its own sender, through a service.
 */
static __always_inline int ipv4_local_delivery(struct __sk_buff *ctx, struct iphdr *ip4,
					       const struct endpoint_info *ep, __u32 identity,
					       __u8 dir, bool from_host, bool hairpin)
{
	struct macaddr node_mac = mac_load(ep->node_mac), mac = mac_load(ep->mac);
	int ret = ipv4_l3(ip4, &node_mac, &mac);

	if (ret)
		return ret;
	if (LOCAL_DELIVERY_METRICS)
		update_metrics(ctx, dir, REASON_FORWARDED);
	if (hairpin)
		return redirect_ep(ctx, ep->ifindex, from_host);
	if (USE_BPF_PROG_FOR_INGRESS_POLICY) {
		ctx->mark |= MARK_MAGIC_IDENTITY;
		set_identity_mark(ctx, identity);
		return redirect_ep(ctx, ep->ifindex, from_host);
	}
	ctx_store_meta(ctx, CB_SRC_LABEL, identity);
	ctx_store_meta(ctx, CB_IFINDEX, ep->ifindex);
	ctx_store_meta(ctx, CB_FROM_HOST, from_host);
	bpf_tail_call(ctx, &cilium_call_policy, ep->lxc_id);
	return DROP_MISSED_TAIL_CALL;
}
