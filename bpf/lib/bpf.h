/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/*
 * The kernel's BPF interface, as much of it as these programs use. It is written
 * out here so that the objects depend on the compiler alone, not on the headers
 * of the machine that builds them.
 */

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef int __s32;

/* Network order; the names are for the reader. */
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u16 __sum16;
typedef __u32 __wsum;

typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define min(a, b) ((a) < (b) ? (a) : (b))

#define bpf_htons(x) __builtin_bswap16(x)
#define bpf_ntohs(x) __builtin_bswap16(x)
#define bpf_ntohl(x) __builtin_bswap32(x)
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "layouts and byte swaps are those of a little endian machine"
#endif

/* Fields of a map definition in the section .maps. */
#define __uint(name, val) int(*name)[val]
#define __type(name, val) val *name

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
};

#define BPF_F_NO_PREALLOC 1
#define BPF_ANY 0

/* A packet's context, up to the last field that is used. */
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
	__u32 tc_index;
	__u32 cb[5];
	__u32 hash;
	__u32 tc_classid;
	__u32 data;
	__u32 data_end;
};

/* bpf_tunnel_key without the local address, which kernels before 6.1 lack. */
struct bpf_tunnel_key {
	__u32 tunnel_id;
	__u32 remote_ipv4; /* host order */
	__u32 remote_ipv6_rest[3];
	__u8 tunnel_tos;
	__u8 tunnel_ttl;
	__u16 tunnel_ext;
	__u32 tunnel_label;
};

#define TC_ACT_OK 0
#define TC_ACT_SHOT 2
#define TC_ACT_REDIRECT 7

#define BPF_F_CURRENT_CPU 0xffffffffULL
#define BPF_F_ZERO_CSUM_TX (1ULL << 1)
#define BPF_F_PSEUDO_HDR (1ULL << 4)
#define BPF_F_MARK_MANGLED_0 (1ULL << 5)

#define PACKET_HOST 0

/* Helpers by number (linux/bpf.h, enum bpf_func_id). */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value,
					 __u64 flags) = (void *)2;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static __u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static long (*const bpf_skb_store_bytes)(struct __sk_buff *ctx, __u32 off, const void *from,
					 __u32 len, __u64 flags) = (void *)9;
static long (*const bpf_l4_csum_replace)(struct __sk_buff *ctx, __u32 off, __u64 from, __u64 to,
					 __u64 flags) = (void *)11;
static long (*const bpf_tail_call)(struct __sk_buff *ctx, void *map, __u32 slot) = (void *)12;
static long (*const bpf_skb_get_tunnel_key)(struct __sk_buff *ctx, struct bpf_tunnel_key *key,
					    __u32 size, __u64 flags) = (void *)20;
static long (*const bpf_skb_set_tunnel_key)(struct __sk_buff *ctx, struct bpf_tunnel_key *key,
					    __u32 size, __u64 flags) = (void *)21;
static long (*const bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)23;
static long (*const bpf_perf_event_output)(void *ctx, void *map, __u64 flags, void *data,
					   __u64 size) = (void *)25;
static long (*const bpf_skb_load_bytes)(const void *ctx, __u32 off, void *to,
					__u32 len) = (void *)26;
static long (*const bpf_skb_change_type)(struct __sk_buff *ctx, __u32 type) = (void *)32;
static long (*const bpf_skb_pull_data)(struct __sk_buff *ctx, __u32 len) = (void *)39;
static __u64 (*const bpf_jiffies64)(void) = (void *)118;
static long (*const bpf_redirect_peer)(__u32 ifindex, __u64 flags) = (void *)155;
