/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* IPv4 headers and fragments (SPEC 3.8). */

#include "csum.h"
#include "metrics.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET_MASK 0x1fff

/* ipv4_is_fragment: more fragments follow, or an offset. The reserved bit does not count. */
static __always_inline bool ipv4_is_fragment(const struct iphdr *ip4)
{
	return ip4->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET_MASK);
}

/* ipv4_has_l4_header: not so in the second and later fragments. */
static __always_inline bool ipv4_has_l4_header(const struct iphdr *ip4)
{
	return !(ip4->frag_off & bpf_htons(IP_OFFSET_MASK));
}

/* ipv4_l4_off is where the L4 header begins, by the header length that the packet claims. */
static __always_inline __u32 ipv4_l4_off(const struct iphdr *ip4)
{
	return ETH_HLEN + (ip4->ver_ihl & 0xf) * 4;
}

/*
 * ipv4_handle_fragmentation finds the packet's ports: in its L4 header, or, for a
 * later fragment, in cilium_ipv4_frag_datagrams, where the first fragment left
 * them. Each call counts a fragment once.
 */
static __always_inline int ipv4_handle_fragmentation(struct __sk_buff *ctx,
						     const struct iphdr *ip4, enum ct_dir dir,
						     struct ipv4_frag_l4ports *ports)
{
	bool fragment = ipv4_is_fragment(ip4);
	struct ipv4_frag_id id;
	int ret;

	if (unlikely(fragment)) {
		id = (struct ipv4_frag_id){
			.daddr = ip4->daddr,
			.saddr = ip4->saddr,
			.id = ip4->id,
			.proto = ip4->protocol,
		};
		update_metrics(ctx, ct_to_metrics_dir(dir), REASON_FRAG_PACKET);
		if (!ipv4_has_l4_header(ip4)) {
			struct ipv4_frag_l4ports *first;

			first = bpf_map_lookup_elem(&cilium_ipv4_frag_datagrams, &id);
			if (!first)
				return DROP_FRAG_NOT_FOUND;
			*ports = *first;
			return 0;
		}
	}
	ret = bpf_skb_load_bytes(ctx, ipv4_l4_off(ip4), ports, sizeof(*ports));
	if (ret < 0)
		return ret;
	if (unlikely(fragment) &&
	    bpf_map_update_elem(&cilium_ipv4_frag_datagrams, &id, ports, BPF_ANY))
		update_metrics(ctx, ct_to_metrics_dir(dir), REASON_FRAG_PACKET_UPDATE);
	return 0;
}
