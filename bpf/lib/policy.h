/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Policy maps (SPEC 13). */

#include "ipv4.h"
#include "trace.h"

struct policy_key {
	__u32 sec_label;
	__be16 dport; /* of ICMP: the type */
	__u8 protocol;
	__u8 egress;
};

#define POLICY_DENY 1

struct policy_entry {
	__be16 proxy_port;
	__u8 deny;
	__u8 pad;
	__u16 pad1;
	__u16 pad2;
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct policy_key);
	__type(value, struct policy_entry);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} POLICY_MAP SEC(".maps");

enum policy_match {
	POLICY_MATCH_NONE,
	POLICY_MATCH_L3_ONLY,
	POLICY_MATCH_L3_L4,
	POLICY_MATCH_L4_ONLY,
	POLICY_MATCH_ALL,
};

/* A question to the endpoint's policy map. */
struct access {
	__u32 remote; /* identity of the other side */
	__be16 dport;
	__u8 proto;
	bool egress;
};

#define ICMP_DEST_UNREACH 3
#define ICMP_FRAG_NEEDED 4

struct icmphdr {
	__u8 type;
	__u8 code;
	__sum16 check;
	__u32 rest;
};

/* policy_lookup tries identity and port, port, identity, and neither. */
static __always_inline struct policy_entry *policy_lookup(struct policy_key *key,
							  enum policy_match *match)
{
	__u32 remote = key->sec_label;
	struct policy_entry *entry;

	*match = POLICY_MATCH_L3_L4;
	entry = bpf_map_lookup_elem(&POLICY_MAP, key);
	if (entry)
		return entry;
	*match = POLICY_MATCH_L4_ONLY;
	key->sec_label = 0;
	entry = bpf_map_lookup_elem(&POLICY_MAP, key);
	if (entry)
		return entry;
	*match = POLICY_MATCH_L3_ONLY;
	key->sec_label = remote;
	key->dport = 0;
	key->protocol = 0;
	entry = bpf_map_lookup_elem(&POLICY_MAP, key);
	if (entry)
		return entry;
	*match = POLICY_MATCH_ALL;
	key->sec_label = 0;
	entry = bpf_map_lookup_elem(&POLICY_MAP, key);
	if (entry)
		return entry;
	*match = POLICY_MATCH_NONE;
	return NULL;
}

/*
 * __policy_can_access asks the policy map from the most to the least specific key;
 * the first hit decides and counts the packet. 0 is yes, positive a proxy port,
 * negative no.
 */
static __always_inline int __policy_can_access(struct __sk_buff *ctx, const struct access *a,
					       enum policy_match *match)
{
	struct policy_key key = {
		.sec_label = a->remote,
		.dport = a->dport,
		.protocol = a->proto,
		.egress = a->egress,
	};
	struct policy_entry *entry;

	*match = POLICY_MATCH_NONE;
	if (a->proto == IPPROTO_ICMP) {
		struct iphdr *ip4 = ctx_ip4(ctx);
		struct icmphdr icmp;

		if (!ip4 || bpf_skb_load_bytes(ctx, ipv4_l4_off(ip4), &icmp, sizeof(icmp)) < 0)
			return DROP_INVALID;
		if (icmp.type == ICMP_DEST_UNREACH && icmp.code == ICMP_FRAG_NEEDED)
			return 0;
		key.dport = (__be16)icmp.type << 8;
	}
	entry = policy_lookup(&key, match);
	if (!entry)
		return ctx_load_meta(ctx, CB_POLICY) ? 0 : DROP_POLICY;
	__sync_fetch_and_add(&entry->packets, 1);
	__sync_fetch_and_add(&entry->bytes, ctx->len);
	if (entry->deny & POLICY_DENY)
		return DROP_POLICY_DENY;
	if (*match == POLICY_MATCH_L3_L4 || *match == POLICY_MATCH_L4_ONLY)
		return entry->proxy_port;
	return 0;
}

/*
 * policy_can_egress4 decides whether a pod may send. Traffic to the tunnel's port is
 * never allowed: a pod must not inject encapsulated packets.
 */
static __always_inline int policy_can_egress4(struct __sk_buff *ctx, const struct access *a,
					      enum policy_match *match)
{
	if (a->proto == IPPROTO_UDP && bpf_ntohs(a->dport) == TUNNEL_PORT) {
		*match = POLICY_MATCH_NONE;
		return DROP_ENCAP_PROHIBITED;
	}
	return __policy_can_access(ctx, a, match);
}

/* policy_can_access_ingress decides whether a pod may receive. */
static __always_inline int policy_can_access_ingress(struct __sk_buff *ctx, const struct access *a,
						     enum policy_match *match)
{
	return __policy_can_access(ctx, a, match);
}

struct policy_verdict_notify {
	struct notify_common common;
	__u32 remote_label;
	__s32 verdict;
	__u16 dst_port; /* host order */
	__u8 proto;
	__u8 bits; /* direction 0-1, IPv6 2, match 3-5, audited 6 */
	__u32 pad;
};

/* send_policy_verdict_notify reports a verdict, if the endpoint's filter asks for that direction. */
static __always_inline void send_policy_verdict_notify(struct __sk_buff *ctx,
						       const struct access *a, int verdict,
						       enum policy_match match)
{
	__u8 dir = a->egress ? METRIC_EGRESS : METRIC_INGRESS;
	struct policy_verdict_notify msg;

	if (!(POLICY_VERDICT_LOG_FILTER & dir))
		return;
	msg = (struct policy_verdict_notify){
		.common = notify_begin(ctx, CILIUM_NOTIFY_POLICY_VERDICT, 0, TRACE_PAYLOAD_LEN),
		.remote_label = a->remote,
		.verdict = verdict,
		.dst_port = bpf_ntohs(a->dport),
		.proto = a->proto,
		.bits = dir | match << 3,
	};
	notify_send(ctx, &msg, sizeof(msg));
}
