/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

#include "ctx.h"

/*
 * validate_ethertype reads the ether type in host order; false is a frame without
 * one: too short, or an 802.3 length in its place.
 */
static __always_inline bool validate_ethertype(struct __sk_buff *ctx, __u16 *proto)
{
	struct ethhdr *eth = ctx_head(ctx, ETH_HLEN);

	if (!eth)
		return false;
	*proto = bpf_ntohs(eth->h_proto);
	return *proto >= ETH_P_802_3_MIN;
}
