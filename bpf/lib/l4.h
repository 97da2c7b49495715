/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

#include "csum.h"

#define L4_SPORT_OFF 0
#define L4_DPORT_OFF 2

/* l4_modify_port rewrites the port at offset off of the L4 header, checksum first. */
static __always_inline int l4_modify_port(struct __sk_buff *ctx, __u32 l4_off, __u32 off,
					  const struct csum_offset *csum, __be16 port, __be16 old)
{
	if (csum_l4_replace(ctx, l4_off, csum, old, port, sizeof(port)) < 0)
		return DROP_CSUM_L4;
	if (bpf_skb_store_bytes(ctx, l4_off + off, &port, sizeof(port), 0) < 0)
		return DROP_WRITE_ERROR;
	return 0;
}
