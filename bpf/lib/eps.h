/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Who has an address. */

#include "ctx.h"

/* lookup_ip4_endpoint finds a local endpoint or host address in cilium_lxc. */
static __always_inline struct endpoint_info *lookup_ip4_endpoint(__be32 ip)
{
	struct endpoint_key key = { .ip4 = ip, .family = ENDPOINT_KEY_IPV4 };

	return bpf_map_lookup_elem(&cilium_lxc, &key);
}

/* ipcache_lookup4 finds the longest prefix of an address in cilium_ipcache. */
static __always_inline struct remote_endpoint_info *ipcache_lookup4(__be32 ip)
{
	struct ipcache_key key = {
		.prefixlen = IPCACHE_STATIC_PREFIX + 32,
		.family = ENDPOINT_KEY_IPV4,
		.ip4 = ip,
	};

	return bpf_map_lookup_elem(&cilium_ipcache, &key);
}
