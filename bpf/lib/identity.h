/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copyright The hooklab authors */
#pragma once

/* Identities, and the mark that carries them through the stack (SPEC 7). */

#include "eps.h"

/* identity_is_remote_node tells the identities of other nodes. */
static __always_inline bool identity_is_remote_node(__u32 identity)
{
	return identity == REMOTE_NODE_ID || identity == KUBE_APISERVER_NODE_ID;
}

/* identity_is_reserved tells identities that the ipcache may override. */
static __always_inline bool identity_is_reserved(__u32 identity)
{
	return identity < UNMANAGED_ID || identity_is_remote_node(identity);
}

/* get_identity reads the 24-bit identity of a mark. */
static __always_inline __u32 get_identity(__u32 mark)
{
	return (mark & 0xff) << 16 | mark >> 16;
}

/* set_identity_mark writes one; the second byte of the mark, with the magic, stays. */
static __always_inline void set_identity_mark(struct __sk_buff *ctx, __u32 identity)
{
	ctx->mark = (ctx->mark & MARK_MAGIC_KEY_MASK) | identity << 16 | (identity >> 16 & 0xff);
}

/*
 * inherit_identity_from_host reads who sent a packet that comes from the stack from
 * its mark, clears the mark and returns the magic that was in it (SPEC 10.2).
 */
static __always_inline __u32 inherit_identity_from_host(struct __sk_buff *ctx, __u32 *identity)
{
	__u32 mark = ctx->mark, magic = mark & MARK_MAGIC_HOST_MASK;

	switch (magic) {
	case MARK_MAGIC_PROXY_INGRESS:
		*identity = get_identity(mark);
		ctx->tc_index |= TC_INDEX_F_SKIP_INGRESS_PROXY;
		break;
	case MARK_MAGIC_PROXY_EGRESS:
		*identity = get_identity(mark);
		ctx->tc_index |= TC_INDEX_F_SKIP_EGRESS_PROXY;
		break;
	case MARK_MAGIC_IDENTITY:
		*identity = get_identity(mark);
		break;
	case MARK_MAGIC_HOST:
		*identity = HOST_ID;
		break;
	case MARK_MAGIC_ENCRYPT:
		*identity = ctx_load_meta(ctx, CB_ENCRYPT_IDENTITY);
		break;
	default:
		*identity = WORLD_ID;
	}
	ctx->mark = 0;
	return magic;
}

static __always_inline bool magic_is_proxy(__u32 magic)
{
	return magic == MARK_MAGIC_PROXY_INGRESS || magic == MARK_MAGIC_PROXY_EGRESS;
}

/*
 * resolve_identity replaces a reserved identity by what the ipcache knows of the
 * source address, unless that is the host: traffic from the world that was
 * masqueraded has the host's address too (SPEC 10.2, step 5).
 */
static __always_inline __u32 resolve_identity(__u32 identity, __be32 saddr)
{
	struct remote_endpoint_info *info;

	if (!identity_is_reserved(identity))
		return identity;
	info = ipcache_lookup4(saddr);
	if (info && info->sec_label != UNKNOWN_ID && info->sec_label != HOST_ID)
		return info->sec_label;
	return identity;
}
