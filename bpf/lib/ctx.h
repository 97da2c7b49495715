/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* The packet and its metadata: what lib/overloadable_skb.h is in Cilium. */

#include "config.h"
#include "maps.h"

/* Slots of skb->cb (SPEC 1). They survive tail calls and plain redirects. */
#define CB_SRC_LABEL 0
#define CB_PROXY_MAGIC 0
#define CB_IFINDEX 1
#define CB_POLICY 2
#define CB_BACKEND_ID 2
#define CB_FROM_HOST 3
#define CB_CT_STATE 4
#define CB_ENCRYPT_IDENTITY 4

/* Values in the mark's magic nibble (SPEC 7). */
#define MARK_MAGIC_HOST_MASK 0x0f00
#define MARK_MAGIC_KEY_MASK 0xff00
#define MARK_MAGIC_TO_PROXY 0x0200
#define MARK_MAGIC_PROXY_INGRESS 0x0a00
#define MARK_MAGIC_PROXY_EGRESS 0x0b00
#define MARK_MAGIC_HOST 0x0c00
#define MARK_MAGIC_DECRYPT 0x0d00
#define MARK_MAGIC_ENCRYPT 0x0e00
#define MARK_MAGIC_IDENTITY 0x0f00

/* Bits of skb->tc_index. */
#define TC_INDEX_F_SKIP_INGRESS_PROXY 1
#define TC_INDEX_F_SKIP_EGRESS_PROXY 2

#define ETH_HLEN 14
#define ETH_P_802_3_MIN 0x0600
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_IPV6 0x86dd

struct ethhdr {
	__u8 h_dest[6];
	__u8 h_source[6];
	__be16 h_proto;
};

struct iphdr {
	__u8 ver_ihl;
	__u8 tos;
	__be16 tot_len;
	__be16 id;
	__be16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__sum16 check;
	__be32 saddr;
	__be32 daddr;
};

/*
 * The frame's beginning and end. In assembly, as the compiler takes the fields for
 * 32-bit numbers, and truncates what are pointers to the verifier.
 */
static __always_inline void *ctx_data(struct __sk_buff *ctx)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(data)
		     : "r"(ctx), "i"(__builtin_offsetof(struct __sk_buff, data))
		     : "memory");
	if (!data)
		__builtin_unreachable();
	return data;
}

static __always_inline void *ctx_data_end(struct __sk_buff *ctx)
{
	void *data_end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(data_end)
		     : "r"(ctx), "i"(__builtin_offsetof(struct __sk_buff, data_end))
		     : "memory");
	return data_end;
}

/*
 * The frame's first len bytes, contiguous, or NULL if it has fewer. Helpers that
 * change the frame make such pointers invalid.
 */
static __always_inline void *ctx_head(struct __sk_buff *ctx, __u32 len)
{
	void *data = ctx_data(ctx);

	if (likely(data + len <= ctx_data_end(ctx)))
		return data;
	if (ctx->len < len || bpf_skb_pull_data(ctx, len))
		return NULL;
	data = ctx_data(ctx);
	return data + len <= ctx_data_end(ctx) ? data : NULL;
}

/* The minimal IPv4 header, or NULL if the frame is shorter; nothing else is checked. */
static __always_inline struct iphdr *ctx_ip4(struct __sk_buff *ctx)
{
	void *head = ctx_head(ctx, ETH_HLEN + sizeof(struct iphdr));

	return head ? head + ETH_HLEN : NULL;
}

/* The Ethernet header in front of an IPv4 header. */
static __always_inline struct ethhdr *ip4_eth(struct iphdr *ip4)
{
	return (void *)ip4 - ETH_HLEN;
}

/* A MAC as a word and a half, with which copies need no loop. */
struct macaddr {
	__u32 p1;
	__u16 p2;
};

static __always_inline struct macaddr mac_load(const volatile __u8 *from)
{
	return (struct macaddr){
		.p1 = *(const volatile __u32 *)from,
		.p2 = *(const volatile __u16 *)(from + 4),
	};
}

static __always_inline void mac_store(void *to, struct macaddr mac)
{
	*(__u32 *)to = mac.p1;
	*(__u16 *)(to + 4) = mac.p2;
}

/*
 * A slot of skb->cb. Written in assembly, as the verifier wants such an access at a
 * constant offset from the context, and the compiler may compute the address apart.
 */
static __always_inline void ctx_store_meta(struct __sk_buff *ctx, const __u32 slot, __u32 value)
{
	asm volatile("*(u32 *)(%0 + %1) = %2"
		     :
		     : "r"(ctx), "i"(__builtin_offsetof(struct __sk_buff, cb) + slot * 4), "r"(value)
		     : "memory");
}

static __always_inline __u32 ctx_load_meta(struct __sk_buff *ctx, const __u32 slot)
{
	__u32 value;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(value)
		     : "r"(ctx), "i"(__builtin_offsetof(struct __sk_buff, cb) + slot * 4)
		     : "memory");
	return value;
}

static __always_inline void bpf_clear_meta(struct __sk_buff *ctx)
{
	ctx_store_meta(ctx, 0, 0);
	ctx_store_meta(ctx, 1, 0);
	ctx_store_meta(ctx, 2, 0);
	ctx_store_meta(ctx, 3, 0);
	ctx_store_meta(ctx, 4, 0);
}

/* ctx_redirect sends the frame out of a device. */
static __always_inline int ctx_redirect(__u32 ifindex)
{
	return bpf_redirect(ifindex, 0);
}

/* ctx_redirect_peer receives the frame on the device's peer, in its namespace. */
static __always_inline int ctx_redirect_peer(__u32 ifindex)
{
	return bpf_redirect_peer(ifindex, 0);
}

/*
 * ep_tail_call jumps into a slot of the object's calls map. Where that is empty
 * the caller goes on.
 */
static __always_inline void ep_tail_call(struct __sk_buff *ctx, __u32 slot)
{
	bpf_tail_call(ctx, &CALLS_MAP, slot);
}
