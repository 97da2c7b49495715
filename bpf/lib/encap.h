/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Encapsulation by cilium_vxlan (SPEC 8). */

#include "ctx.h"
#include "trace.h"

#define IPDEFTTL 64

/*
 * __encap_with_nodeid sets the key that cilium_vxlan encapsulates with: the identity
 * as VNI, the host's own replaced by that of a remote node.
 */
static __always_inline int __encap_with_nodeid(struct __sk_buff *ctx, __be32 endpoint,
					       __u32 identity, __u8 reason, __u32 monitor)
{
	struct bpf_tunnel_key key = {
		.tunnel_id = identity == HOST_ID ? LOCAL_NODE_ID : identity,
		.remote_ipv4 = bpf_ntohl(endpoint),
		.tunnel_ttl = IPDEFTTL,
	};

	if (bpf_skb_set_tunnel_key(ctx, &key, sizeof(key), BPF_F_ZERO_CSUM_TX) < 0)
		return DROP_WRITE_ERROR;
	send_trace_notify(ctx, &(struct observation){
		.point = TRACE_TO_OVERLAY,
		.src = key.tunnel_id,
		.ifindex = ENCAP_IFINDEX,
		.reason = reason,
		.monitor = monitor,
	});
	return 0;
}

/* __encap_and_redirect_with_nodeid sends the frame out of cilium_vxlan with its key. */
static __always_inline int __encap_and_redirect_with_nodeid(struct __sk_buff *ctx, __be32 endpoint,
							    __u32 identity, __u8 reason,
							    __u32 monitor)
{
	int ret = __encap_with_nodeid(ctx, endpoint, identity, reason, monitor);

	return ret < 0 ? ret : ctx_redirect(ENCAP_IFINDEX);
}

/* The node of a destination's pod CIDR, or NULL. */
static __always_inline struct tunnel_value *lookup_tunnel(__be32 daddr)
{
	struct tunnel_key key = { .ip4 = daddr & IPV4_MASK, .family = ENDPOINT_KEY_IPV4 };

	return bpf_map_lookup_elem(&cilium_tunnel_map, &key);
}

/*
 * encap_and_redirect_lxc encapsulates a packet to the endpoint that the ipcache told,
 * or else to the node that the tunnel map has for the destination's pod CIDR.
 * DROP_NO_TUNNEL_ENDPOINT means that neither knows it: not tunnelled.
 */
static __always_inline int encap_and_redirect_lxc(struct __sk_buff *ctx, __be32 endpoint,
						  __be32 daddr, __u32 identity, __u8 reason,
						  __u32 monitor)
{
	if (!endpoint) {
		struct tunnel_value *tunnel = lookup_tunnel(daddr);

		if (!tunnel)
			return DROP_NO_TUNNEL_ENDPOINT;
		endpoint = tunnel->ip4;
	}
	return __encap_and_redirect_with_nodeid(ctx, endpoint, identity, reason, monitor);
}

/* encap_and_redirect_netdev is the same for the host's packets. */
static __always_inline int encap_and_redirect_netdev(struct __sk_buff *ctx, __be32 endpoint,
						     __be32 daddr, __u32 identity)
{
	return encap_and_redirect_lxc(ctx, endpoint, daddr, identity, TRACE_REASON_UNKNOWN,
				      TRACE_PAYLOAD_ALWAYS);
}
