/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/*
 * Internet checksums (RFC 1071, RFC 1624): sums are 32 bits wide with end-around
 * carry, as the kernel's __wsum.
 */

#include "ctx.h"

#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

#define TCP_CSUM_OFF 16
#define UDP_CSUM_OFF 6

static __always_inline __wsum csum_add(__wsum a, __wsum b)
{
	a += b;
	return a + (a < b);
}

static __always_inline __sum16 csum_fold(__wsum sum)
{
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

/* csum_diff4 is what replacing four bytes makes to a sum. */
static __always_inline __wsum csum_diff4(__be32 from, __be32 to, __wsum seed)
{
	return csum_add(csum_add(seed, ~from), to);
}

static __always_inline __sum16 csum_replace_by_diff(__sum16 check, __wsum diff)
{
	return csum_fold(csum_add(diff, ~(__wsum)check));
}

static __always_inline __u16 csum16_add(__u16 a, __u16 b)
{
	__u32 sum = (__u32)a + b;

	return sum + (sum >> 16);
}

/* csum_replace2 corrects a checksum for one changed word. */
static __always_inline __sum16 csum_replace2(__sum16 check, __be16 from, __be16 to)
{
	return ~csum16_add(csum16_add(~check, ~from), to);
}

/*
 * Where an L4 protocol keeps its checksum; offset 0 is a protocol without one that
 * address translation must correct.
 */
struct csum_offset {
	__u16 offset;
	__u16 flags; /* of bpf_l4_csum_replace */
};

static __always_inline struct csum_offset csum_l4_offset_and_flags(__u8 nexthdr)
{
	switch (nexthdr) {
	case IPPROTO_TCP:
		return (struct csum_offset){ .offset = TCP_CSUM_OFF };
	case IPPROTO_UDP:
		return (struct csum_offset){
			.offset = UDP_CSUM_OFF,
			.flags = BPF_F_MARK_MANGLED_0, /* 0 is "none" there */
		};
	}
	return (struct csum_offset){};
}

/* csum_l4_replace corrects an L4 checksum; flags say what for. */
static __always_inline int csum_l4_replace(struct __sk_buff *ctx, __u32 l4_off,
					   const struct csum_offset *csum, __be32 from, __be32 to,
					   __u64 flags)
{
	return bpf_l4_csum_replace(ctx, l4_off + csum->offset, from, to, flags | csum->flags);
}
